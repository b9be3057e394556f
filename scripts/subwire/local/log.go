package local

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"subwire/scripts/internal/plain"
)

// lineHandler logs for a terminal: one short line each, with the function's name in
// front, like the function's own output.
//
//	sender     invocation request=… duration=12ms start=warm
type lineHandler struct {
	out   io.Writer
	attrs []slog.Attr
}

func newLineHandler(out io.Writer) lineHandler { return lineHandler{out: out} }

func (h lineHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

func (h lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lineHandler{h.out, append(slices.Clip(h.attrs), attrs...)}
}

func (h lineHandler) WithGroup(string) slog.Handler { return h } // nothing here groups

func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	source, line := "cloud", &strings.Builder{}
	line.WriteString(r.Message)
	add := func(a slog.Attr) bool {
		switch v := a.Value.Resolve(); {
		case a.Key == "function":
			source = v.String()
		case v.Kind() == slog.KindDuration:
			fmt.Fprintf(line, " %s=%s", a.Key, v.Duration().Round(100*time.Microsecond))
		default:
			fmt.Fprintf(line, " %s=%s", a.Key, v)
		}
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	if r.Level > slog.LevelInfo {
		source += " " + r.Level.String()
	}
	_, err := fmt.Fprintf(h.out, "%-10s %s\n", source, plain.Lines(line.String()))
	return err
}

package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"subwire/scripts/internal/plain"
)

// lineHandler logs for a terminal: one short line each, with the function's name in
// front, like the function's own output.
//
//	sender     invocation request=… duration=12ms start=warm
type lineHandler struct {
	out   io.Writer
	least slog.Level
	attrs []slog.Attr
}

func newLineHandler(out io.Writer, verbose bool) lineHandler {
	h := lineHandler{out: out, least: slog.LevelWarn}
	if verbose {
		h.least = slog.LevelInfo
	}
	return h
}

func (h lineHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.least
}

func (h lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lineHandler{h.out, h.least, append(slices.Clip(h.attrs), attrs...)}
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

// onlyTrouble drops what the functions log of ordinary work: of lines in their format it
// passes on warnings and errors. It gets whole lines, with the function's name before each.
type onlyTrouble struct{ io.Writer }

func (o onlyTrouble) Write(line []byte) (int, error) {
	_, text, _ := bytes.Cut(line, []byte(": "))
	var l struct{ Level, Msg string }
	isJSON := json.Unmarshal(text, &l) == nil
	if isJSON && l.Level != slog.LevelWarn.String() && l.Level != slog.LevelError.String() {
		return len(line), nil
	}
	return o.Writer.Write(line)
}

// lines are written from many sides.
type lines struct {
	mu  sync.Mutex
	out io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

func (l *lines) tell(line string) { fmt.Fprintln(l, line) }

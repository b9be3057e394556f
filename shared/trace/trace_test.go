package trace

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

const id = "1-5759e988-bd862e3fe1be46a994272793"

func TestTheRootOfAHeader(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"Root=" + id: id,
		"Root=" + id + ";Parent=53995c3f42cd8ad8;Sampled=1":     id,
		"Self=" + id + "; Root=" + id + ";Lineage=1:a87bd80c:0": id,
		"":                         "",
		"Parent=53995c3f42cd8ad8":  "",
		"Root=" + id + "0":         "",
		"Root=" + id[:34]:          "",
		"Root=2" + id[1:]:          "",
		"Root=" + id[:34] + "\"":   "",
		"Root=" + id[:34] + "F":    "",
		"Root=1_" + id[2:]:         "",
		"Root=" + id[:10] + id[9:]: "",
	} {
		if got := Root(header); got != want {
			t.Errorf("root of %q is %q, want %q", header, got, want)
		}
	}
	now := time.Unix(0x5759e988, 0)
	if a, b := New(now), New(now); !IsID(a) || a == b || !strings.HasPrefix(a, id[:11]) {
		t.Errorf("new ids are %s and %s", a, b)
	}
}

func TestALineSaysWhatItsContextKnows(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	log := slog.New(Handler(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))).With("function", "f")
	ctx := With(WithRequest(context.Background(), "r"), id)
	log.InfoContext(ctx, "both", "a", 1)
	log.InfoContext(With(ctx, ""), "request")
	log.InfoContext(context.Background(), "none")
	const want = `{"level":"INFO","msg":"both","function":"f","a":1,"request":"r","trace":"` + id + `"}
{"level":"INFO","msg":"request","function":"f","request":"r"}
{"level":"INFO","msg":"none","function":"f"}
`
	if out.String() != want {
		t.Errorf("got  %s\nwant %s", out.String(), want)
	}
}

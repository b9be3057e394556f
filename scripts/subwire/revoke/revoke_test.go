package revoke

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"subwire/shared/connection"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// queued counts what is sent, or refuses it.
type queued struct {
	n   int
	err error
}

func (q *queued) SendEach(_ context.Context, bodies [][]byte) error {
	q.n += len(bodies)
	return q.err
}

func TestWhatTheCommandSays(t *testing.T) {
	t.Parallel()
	// Decided, so that nothing tries it again.
	for name, refused := range map[string]error{"Done": nil, "NotQueued": pubsub.ErrTooLarge} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, checks, out := memory.New(), &queued{err: refused}, strings.Builder{}
			c := pubsub.Connection{ID: "c", Quota: "viewer/a\x1bda", Expires: time.Now().Add(time.Hour)}
			if err := connection.TakeQuota(t.Context(), 0, store, &c, 0); err != nil {
				t.Fatal(err)
			}
			err := run(t.Context(), connection.Revoker{Quotas: store, Checks: checks}, "a\x1bda", &out)
			if !errors.Is(err, refused) || checks.n != 1 {
				t.Errorf("got %v, %d are queued", err, checks.n)
			}
			if refused == nil && out.String() != `"a\x1bda" is revoked; 1 connections are ending`+"\n" {
				t.Errorf("it says %q", &out)
			}
			if refused != nil && (out.Len() > 0 || !strings.Contains(err.Error(), "repeat the command")) {
				t.Errorf("it says %q, %v", &out, err)
			}
		})
	}
}

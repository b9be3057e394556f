package session_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/session"
)

// once calls a live connection gone, once.
type once struct {
	session.Gateway
	posts int
}

func (o *once) Post(ctx context.Context, id string, frame []byte) error {
	if o.posts++; o.posts == 1 {
		return pubsub.ErrGone
	}
	return o.Gateway.Post(ctx, id, frame)
}

// A connection that is called gone is looked at again, and what there is no time
// for does not count as a second look.
func TestNoTimeToLookAgainEndsNoConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		if err := b.send(t.Context(), initFrame); err != nil {
			t.Fatal(err)
		}
		b.Gateway = &once{Gateway: b.gateway}
		ctx, cancel := context.WithTimeout(t.Context(), 540*time.Millisecond) // 500 of it are kept for the return
		defer cancel()
		_ = b.Receive(ctx, b.message(`{"type":"ping"}`))
		b.check(t, []string{ackFrame}, false)
	})
}

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
	pubsub.Gateway
	posts int
}

func (o *once) Post(ctx context.Context, id string, frame []byte) error {
	if o.posts++; o.posts == 1 {
		return pubsub.ErrGone
	}
	return o.Gateway.Post(ctx, id, frame)
}

// A connection that is called gone is looked at again. A second look that ran out of
// time does not count.
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
		_ = b.Receive(ctx, b.frame(`{"type":"ping"}`))
		b.check(t, []string{ackFrame}, false)
	})
}

// throttledReads is a store that refuses reads until ctx ends, as shared/dynamo does.
type throttledReads struct {
	session.Connections
	reads int // that succeed
}

func (s *throttledReads) Connection(ctx context.Context, id string) (pubsub.Connection, error) {
	if s.reads--; s.reads < 0 {
		<-ctx.Done()
		return pubsub.Connection{}, ctx.Err()
	}
	return s.Connections.Connection(ctx, id)
}

// Before an answer is posted again, the session looks whether it is still wanted. A
// slow look does not keep it from being posted.
func TestAThrottledReadHoldsBackNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		if err := b.send(t.Context(), initFrame); err != nil {
			t.Fatal(err)
		}
		b.Connections = &throttledReads{b.store, 1}
		posts := 0
		b.gateway.Fault = func(string, []byte) (bool, error) {
			if posts++; posts == 1 {
				return false, pubsub.ErrBusy
			}
			return true, nil
		}
		if err := b.invoke(t, subscribe("1", "query")); err != nil {
			t.Error(err)
		}
		b.check(t, []string{ackFrame, `{"id":"1","type":"next","payload":{"data":{}}}`, `{"id":"1","type":"complete"}`}, false)
	})
}

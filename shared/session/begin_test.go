package session_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// halves is a store whose first PutSubscriptions take the id, list nothing, and fail
// for an unknown reason.
type halves struct {
	*memory.Store
	fail int
}

func (h *halves) PutSubscription(ctx context.Context, s pubsub.Subscription, op pubsub.Operation, by pubsub.Sent, max int) error {
	err := h.Store.PutSubscription(ctx, s, op, by, max)
	if h.fail--; err != nil || h.fail < 0 {
		return err
	}
	s.At = by.At
	return errors.Join(h.Unlist(ctx, s), errors.New("status 407"))
}

// An operation with an id but no row would be silent for ever, and its client would
// never know.
func TestASubscriptionThatBeganInHalfIsListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.Operations = &halves{b.store, 1}
		for _, frame := range []string{initFrame, subscribe("1", "subscription")} {
			if err := b.invoke(t, frame); err != nil {
				t.Error(err)
			}
		}
		b.check(t, []string{ackFrame}, false)
		if rows := b.store.Contents().Subscriptions; len(rows) != 1 {
			t.Errorf("%d rows", len(rows))
		}
	})
}

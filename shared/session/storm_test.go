package session_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// storm is a store and a gateway that may do anything, until an end.
type storm struct {
	*memory.Store
	*rand.Rand
	end time.Time
}

func (s *storm) hits(oneIn int) bool { return time.Now().Before(s.end) && s.IntN(oneIn) == 0 }

// PutSubscription may also take the id and list nothing.
func (s *storm) PutSubscription(ctx context.Context, sub pubsub.Subscription, op pubsub.Operation, by pubsub.Sent, max int) error {
	err := s.Store.PutSubscription(ctx, sub, op, by, max)
	if err == nil && sub.Topic != "" && s.hits(3) {
		fault := s.Fault
		s.Fault = nil
		defer func() { s.Fault = fault }()
		sub.At = by.At
		return errors.Join(s.Unlist(context.WithoutCancel(ctx), sub), errors.New("status 407"))
	}
	return err
}

func (s *storm) storeFault(string) memory.Fault {
	if s.hits(6) {
		time.Sleep(time.Duration(s.IntN(200)) * time.Millisecond)
	}
	if s.hits(3) {
		return []memory.Fault{memory.NotApplied, memory.Applied}[s.IntN(2)]
	}
	return memory.NoFault
}

func (s *storm) postFault(string, []byte) (bool, error) {
	if s.hits(6) {
		time.Sleep(time.Duration(s.IntN(200)) * time.Millisecond)
	}
	switch {
	case s.hits(12):
		return false, pubsub.ErrGone
	case s.hits(3):
		return s.IntN(2) == 0, []error{pubsub.ErrBusy, errors.New("?")}[s.IntN(2)]
	}
	return true, nil
}

// Whatever happens, whoever subscribes is listed, or told, or loses the socket.
func TestNoClientWaitsForWhatNeverComes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1500) {
		synctest.Test(t, func(t *testing.T) { testNoClientWaits(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func testNoClientWaits(t *testing.T, seed uint64) {
	b, rng := setup(t), rand.New(rand.NewPCG(seed, 0))
	s := &storm{Store: b.store, Rand: rng}
	if err := b.send(t.Context(), initFrame); err != nil {
		t.Fatal(err)
	}
	b.Connections, b.Operations = s, s
	b.store.Fault, b.gateway.Fault = s.storeFault, s.postFault
	for i := range 3 {
		s.end = time.Now().Add(time.Duration(rng.IntN(40)) * time.Second)
		id, document := fmt.Sprint(i), []string{"subscription", "query", "resume"}[rng.IntN(3)]
		if b.Executor = (executor{}); document == "resume" {
			b.Executor = &history{log: events(1, 1+rng.IntN(30))}
		}
		_ = b.invoke(t, subscribe(id, document))
		if len(b.gateway.Sockets()) == 0 {
			break
		}
		told := strings.Contains(strings.Join(b.gateway.Frames("c"), "\n"), `{"id":"`+id+`","type":"error"`) ||
			strings.Contains(strings.Join(b.gateway.Frames("c"), "\n"), `{"id":"`+id+`","type":"complete"`)
		listed := false
		for _, sub := range b.store.Contents().Subscriptions {
			listed = listed || sub.OperationID == id
		}
		if !told && !listed {
			t.Errorf("%s %s: neither listed nor told: %q", document, id, b.gateway.Frames("c"))
		}
	}
	s.end = time.Time{}
	b.store.Fault = nil
	if err := b.store.DeleteConnection(t.Context(), "c"); err != nil { // leftovers must not fail the cleanup
		t.Error(err)
	}
}

package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// journey is a gateway and the queue of retries. They may do anything but call a live
// client gone.
type journey struct {
	*dice
	gateway
	retries, parked []string
}

func (j *journey) take(ctx context.Context, to *[]string, body []byte) error {
	if ctx.Err() != nil || j.one(6) {
		return errors.New("queue is down")
	}
	j.gateway.mu.Lock()
	*to = append(*to, string(body))
	j.gateway.mu.Unlock()
	if j.one(8) {
		return errors.New("the answer was lost")
	}
	return nil
}

func (j *journey) SendLater(ctx context.Context, body []byte, _ time.Duration) error {
	return j.take(ctx, &j.retries, body)
}

func (j *journey) Park(ctx context.Context, body []byte, _ string) error {
	return j.take(ctx, &j.parked, body)
}

// Two processes take turns with a group of messages and with what they queue, until
// nothing is left. Then every target has every event, or it is parked.
func TestEveryEventArrivesOrIsParked(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) { testEveryEventArrives(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func testEveryEventArrives(t *testing.T, seed uint64) {
	const events, targets = 4, 9
	j := &journey{dice: &dice{rng: rand.New(rand.NewPCG(seed, 1))}}
	j.frames = map[string][]string{}
	j.answer = func(ctx context.Context, _ string) error {
		err := after(ctx, time.Duration(j.below(40)+j.below(2)*j.below(2)*j.below(2000))*time.Millisecond, nil)
		if err == nil && j.one(3) {
			return errors.New("status 403")
		}
		return err
	}
	var senders []*delivery.Sender
	for range 2 {
		senders = append(senders, delivery.New(delivery.Config{Store: operations{pubsub.Operation{Document: "doc"}}, Executor: executor{new(atomic.Int32)},
			Gateway: j, Retries: j, Dead: j, Workers: 3, Log: slog.New(slog.DiscardHandler)}))
	}
	var group []string
	for i := range events {
		group = append(group, message(t, fmt.Sprint("event", i), 0, targets))
	}
	for round := 0; len(group)+len(j.retries) > 0; round++ {
		if round > 500 {
			t.Fatalf("seed %d: %d messages of the group and %d retries are left", seed, len(group), len(j.retries))
		}
		groups := [][]string{group}
		for _, body := range j.retries {
			groups = append(groups, []string{body})
		}
		j.retries = nil
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(50+j.below(2000))*time.Millisecond)
		results := senders[j.below(2)].DeliverGroups(ctx, groups)
		cancel()
		group = group[results[0].Done:]
		for i, r := range results[1:] {
			j.retries = append(j.retries, groups[i+1][r.Done:]...)
		}
	}
	checkArrivals(t, j, events, targets)
}

func checkArrivals(t *testing.T, j *journey, events, targets int) {
	parked := map[string]bool{}
	for _, body := range j.parked {
		b, err := fanout.Decode([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range b.Tasks[0].Targets {
			parked[target.ConnectionID+b.Event.ID] = true
		}
	}
	for i := range targets {
		id := fmt.Sprint("c", i)
		got := strings.Join(j.frames[id], "\n")
		for e := range events {
			if event := fmt.Sprint("event", e); !strings.Contains(got, event) && !parked[id+event] {
				t.Errorf("%s never got %s", id, event)
			}
		}
	}
}

// Package storetest is the conformance suite of the store: what its contracts promise, each
// promise a subtest. It uses only those contracts, so every implementation runs the same
// suite.
package storetest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/allowance"
	"subwire/shared/pacing"
	"subwire/shared/pubsub"
	"subwire/shared/table"
)

// Store is all contracts that a store fulfils.
type Store interface {
	pubsub.Store
	pubsub.MarkStore
	pubsub.MarkingStore
	table.Store
	allowance.Store
	allowance.AudienceStore
	pacing.Line
}

// limit is how many operations run per connection unless a test is about that.
const limit = 1000

// crowd is how many goroutines race for one thing.
const crowd = 20

type test struct {
	name string
	run  func(t *testing.T, s Store)
}

// Run tests s, without the groups that are named. The subtests run in parallel on it,
// under their own ids, and leave things behind.
func Run(t *testing.T, s Store, without ...string) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Connection", connectionTests}, {"TakeQuota", quotaTests}, {"ReleaseQuota", quotaReleaseTests},
		{"Revoke", revokeTests}, {"PutSubscription", putTests},
		{"ActivateSubscription", activateTests}, {"DeleteSubscription", deleteTests},
		{"Unlist", unlistTests}, {"Listen", listenTests}, {"CountReplayed", replayTests}, {"SameID", sameIDTests},
		{"Union", unionTests}, {"EndSubscription", endTests}, {"Turns", turnsTests}, {"Repeated", repeatTests},
		{"DeleteConnection", deleteConnectionTests}, {"Subscriptions", listTests}, {"Marks", markTests},
		{"Presence", presenceTests},
		{"Rows", rowTests}, {"Spend", spendTests}, {"Audience", audienceTests},
		{"Reserve", reserveTests}, {"Marking", markingTests},
	} {
		if slices.Contains(without, group.name) {
			continue
		}
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range group.tests {
				t.Run(tt.name, func(t *testing.T) {
					t.Parallel()
					tt.run(t, s)
				})
			}
		})
	}
}

// base is when most operations begin: any time in whole milliseconds, which every store
// keeps.
var base = time.UnixMilli(1_790_000_000_123)

// after is d milliseconds after base; d may be negative.
func after(d int) time.Time { return base.Add(time.Duration(d) * time.Millisecond) }

// sent is a message of the given time, unlike any other.
func sent(at time.Time) pubsub.Sent { return pubsub.Sent{At: at, ID: rand.Text()[:8]} }

// unique returns an id that no other test uses.
func unique(name string) string { return name + "-" + rand.Text()[:8] }

// newConnection returns a connection that waits for its init.
func newConnection() pubsub.Connection {
	return pubsub.Connection{
		ID: unique("connection"), ConnectedAt: after(-2000), InitDeadline: after(1000),
		Expires: time.Now().Add(time.Hour).Truncate(time.Second), Operations: map[string]pubsub.Running{}, Address: "192.0.2.1",
	}
}

// put stores the connection and acknowledges it.
func put(t *testing.T, s Store, c pubsub.Connection) {
	t.Helper()
	check(t, "PutConnection", s.PutConnection(t.Context(), c), nil)
	check(t, "Acknowledge", s.Acknowledge(t.Context(), c.ID, pubsub.Acknowledgement{}, after(-1000)), nil)
}

// connected returns a connection that is stored and acknowledged.
func connected(t *testing.T, s Store) pubsub.Connection {
	t.Helper()
	c := newConnection()
	put(t, s, c)
	return c
}

// operation is what test subscriptions ask for.
var operation = pubsub.Operation{
	Document: `subscription S($c: ID!) { newMessage(chatId: $c) { id } }`, Name: "S",
	Variables: json.RawMessage(`{"c":"ü 1"}`),
}

// sub returns a subscription that lives as long as its connection.
func sub(c pubsub.Connection, operationID, topic string) pubsub.Subscription {
	return pubsub.Subscription{ConnectionID: c.ID, OperationID: operationID, Topic: topic,
		Filter: `newMessage {"least":1}`, OperationKey: operation.Key(), Viewer: pubsub.Viewer{ID: "viewer of " + c.ID, Claims: `{"n":1}`}, Expires: c.Expires}
}

// subscribe puts a subscription begun at the given time.
func subscribe(t *testing.T, s Store, sub pubsub.Subscription, at time.Time) error {
	t.Helper()
	return s.PutSubscription(t.Context(), sub, operation, sent(at), limit)
}

// complete deletes a subscription and checks whether that ended it.
func complete(t *testing.T, s Store, sub pubsub.Subscription, at time.Time, wantEnded bool) {
	t.Helper()
	ended, err := s.DeleteSubscription(t.Context(), sub.ConnectionID, sub.OperationID, sent(at))
	check(t, "DeleteSubscription", err, nil)
	if ended != wantEnded {
		t.Errorf("DeleteSubscription of %.20q reports %t, want %t", sub.OperationID, ended, wantEnded)
	}
}

// check fails the test unless err is the sentinel want, or nil for nil.
func check(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: got error %v, want %v", what, err, want)
	}
}

// equal fails the test unless got is want. Times are equal as instants.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// listed returns the live subscriptions of a topic.
func listed(t *testing.T, s Store, topic string) []pubsub.Subscription {
	t.Helper()
	var found []pubsub.Subscription
	for sub, err := range s.Subscriptions(t.Context(), topic, time.Now()) {
		check(t, "Subscriptions", err, nil)
		found = append(found, sub)
	}
	return found
}

// began returns the subscription as the store yields it.
func began(sub pubsub.Subscription, at time.Time) pubsub.Subscription {
	sub.At = at
	return sub
}

// operations are the running ones, by id.
type operations = map[string]pubsub.Running

// running returns the connection's running operations, without the messages that began
// them.
func running(t *testing.T, s Store, c pubsub.Connection) operations {
	t.Helper()
	found, err := s.Connection(t.Context(), c.ID)
	check(t, "Connection", err, nil)
	for id, operation := range found.Operations {
		operation.By = ""
		found.Operations[id] = operation
	}
	return found.Operations
}

// checkNothing fails the test unless the connection runs nothing and nothing is listed
// under the topic.
func checkNothing(t *testing.T, s Store, c pubsub.Connection, topic string) {
	t.Helper()
	equal(t, "listed subscriptions", listed(t, s, topic), []pubsub.Subscription(nil))
	equal(t, "running operations", running(t, s, c), operations{})
}

// race calls all functions at once and returns their errors in order.
func race(ctx context.Context, calls ...func(context.Context) error) []error {
	errs := make([]error, len(calls))
	var all sync.WaitGroup
	start := make(chan struct{})
	for i, call := range calls {
		all.Go(func() {
			<-start
			errs[i] = call(ctx)
		})
	}
	close(start)
	all.Wait()
	return errs
}

// oneWins races n calls and checks that one succeeds and the others fail with the
// sentinel.
func oneWins(t *testing.T, lost error, n int, call func(i int) error) {
	t.Helper()
	calls := make([]func(context.Context) error, n)
	for i := range calls {
		calls[i] = func(context.Context) error { return call(i) }
	}
	wins := 0
	for _, err := range race(t.Context(), calls...) {
		if err == nil {
			wins++
		} else {
			check(t, "a loser", err, lost)
		}
	}
	if wins != 1 {
		t.Errorf("%d of %d calls succeeded, want 1", wins, n)
	}
}

// number formats i so that ids sort in its order.
func number(i int) string { return fmt.Sprintf("%04d", i) }

package dynamo

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/storetest"
	"subwire/shared/table"
)

// incident is how long every request fails, out of a call's time.
const (
	incident = 3 * time.Second
	allowed  = 20 * time.Second
)

// everyCall calls each method of the store once, in an order that gives each something
// to do, and fails the test when one fails.
func everyCall(t *testing.T, s *Store, each func(name string, call func(context.Context) error)) {
	t.Helper()
	expires, at := time.Now().Add(time.Hour), time.Now()
	c := pubsub.Connection{ID: "c", Quota: "h", InitDeadline: expires, Expires: expires}
	silent := c
	silent.ID = "silent"
	sub := pubsub.Subscription{ConnectionID: "c", OperationID: "1", Topic: "t", OperationKey: "k", Expires: expires}
	resumed := sub
	resumed.OperationID, resumed.Topic = "2", ""
	listedLater := resumed
	listedLater.Topic = "t"
	each("PutConnection", func(ctx context.Context) error { return s.PutConnection(ctx, c) })
	each("PutConnection", func(ctx context.Context) error { return s.PutConnection(ctx, silent) })
	each("TakeQuota", func(ctx context.Context) error { return s.TakeQuota(ctx, silent, 1) })
	each("DeleteUnacknowledged", func(ctx context.Context) error {
		absent, err := s.DeleteUnacknowledged(ctx, "silent")
		return errors.Join(err, unless(absent, "it is there"))
	})
	each("TakeQuota", func(ctx context.Context) error { return s.TakeQuota(ctx, c, 1) })
	each("Acknowledge", func(ctx context.Context) error {
		return s.Acknowledge(ctx, "c", pubsub.Acknowledgement{Quota: "h"}, at)
	})
	each("PutSubscription", func(ctx context.Context) error {
		return s.PutSubscription(ctx, sub, pubsub.Operation{}, pubsub.Sent{At: at}, 2)
	})
	each("PutSubscription", func(ctx context.Context) error {
		return s.PutSubscription(ctx, resumed, pubsub.Operation{}, pubsub.Sent{At: at}, 2)
	})
	each("ActivateSubscription", func(ctx context.Context) error {
		return s.ActivateSubscription(ctx, listedLater, pubsub.Operation{}, pubsub.Sent{At: at})
	})
	each("CountReplayed", func(ctx context.Context) error {
		return s.CountReplayed(ctx, "c", pubsub.Replayed{Events: 6}, pubsub.Replayed{Events: 10}, at)
	})
	each("CountReplayed", func(ctx context.Context) error {
		return s.CountReplayed(ctx, "c", pubsub.Replayed{Events: 4}, pubsub.Replayed{Events: 10}, at)
	})
	each("Operation", func(ctx context.Context) error { _, err := s.Operation(ctx, "k"); return err })
	each("PutMark", func(ctx context.Context) error {
		return s.PutMark(ctx, "t", pubsub.Mark{Name: "a", Expires: expires})
	})
	each("Subscriptions", func(ctx context.Context) error {
		n := 0
		for _, err := range s.Subscriptions(ctx, "t", at) {
			if err != nil {
				return err
			}
			n++
		}
		return unless(n == 2, "rows are missing")
	})
	each("DeleteSubscription", func(ctx context.Context) error {
		was, err := s.DeleteSubscription(ctx, "c", "1", pubsub.Sent{At: at})
		return errors.Join(err, unless(was, "it was not running"))
	})
	each("DeleteSubscription", func(ctx context.Context) error { // finds nothing
		_, err := s.DeleteSubscription(ctx, "c", "3", pubsub.Sent{At: at})
		return err
	})
	sub.At = at
	each("Unlist", func(ctx context.Context) error { return s.Unlist(ctx, sub) })
	each("Connection", func(ctx context.Context) error {
		c, err := s.Connection(ctx, "c")
		return errors.Join(err, unless(len(c.Operations) == 1, "it does not run one operation"))
	})
	each("Connections", func(ctx context.Context) error {
		for _, err := range s.Connections(ctx) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	each("Operations", func(ctx context.Context) error {
		n := 0
		for _, err := range s.Operations(ctx) {
			if err != nil {
				return err
			}
			n++
		}
		return unless(n == 1, "an operation is missing")
	})
	each("PutRow", func(ctx context.Context) error {
		r, err := table.Encode(map[string]string{"owner": "1", "id": "1"})
		return errors.Join(err, s.PutRow(ctx, storetest.Rows, r, table.Condition{Absent: true}))
	})
	each("GetRow", func(ctx context.Context) error {
		_, err := s.GetRow(ctx, storetest.Rows, table.Key{Partition: "1", Sort: "1"}, 1)
		return err
	})
	each("QueryRows", func(ctx context.Context) error {
		rows, err := s.QueryRows(ctx, storetest.Rows, table.Query{Partition: "1", Limit: 1, RowBytes: 1})
		return errors.Join(err, unless(len(rows) == 1, "the row is missing"))
	})
	each("DeleteRow", func(ctx context.Context) error {
		return s.DeleteRow(ctx, storetest.Rows, table.Key{Partition: "1", Sort: "1"})
	})
	each("DeleteConnection", func(ctx context.Context) error { return s.DeleteConnection(ctx, "c") })
	each("ReleaseQuota", func(ctx context.Context) error { return s.ReleaseQuota(ctx, c) })
}

func unless(ok bool, what string) error {
	if ok {
		return nil
	}
	return errors.New(what)
}

// bubble runs the test with virtual time that starts at the real time. Its requests are
// real; virtual time stands still for them.
func bubble(t *testing.T, s *Store, judge func(string) (fault, string), test func(t *testing.T, s *Store)) {
	now := time.Now()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		test(t, failing(s, &http.Transport{DisableKeepAlives: true}, judge))
	})
}

// still is a bubble without faults: however little CPU the server gets, no request is given
// up or repeated for want of an answer.
func still(t *testing.T, s *Store, test func(t *testing.T, s *Store)) {
	t.Helper()
	bubble(t, s, func(string) (fault, string) { return noFault, "" }, test)
}

func TestEveryCallOutlastsAnIncident(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"NotApplied": notApplied, "Applied": applied} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var end time.Time
			bubble(t, localStore(t), func(string) (fault, string) {
				if time.Now().Before(end) {
					return f, throttle
				}
				return noFault, ""
			}, func(t *testing.T, s *Store) {
				everyCall(t, s, func(name string, call func(context.Context) error) {
					ctx, cancel := context.WithTimeout(t.Context(), allowed)
					defer cancel()
					begin := time.Now()
					end = begin.Add(incident)
					if err := call(ctx); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if took := time.Since(begin); took < incident || took > incident+maxWait {
						t.Errorf("%s took %v", name, took)
					}
				})
			})
		})
	}
}

// When completes of one id come at once, each write makes all others fail. A call that
// loses every time must not retry as fast as it can.
func TestACallThatIsAlwaysBeatenTriesSeldom(t *testing.T) {
	t.Parallel()
	local := localStore(t)
	subscribed(t, local, time.Now())
	const fast = 30
	writes := 0
	bubble(t, local, func(action string) (fault, string) {
		if action == "UpdateItem" {
			writes++
		}
		if action == "UpdateItem" && writes < fast {
			return notApplied, conditionFailed
		}
		return noFault, ""
	}, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := s.DeleteSubscription(ctx, "c", "2", pubsub.Sent{At: time.Now()})
		if err == nil || writes < 3 || writes == fast {
			t.Errorf("%d writes, %v", writes, err)
		}
	})
}

// A request that is never answered, on a lost connection, must not take all of a call's
// time.
func TestEveryCallOutlastsARequestWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"NotApplied": notApplied, "Applied": applied} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := false
			bubble(t, localStore(t), func(string) (fault, string) {
				if !asked {
					asked = true
					return f, never
				}
				return noFault, ""
			}, func(t *testing.T, s *Store) {
				everyCall(t, s, func(name string, call func(context.Context) error) {
					ctx, cancel := context.WithTimeout(t.Context(), 2*attemptTime)
					defer cancel()
					asked = false
					if err := call(ctx); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				})
			})
		})
	}
}

// A call ends with its context, or in its own time if that never ends.
func TestEveryCallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	const short = 1500 * time.Millisecond
	for name, timeout := range map[string]time.Duration{"Deadline": short, "Cancelled": 0, "NoEnd": patience} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, New(newClient("http://127.0.0.1:1"), Tables{}),
				func(string) (fault, string) { return notApplied, throttle },
				func(t *testing.T, s *Store) {
					everyCall(t, s, func(method string, call func(context.Context) error) {
						ctx, cancel := context.WithCancel(t.Context())
						switch name {
						case "Deadline":
							ctx, cancel = context.WithTimeout(ctx, short)
						case "Cancelled":
							cancel()
						}
						defer cancel()
						begin := time.Now()
						if err := call(ctx); err == nil {
							t.Errorf("%s succeeds", method)
						}
						if took := time.Since(begin); took != timeout {
							t.Errorf("%s took %v, want %v", method, took, timeout)
						}
					})
				})
		})
	}
}

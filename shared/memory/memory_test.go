package memory_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/storetest"
	"subwire/shared/table"
)

func TestStore(t *testing.T) {
	s := memory.New()
	t.Cleanup(func() {
		if err := s.Contents().Check(); err != nil {
			t.Errorf("after all tests: %v", err)
		}
	})
	storetest.Run(t, s)
	storetest.Turns(t, s, 4)
	storetest.Turns(t, s, 5)
}

func TestFault(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		fault   memory.Fault
		applied bool
	}{
		{"not applied", memory.NotApplied, false},
		{"applied but answered with an error", memory.Applied, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := memory.New()
			var asked []string
			s.Fault = func(method string) memory.Fault {
				asked = append(asked, method)
				return tt.fault
			}
			err := s.PutConnection(t.Context(), pubsub.Connection{ID: "c", Expires: time.Now().Add(time.Hour)})
			if !errors.Is(err, memory.ErrFault) {
				t.Errorf("got error %v, want ErrFault", err)
			}
			if diff := cmp.Diff([]string{"PutConnection"}, asked); diff != "" {
				t.Errorf("hook calls (-want +got):\n%s", diff)
			}
			if got := len(s.Contents().Connections) == 1; got != tt.applied {
				t.Errorf("the connection is stored: %t, want %t", got, tt.applied)
			}
		})
	}
}

func TestFaultOfARow(t *testing.T) {
	t.Parallel()
	for fault, want := range map[memory.Fault]struct{ put, get error }{
		memory.NotApplied: {nil, nil}, memory.Applied: {table.ErrConflict, table.ErrNotFound},
	} {
		s := memory.New()
		r, err := table.Encode(map[string]string{"id": "1"})
		if err != nil {
			t.Fatal(err)
		}
		absent, key := table.Condition{Absent: true}, table.Key{Partition: "1"}
		s.Fault = func(string) memory.Fault { return fault }
		if err := s.PutRow(t.Context(), storetest.Singles, r, absent); !errors.Is(err, memory.ErrFault) {
			t.Errorf("fault %d: PutRow: %v", fault, err)
		}
		if found, err := s.GetRow(t.Context(), storetest.Singles, key, 1); found != nil || !errors.Is(err, memory.ErrFault) {
			t.Errorf("fault %d: GetRow: %v, %v", fault, found, err)
		}
		q := table.Query{Partition: "1", Limit: 1, RowBytes: 1}
		if found, err := s.QueryRows(t.Context(), storetest.Singles, q); found != nil || !errors.Is(err, memory.ErrFault) {
			t.Errorf("fault %d: QueryRows: %v, %v", fault, found, err)
		}
		s.Fault = nil
		if err := s.PutRow(t.Context(), storetest.Singles, r, absent); !errors.Is(err, want.put) {
			t.Errorf("fault %d: the next PutRow: got %v, want %v", fault, err, want.put)
		}
		s.Fault = func(string) memory.Fault { return fault }
		if err := s.DeleteRow(t.Context(), storetest.Singles, key); !errors.Is(err, memory.ErrFault) {
			t.Errorf("fault %d: DeleteRow: %v", fault, err)
		}
		s.Fault = nil
		if _, err := s.GetRow(t.Context(), storetest.Singles, key, 1); !errors.Is(err, want.get) {
			t.Errorf("fault %d: the next GetRow: got %v, want %v", fault, err, want.get)
		}
	}
}

func TestFaultOfAList(t *testing.T) {
	t.Parallel()
	for fault, wantRows := range map[memory.Fault]int{memory.NotApplied: 0, memory.Applied: 1} {
		s := subscribed(t)
		s.Fault = func(string) memory.Fault { return fault }
		rows, failures := 0, 0
		for _, err := range s.Subscriptions(t.Context(), "topic", time.Now()) {
			if err != nil {
				failures++
			} else {
				rows++
			}
		}
		if rows != wantRows || failures != 1 {
			t.Errorf("fault %d: %d rows and %d errors, want %d and 1", fault, rows, failures, wantRows)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(*memory.Contents)
		ok    bool
	}{
		{"nothing wrong", func(*memory.Contents) {}, true},
		{"row without a running operation", func(c *memory.Contents) { c.Connections = nil }, false},
		{"running operation without its row", func(c *memory.Contents) { c.Subscriptions = nil }, false},
		{"row without its operation", func(c *memory.Contents) { c.Operations = nil }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			contents := subscribed(t).Contents()
			tt.spoil(&contents)
			if err := contents.Check(); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// subscribed returns a store with one subscription to "topic".
func subscribed(t *testing.T) *memory.Store {
	t.Helper()
	s, now := memory.New(), time.Now()
	c := pubsub.Connection{ID: "c", InitDeadline: now, Expires: now.Add(time.Hour)}
	op := pubsub.Operation{Document: "subscription { f }"}
	err := errors.Join(
		s.PutConnection(t.Context(), c),
		s.Acknowledge(t.Context(), "c", pubsub.Acknowledgement{}, now),
		s.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: "c", OperationID: "1", Topic: "topic",
			OperationKey: op.Key(), Expires: c.Expires}, op, pubsub.Sent{At: now}, 1),
	)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

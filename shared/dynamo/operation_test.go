package dynamo

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"subwire/shared/pubsub"
)

var largeOperation = pubsub.Operation{Document: "subscription { a } #" + strings.Repeat("x", 16<<10)}

// process is a store like s that counts its requests. It knows nothing yet, like a process
// that has just started.
type process struct {
	*Store
	*answered
}

func newProcess(s *Store) (p process) {
	p.Store, p.answered = counting(s)
	return p
}

// storedUntil is when the operation expires, in Unix seconds; 0 if it is not stored.
func storedUntil(t *testing.T, s *Store, key string) int64 {
	t.Helper()
	end, err := s.operationEnd(t.Context(), key)
	if err != nil && !errors.Is(err, pubsub.ErrUnknownOperation) {
		t.Fatal(err)
	}
	return end
}

// A write that gets no answer is looked for, so the looks are counted where none lacks one.
func TestASharedOperationIsWrittenOnceAnHour(t *testing.T) {
	t.Parallel()
	still(t, localStore(t), func(t *testing.T, s *Store) {
		first := time.Now().Add(time.Hour)
		a, b := newProcess(s), newProcess(s)
		for i, step := range []struct {
			process
			later      time.Duration // than first
			gets, puts int           // until now
		}{
			{a, 0, 1, 1},
			{a, operationInterval / 2, 1, 1},
			{b, operationInterval / 2, 1, 0},
			{a, operationInterval, 1, 1},
			{a, operationInterval + time.Second, 2, 2},
			{b, operationInterval + time.Second, 2, 0},
			{b, -time.Hour, 2, 0},
		} {
			for range 50 {
				if err := step.PutOperation(t.Context(), "k", largeOperation, first.Add(step.later)); err != nil {
					t.Fatal(err)
				}
			}
			if gets, puts := step.requests["GetItem"], step.requests["PutItem"]; gets != step.gets || puts != step.puts {
				t.Errorf("step %d: the process has looked %d times and written %d times", i, gets, puts)
			}
		}
	})
}

// Processes put it for subscriptions that expire at random, some of them without knowing
// that it is stored. However it comes, it lasts longer than each by the margin.
func TestAnOperationOutlivesEverySubscription(t *testing.T) {
	t.Parallel()
	s, luck, start := localStore(t), rand.New(rand.NewPCG(3, 4)), time.Now()
	processes, latest := []process{newProcess(s), newProcess(s), newProcess(s)}, start
	for i := range 300 {
		if luck.IntN(20) == 0 {
			processes[luck.IntN(len(processes))] = newProcess(s)
		}
		expires := start.Add(time.Duration(i)*time.Minute + time.Duration(luck.Int64N(int64(3*time.Hour))))
		if err := processes[luck.IntN(len(processes))].PutOperation(t.Context(), "k", largeOperation, expires); err != nil {
			t.Fatal(err)
		}
		if expires.After(latest) {
			latest = expires
		}
		if got, least := storedUntil(t, s, "k"), latest.Add(operationMargin).Unix(); got < least {
			t.Fatalf("subscription %d: the operation is stored for %d s too short", i, least-got)
		}
	}
}

func TestAnOperationIsStoredWhateverFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		action  string // fails the first time
		fault   fault
		answer  string
		fails   bool // and so does the call
		gets    int
		written bool
	}{
		{"look throttled", "GetItem", notApplied, throttle, false, 2, true},
		{"look lost", "GetItem", applied, "", false, 2, true},
		{"look refused", "GetItem", notApplied, denied, false, 1, true},
		{"write throttled", "PutItem", notApplied, throttle, false, 2, true},
		{"write applied, answer lost", "PutItem", applied, "", false, 2, true},
		{"write applied, answered with an error", "PutItem", applied, serverFailed, false, 2, true},
		{"write refused", "PutItem", notApplied, denied, true, 1, false},
		{"write applied, refused", "PutItem", applied, denied, true, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			failed, gets := false, 0
			bubble(t, localStore(t), func(action string) (fault, string) {
				if action == "GetItem" {
					gets++
				}
				if action == tt.action && !failed {
					failed = true
					return tt.fault, tt.answer
				}
				return noFault, ""
			}, func(t *testing.T, broken *Store) { // whose looks no late answer adds to
				expires := time.Now().Add(time.Hour)
				err := broken.PutOperation(t.Context(), "k", largeOperation, expires)
				if (err != nil) != tt.fails || gets != tt.gets {
					t.Errorf("error %v, after %d looks", err, gets)
				}
				if written := storedUntil(t, broken, "k") > 0; written != tt.written {
					t.Errorf("it is stored: %t", written)
				}
				if err := broken.PutOperation(t.Context(), "k", largeOperation, expires); err != nil {
					t.Error(err)
				}
				if storedUntil(t, broken, "k") < expires.Add(operationMargin).Unix() {
					t.Error("after the second call it is not stored")
				}
			})
		})
	}
}

// DynamoDB has no units for another write of the item, and by then somebody has written it.
func TestAThrottledOperationIsNotWrittenTwice(t *testing.T) {
	t.Parallel()
	s, expires := localStore(t), time.Now().Add(time.Hour)
	puts := 0
	busy := failing(s, http.DefaultTransport, func(action string) (fault, string) {
		if action != "PutItem" {
			return noFault, ""
		}
		if puts++; puts == 1 {
			if err := s.PutOperation(t.Context(), "k", largeOperation, expires); err != nil {
				t.Error(err)
			}
		}
		return notApplied, throttle
	})
	if err := busy.PutOperation(t.Context(), "k", largeOperation, expires); err != nil || puts != 1 {
		t.Errorf("error %v, after %d writes", err, puts)
	}
}

package dynamo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"subwire/shared/pubsub"
)

// topicServer answers queries for a topic like DynamoDB.
type topicServer struct {
	rows   []string                             // sort keys, ascending
	before func(from string, first bool) string // called before each answer; what it returns replaces it
}

func (s topicServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Limit                     int
		ExclusiveStartKey         map[string]struct{ S string }
		ExpressionAttributeValues map[string]struct{ S string }
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest) // such as of a client that gave up
		return
	}
	after := q.ExclusiveStartKey["subscriber"].S
	from, to := q.ExpressionAttributeValues[":from"].S, q.ExpressionAttributeValues[":to"].S
	begin, _ := slices.BinarySearch(s.rows, max(from, after+"\x00"))
	end, _ := slices.BinarySearch(s.rows, to)
	last := ""
	if begin+q.Limit < end {
		end = begin + q.Limit
		last = fmt.Sprintf(`,"LastEvaluatedKey":{"topic":{"S":"t"},"subscriber":{"S":%q}}`, s.rows[end-1])
	}
	if s.before != nil {
		if instead := s.before(max(from, after), from == markPrefix && after == ""); instead != "" {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, instead)
			return
		}
	}
	io.WriteString(w, `{"Items":[`)
	for i, row := range s.rows[begin:end] {
		if i > 0 {
			io.WriteString(w, ",")
		}
		fmt.Fprintf(w, `{"topic":{"S":"t"},"subscriber":{"S":%q},"operationKey":{"S":"k"},"ttl":{"N":"4000000000"}}`, row)
	}
	io.WriteString(w, `]`+last+`}`)
}

// newTopic returns a store with n subscriptions of one topic.
func newTopic(t testing.TB, n int, before func(string, bool) string) *Store {
	s := topicServer{before: before}
	for i := range n {
		s.rows = append(s.rows, subscriber(fmt.Sprintf("R1k%07dCFIA=", i), "1"))
	}
	slices.Sort(s.rows)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return New(newClient(server.URL), Tables{Subscriptions: "subscriptions"})
}

// The server holds all but the first page back until the caller has that one and every
// reader has asked.
func TestAHotTopicIsReadSideBySideAndFromItsFirstPage(t *testing.T) {
	t.Parallel()
	const n = 9500
	var mu sync.Mutex
	left, missing, all := TopicReaders, 1+TopicReaders, make(chan struct{})
	arrive := func() { // a WaitGroup does not reach out of a bubble
		mu.Lock()
		defer mu.Unlock()
		if missing--; missing == 0 {
			close(all)
		}
	}
	s := newTopic(t, n, func(_ string, first bool) string {
		if !first {
			mu.Lock()
			wait := left > 0
			left--
			mu.Unlock()
			if wait {
				arrive()
				<-all
			}
		}
		return ""
	})
	still(t, s, func(t *testing.T, s *Store) {
		seen := map[string]bool{}
		for sub, err := range s.Subscriptions(t.Context(), "t", time.Now()) {
			if err != nil {
				t.Fatal(err)
			}
			if seen[sub.ConnectionID] {
				t.Fatalf("%s comes twice", sub.ConnectionID)
			}
			if seen[sub.ConnectionID] = true; len(seen) == 1 {
				arrive()
			}
		}
		if len(seen) != n {
			t.Errorf("%d subscriptions of %d", len(seen), n)
		}
	})
}

func TestASmallTopicIsOneQuery(t *testing.T) {
	t.Parallel()
	queries := 0
	s := newTopic(t, TopicPage, func(string, bool) string { queries++; return "" })
	still(t, s, func(t *testing.T, s *Store) {
		if n := countRows(t, s, "t"); n != TopicPage || queries != 1 {
			t.Errorf("%d subscriptions by %d queries", n, queries)
		}
	})
}

func TestTheReadersEndWithTheCaller(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before func(string, bool) string
		enough int
		fails  bool
	}{
		"AnErrorOfOne": {func(from string, _ bool) string {
			if from > "80" {
				return denied
			}
			return ""
		}, 50_000, true},
		"EnoughOfTheFirstPage": {nil, 10, false},
		"EnoughOfALaterPage":   {nil, 3000, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			still(t, newTopic(t, 20_000, tc.before), func(t *testing.T, s *Store) {
				n, failed := 0, false
				for _, err := range s.Subscriptions(t.Context(), "t", time.Now()) {
					failed = err != nil
					if n++; n == tc.enough {
						break
					}
				}
				if failed != tc.fails {
					t.Errorf("failed: %v, after %d", failed, n)
				}
			})
		})
	}
}

// The context ends while answers to some readers are held back: at each page, the
// caller hears of it and returns.
func TestAHotTopicEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for page := 1; page <= 9; page++ {
		for _, enough := range []int{0, 1, TopicPage, 2*TopicPage + 1} { // after which the caller stops; 0 for never
			t.Run(fmt.Sprintf("Page%d/Enough%d", page, enough), func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var mu sync.Mutex
				asked := 0
				s := newTopic(t, 9500, func(string, bool) string {
					mu.Lock()
					defer mu.Unlock()
					if asked++; asked == page {
						cancel()
					}
					return ""
				})
				n := 0
				var failed error
				for _, err := range s.Subscriptions(ctx, "t", time.Now()) {
					if failed = err; err == nil {
						n++
					}
					if n == enough {
						break
					}
				}
				if enough > 0 && n == enough {
					return // in time
				}
				if !errors.Is(failed, context.Canceled) || n == 9500 {
					t.Errorf("%d subscriptions, then %v", n, failed)
				}
			})
		}
	}
}

// Readers that return because the context has ended no longer send.
func TestAHotTopicWaitsForNoReaderThatHasStopped(t *testing.T) {
	t.Parallel()
	for range 50 { // the readers choose at random
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		var failed error
		for _, err := range newTopic(t, 3000, nil).Subscriptions(ctx, "t", time.Now()) {
			if failed = err; err == nil {
				n++
			}
			if n == TopicPage+1 { // all readers run
				cancel()
			}
		}
		cancel()
		if n < 3000 && !errors.Is(failed, context.Canceled) {
			t.Fatalf("%d subscriptions, then %v", n, failed)
		}
	}
}

// Every page is throttled once, even in the middle.
func TestAHotTopicOutlastsThrottledPages(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[string]bool{}
	s := newTopic(t, 9500, func(from string, _ bool) string {
		mu.Lock()
		defer mu.Unlock()
		if !asked[from] {
			asked[from] = true
			return throttle
		}
		return ""
	})
	still(t, s, func(t *testing.T, s *Store) {
		if n := countRows(t, s, "t"); n != 9500 || len(asked) < 9 {
			t.Errorf("%d subscriptions, %d pages throttled", n, len(asked))
		}
	})
}

// BenchmarkSubscriptions reads a topic of 100,000. It reports the largest heap in use,
// server included.
func BenchmarkSubscriptions(b *testing.B) {
	s := newTopic(b, 100_000, nil)
	var most uint64
	for b.Loop() {
		n := 0
		for _, err := range s.Subscriptions(b.Context(), "t", time.Now()) {
			if err != nil {
				b.Fatal(err)
			}
			if n++; n%5000 == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
		if n != 100_000 {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(most)/(1<<20), "peak-MB")
}

func BenchmarkDecodeSubscription(b *testing.B) {
	row := attributes{"topic": text("newMessage/lobby"), "subscriber": text(subscriber("R1kmxc2VNjMCFIA=", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff")),
		"operationKey": text(pubsub.Operation{}.Key()), "ttl": number(1795529099)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeSubscription(row); err != nil {
			b.Fatal(err)
		}
	}
}

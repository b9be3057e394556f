package dynamo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/pubsub"
	"subwire/shared/storetest"
	"subwire/shared/table"
)

// answer is one scripted HTTP response. An empty body drops the connection instead, as
// when an answer is lost; "entry" stands for entryOf.
type answer struct {
	status int
	body   string
}

const (
	ok              = `{}`
	conflict        = `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException","message":"m"}`
	throttle        = `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"m"}`
	inProgress      = `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionInProgressException","message":"m"}`
	denied          = `{"__type":"com.amazonaws.dynamodb.v20120810#AccessDeniedException","message":"m"}`
	conditionFailed = `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"m"}`
	serverFailed    = `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"m"}`
)

type request struct {
	action string
	body   map[string]any
}

// scripted returns a store with a server that gives the answers in order, and the
// requests it got, to be read after the store's calls have returned. These belong into a
// bubble: a request that is sent again, as the machine was too busy to answer it, gets
// another's answer.
func scripted(t *testing.T, answers ...answer) (*Store, *[]request) {
	t.Helper()
	var mu sync.Mutex // nothing else orders a request after one whose connection was dropped
	var got []request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		req := request{action: actionOf(r)}
		if err := json.Unmarshal(raw, &req.body); err != nil {
			t.Errorf("request is no JSON: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, req)
		if len(got) > len(answers) {
			t.Errorf("request %d, a %s, is one too many", len(got), req.action)
			return
		}
		a := answers[len(got)-1]
		if a.body == "" {
			panic(http.ErrAbortHandler)
		}
		if a.body == "entry" {
			a.body = entryOf(got)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(server.Close)
	tables := Tables{Connections: "c", Subscriptions: "s", Operations: "o", Products: map[string]string{storetest.Rows.Name: "m"}}
	return New(newClient(server.URL), tables), &got
}

func actions(requests []request) (names []string) {
	for _, r := range requests {
		names = append(names, r.action)
	}
	return names
}

// entryOf is the answer to a GetItem for the connection whose operation the earlier
// requests have begun.
func entryOf(requests []request) string {
	var by any
	for _, r := range requests {
		if values, ok := r.body["ExpressionAttributeValues"].(map[string]any); ok && values[":by"] != nil {
			by = values[":by"].(map[string]any)["S"]
		}
	}
	return fmt.Sprintf(`{"Item":{"id":{"S":"c"},"ttl":{"N":"99999999999"},"operations":{"M":{"1":{"M":{"at":{"N":"1"},"by":{"S":%q}}}}}}}`, by)
}

func TestPutSubscriptionWritesOneItemAfterAnother(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		busy   []answer // to the update of the connection
		refuse bool     // then
		want   error
	}{
		{name: "at once"},
		{name: "conflict with a transaction", busy: []answer{{400, conflict}, {400, conflict}, {400, conflict}, {400, conflict}}},
		{name: "throttled", busy: []answer{{400, throttle}, {400, throttle}, {400, throttle}, {400, throttle}}},
		{name: "in progress", busy: []answer{{400, inProgress}}},
		{name: "fault of the server", busy: []answer{{500, serverFailed}, {503, serverFailed}}},
		{name: "answers lost", busy: []answer{{}, {}}},
		{name: "failed condition is final", busy: []answer{{400, throttle}}, refuse: true, want: pubsub.ErrGone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			answers, want := slices.Clone(tt.busy), slices.Repeat([]string{"UpdateItem"}, len(tt.busy)+1)
			if tt.refuse {
				answers = append(answers, answer{400, conditionFailed})
			} else {
				answers = append(answers, answer{200, ok}, answer{200, ok}, answer{200, ok}, answer{200, ok}, answer{200, "entry"})
				want = append(want, "GetItem", "PutItem", "PutItem", "GetItem") // the operation is not known to be stored
			}
			s, got := scripted(t, answers...)
			sub := pubsub.Subscription{ConnectionID: "c", OperationID: "1", Topic: "t", OperationKey: "k"}
			still(t, s, func(t *testing.T, s *Store) {
				err := s.PutSubscription(t.Context(), sub, pubsub.Operation{}, pubsub.Sent{At: time.UnixMilli(1)}, 1)
				if !errors.Is(err, tt.want) {
					t.Errorf("got error %v, want %v", err, tt.want)
				}
			})
			if diff := cmp.Diff(want, actions(*got)); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPutSubscriptionReportsUnknownEffect(t *testing.T) {
	t.Parallel()
	s, _ := scripted(t, answer{200, ok}, answer{400, denied}, answer{400, denied})
	sub := pubsub.Subscription{ConnectionID: "c", OperationID: "1", Topic: "t", OperationKey: "k"}
	still(t, s, func(t *testing.T, s *Store) {
		err := s.PutSubscription(t.Context(), sub, pubsub.Operation{}, pubsub.Sent{At: time.UnixMilli(1)}, 1)
		for _, sentinel := range []error{nil, pubsub.ErrGone, pubsub.ErrTooManyOperations} {
			if errors.Is(err, sentinel) {
				t.Errorf("got error %v, want none of the contract's", err)
			}
		}
	})
}

// A stored message must be found, and so must a subscription: otherwise a client that
// resumes has a hole (ARCHITECTURE.md, invariant 8).
func TestReadsThatAResumeReliesOnAreConsistent(t *testing.T) {
	t.Parallel()
	s, got := scripted(t, answer{200, ok}, answer{200, ok})
	still(t, s, func(t *testing.T, s *Store) {
		q := table.Query{Partition: "1", After: "0", Limit: 5, RowBytes: 1}
		if _, err := s.QueryRows(t.Context(), storetest.Rows, q); err != nil {
			t.Fatal(err)
		}
		for _, err := range s.Subscriptions(t.Context(), "t", time.Now()) {
			t.Fatal(err)
		}
	})
	for _, r := range *got {
		if r.action != "Query" || r.body["ConsistentRead"] != true {
			t.Errorf("%s is sent with %v", r.action, r.body)
		}
	}
}

func TestAcknowledgeKnowsItsOwnAttempt(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{true, false} {
		t.Run(fmt.Sprintf("own %t", own), func(t *testing.T) {
			t.Parallel()
			// The first attempt is applied, but meets contention on its way back; the
			// second finds the connection acknowledged.
			token := make(chan string, 1)
			calls := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var in struct {
					ExpressionAttributeValues map[string]struct{ S string }
				}
				if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
					t.Errorf("request is no JSON: %v", err)
				}
				w.WriteHeader(http.StatusBadRequest)
				if calls++; calls == 1 {
					token <- in.ExpressionAttributeValues[":token"].S
					_, _ = io.WriteString(w, throttle)
					return
				}
				by := <-token
				if !own {
					by = "another"
				}
				_, _ = fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
					"Item":{"id":{"S":"c"},"ttl":{"N":"99999999999"},"acknowledged":{"BOOL":true},"acknowledgedBy":{"S":%q}}}`, by)
			}))
			t.Cleanup(server.Close)
			s := New(newClient(server.URL), Tables{Connections: "c"})
			want := pubsub.ErrAlreadyInitialised
			if own {
				want = nil
			}
			still(t, s, func(t *testing.T, s *Store) {
				if err := s.Acknowledge(t.Context(), "c", pubsub.Acknowledgement{}, time.Now()); !errors.Is(err, want) {
					t.Errorf("got error %v, want %v", err, want)
				}
			})
		})
	}
}

const marked = `{"Attributes":{"id":{"S":"c"},"operations":{"M":{
	"1":{"M":{"topic":{"S":"t"},"at":{"N":"1"}}},"2":{"M":{"topic":{"S":"t"},"at":{"N":"1"}}},"q":{"M":{"at":{"N":"1"}}}}}}}`

// unprocessed is a batch's answer that leaves one row.
var unprocessed = fmt.Sprintf(`{"UnprocessedItems":{"s":[{"DeleteRequest":{"Key":{"topic":{"S":"t"},"subscriber":{"S":%q}}}}]}}`,
	subscriber("c", "2"))

func TestDeleteConnectionDeletesWhatABatchLeft(t *testing.T) {
	t.Parallel()
	s, got := scripted(t, answer{200, marked}, answer{200, unprocessed}, answer{400, throttle},
		answer{200, unprocessed}, answer{200, ok}, answer{200, ok})
	still(t, s, func(t *testing.T, s *Store) {
		if err := s.DeleteConnection(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
	})
	want := []string{"UpdateItem", "BatchWriteItem", "BatchWriteItem", "BatchWriteItem", "BatchWriteItem", "DeleteItem"}
	if diff := cmp.Diff(want, actions(*got)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	for i, rows := range []int{2, 1, 1, 1} {
		items := (*got)[1+i].body["RequestItems"].(map[string]any)["s"].([]any)
		if len(items) != rows {
			t.Errorf("batch %d has %d rows, want %d", i, len(items), rows)
		}
	}
}

func TestDeleteConnectionKeepsItUntilItsRowsAreGone(t *testing.T) {
	t.Parallel()
	s, got := scripted(t, answer{200, marked}, answer{400, denied})
	still(t, s, func(t *testing.T, s *Store) {
		if err := s.DeleteConnection(t.Context(), "c"); err == nil {
			t.Error("got no error")
		}
	})
	if diff := cmp.Diff([]string{"UpdateItem", "BatchWriteItem"}, actions(*got)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestSubscriberKey(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 700)
	for _, id := range []string{"1", "a#b", "##", strings.Repeat("x", hashedBytes-1), long} {
		key := subscriber("Q1=", id)
		if len(key) > 1024 {
			t.Errorf("key of %.20q has %d bytes", id, len(key))
		}
		connectionID, operationID, err := splitSubscriber(key)
		if err != nil || connectionID != "Q1=" {
			t.Errorf("key of %.20q splits to connection %q, error %v", id, connectionID, err)
		}
		if whole := operationID == id; whole == isHashed(id) {
			t.Errorf("key of %.20q holds the id: %t", id, whole)
		}
	}
	hash := strings.TrimPrefix(subscriber("Q1=", long), subscriber("Q1=", ""))
	if subscriber("Q1=", hash) == subscriber("Q1=", long) {
		t.Error("an id and the hash of it have one key")
	}
	if _, _, err := splitSubscriber("00#c"); err == nil {
		t.Error("a key without operation id splits")
	}
}

// The row of a subscription to one topic is as the previous release has it. Those of a
// union are put from the lowest topic on, and each has them all.
func TestRowsArePutInTheOrderOfTheirTopics(t *testing.T) {
	t.Parallel()
	for _, union := range [][]string{nil, {"a", "b", "c"}} {
		answers := []answer{{200, ok}, {200, ok}, {200, ok}}
		sub := pubsub.Subscription{ConnectionID: "c", OperationID: "1", Topic: "a", Union: union, OperationKey: "k"}
		for range sub.Topics() {
			answers = append(answers, answer{200, ok})
		}
		s, got := scripted(t, append(answers, answer{200, "entry"})...)
		still(t, s, func(t *testing.T, s *Store) {
			by := pubsub.Sent{At: time.UnixMilli(1), ID: "m"}
			if err := s.PutSubscription(t.Context(), sub, pubsub.Operation{}, by, 9); err != nil {
				t.Fatal(err)
			}
		})
		rows := (*got)[3 : len(*got)-1]
		for i, topic := range sub.Topics() {
			want := map[string]any{"topic": map[string]any{"S": topic}, "subscriber": map[string]any{"S": subscriber("c", "1")},
				"operationKey": map[string]any{"S": "k"}, "at": map[string]any{"N": "1"}, "by": map[string]any{"S": "m"},
				"ttl": map[string]any{"N": fmt.Sprint(sub.Expires.Unix())}}
			if union != nil {
				want["union"] = map[string]any{"L": []any{map[string]any{"S": "a"}, map[string]any{"S": "b"}, map[string]any{"S": "c"}}}
			}
			if diff := cmp.Diff(want, rows[i].body["Item"]); diff != "" {
				t.Errorf("row %d (-want +got):\n%s", i, diff)
			}
		}
		entry := (*got)[0].body["ExpressionAttributeValues"].(map[string]any)[":running"].(map[string]any)["M"].(map[string]any)
		if _, named := entry["union"]; named != (union != nil) {
			t.Errorf("entry %v", entry)
		}
	}
}

// The first read of an operation costs half, and may be from before it was stored.
func TestAnOperationThatIsNotFoundIsReadAgain(t *testing.T) {
	t.Parallel()
	const found, missing = `{"Item":{"key":{"S":"k"},"document":{"S":"d"}}}`, `{}`
	for name, tc := range map[string]struct {
		answers []answer
		want    error
		reads   []any // whether they are consistent
	}{
		"Known":         {[]answer{{200, found}}, nil, []any{nil}},
		"StoredJustNow": {[]answer{{200, missing}, {200, found}}, nil, []any{nil, true}},
		"Unknown":       {[]answer{{200, missing}, {200, missing}}, pubsub.ErrUnknownOperation, []any{nil, true}},
		"Throttled":     {[]answer{{200, missing}, {400, throttle}, {200, found}}, nil, []any{nil, true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, got := scripted(t, tc.answers...)
			still(t, s, func(t *testing.T, s *Store) {
				if _, err := s.Operation(t.Context(), "k"); !errors.Is(err, tc.want) {
					t.Errorf("got %v", err)
				}
			})
			var reads []any
			for _, r := range *got {
				reads = append(reads, r.body["ConsistentRead"])
			}
			if !slices.Equal(reads, tc.reads) {
				t.Errorf("consistent reads: %v, want %v", reads, tc.reads)
			}
		})
	}
}

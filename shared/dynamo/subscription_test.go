package dynamo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"subwire/shared/pubsub"
)

// subscribed puts an acknowledged connection "c" that runs one subscription
// since the given time.
func subscribed(t *testing.T, s *Store, at time.Time) pubsub.Subscription {
	t.Helper()
	sub := pubsub.Subscription{ConnectionID: "c", OperationID: "1", Topic: "t", OperationKey: "k",
		Expires: time.Now().Add(time.Hour)}
	err := errors.Join(
		s.PutConnection(t.Context(), pubsub.Connection{ID: "c", Acknowledged: true, Expires: sub.Expires}),
		s.PutSubscription(t.Context(), sub, pubsub.Operation{}, pubsub.Sent{At: at}, 1),
	)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

func countRows(t *testing.T, s *Store, topic string) (n int) {
	t.Helper()
	for _, err := range s.Subscriptions(t.Context(), topic, time.Now()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestEndLeavesANewerOperationWithTheSameID(t *testing.T) {
	t.Parallel()
	s, at := localStore(t), time.Now()
	subscribed(t, s, at)
	before := connectionItem{Operations: map[string]runningItem{
		"1": {Topic: "t", At: at.UnixMilli() - 1}, // what was read, and has ended since
	}}
	if done, err := s.end(t.Context(), "c", "1", before, pubsub.Sent{At: at}, nil); done || err != nil {
		t.Errorf("end reports %t, %v", done, err)
	}
	c, err := s.Connection(t.Context(), "c")
	if err != nil || len(c.Operations) != 1 || countRows(t, s, "t") != 1 {
		t.Errorf("connection %+v, error %v, %d rows: want the operation and its row", c, err, countRows(t, s, "t"))
	}
}

func TestCompletesAreForgottenInTime(t *testing.T) {
	t.Parallel()
	s, now := localStore(t), time.Now()
	subscribed(t, s, now)
	old := now.Add(-overtakeTime - time.Second)
	complete := func(n int, name string, at time.Time) {
		for i := range n {
			if _, err := s.DeleteSubscription(t.Context(), "c", fmt.Sprint(name, i), pubsub.Sent{At: at}); err != nil {
				t.Fatal(err)
			}
		}
	}
	remembered := func() int { return len(stored(t, s).Completed) }
	complete(manyCompleted, "old", old)
	complete(manyCompleted, "new", now)
	if n := remembered(); n != manyCompleted {
		t.Errorf("%d completes are remembered, want the %d new ones", n, manyCompleted)
	}
	complete(20, "newer", now) // any of them may have overtaken its subscribe
	if n := remembered(); n != manyCompleted+20 {
		t.Errorf("%d completes are remembered, want %d", n, manyCompleted+20)
	}
	long := strings.Repeat("x", 500)
	complete(20, long, now.Add(time.Second))
	if n := stored(t, s).turnsBytes(); n > maxCompletedBytes+idBytes(long+"00", 1) {
		t.Errorf("%d bytes are remembered", n)
	}
}

// stored is the item of the connection "c".
func stored(t *testing.T, s *Store) connectionItem {
	t.Helper()
	out, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &s.tables.Connections, Key: connectionKey("c"), ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	item, err := decodeItem(out.Item)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// Calls that run at the same time read the same, and together must not add more than
// there is room for.
func TestManyCompletesAtOnceAreNotAllRemembered(t *testing.T) {
	t.Parallel()
	s, now := localStore(t), time.Now()
	subscribed(t, s, now)
	id := strings.Repeat("x", 125)
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			if _, err := s.DeleteSubscription(t.Context(), "c", fmt.Sprintf("%s%03d", id, i), pubsub.Sent{At: now}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := stored(t, s).turnsBytes(); n > maxCompletedBytes+idBytes(id+"000", 1) || n < maxCompletedBytes/3 {
		t.Errorf("%d bytes are remembered", n)
	}
}

// A complete that waits for its subscribe is remembered for longer than one that has
// met it, unless no subscribe can come any more.
func TestWhatIsForgottenFirst(t *testing.T) {
	t.Parallel()
	now := time.Now()
	i := connectionItem{Completed: map[string]int64{}, Turns: map[string][]turnItem{}}
	long := strings.Repeat("x", 1000)
	for n, name := range []string{"waits 1", "met 1", "waits 2", "met 2", "late"} {
		at := now.Add(time.Duration(n) * time.Millisecond)
		if name == "late" {
			at = now.Add(-overtakeTime - time.Second)
		}
		id := name + long
		i.Completed[id] = at.UnixMilli()
		i.Turns[id] = []turnItem{{At: at.UnixMilli(), By: "c", Complete: true}}
		if strings.HasPrefix(name, "met") {
			i.Turns[id] = append(i.Turns[id], turnItem{At: at.UnixMilli(), By: "s"})
		}
	}
	if got, want := i.stale(now), []string{"late" + long, "met 1" + long, "met 2" + long}; !slices.Equal(got, want) {
		t.Errorf("got %.10q", got)
	}
}

// A subscribe whose id has a complete of its millisecond looks first.
func TestASubscribeThatMayBeOvertakenWritesOnce(t *testing.T) {
	t.Parallel()
	const state = `{"Item":{"id":{"S":"c"},"ttl":{"N":"99999999999"},"acknowledged":{"BOOL":true},"operations":{"M":{}},
		"completed":{"M":{"1":{"N":"1"}}},"turns":{"M":{"1":{"L":[
			{"M":{"at":{"N":"1"},"by":{"S":"a"}}},{"M":{"at":{"N":"1"},"by":{"S":"b"},"complete":{"BOOL":true}}}]}}}}}`
	s, got := scripted(t, answer{200, state}, answer{200, ok}, answer{200, ok}, answer{200, ok}, answer{200, ok}, answer{200, "entry"})
	sub := pubsub.Subscription{ConnectionID: "c", OperationID: "1", Topic: "t", OperationKey: "k", LookFirst: true}
	still(t, s, func(t *testing.T, s *Store) {
		if err := s.PutSubscription(t.Context(), sub, pubsub.Operation{}, pubsub.Sent{At: time.UnixMilli(1)}, 1); err != nil {
			t.Error(err)
		}
	})
	if got := actions(*got); !slices.Equal(got, []string{"GetItem", "UpdateItem", "GetItem", "PutItem", "PutItem", "GetItem"}) {
		t.Errorf("requests: %q", got)
	}
}

func TestDeleteConnectionEndsHalfDoneWork(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	sub := subscribed(t, s, time.Now())
	broken := New(s.client, s.tables)
	broken.tables.Subscriptions = "no-such-table" // the call ends after the mark
	if err := broken.DeleteConnection(t.Context(), "c"); err == nil {
		t.Fatal("the broken store reports success")
	}
	if _, err := s.Connection(t.Context(), "c"); !errors.Is(err, pubsub.ErrGone) {
		t.Errorf("half deleted connection: got error %v, want ErrGone", err)
	}
	sub.OperationID = "2"
	if err := s.PutSubscription(t.Context(), sub, pubsub.Operation{}, pubsub.Sent{At: time.Now()}, 9); !errors.Is(err, pubsub.ErrGone) {
		t.Errorf("subscribe to half deleted connection: got error %v, want ErrGone", err)
	}
	if err := s.DeleteConnection(t.Context(), "c"); err != nil {
		t.Errorf("second call: %v", err)
	}
	if n := countRows(t, s, "t"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// A connection put by the previous release remembers only the time of a complete. It
// stops one subscribe of its millisecond, as today's does.
func TestAConnectionOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	s, at := localStore(t), time.UnixMilli(1_790_000_000_123)
	sub := subscribed(t, s, at.Add(-time.Hour))
	complete := func(at time.Time) {
		if _, err := s.DeleteSubscription(t.Context(), "c", "1", pubsub.Sent{At: at}); err != nil {
			t.Fatal(err)
		}
	}
	complete(at.Add(-time.Minute))
	_, err := s.client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: &s.tables.Connections,
		Key: connectionKey("c"), UpdateExpression: aws.String("REMOVE turns SET completed = :completed"),
		ExpressionAttributeValues: attributes{":completed": &types.AttributeValueMemberM{
			Value: attributes{"1": number(at.UnixMilli())}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []error{pubsub.ErrCompleted, nil, pubsub.ErrSubscriberExists} {
		err := s.PutSubscription(t.Context(), sub, pubsub.Operation{}, pubsub.Sent{At: at}, 9)
		if !errors.Is(err, want) {
			t.Errorf("subscribe of the same millisecond: got error %v, want %v", err, want)
		}
	}
	if n := countRows(t, s, "t"); n != 1 {
		t.Errorf("%d rows", n)
	}
	complete(at)
	if n := countRows(t, s, "t"); n != 0 {
		t.Errorf("%d rows after the complete", n)
	}
}

// filled is a store with a connection that runs as many operations as it may, with
// UUIDs as ids of operations and chats. put adds the i-th.
func filled(t *testing.T, max int) (s *Store, put func(ctx context.Context, i int) error) {
	t.Helper()
	s, now := localStore(t), time.Now()
	expires := now.Add(time.Hour)
	if err := s.PutConnection(t.Context(), pubsub.Connection{ID: "c", Acknowledged: true, Expires: expires}); err != nil {
		t.Fatal(err)
	}
	put = func(ctx context.Context, i int) error {
		sub := pubsub.Subscription{ConnectionID: "c", OperationID: uuid(i), OperationKey: "k", Expires: expires,
			Topic: "newMessage/" + uuid(0)}
		by := pubsub.Sent{At: now.Add(time.Duration(i) * time.Second)}
		return s.PutSubscription(ctx, sub, pubsub.Operation{}, by, max)
	}
	for i := range max {
		if err := put(t.Context(), i); err != nil {
			t.Fatal(i, err)
		}
	}
	return s, put
}

func uuid(i int) string { return fmt.Sprintf("123e4567-e89b-12d3-a456-%012d", i) }

// change updates the connection as only another release does.
func change(t *testing.T, s *Store, expression string, names map[string]string) {
	t.Helper()
	_, err := s.client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &s.tables.Connections, Key: connectionKey("c"),
		UpdateExpression: &expression, ExpressionAttributeNames: names})
	if err != nil {
		t.Fatal(err)
	}
}

// The previous release does not count an operation's bytes when it ends it.
func TestACountOfBytesThatIsWrongIsCorrected(t *testing.T) {
	t.Parallel()
	const max = 100
	s, put := filled(t, max)
	if err := put(t.Context(), max); !errors.Is(err, pubsub.ErrTooManyOperations) {
		t.Errorf("one more: %v", err)
	}
	for i := range max {
		change(t, s, "REMOVE operations.#id", map[string]string{"#id": uuid(i)})
	}
	for i := range max {
		if err := put(t.Context(), max+1+i); err != nil {
			t.Fatal("after all have ended:", i, err)
		}
	}
}

// The previous release counts nothing: then the number of operations decides alone.
func TestAConnectionOfThePreviousReleaseHasAsManyOperations(t *testing.T) {
	t.Parallel()
	const max = 3
	s, put := filled(t, max)
	change(t, s, "REMOVE operationBytes", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := put(ctx, max); !errors.Is(err, pubsub.ErrTooManyOperations) {
		t.Errorf("got %v", err)
	}
}

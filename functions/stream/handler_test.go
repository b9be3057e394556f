package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"subwire/shared/announce"
	"subwire/shared/chat"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
)

var errThrottled = errors.New("throttled")

// sent keeps what the handler sends.
type sent struct {
	mu       sync.Mutex
	messages []queue.Message
	failAt   int // the call that fails, from 1
	calls    int
	takes    time.Duration // duration of each call
}

func (s *sent) SendUnordered(_ context.Context, msgs iter.Seq2[queue.Message, error]) error {
	time.Sleep(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls++; s.calls == s.failAt {
		return errThrottled
	}
	for m, err := range msgs {
		if err != nil {
			return err
		}
		s.messages = append(s.messages, m)
	}
	return nil
}

func (s *sent) SendInOrder(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error {
	return s.SendUnordered(ctx, msgs)
}

// batches decodes what was sent.
func (s *sent) batches(t *testing.T) (all []fanout.Batch) {
	t.Helper()
	for _, m := range s.messages {
		b, err := fanout.Decode(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// targets is how many targets the batches that were sent have.
func (s *sent) targets(t *testing.T) (n int) {
	t.Helper()
	for _, b := range s.batches(t) {
		n += b.Targets()
	}
	return n
}

// parked keeps dead letters.
type parked struct {
	mu      sync.Mutex
	letters []letter
	fault   memory.Fault
}

type letter struct {
	fanout.Letter
	reason string
}

func (p *parked) Park(_ context.Context, body []byte, reason string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, err := fanout.DecodeLetter(body)
	if err != nil {
		return err
	}
	if p.fault != memory.NotApplied {
		p.letters = append(p.letters, letter{l, reason})
	}
	if p.fault != 0 {
		return errThrottled
	}
	return nil
}

func setup(t *testing.T, subscribers ...string) (handler, *sent, *memory.Store) {
	t.Helper()
	store, out := memory.New(), &sent{}
	now := time.Now()
	for _, id := range subscribers {
		op := pubsub.Operation{Document: "subscription"}
		if err := errors.Join(
			store.PutConnection(t.Context(), pubsub.Connection{ID: id, InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}),
			store.Acknowledge(t.Context(), id, pubsub.Acknowledgement{}, now),
			store.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: id, OperationID: "1", Topic: chat.Topic("lobby"),
				OperationKey: op.Key(), Expires: now.Add(time.Hour)}, op, pubsub.Sent{At: now}, 10)); err != nil {
			t.Fatal(err)
		}
	}
	return handler{log: slog.New(slog.DiscardHandler), product: chat.New(), store: store, fanout: out, dead: &parked{}, sent: &recent{},
		limits: fanout.Limits{Targets: 10, Bytes: 10_000, Alone: 20_000, Groups: 1}, marking: announce.NewMarking(store), direct: &direct{}}, out, store
}

// insert is an insert into the messages table.
func insert(sequence, chatID string) string {
	return `{"eventID":"` + sequence + `","eventName":"INSERT","eventSource":"aws:dynamodb",
		"eventSourceARN":"arn:aws:dynamodb:eu-west-1:000000000000:table/subwire-messages/stream/1","dynamodb":{"SequenceNumber":"` + sequence + `",
		"Keys":{"chatId":{"S":"` + chatID + `"},"id":{"S":"01A` + sequence + `"}},
		"NewImage":{"chatId":{"S":"` + chatID + `"},"id":{"S":"01A` + sequence + `"},"content":{"S":"hi"},"senderName":{"S":"Ada"},"createdAt":{"N":"1795521600000"}}}}`
}

// inserts are n inserts, from number 000 on.
func inserts(n int, chatID string) string {
	records := make([]string, n)
	for i := range records {
		records[i] = insert(fmt.Sprintf("%03d", i), chatID)
	}
	return strings.Join(records, ",")
}

func decode(t testing.TB, records string) (b batch) {
	t.Helper()
	if err := json.Unmarshal([]byte(`{"Records":[`+records+`]}`), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func invoke(t *testing.T, h handler, records string) []string {
	t.Helper()
	r, err := h.handle(t.Context(), decode(t, records))
	if err != nil {
		t.Fatal(err)
	}
	var failed []string
	for _, f := range r.BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	return failed
}

func TestAnInsertBecomesABatchForItsSubscribers(t *testing.T) {
	t.Parallel()
	h, out, _ := setup(t, "a", "b")
	if failed := invoke(t, h, insert("1", "lobby")+","+insert("2", "empty")); failed != nil {
		t.Fatalf("failed %v", failed)
	}
	if len(out.messages) != 1 {
		t.Fatalf("sent %d messages", len(out.messages))
	}
	b, err := fanout.Decode(out.messages[0].Body)
	if err != nil || b.Event.ID != "01A1" || b.Targets() != 2 || out.messages[0].Group != b.Group() || out.messages[0].DeduplicationID == "" {
		t.Errorf("sent %+v, %v", b, err)
	}
}

func TestTheFirstFailureIsReportedAndNothingAfterItIsSent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		records string
		change  func(*sent, *memory.Store)
		want    string
		sent    int
	}{
		"TheQueueFails":           {insert("1", "lobby") + "," + insert("2", "lobby"), func(s *sent, _ *memory.Store) { s.failAt = 2 }, "2", 1},
		"TheQueueFailsForSeveral": {inserts(3*together, "lobby"), func(s *sent, _ *memory.Store) { s.failAt = alone + 2 }, "020", alone + together},
		"TheStoreFails":           {insert("1", "lobby"), func(_ *sent, s *memory.Store) { s.Fault = func(string) memory.Fault { return memory.NotApplied } }, "1", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, out, store := setup(t, "a")
			if tc.change != nil {
				tc.change(out, store)
			}
			if failed := invoke(t, h, tc.records); len(failed) != 1 || failed[0] != tc.want {
				t.Errorf("failed %v, want %s", failed, tc.want)
			}
			if len(out.messages) != tc.sent {
				t.Errorf("sent %d messages", len(out.messages))
			}
		})
	}
}

func TestWhatIsLeftWhenTimeIsUpIsReported(t *testing.T) {
	t.Parallel()
	h, out, _ := setup(t, "a")
	ctx, cancel := context.WithTimeout(t.Context(), reserve) // no time is left
	defer cancel()
	r, err := h.handle(ctx, decode(t, insert("1", "lobby")))
	if err != nil || len(r.BatchItemFailures) != 1 || len(out.messages) != 0 {
		t.Errorf("got %+v, %v; sent %d", r, err, len(out.messages))
	}
}

func TestPlanningAgainGivesTheSameDeduplicationID(t *testing.T) {
	t.Parallel()
	h, out, _ := setup(t, "a", "b", "c")
	for range 2 {
		h.sent = &recent{} // as in another process
		invoke(t, h, insert("1", "lobby"))
	}
	if len(out.messages) != 2 || out.messages[0].DeduplicationID != out.messages[1].DeduplicationID {
		t.Errorf("sent %+v", out.messages)
	}
}

func TestWhoExpiredAMomentAgoIsToldSo(t *testing.T) {
	t.Parallel()
	h, out, store := setup(t)
	now := time.Now()
	for id, age := range map[string]time.Duration{"lately": time.Minute, "longAgo": time.Hour} {
		op := pubsub.Operation{Document: "subscription"}
		if err := errors.Join(
			store.PutConnection(t.Context(), pubsub.Connection{ID: id, InitDeadline: now.Add(time.Hour), Expires: now.Add(time.Hour)}),
			store.Acknowledge(t.Context(), id, pubsub.Acknowledgement{}, now),
			store.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: id, OperationID: "1", Topic: chat.Topic("lobby"),
				OperationKey: op.Key(), Expires: now.Add(-age)}, op, pubsub.Sent{At: now}, 10)); err != nil {
			t.Fatal(err)
		}
	}
	invoke(t, h, insert("1", "lobby"))
	if len(out.messages) != 1 {
		t.Fatalf("sent %d messages", len(out.messages))
	}
	b, err := fanout.Decode(out.messages[0].Body)
	if err != nil || b.Targets() != 1 || b.Tasks[0].Targets[0].ConnectionID != "lately" {
		t.Errorf("sent %+v, %v", b, err)
	}
}

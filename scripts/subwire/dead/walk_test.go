package dead

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// look walks through a queue without taking anything.
func look(t *testing.T, f *fakeSQS, q deadQueue) []string {
	t.Helper()
	w := &walk{client: f, queue: q, url: q.name, hidden: hidden}
	var seen []string
	err := w.each(t.Context(), func(l letter) (verdict, error) {
		seen = append(seen, l.batch.Event.ID)
		return stays, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range f.queues[q.name] {
		if h.hiddenUntil.After(time.Now()) {
			t.Errorf("%s is left out of sight", h.id)
		}
	}
	return seen
}

func TestAWalkSeesEveryLetterOnce(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.parkMany(t, retries, "lobby", 25)
	seen := look(t, f, deadQueue{name: retries, source: "retries"})
	if diff := cmp.Diff(numbers(0, 25), seen); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
}

func TestAWalkSeesTheFirstTenOfEachGroup(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.parkMany(t, dead, "small", 4)
	f.parkMany(t, dead, "large", 25)
	seen := look(t, f, deadQueue{name: dead, source: "fanout.fifo", fifo: true})
	if diff := cmp.Diff(append(numbers(0, 4), numbers(0, 10)...), seen); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
}

func TestAWalkSeesWhatWasBehindDeletedLetters(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.put(dead, held{body: "nonsense", group: batch("lobby", "", "a").Group()}) // it blocks the group while it is hidden
	f.parkMany(t, dead, "lobby", 25)
	tool, _ := newTestTool(f, connected("a"))
	send(t, tool, options{queue: dead, yes: true}, errRemain)
	if diff := cmp.Diff(numbers(0, 25), f.events(t, "fanout.fifo")); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

func TestALongWalkEndsAlthoughLettersComeBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.parkMany(t, retries, "lobby", 25)
		f.fault = func(operation string, n int) (bool, error) {
			if operation == "receive" {
				time.Sleep(time.Minute)
			}
			if n == 100 {
				return false, errBroken
			}
			return true, nil
		}
		if _, seen := look(t, f, deadQueue{name: retries, source: "retries"}), f.calls["receive"]; seen != 2 {
			t.Errorf("it received %d times", seen)
		}
	})
}

func TestTheWholeOfALargeQueueIsOutOfSightAtOnce(t *testing.T) {
	t.Parallel()
	tool, _ := newTestTool(newFake(), connected())
	for n, want := range map[int]time.Duration{0: hidden, 10_000: hidden + 200*time.Second, 100_000_000: 12 * time.Hour} {
		if got := tool.walk(deadQueue{}, n, 0).hidden; got != want {
			t.Errorf("of %d letters for %s, want %s", n, got, want)
		}
	}
}

func TestAWalkEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.parkMany(t, retries, "lobby", 3)
	ctx, cancel := context.WithCancel(t.Context())
	w := &walk{client: f, queue: deadQueue{name: retries, source: "retries"}, url: retries, hidden: hidden}
	n := 0
	err := w.each(ctx, func(letter) (verdict, error) {
		n++
		cancel()
		return stays, nil
	})
	if n != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("visited %d, %v", n, err)
	}
	for _, h := range f.queues[retries] {
		if h.hiddenUntil.After(time.Now()) {
			t.Errorf("%s is left out of sight", h.id)
		}
	}
}

const streamARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/dev-messages/stream/2026-11-01T00:00:00.000"

// invocationRecord is what Lambda sends about a discarded batch.
const invocationRecord = `{"requestContext":{"requestId":"r","functionArn":"arn:f","condition":"RetryAttemptsExhausted","approximateInvokeCount":9},
"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"version":"1.0","timestamp":"2026-11-14T00:38:06.021Z",
"DDBStreamBatchInfo":{"shardId":"shard-1","startSequenceNumber":"100","endSequenceNumber":"105","approximateArrivalOfFirstRecord":"2026-11-14T00:38:00Z",
"approximateArrivalOfLastRecord":"2026-11-14T00:38:05Z","batchSize":3,"streamArn":"` + streamARN + `"}}`

// filled is a fake with letters of every kind, ten minutes old.
func filled(t *testing.T) *fakeSQS {
	f := newFake()
	f.park(t, dead, batch("lobby", "1", "a", "b"))
	f.park(t, retries, batch("lobby", "2", "a"))
	f.park(t, retries, batch("hall", "3", "a"))
	f.put(retries, held{body: "{"})
	f.put("stream-dead", held{body: invocationRecord})
	f.put("stream-dead", held{body: `{}`, sent: time.Now().Add(-50 * time.Hour)})
	time.Sleep(10 * time.Minute)
	return f
}

func TestListTellsOfEveryQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := filled(t)
		f.parkMany(t, dead, "busy", 12)
		tool, out := newTestTool(f, connected())
		if err := tool.list(t.Context(), options{}); err != nil {
			t.Fatal(err)
		}
		want := `QUEUE             MESSAGES  OLDEST  REASONS
fanout-dead.fifo  13        10m0s   11 received too often; 2 not seen
retries-dead      3         10m0s   1 not a fan-out batch: unexpected end of JSON input; 2 targets were tried too often
stream-dead       2         2d2h    1 RetryAttemptsExhausted; 1 names no stream records
`
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("list (-want +got):\n%s", diff)
		}
		out.Reset()
		if err := tool.list(t.Context(), options{json: true}); err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(out.String(), "\n")
		oldest := time.Now().Add(-10 * time.Minute).UTC().Format(time.RFC3339)
		want = `{"queue":"fanout-dead.fifo","messages":13,"seen":11,"oldest":"` + oldest + `","reasons":{"received too often":11}}`
		if diff := cmp.Diff(want, first); diff != "" || strings.Count(out.String(), "\n") != 3 {
			t.Errorf("first of three queues (-want +got):\n%s%s", diff, out)
		}
	})
}

func TestShowPrintsALineForEachLetter(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		o    options
		want string
	}{
		"All": {options{}, `fanout-dead.fifo  newMessage/lobby event 1  2 targets  8 attempts  10m0s  received 1 time
retries-dead  newMessage/lobby event 2  1 target  8 attempts  10m0s  targets were tried too often
retries-dead  newMessage/hall event 3  1 target  8 attempts  10m0s  targets were tried too often
retries-dead  message m4  0 targets  0 attempts  10m0s  not a fan-out batch: unexpected end of JSON input
stream-dead  records 100 to 105  3 records  9 attempts  10m0s  RetryAttemptsExhausted
stream-dead  message m6  0 targets  0 attempts  2d2h  names no stream records
`},
		"OneQueue": {options{queue: dead}, "fanout-dead.fifo  newMessage/lobby event 1  2 targets  8 attempts  10m0s  received 1 time\n"},
		"OneTopic": {options{topic: "newMessage/hall"}, "retries-dead  newMessage/hall event 3  1 target  8 attempts  10m0s  targets were tried too often\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tool, out := newTestTool(filled(t), connected())
				if err := tool.show(t.Context(), tt.o); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, out.String()); diff != "" {
					t.Errorf("show (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestShowAsJSON(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tool, out := newTestTool(filled(t), connected())
		if err := tool.show(t.Context(), options{json: true}); err != nil {
			t.Fatal(err)
		}
		var got []line
		for decoder := json.NewDecoder(strings.NewReader(out.String())); decoder.More(); {
			var one line
			if err := decoder.Decode(&one); err != nil {
				t.Fatal(err)
			}
			got = append(got, one)
		}
		if lines := strings.Count(out.String(), "\n"); lines != 6 || len(got) != 6 {
			t.Fatalf("%d lines, %d objects", lines, len(got))
		}
		want := line{Queue: dead, MessageID: "m1", Topic: "newMessage/lobby", EventID: "1", Targets: 2, Attempts: 8, Receives: 1,
			Sent: time.Now().Add(-10 * time.Minute).UTC(), Age: 600, Reason: "received 1 time"}
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("line (-want +got):\n%s", diff)
		}
		if r := got[4].Records; r == nil || r.Start != "100" || r.Records != 3 || r.First.IsZero() {
			t.Errorf("records are %+v", r)
		}
	})
}

func TestAge(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 1500 * time.Millisecond: "1s", 200 * time.Second: "3m20s",
		5*time.Hour + 12*time.Minute + 3*time.Second: "5h12m", 76*time.Hour + time.Minute: "3d4h",
	} {
		if got := age(d); got != want {
			t.Errorf("age of %s is %s, want %s", d, got, want)
		}
	}
}

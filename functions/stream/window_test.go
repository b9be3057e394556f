package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/metrics/metricstest"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/topology"
	"subwire/shared/trace"
)

// note is what is put up on a board, whose readers get lists of notes.
type note struct {
	Board string `json:"board"`
	Text  string `json:"text"`
	Key   string `json:"key"` // of a list the last with it is left, unless it is ""
	Last  bool   `json:"last"`
}

type boardArgs struct {
	Board string `json:"board"`
}

func boards() *subwire.App {
	app := subwire.New("boards")
	subwire.Inbox(app, "noted", func(n note) string { return n.Board }, func(n note, emit subwire.Emit) {
		switch n.Text {
		case "end":
			emit.Windowed("notes").End(n.Board)
		case "latest":
			emit.Windowed("notes").Latest(n, n.Board)
		case "plain":
			emit(n, n.Board)
		case "both":
			emit.Windowed("notes")(n, n.Board, "all")
		default:
			emit.Windowed("notes")(n, n.Board)
		}
	})
	subwire.Subscribe(app, "notes", subwire.Subscription[boardArgs, note]{
		Topic:  func(a boardArgs) (subwire.Topic, error) { return a.Board, nil },
		Window: 200 * time.Millisecond,
		Newest: func(n note) string { return n.Key },
		Ends:   func(n note) bool { return n.Last },
	})
	return app
}

var noon = time.UnixMilli(1_800_000_000_000)

// noted is the record of a note. Its description is the milliseconds after noon when it was
// written, a board, a text, and then maybe a key or an exclamation mark for the last note:
// "120 hall hello ada".
func noted(t *testing.T, sequence, description string) string {
	t.Helper()
	words := append(strings.Fields(description), "", "")
	ms, err := strconv.Atoi(words[0])
	n := note{Board: words[1], Text: words[2], Key: words[3], Last: words[3] == "!"}
	if n.Last {
		n.Key = ""
	}
	data, failed := json.Marshal(n)
	text, again := json.Marshal(string(data))
	if err := errors.Join(err, failed, again); err != nil {
		t.Fatal(err)
	}
	row, kind := sequence, "INSERT"
	if n.Text == "latest" {
		row, kind = "latest", "MODIFY"
	}
	at := noon.Add(time.Duration(ms) * time.Millisecond)
	return fmt.Sprintf(`{"eventID":"r%[1]s","eventName":%[2]q,"eventSourceARN":"arn:aws:dynamodb:x:1:table/subwire-boards-inbox/stream/1","dynamodb":{
		"SequenceNumber":%[1]q,"ApproximateCreationDateTime":%[3]d,"NewImage":{"group":{"S":"noted/%[4]s"},"id":{"S":%[5]q},"newest":{"S":%[1]q},
		"event":{"S":"noted"},"ttl":{"N":"1"},"_trace":{"S":%[6]q},"_written":{"N":"%[7]d"},"data":{"S":%[8]s}}}}`,
		sequence, kind, at.Unix(), n.Board, row, traceID, at.UnixMilli(), text)
}

func notes(t *testing.T, descriptions ...string) string {
	t.Helper()
	var all []string
	for i, d := range descriptions {
		all = append(all, noted(t, fmt.Sprintf("%03d", i), d))
	}
	return strings.Join(all, ",")
}

// told is what a batch says: its event, and the texts of its list.
func told(t *testing.T, b fanout.Batch) string {
	t.Helper()
	if string(b.Event.Root) == "null" {
		return b.Event.ID
	}
	return b.Event.ID + ": " + strings.Join(texts(t, b.Event), " ")
}

func texts(t *testing.T, e pubsub.Event) (all []string) {
	t.Helper()
	var list []note
	if err := json.Unmarshal(e.Root, &list); err != nil {
		list = make([]note, 1)
		if err := json.Unmarshal(e.Root, &list[0]); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range list {
		all = append(all, n.Text)
	}
	return all
}

func TestEventsOfAWindowComeInOneList(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", listBytes/2)
	for name, tc := range map[string]struct {
		notes []string
		want  []string
	}{
		"One":            {[]string{"0 hall a"}, []string{"000: a"}},
		"Two":            {[]string{"0 hall a", "200 hall b"}, []string{"001+1: a b"}},
		"TooLate":        {[]string{"0 hall a", "100 hall b", "201 hall c"}, []string{"001+1: a b", "002: c"}},
		"OtherClocks":    {[]string{"100 hall a", "0 hall b", "200 hall c"}, []string{"002+2: a b c"}},
		"TooEarly":       {[]string{"100 hall a", "0 hall b", "201 hall c"}, []string{"001+1: a b", "002: c"}},
		"OfTwoBoards":    {[]string{"0 hall a", "0 yard b", "0 hall c", "0 yard d"}, []string{"002+1: a c", "003+1: b d"}},
		"AroundPlain":    {[]string{"0 hall a", "0 hall plain", "0 hall b"}, []string{"001: plain", "002+1: a b"}},
		"PlainComeAlone": {[]string{"0 hall plain", "0 hall plain"}, []string{"000: plain", "001: plain"}},
		"AroundAnEnd":    {[]string{"0 hall a", "0 hall end", "0 hall b"}, []string{"000: a", "001", "002: b"}},
		"AroundTheLast":  {[]string{"0 hall a", "0 hall b !", "0 hall c"}, []string{"000: a", "001: b", "002: c"}},
		"NewestOfAKey":   {[]string{"0 hall a ada", "0 hall b bob", "0 hall c ada", "0 hall d"}, []string{"003+3: b c d"}},
		"OnlyTheNewest":  {[]string{"0 hall a ada", "0 hall b ada"}, []string{"001+1: b"}},
		"Latest":         {[]string{"0 hall latest", "0 hall latest", "9 hall a"}, []string{"002+2: latest a"}},
		"OtherTopics":    {[]string{"0 hall both", "0 hall a", "0 yard both"}, []string{"000/1: both", "000: both", "001: a", "002/1: both", "002: both"}},
		"Eleven": {slices.Repeat([]string{"0 hall a"}, pubsub.ListedEvents+1),
			[]string{"009+9:" + strings.Repeat(" a", pubsub.ListedEvents), "010: a"}},
		"Large": {[]string{"0 hall a", "0 hall " + long, "0 hall " + long}, []string{"001+1: a " + long, "002: " + long}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _, _ := setup(t)
			h.product = boards()
			out := &sent{}
			h.store, h.fanout = &slow{}, out
			h.limits.Bytes, h.limits.Alone = topology.BatchBytes, topology.QueueMessageBytes
			if failed := invoke(t, h, notes(t, tc.notes...)); failed != nil {
				t.Fatalf("failed %v", failed)
			}
			var got []string
			for _, b := range out.batches(t) {
				got = append(got, told(t, b))
			}
			slices.Sort(got) // topics go side by side
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A row of a writer that leaves no time has that of its commit, to the second.
func TestRowsWithoutATimeAreJoinedByTheSecondOfTheirCommit(t *testing.T) {
	t.Parallel()
	h, out, _ := setup(t)
	h.product, h.store = boards(), &slow{}
	records := strings.ReplaceAll(notes(t, "0 hall a", "900 hall b", "1000 hall c"), "_written", "other")
	if failed := invoke(t, h, records); failed != nil {
		t.Fatalf("failed %v", failed)
	}
	var got []string
	for _, b := range out.batches(t) {
		got = append(got, told(t, b))
	}
	if diff := cmp.Diff([]string{"001+1: a b", "002: c"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A list that the queue has not taken, or has although it says that it has not, comes again
// with all its records.
func TestAListThatFailsComesAgainAsAWhole(t *testing.T) {
	t.Parallel()
	for name, applied := range map[string]bool{"NotApplied": false, "AppliedButAnError": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q := &fifo{}
				h := newFIFO(t, 1, q)
				h.product = boards()
				broken := true
				h.fanout = unsure{queue.New(q, "url"), &broken, applied}
				records := notes(t, "0 hall a", "10 hall b", "500 hall c", "510 hall d")
				if failed := invoke(t, h, records); !slices.Equal(failed, []string{"000"}) {
					t.Fatalf("failed %v", failed)
				}
				broken = false
				if failed := invoke(t, h, records); failed != nil {
					t.Fatalf("failed %v", failed)
				}
				var got []string
				for _, b := range q.held {
					got = append(got, told(t, b))
				}
				if diff := cmp.Diff([]string{"001+1: a b", "003+1: c d"}, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// The list's last records alone, as Lambda halves a batch, are no longer sent when the list was.
func TestWhatCameInAListDoesNotComeAgainAlone(t *testing.T) {
	t.Parallel()
	h, out, _ := setup(t)
	h.product, h.store = boards(), &slow{}
	all := []string{noted(t, "0", "0 hall a ada"), noted(t, "1", "0 hall b ada"), noted(t, "2", "0 hall c")}
	for _, batch := range [][]string{all, all[:2], all[1:], all[:1], append(all[2:], noted(t, "3", "0 hall d"))} {
		if failed := invoke(t, h, strings.Join(batch, ",")); failed != nil {
			t.Fatalf("failed %v", failed)
		}
	}
	var got []string
	for _, b := range out.batches(t) {
		got = append(got, told(t, b))
	}
	if diff := cmp.Diff([]string{"2+2: b c", "3: d"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Processes die and batches are halved; others go on. In the end every note has come, and
// what came last is the newest.
func TestWhoeverDiesEveryEventOfAWindowComes(t *testing.T) {
	t.Parallel()
	kills, lists := 0, 0
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			q := &fifo{}
			base := newFIFO(t, 1, q)
			base.product, base.store = boards(), &slow{}
			var records []string
			want := map[string]map[string]bool{}
			last := map[string]string{}
			at := 0
			for i := range 60 {
				at += rng.IntN(100)
				board, text := []string{"hall", "yard"}[rng.IntN(2)], fmt.Sprintf("n%03d", i)
				records = append(records, noted(t, fmt.Sprintf("%03d", i), fmt.Sprint(at, " ", board, " ", text)))
				topic := "windowed/notes/" + board
				if want[topic] == nil {
					want[topic] = map[string]bool{}
				}
				want[topic][text], last[topic] = true, text
			}
			kills += outlive(t, base, q, rng, []*recent{{}, {}}, records)
			got := map[string][]string{}
			for _, b := range q.held {
				topic := b.Event.Topic
				got[topic] = append(got[topic], texts(t, b.Event)...)
				if strings.Contains(b.Event.ID, "+") {
					lists++
				}
			}
			for topic := range want {
				came := map[string]bool{}
				for _, text := range got[topic] {
					came[text] = true
				}
				if diff := cmp.Diff(want[topic], came); diff != "" {
					t.Errorf("seed %d: %s (-want +got):\n%s", seed, topic, diff)
				}
				if all := got[topic]; all[len(all)-1] != last[topic] {
					t.Errorf("seed %d: the last of %s is %s, want %s: %v", seed, topic, all[len(all)-1], last[topic], all)
				}
			}
		})
	}
	if kills == 0 || lists == 0 {
		t.Errorf("%d kills, %d lists", kills, lists)
	}
}

// What is wrong with one event is nothing to the others of its list.
func TestAListThatCannotBeSentIsTakenApart(t *testing.T) {
	t.Parallel()
	h, out, _ := setup(t)
	dead := &parked{}
	h.product, h.store, h.dead = boards(), &slow{}, dead
	h.fanout = fussy{out}
	if failed := invoke(t, h, notes(t, "0 hall a ada", "0 hall bad ada", "0 hall c")); failed != nil {
		t.Fatalf("failed %v", failed)
	}
	var got []string
	for _, b := range out.batches(t) {
		got = append(got, told(t, b))
	}
	if diff := cmp.Diff([]string{"000: a", "002: c"}, got); diff != "" { // a is the newest of its key that can be sent
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(dead.letters) != 1 || dead.letters[0].Event != "001" {
		t.Errorf("parked %+v", dead.letters)
	}
}

// A target that cannot get a list has a letter for each of its events, as redrive sends the
// events of records.
func TestATargetLeftOutOfAListHasALetterForEachEvent(t *testing.T) {
	t.Parallel()
	for _, fault := range []memory.Fault{0, memory.NotApplied, memory.Applied} {
		t.Run(fmt.Sprint(fault), func(t *testing.T) {
			t.Parallel()
			h, out, _ := setup(t)
			dead := &parked{fault: fault}
			h.product, h.dead = boards(), dead
			h.store = rows{{ConnectionID: "b", OperationID: strings.Repeat("\x01", 5000), OperationKey: "k"}, {ConnectionID: "c", OperationID: "1", OperationKey: "k"}}
			records := notes(t, "0 hall a", "0 hall b")
			if fault != 0 {
				if failed := invoke(t, h, records); !slices.Equal(failed, []string{"000"}) {
					t.Fatalf("failed %v", failed)
				}
				dead.letters, dead.fault = nil, 0
			}
			for range 2 {
				if failed := invoke(t, h, records); failed != nil {
					t.Fatalf("failed %v", failed)
				}
			}
			var got []string
			for _, l := range dead.letters {
				got = append(got, l.Event+" of "+sequenceIn(string(l.Record))+" for "+l.Target.ConnectionID)
			}
			if diff := cmp.Diff([]string{"000 of 000 for b", "001 of 001 for b"}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(out.messages) != 1 {
				t.Errorf("%d messages", len(out.messages))
			}
		})
	}
}

// Each event of a list has a line that says where it went, with its own trace; the list's line
// has the time of the event that has waited longest.
func TestTheEventsOfAListAreLogged(t *testing.T) {
	t.Parallel()
	h, _, _ := setup(t)
	var log strings.Builder
	h.log = slog.New(trace.Handler(slog.NewJSONHandler(&log, nil)))
	h.product, h.store = boards(), &slow{}
	var sums func() map[string]int
	h.metrics, sums = metricstest.New(t)
	other := "1-5759e988-000000000000000000000000"
	records := []string{noted(t, "1", "0 hall a ada"), strings.ReplaceAll(noted(t, "2", "7 hall b"), traceID, other), noted(t, "3", "9 hall c ada")}
	if failed := invoke(t, h, strings.Join(records, ",")); failed != nil {
		t.Fatalf("failed %v", failed)
	}
	for _, want := range []string{
		`"msg":"event left out","record":"1","event":"1","list":"3+2","trace":"` + traceID + `"`,
		`"msg":"event joined","record":"2","event":"2","list":"3+2","trace":"` + other + `"`,
		`"msg":"event sent","event":"3+2","batches":1,"targets":1,"lag":`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, &log)
		}
	}
	if got := sums(); got["Events"] != 2 || got["LeftOut"] != 1 || got["Targets"] != 1 {
		t.Errorf("counted %v", got)
	}
}

// unsure is a queue that, while it is broken, takes nothing, or everything, and answers with
// an error.
type unsure struct {
	*queue.Publisher
	broken  *bool
	applied bool
}

func (u unsure) SendUnordered(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error {
	if !*u.broken {
		return u.Publisher.SendUnordered(ctx, msgs)
	}
	if u.applied {
		if err := u.Publisher.SendUnordered(ctx, msgs); err != nil {
			return err
		}
	}
	return errThrottled
}

// fussy is a queue that refuses messages with the text bad.
type fussy struct{ *sent }

func (p fussy) SendUnordered(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error {
	for m, err := range msgs {
		if err == nil && strings.Contains(string(m.Body), `"bad"`) {
			err = queue.ErrInvalidMessage
		}
		if err != nil {
			return err
		}
		if err := p.sent.SendUnordered(ctx, func(yield func(queue.Message, error) bool) { yield(m, nil) }); err != nil {
			return err
		}
	}
	return nil
}

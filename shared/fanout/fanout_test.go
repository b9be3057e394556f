package fanout

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"subwire/shared/pubsub"
)

var event = pubsub.Event{ID: "01J", Topic: "newMessage/lobby", Root: json.RawMessage(`{"content":"<hi>"}`)}

// topic returns n subscriptions by ascending bucket, with that many operations.
func topic(n, operations int, rng *rand.Rand) []pubsub.Subscription {
	subs := make([]pubsub.Subscription, n)
	for i := range subs {
		subs[i] = pubsub.Subscription{
			ConnectionID: fmt.Sprintf("conn-%08x=", rng.Uint32()),
			OperationID:  strings.Repeat("<é", rng.IntN(9)+1),
			OperationKey: fmt.Sprintf("%064d", rng.IntN(operations)),
			Expires:      time.Unix(rng.Int64N(1<<40), 0),
		}
		if rng.IntN(4) > 0 { // others are of an older release
			subs[i].At = time.UnixMilli(1795529099123 + rng.Int64N(1<<32))
		}
		if rng.IntN(3) > 0 { // others are anonymous
			subs[i].Viewer = pubsub.Viewer{ID: fmt.Sprint("ü", rng.IntN(100)), Claims: strings.Repeat(`<"`, rng.IntN(20))}
		}
	}
	slices.SortStableFunc(subs, func(a, b pubsub.Subscription) int {
		return pubsub.Bucket(a.ConnectionID) - pubsub.Bucket(b.ConnectionID)
	})
	return subs
}

func each(subs []pubsub.Subscription) iter.Seq2[pubsub.Subscription, error] {
	return func(yield func(pubsub.Subscription, error) bool) {
		for _, s := range subs {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func plan(t *testing.T, e pubsub.Event, subs iter.Seq2[pubsub.Subscription, error], l Limits) []Batch {
	t.Helper()
	var out []Batch
	for b, err := range Plan(e, subs, l) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func TestEverySubscriptionIsInExactlyOneBatchWithinTheLimits(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		l := Limits{Targets: 1 + rng.IntN(300), Bytes: 1000 + rng.IntN(20_000), Groups: 1 << rng.IntN(6)}
		subs := topic(rng.IntN(2000), 1+rng.IntN(5), rng)

		var got []pubsub.Subscription
		groupOf := map[string]string{}
		for _, b := range plan(t, event, each(subs), l) {
			body, _, err := Encode(b)
			if err != nil {
				t.Fatal(err)
			}
			decoded, err := Decode(body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(b.Tasks, decoded.Tasks); diff != "" {
				t.Fatalf("seed %d: decoded tasks differ:\n%s", seed, diff)
			}
			if len(body) > l.Bytes || b.Targets() > l.Targets {
				t.Fatalf("seed %d: batch of %d bytes, %d targets exceeds %+v", seed, len(body), b.Targets(), l)
			}
			viewers := map[pubsub.Viewer]bool{}
			for _, v := range b.Viewers {
				if viewers[v] {
					t.Fatalf("seed %d: viewer %+v is twice in one batch", seed, v)
				}
				viewers[v] = true
			}
			operations := map[string]bool{}
			for _, task := range b.Tasks {
				if operations[task.Operation] {
					t.Fatalf("seed %d: operation %s is two tasks of one batch", seed, task.Operation)
				}
				operations[task.Operation] = true
				for _, target := range task.Targets {
					got = append(got, subscription(b, task, target))
					if g, seen := groupOf[target.ConnectionID]; seen && g != b.Group() {
						t.Fatalf("seed %d: connection %s is in two groups", seed, target.ConnectionID)
					}
					groupOf[target.ConnectionID] = b.Group()
				}
			}
		}
		order := func(a, b pubsub.Subscription) int {
			return strings.Compare(a.ConnectionID+a.OperationID+a.OperationKey, b.ConnectionID+b.OperationID+b.OperationKey)
		}
		slices.SortFunc(got, order)
		slices.SortFunc(subs, order)
		if diff := cmp.Diff(subs, got); len(subs) > 0 && diff != "" {
			t.Fatalf("seed %d: targets differ from subscriptions:\n%s", seed, diff)
		}
	}
}

// subscription is what the target was planned from.
func subscription(b Batch, task Task, target Target) pubsub.Subscription {
	s := pubsub.Subscription{ConnectionID: target.ConnectionID, OperationID: target.OperationID, OperationKey: task.Operation,
		Viewer: b.Viewer(target), Expires: time.Unix(target.Expires, 0)}
	if target.At != 0 {
		s.At = time.UnixMilli(target.At)
	}
	return s
}

func TestATopicWithoutSubscribersHasNoBatch(t *testing.T) {
	t.Parallel()
	if got := plan(t, event, each(nil), Limits{Targets: 10, Bytes: 1000, Groups: 4}); len(got) != 0 {
		t.Errorf("got %d batches", len(got))
	}
}

func TestTheFirstBatchLeavesBeforeTheLastSubscriptionIsRead(t *testing.T) {
	t.Parallel()
	subs := topic(1000, 1, rand.New(rand.NewPCG(1, 1)))
	read := 0
	counting := func(yield func(pubsub.Subscription, error) bool) {
		for _, s := range subs {
			read++
			if !yield(s, nil) {
				return
			}
		}
	}
	for range Plan(event, counting, Limits{Targets: 10, Bytes: 60_000, Groups: 4}) {
		break
	}
	if read > 11 {
		t.Errorf("read %d subscriptions for a batch of 10", read)
	}
}

// It must fit wherever the batch fits.
func TestAnEndingHasTheTargetsOfItsBatchAndIsNoLarger(t *testing.T) {
	t.Parallel()
	subs := topic(500, 5, rand.New(rand.NewPCG(1, 1)))
	ended := 0
	for _, b := range plan(t, event, each(subs), Limits{Targets: 100, Bytes: 20_000, Groups: 4}) {
		body, id, err := Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		ending, endingID, err := Encode(b.Ending(Overtaken))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(ending)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int64{}
		for _, task := range b.Tasks {
			for _, target := range task.Targets {
				want[target.ConnectionID+target.OperationID] = target.At
			}
		}
		for _, target := range got.Tasks[0].Targets {
			if at, known := want[target.ConnectionID+target.OperationID]; !known || at != target.At {
				t.Fatalf("ended %+v", target)
			}
		}
		if got.Targets() != b.Targets() || got.Group() != b.Group() || got.Event.ID != event.ID || got.Tasks[0].Operation != Overtaken {
			t.Errorf("got %+v", got)
		}
		if len(ending) > len(body) || endingID == id {
			t.Errorf("ending has %d bytes, batch %d", len(ending), len(body))
		}
		ended += got.Targets()
	}
	if ended != len(subs) {
		t.Errorf("ended %d of %d", ended, len(subs))
	}
}

func TestPlanReportsErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("throttled")
	one := topic(1, 1, rand.New(rand.NewPCG(1, 1)))
	for name, tc := range map[string]struct {
		root string
		subs iter.Seq2[pubsub.Subscription, error]
		want error
	}{
		"TheStoreFails":     {`{}`, func(y func(pubsub.Subscription, error) bool) { y(pubsub.Subscription{}, broken) }, broken},
		"TheEventIsTooLong": {`"` + strings.Repeat("x", 1000) + `"`, each(one), ErrEventTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := event
			e.Root = json.RawMessage(tc.root)
			var got error
			for _, err := range Plan(e, tc.subs, Limits{Targets: 10, Bytes: 1000, Groups: 4}) {
				got = err
			}
			if !errors.Is(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestDeduplicationID(t *testing.T) {
	t.Parallel()
	id := func(e pubsub.Event, connections ...string) string {
		b := Batch{Event: e, Tasks: []Task{{Operation: "k"}}}
		for _, c := range connections {
			b.Tasks[0].Targets = append(b.Tasks[0].Targets, Target{ConnectionID: c, OperationID: "1"})
		}
		_, id, err := Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	other := event
	other.ID = "01K"
	if first, again := id(event, "a", "b"), id(event, "a", "b"); first != again {
		t.Error("planning again gives another id")
	}
	if id(event, "a") == id(event, "a", "b") || id(event, "a") == id(other, "a") {
		t.Error("other targets or another event give the same id")
	}
}

// The golden files keep the wire format: batches of an older planner are in
// the queue while a new sender is deployed.
func TestGoldenBatches(t *testing.T) {
	t.Parallel()
	plain := event
	plain.Root = json.RawMessage(`{"content":"hi"}`)
	for file, want := range map[string]Batch{
		"batch.json": {Version: 1, Event: plain, Range: 3, Attempt: 2,
			Tasks: []Task{{Operation: "k1", Targets: []Target{{"c1=", "1", 1795529099, 0, 0}, {"c2=", "__proto__", 0, 0, 0}}}}},
		"times.json": {Version: 1, Event: plain, Range: 3,
			Tasks: []Task{
				{Operation: "k1", Targets: []Target{{"c1=", "1", 1795529099, 0, 1795521899123}, {"c2=", "1", 0, 0, 0}}},
				{Operation: "k2", Targets: []Target{{"c3=", "1", 1795529099, 0, 0}}}}},
		"nodes.json": {Version: 3, Range: 3,
			Event: pubsub.Event{ID: plain.ID, Topic: plain.Topic, Root: json.RawMessage(`null`), Topics: []string{"a", plain.Topic}, End: true, Ending: Overtaken},
			Tasks: []Task{{Operation: Overtaken, Targets: []Target{{"c1=", "1", 1795529099, 0, 0}}},
				{Operation: Node, Targets: []Target{{"node~h:1~boot", "events", 1795529099, 0, 0}}}}},
		"viewers.json": {Version: 2, Event: plain, Range: 3, Viewers: []pubsub.Viewer{{ID: "ada", Claims: `{"chats_read":"*"}`}, {ID: "bob"}},
			Tasks: []Task{{Operation: "k1", Targets: []Target{{"c1=", "1", 1795529099, 2, 0}, {"c2=", "1", 0, 1, 0}, {"c3=", "1", 0, 0, 0}}}}},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			golden, err := os.ReadFile("testdata/" + file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("decoded batch differs:\n%s", diff)
			}
			body, _, err := Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(string(golden)), string(body)); diff != "" {
				t.Errorf("encoded batch differs:\n%s", diff)
			}
		})
	}
}

func TestABatchWithoutATargetsViewerIsUndecodable(t *testing.T) {
	t.Parallel()
	for _, viewer := range []string{"1", "3", "-1", `"1"`, "null,1"} {
		body := `{"v":2,"event":{"id":"1","topic":"t","root":1},"tasks":[{"op":"k","targets":[["c","1",0,` + viewer + `]]}]}`
		if _, err := Decode([]byte(body)); !errors.Is(err, ErrUndecodable) {
			t.Errorf("viewer %s: %v", viewer, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"v":1,"event":{"id":"1","topic":"t","root":{}},"range":0,"tasks":[{"op":"k","targets":[["c","1",5]]}]}`,
		`{"v":2}`, `{"v":2,"event":{"id":"1","topic":"t","root":1},"viewers":[{"id":"a"}],"tasks":[{"op":"k","targets":[["c","1",0,1],["c","2",0,2]]}]}`,
		`{"v":2,"event":{"id":"1","topic":"t","root":1},"tasks":[{"op":"k","targets":[["c","1",0,-1]]}]}`, `{"v":1,"event":{"id":"1","topic":"t","root":null},"tasks":[]}`, `[]`, ``, `{"v":1,"attempt":-1}`, `{"v":3,"tasks":7}`,
		`{"v":1,"event":{"id":"1","topic":"t","root":1},"tasks":[{"op":"k","targets":[["c","1",5],["d","1",5]],"at":[1795529099123,0]}]}`,
		`{"v":1,"event":{"id":"1","topic":"t","root":1},"tasks":[{"op":"k","targets":[["c","1",5]],"at":[ 1e3 ]}]}`,
		`{"v":1,"event":{"id":"1","topic":"t","root":1},"tasks":[{"op":"k","targets":[["c","1"]]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := Decode(body)
		if err != nil {
			if errors.Is(err, ErrUndecodable) == errors.Is(err, ErrNewer) {
				t.Fatalf("error is neither ErrUndecodable nor ErrNewer: %v", err)
			}
			return
		}
		again, _, err := Encode(b)
		if err != nil {
			t.Fatalf("decoded batch cannot be encoded: %v", err)
		}
		same, err := Decode(again)
		if err != nil {
			t.Fatalf("encoded batch cannot be decoded: %v", err)
		}
		if diff := cmp.Diff(b.Tasks, same.Tasks, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("tasks differ after a round:\n%s", diff)
		}
	})
}

// FuzzTargets compares the hand-written JSON of targets with encoding/json.
func FuzzTargets(f *testing.F) {
	for _, seed := range []string{
		`[["c1=","1",5],["c2=","6f9619ff",-1795529099]]`, `[]`, `null`, ` [ ["c" , "1" ,5 ] ] `, `[["\u003c","\"",0]]`, `[["é","",1]]`,
		`[["c","1"]]`, `[["c","1",5,6]]`, `[["c","1",1e3]]`, `[["c","1",99999999999999999999]]`, `[["c","1","5"]]`, `[null]`, `[["c","1",5]`,
		`[["c",null,5]]`, `[["c\\","a\",\"b",5]]`, "[[\"\xff\",\"\u2028\",5]]", `{}`, `[["c","1",5]]]`, `[["c","1",-0]]`,
		`[["c","1",5,0],["c","2",5]]`, `[["c","1",5,6,7]]`, `[["c","1",5,null]]`, `[["c","1",5,"6"]]`, `[["c","1",5,]]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got targets
		err := json.Unmarshal(data, &got)
		want, wantErr := plainDecode(data)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("error is %v, of encoding/json %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(want, []Target(got), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("decoded targets differ from encoding/json's:\n%s", diff)
		}
		encoded, err := json.Marshal(got)
		if wantEncoded := plainEncode(t, want); err != nil || string(encoded) != wantEncoded {
			t.Fatalf("encoded (%v) as %s, by encoding/json as %s", err, encoded, wantEncoded)
		}
	})
}

func plainDecode(data []byte) ([]Target, error) {
	var rows [][]json.RawMessage
	if err := json.Unmarshal(data, &rows); err != nil {
		return nil, err
	}
	out := make([]Target, len(rows))
	for i, row := range rows {
		if len(row) != 3 && len(row) != 4 {
			return nil, errors.New("neither three nor four members")
		}
		members := []any{&out[i].ConnectionID, &out[i].OperationID, &out[i].Expires, &out[i].Viewer}
		for j, value := range row {
			if err := json.Unmarshal(value, members[j]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func plainEncode(t *testing.T, list []Target) string {
	t.Helper()
	rows := make([][]any, len(list))
	for i, target := range list {
		rows[i] = []any{target.ConnectionID, target.OperationID, target.Expires}
		if target.Viewer != 0 {
			rows[i] = append(rows[i], target.Viewer)
		}
	}
	encoded, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// plainTopic returns n subscriptions as most clients make them.
func plainTopic(n, operations int) []pubsub.Subscription {
	rng := rand.New(rand.NewPCG(1, 1))
	subs := topic(n, operations, rng)
	for i := range subs {
		subs[i].Viewer = pubsub.Viewer{}
		subs[i].OperationID = fmt.Sprintf("%08x-8b86-4d01-b42d-00cf4fc964ff", rng.Uint32())
		subs[i].Expires, subs[i].At = time.Unix(1795529099, 0), time.UnixMilli(1795521899123)
	}
	return subs
}

func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		subs := plainTopic(n, 3)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for batch, err := range Plan(event, each(subs), Limits{Targets: 1000, Bytes: 60_000, Groups: 4}) {
					if err != nil || batch.Targets() == 0 {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkCode(b *testing.B) {
	batch := Batch{Event: event, Tasks: []Task{{Operation: strings.Repeat("0", 64)}}}
	for _, s := range plainTopic(1000, 1) {
		batch.Tasks[0].Targets = append(batch.Tasks[0].Targets, target(s, 0))
	}
	body, _, err := Encode(batch)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Encode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			if _, _, err := Encode(batch); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			if _, err := Decode(body); err != nil {
				b.Fatal(err)
			}
		}
	})
}

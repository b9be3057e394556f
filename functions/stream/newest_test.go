package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/fanout"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// move is an event in a street: of a walker of whom only the newest counts, or else one
// that counts for itself.
type move struct {
	Who    string `json:"who"`
	Street string `json:"street"`
	Counts bool   `json:"counts"`
}

func streets() *subwire.App {
	app := subwire.New("streets")
	subwire.Inbox(app, "moved", func(m move) string { return m.Who }, func(m move, emit subwire.Emit) {
		if m.Counts {
			emit(m, m.Street)
			return
		}
		emit.Latest(m, m.Street)
	})
	subwire.Inbox(app, "turned", func(m move) string { return m.Who }, func(m move, emit subwire.Emit) {
		emit.Latest(m, m.Street)
		emit.Latest(m, m.Street)
	})
	return app
}

// moved is the record of a move. Its description is who, street and, if it counts, an
// exclamation mark: "ada high", "ada high !". An event name may come before.
func moved(sequence, description string) string {
	name, rest, has := strings.Cut(description, ": ")
	if !has {
		name, rest = "moved", description
	}
	words := append(strings.Fields(rest), "")
	row, kind := "latest", "MODIFY"
	if words[2] == "!" {
		row, kind = sequence, "INSERT"
	}
	return fmt.Sprintf(`{"eventID":"r%[1]s","eventName":%[2]q,"eventSourceARN":"arn:aws:dynamodb:x:1:table/subwire-streets-inbox/stream/1","dynamodb":{
		"SequenceNumber":%[1]q,"NewImage":{"group":{"S":"%[3]s/%[4]s"},"id":{"S":%[5]q},"newest":{"S":%[1]q},"event":{"S":%[3]q},"ttl":{"N":"1"},
		"data":{"S":"{\"who\":\"%[4]s\",\"street\":\"%[6]s\",\"counts\":%[7]t}"}}}}`,
		sequence, kind, name, words[0], row, words[1], words[2] == "!")
}

func moves(descriptions ...string) string {
	var all []string
	for i, d := range descriptions {
		all = append(all, moved(fmt.Sprintf("%03d", i), d))
	}
	return strings.Join(all, ",")
}

// sequenceOf is the number of the record that an event of these tests was made of.
func sequenceOf(event string) string {
	event, _, _ = strings.Cut(strings.TrimPrefix(event, "r"), "+")
	event, _, _ = strings.Cut(event, "/")
	return event
}

func TestOnlyTheNewestOfALatestEventIsSent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		moves []string
		want  []string // events
	}{
		"One":              {[]string{"ada high"}, []string{"r000"}},
		"OfOnePerson":      {[]string{"ada high", "ada high", "ada high"}, []string{"r002+2"}},
		"OfTwo":            {[]string{"ada high", "bob high", "ada high"}, []string{"r001", "r002+1"}},
		"OfTwoTopics":      {[]string{"ada high", "ada low", "ada high"}, []string{"r001", "r002+1"}},
		"WhatCountsIsKept": {[]string{"ada high !", "ada high !"}, []string{"000", "001"}},
		"BeforeWhatCounts": {[]string{"ada high", "ada high !"}, []string{"r000", "001"}},
		"AroundWhatCounts": {[]string{"ada high", "ada high !", "bob high", "ada high"},
			[]string{"r000", "001", "r002", "r003"}},
		"AroundAnother": {[]string{"ada high", "ada low !", "ada high"}, []string{"001", "r002+1"}},
		"TwiceAround": {[]string{"ada high", "ada high", "ada high !", "ada high", "ada high"},
			[]string{"r001+1", "002", "r004+1"}},
		"TwoOfARecord":          {[]string{"turned: ada high"}, []string{"r000", "r000/1"}},
		"TwoOfARecordAfterOne":  {[]string{"turned: ada high", "turned: ada high"}, []string{"r001+2", "r001/1+2"}},
		"OfTwoInboxesWithAName": {[]string{"moved: ada high", "turned: ada high"}, []string{"r000", "r001", "r001/1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _, _ := setup(t)
			h.product = streets()
			out := &sent{}
			h.store, h.fanout = &slow{}, out
			if failed := invoke(t, h, moves(tc.moves...)); failed != nil {
				t.Fatalf("failed %v", failed)
			}
			var got []string
			for _, b := range out.batches(t) {
				got = append(got, b.Event.ID)
			}
			slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(sequenceOf(a), sequenceOf(b)) })
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Records that cannot become events are parked, whatever follows them.
func TestALatestEventThatCannotBeDecodedIsParked(t *testing.T) {
	t.Parallel()
	h, out, _ := setup(t)
	dead := &parked{}
	h.product, h.store, h.dead = streets(), &slow{}, dead
	records := strings.Replace(moves("ada high", "ada high", "ada high"), `\"who\"`, `who`, 1)
	if failed := invoke(t, h, records); failed != nil || len(dead.letters) != 1 || len(out.batches(t)) != 1 {
		t.Errorf("failed %v, %d parked, %d sent", failed, len(dead.letters), len(out.messages))
	}
}

// A thousand positions in two batches of records are two posts for each listener.
func TestABurstOfPositionsBecomesAPostForEachBatchOfRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := &fifo{}
		h := newFIFO(t, 30, q)
		h.product = streets()
		var records []string
		for i := range 1000 {
			records = append(records, moved(fmt.Sprintf("%03d", i), "ada high"))
		}
		for batch := range slices.Chunk(records, topology.TableStream.BatchSize) {
			if failed := invoke(t, h, strings.Join(batch, ",")); failed != nil {
				t.Fatalf("failed %v", failed)
			}
		}
		for key, l := range q.listeners() {
			if diff := cmp.Diff([]string{"r499+499", "r999+499"}, l.events); diff != "" {
				t.Errorf("%s (-want +got):\n%s", key, diff)
			}
		}
		if n := len(q.listeners()); n != 30 {
			t.Errorf("%d listeners", n)
		}
	})
}

// What a failure leaves comes again; what was replaced is finished with what replaced it.
func TestWhatWasReplacedDoesNotComeAfterTheNewest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := true
		s := &slow{fails: func(topic, _ string) error {
			if broken && topic == "low" {
				return errThrottled
			}
			return nil
		}}
		h := newSlow(t, s)
		h.product = streets()
		all := strings.Split(moves("eve low !", "ada high", "ada high", "ada high"), ",{\"eventID\"")
		for i := range all[1:] {
			all[i+1] = "{\"eventID\"" + all[i+1]
		}
		if failed := invoke(t, h, strings.Join(all, ",")); !slices.Equal(failed, []string{"000"}) {
			t.Fatalf("failed %v", failed)
		}
		broken = false
		for _, half := range [][]string{all[:2], all[2:]} { // as Lambda halves a batch whose first record has failed
			if failed := invoke(t, h, strings.Join(half, ",")); failed != nil {
				t.Fatalf("failed %v", failed)
			}
		}
		if diff := cmp.Diff([]string{"high r003+2", "low 000", "high r003+1"}, s.events); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// errKilled ends an invocation whose process is killed.
var errKilled = errors.New("killed")

// mortal is a queue for a process that dies at some of its requests.
type mortal struct {
	*queue.Publisher
	mu     sync.Mutex
	rng    *rand.Rand
	killed bool
}

func (m *mortal) dies() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.killed = m.killed || m.rng.IntN(8) == 0
	return m.killed
}

func (m *mortal) SendUnordered(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error {
	if m.dies() {
		return errKilled
	}
	return m.Publisher.SendUnordered(ctx, msgs)
}

func (m *mortal) SendInOrder(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error {
	if m.dies() {
		return errKilled
	}
	return m.Publisher.SendInOrder(ctx, msgs)
}

// Processes die and batches are halved, as Lambda does; other processes go on, and some
// come back. The queue never forgets what it had, which is the worst for what is sent
// again. In the end everybody has the newest last, and all that counts, in order.
func TestWhoeverDiesTheNewestComesLast(t *testing.T) {
	t.Parallel()
	kills, left := 0, 0
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			q := &fifo{}
			base := newFIFO(t, 1, q)
			base.product, base.store = streets(), &slow{}
			var records []string
			last := map[string]string{}     // the newest of each walker in each street
			counts := map[string][]string{} // what counts, by street
			for i := range 60 {
				who, street := []string{"ada", "bob"}[rng.IntN(2)], []string{"high", "low"}[rng.IntN(2)]
				sequence := fmt.Sprintf("%03d", i)
				if rng.IntN(5) == 0 {
					records = append(records, moved(sequence, who+" "+street+" !"))
					counts[street] = append(counts[street], sequence)
					continue
				}
				records = append(records, moved(sequence, who+" "+street))
				last[street+" "+who] = sequence
			}
			kills += outlive(t, base, q, rng, []*recent{{}, {}, {}}, records)
			for key, l := range q.listeners() {
				if l.ended {
					continue
				}
				street, _, _ := strings.Cut(key, " ")
				newest, inOrder := map[string]string{}, []string{}
				for _, event := range l.events {
					left++
					sequence := sequenceOf(event)
					if who := q.who(event); strings.HasPrefix(event, "r") {
						newest[street+" "+who] = sequence
					} else if !slices.Contains(inOrder, sequence) {
						inOrder = append(inOrder, sequence)
					}
				}
				for _, who := range []string{"ada", "bob"} {
					if newest[street+" "+who] != last[street+" "+who] {
						t.Errorf("seed %d: %s has %s of %s last, want %s: %v", seed, key, newest[street+" "+who], who, last[street+" "+who], l.events)
					}
				}
				if diff := cmp.Diff(counts[street], inOrder); diff != "" && len(counts[street]) > 0 {
					t.Errorf("seed %d: %s (-want +got):\n%s", seed, key, diff)
				}
			}
		})
	}
	if kills == 0 || left == 0 {
		t.Errorf("%d kills, %d events", kills, left)
	}
}

func sequenceIn(record string) string {
	_, rest, _ := strings.Cut(record, `"SequenceNumber":"`)
	sequence, _, _ := strings.Cut(rest, `"`)
	return sequence
}

// who moved in the event.
func (q *fifo) who(event string) string {
	i := slices.IndexFunc(q.held, func(b fanout.Batch) bool { return b.Event.ID == event })
	for _, who := range []string{"ada", "bob"} {
		if strings.Contains(string(q.held[i].Event.Root), `"`+who+`"`) {
			return who
		}
	}
	return ""
}

// outlive lets processes handle the records, in batches of any size. Some die in the middle,
// and a batch that failed comes again in halves. It returns how many died.
func outlive(t *testing.T, base handler, q *fifo, rng *rand.Rand, processes []*recent, records []string) (kills int) {
	t.Helper()
	var handle func(batch []string)
	handle = func(batch []string) {
		h, i := base, rng.IntN(len(processes))
		h.sent = processes[i]
		gateway := &mortal{Publisher: queue.New(q, "url"), rng: rng}
		h.fanout = gateway
		failed := invoke(t, h, strings.Join(batch, ","))
		switch {
		case gateway.killed && rng.IntN(2) == 0: // it dies, and reports nothing
			processes[i] = &recent{}
			kills++
			failed = []string{sequenceIn(batch[0])}
		case failed == nil:
			return
		}
		from := slices.IndexFunc(batch, func(r string) bool { return sequenceIn(r) == failed[0] })
		if from == 0 && len(batch) > 1 {
			handle(batch[:len(batch)/2])
			from = len(batch) / 2
		}
		handle(batch[from:])
	}
	for len(records) > 0 {
		n := min(len(records), 1+rng.IntN(20))
		handle(records[:n])
		records = records[n:]
	}
	return kills
}

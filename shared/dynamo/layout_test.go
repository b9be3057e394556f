package dynamo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"subwire/shared/pubsub"
	"subwire/shared/storetest"
	"subwire/shared/topology"
)

// turning is a store whose topics get parts at some moment, of which those that use it know
// nothing.
type turning struct {
	*Store
	mark func(ctx context.Context, topic string) error
}

func (s turning) turn(ctx context.Context, sub pubsub.Subscription) error {
	for _, topic := range sub.Topics() {
		if err := s.mark(ctx, topic); err != nil {
			return err
		}
	}
	return nil
}

func (s turning) PutSubscription(ctx context.Context, sub pubsub.Subscription, op pubsub.Operation,
	by pubsub.Sent, max int) error {
	if err := s.turn(ctx, sub); err != nil {
		return err
	}
	return s.Store.PutSubscription(ctx, sub, op, by, max)
}

func (s turning) ActivateSubscription(ctx context.Context, sub pubsub.Subscription, op pubsub.Operation,
	by pubsub.Sent) error {
	if err := s.turn(ctx, sub); err != nil {
		return err
	}
	return s.Store.ActivateSubscription(ctx, sub, op, by)
}

// markedNow gives the topic parts, and lets the store know.
func markedNow(ctx context.Context, s *Store, topic string) error {
	if pubsub.IsPresence(topic) || topic == "" {
		return nil
	}
	until := time.Now().Add(partsFor).Truncate(time.Second)
	if err := s.PutMark(ctx, topic, pubsub.Mark{Name: PartsMark, Expires: until}); err != nil {
		return err
	}
	s.layouts.Add(topic, layout{until: until})
	return nil
}

// The contract holds in topics with parts, and in those that get them at any moment, also
// while a quarter of all requests fail.
func TestAStoreWithPartsIsAStore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		parts float64 // of all subscribes before which the topic has parts
		fails bool
	}{{"all", 1, false}, {"some, with faults", 0.3, true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := localStore(t)
			s.page, s.LargeTopics = aws.Int32(7), true
			var mu sync.Mutex
			luck := rand.New(rand.NewPCG(5, 6))
			if tt.fails {
				s = failing(s, http.DefaultTransport, func(string) (fault, string) {
					mu.Lock()
					defer mu.Unlock()
					return fault(max(0, luck.IntN(16)-13)), []string{throttle, serverFailed, ""}[luck.IntN(3)]
				})
			}
			storetest.Run(t, turning{s, func(ctx context.Context, topic string) error {
				mu.Lock()
				turns := luck.Float64() < tt.parts
				mu.Unlock()
				if !turns {
					return nil
				}
				return markedNow(ctx, s, topic)
			}}, "Connection", "CountReplayed", "Marks", "Rows", "Spend", "Audience", "TakeQuota", "ReleaseQuota", "Revoke")
		})
	}
}

// members are connections, each with a subscription "1" of the topic.
type members struct {
	t     *testing.T
	s     *Store
	topic string
	there map[string]bool // connections that are subscribed
	count int
	life  time.Duration // of their connections; 0 for an hour
}

func (m *members) join() {
	m.t.Helper()
	m.count++
	c := pubsub.Connection{ID: fmt.Sprintf("c%05d", m.count), Acknowledged: true,
		Expires: time.Now().Add(cmp.Or(m.life, time.Hour)).Truncate(time.Second)}
	err := m.s.PutConnection(m.t.Context(), c)
	if err == nil {
		err = m.s.PutSubscription(m.t.Context(), pubsub.Subscription{ConnectionID: c.ID, OperationID: "1", Topic: m.topic,
			OperationKey: "k", Expires: c.Expires}, pubsub.Operation{}, pubsub.Sent{At: time.Now(), ID: newToken()}, 9)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	m.there[c.ID] = true
}

// leave ends one of them, one way or the other.
func (m *members) leave(way int) {
	m.t.Helper()
	for id := range m.there {
		delete(m.there, id)
		var err error
		switch way % 3 {
		case 0:
			_, err = m.s.DeleteSubscription(m.t.Context(), id, "1", pubsub.Sent{At: time.Now()})
		case 1:
			err = m.s.DeleteConnection(m.t.Context(), id)
		default:
			err = New(m.s.client, m.s.tables).Unlist(m.t.Context(), pubsub.Subscription{ConnectionID: id, OperationID: "1", Topic: m.topic, At: time.Now()})
		}
		if err != nil {
			m.t.Fatal(err)
		}
		return
	}
}

// check fails the test unless the reader finds exactly those who are there, in the order of
// their keys within each bucket.
func (m *members) check(reader *Store, when string) {
	m.t.Helper()
	got, last := map[string]bool{}, map[int]string{}
	for sub, err := range reader.Subscriptions(m.t.Context(), m.topic, time.Now()) {
		if err != nil {
			m.t.Fatal(err)
		}
		bucket := pubsub.Bucket(sub.ConnectionID)
		if got[sub.ConnectionID] || sub.ConnectionID < last[bucket] || sub.Topic != m.topic {
			m.t.Errorf("%s: %+v comes twice, late, or under another topic", when, sub)
		}
		got[sub.ConnectionID], last[bucket] = true, sub.ConnectionID
	}
	for id := range m.there {
		if !got[id] {
			m.t.Errorf("%s: %s is missing", when, id)
		}
	}
	if len(got) != len(m.there) {
		m.t.Errorf("%s: %d subscriptions, want %d", when, len(got), len(m.there))
	}
}

// A topic grows, gets parts, shrinks and loses them while its events are read, by a process
// that keeps what it reads and by one that has just started. Each finds all who have
// subscribed, and none who has left.
func TestAReaderFollowsATopicThroughAnyLayout(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	s.page = aws.Int32(40)
	writer, reader := failing(s, http.DefaultTransport, func(string) (fault, string) { return noFault, "" }), s
	other := New(s.client, s.tables) // a process that sees other events of the topic, as Lambda chooses
	other.page = s.page
	writer.LargeTopics, reader.LargeTopics, other.LargeTopics = true, true, true
	m := &members{t: t, s: writer, topic: "t", there: map[string]bool{}}
	luck := rand.New(rand.NewPCG(7, 8))
	for i := range 120 {
		switch {
		case i == 30:
			if err := markedNow(t.Context(), writer, "t"); err != nil {
				t.Fatal(err)
			}
		case i == 90: // the mark ends too soon for new subscriptions, and is not renewed
			writer.layouts.Add("t", layout{looked: time.Now().Add(time.Hour), rows: manyRows + 1, since: time.Now()})
		case i%10 == 9:
			for range 3 {
				m.leave(i / 10)
			}
		default:
			m.join()
			if i%2 == 0 {
				m.join()
			}
		}
		if luck.IntN(3) == 0 {
			m.check(reader, fmt.Sprint("after step ", i))
		}
		if luck.IntN(8) == 0 {
			m.check(other, fmt.Sprint("another process, after step ", i))
		}
	}
	m.check(New(s.client, s.tables), "a new process")
	for len(m.there) > 0 {
		m.leave(len(m.there))
	}
	m.check(reader, "at the end")
	m.check(other, "another process, at the end")
}

// Heads that are lost, of one bucket or of all, cost reads and nobody's events, whatever a
// process has kept: before the next change, after it, and after it has begun to count anew.
func TestLostHeadsLoseNobody(t *testing.T) {
	t.Parallel()
	s, m := largeTopic(t, 60)
	warm, fresh := New(s.client, s.tables), New(s.client, s.tables)
	m.check(warm, "at first")
	lose := func(part int) {
		_, err := s.client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &s.tables.Subscriptions,
			Key: headOf(partKey("t", part))})
		if err != nil {
			t.Fatal(err)
		}
	}
	lose(3)
	m.check(warm, "without a head")
	m.check(fresh, "without a head, a new process")
	for part := range topicParts {
		lose(part)
	}
	m.check(warm, "without heads")
	for way := range 3 {
		m.join()
		m.join()
		m.leave(way)
		m.check(warm, "with heads that begin anew")
		m.check(fresh, "with heads that begin anew, another process")
		m.check(New(s.client, s.tables), "with heads that begin anew, a new process")
	}
}

// Of a topic for which there is no room, such as of a million, what does not fit is read for each
// event: everybody is found, and the bound holds, also when others need the room.
func TestATopicThatDoesNotFitLosesNobody(t *testing.T) {
	t.Parallel()
	s, m := largeTopic(t, 60)
	for _, room := range []int{0, topicBytes, topicBytes + 20*2*rowBytes} {
		reader := New(s.client, s.tables)
		reader.kept = newKeptRows(room)
		for i := range 4 {
			m.check(reader, fmt.Sprintf("with room for %d bytes, read %d", room, i))
			if reader.kept.bytes > room {
				t.Errorf("%d bytes are kept, more than %d", reader.kept.bytes, room)
			}
			m.join()
			m.leave(i)
			reader.kept.put("other", i, 5, ofSize(2*i)) // may take the room
		}
	}
}

// A bucket in which nothing was ever put is read once. It is read again after emptyFor, for which
// a busy machine may well stop: time stands still here.
func TestAnEmptyPartIsReadOnce(t *testing.T) {
	t.Parallel()
	s, m := largeTopic(t, 1)
	var mu sync.Mutex
	queries := 0
	bubble(t, s, func(action string) (fault, string) {
		mu.Lock()
		defer mu.Unlock()
		if action == "Query" {
			queries++
		}
		return noFault, ""
	}, func(t *testing.T, reader *Store) {
		m.t, m.s = t, reader
		m.check(reader, "at first")
		if most := 1 + pubsub.Buckets/spanBuckets; queries > most {
			t.Errorf("%d queries, want %d at most", queries, most)
		}
		for _, want := range []int{1, 2} { // the topic's own rows; and a bucket that has its first
			queries = 0
			m.check(reader, "then")
			if queries != want {
				t.Errorf("%d queries, want %d", queries, want)
			}
			for i := 0; len(m.there) == 1 || i == 0; i++ {
				m.join()
			}
		}
	})
}

// Rows end while they are kept, in the middle of a read or between two: whoever has not expired
// is found, whoever has is not, and nothing is read for it. Time stands still, as empty buckets
// are read again after a while.
func TestKeptRowsExpire(t *testing.T) {
	t.Parallel()
	h := newHot(t, 100, true)
	still(t, h.s, func(t *testing.T, s *Store) {
		s = failing(s, h.meter, func(string) (fault, string) { return noFault, "" })
		begin := time.Now()
		ends := begin.Add(time.Minute).Truncate(time.Second)
		for i := range 40 { // that end before the others
			c := pubsub.Connection{ID: fmt.Sprintf("T1kmx%07dCFIA=", i), Acknowledged: true, Expires: ends}
			err := s.PutConnection(t.Context(), c)
			if err == nil {
				err = s.PutSubscription(t.Context(), pubsub.Subscription{ConnectionID: c.ID, OperationID: "1", Topic: "hot",
					OperationKey: "k", Expires: ends}, pubsub.Operation{}, pubsub.Sent{At: begin, ID: newToken()}, 9)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for i, tt := range []struct {
			at   time.Duration // from when they end
			want int
		}{{-time.Second, 140}, {0, 100}, {time.Second, 100}, {-time.Second, 140}} {
			h.meter.reset()
			n := 0
			for _, err := range s.Subscriptions(t.Context(), "hot", ends.Add(tt.at)) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != tt.want {
				t.Errorf("%v: %d subscriptions, want %d", tt.at, n, tt.want)
			}
			if units := total(h.meter.reads); i > 0 && units > topicParts+2 {
				t.Errorf("%v: %v units were read", tt.at, units)
			}
		}
	})
}

// A process dies between a row and its part's head, or at any other request. Whoever was there
// before is found, by a process that keeps rows and by a new one; nobody was told of the other.
// When its connection is deleted, or a post finds it gone, nothing of it is left.
func TestWhoeverDiesWithinAPartHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	for _, ends := range []string{"deleted", "gone"} {
		for step := 1; step <= 7; step++ {
			t.Run(fmt.Sprint(ends, " ", step), func(t *testing.T) {
				t.Parallel()
				s, m := largeTopic(t, 20)
				reader := New(s.client, s.tables)
				m.check(reader, "before")
				c := pubsub.Connection{ID: "dies", Acknowledged: true, Expires: time.Now().Add(time.Hour).Truncate(time.Second)}
				if err := s.PutConnection(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				requests := 0
				dying := failing(s, http.DefaultTransport, func(string) (fault, string) {
					if requests++; requests >= step {
						return notApplied, denied
					}
					return noFault, ""
				})
				dying.LargeTopics = true
				sub := pubsub.Subscription{ConnectionID: c.ID, OperationID: "1", Topic: "t", OperationKey: "k", Expires: c.Expires}
				err := dying.PutSubscription(t.Context(), sub, pubsub.Operation{}, pubsub.Sent{At: time.Now(), ID: newToken()}, 9)
				for _, r := range []*Store{reader, New(s.client, s.tables)} {
					found := map[string]bool{}
					for got, err := range r.Subscriptions(t.Context(), "t", time.Now()) {
						if err != nil {
							t.Fatal(err)
						}
						found[got.ConnectionID] = true
					}
					if err == nil && !found[c.ID] {
						t.Error("who was told of the subscription is missing")
					}
					for id := range m.there {
						if !found[id] {
							t.Errorf("%s is missing", id)
						}
					}
				}
				if ends == "deleted" {
					err = s.DeleteConnection(t.Context(), c.ID)
				} else {
					err = s.Unlist(t.Context(), pubsub.Subscription{ConnectionID: c.ID, OperationID: "1", Topic: "t", At: time.Now()})
				}
				if err != nil {
					t.Fatal(err)
				}
				m.check(reader, "afterwards")
				m.check(New(s.client, s.tables), "afterwards, a new process")
			})
		}
	}
}

// A process dies after it has deleted a row in a part, before the head says so. A process that
// keeps the row posts once more, to somebody who is gone, and that puts it right.
func TestADeletionThatIsNotToldOfIsFoundByTheNextPost(t *testing.T) {
	t.Parallel()
	s, m := largeTopic(t, 5)
	reader := New(s.client, s.tables)
	m.check(reader, "before")
	dying := failing(s, http.DefaultTransport, func(action string) (fault, string) {
		if action == "UpdateItem" {
			return notApplied, denied
		}
		return noFault, ""
	})
	sub := pubsub.Subscription{ConnectionID: "c00001", OperationID: "1", Topic: "t", At: time.Now()}
	if err := dying.Unlist(t.Context(), sub); err == nil {
		t.Fatal("it was told of")
	}
	m.check(reader, "with a row that is there no more") // m still has it
	if err := s.Unlist(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	delete(m.there, sub.ConnectionID)
	m.check(reader, "afterwards")
}

// Between the requests of a read, somebody subscribes and another leaves. The next read has
// them right: what was kept is older than the heads that were read.
func TestWhateverCrossesAReadIsFoundByTheNext(t *testing.T) {
	t.Parallel()
	for step := 1; step <= 12; step++ {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			t.Parallel()
			s := localStore(t)
			s.page, s.LargeTopics = aws.Int32(5), true
			m := &members{t: t, s: s, topic: "t", there: map[string]bool{}}
			if err := markedNow(t.Context(), s, "t"); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				m.join()
			}
			var mu sync.Mutex // readers ask side by side
			requests := 0
			reader := failing(s, http.DefaultTransport, func(string) (fault, string) {
				mu.Lock()
				defer mu.Unlock()
				if requests++; requests == step {
					m.join()
					m.leave(step)
				}
				return noFault, ""
			})
			for _, err := range reader.Subscriptions(t.Context(), "t", time.Now()) {
				if err != nil {
					t.Fatal(err)
				}
			}
			m.check(reader, "the next read")
		})
	}
}

// largeTopic is a store with the topic "t" in parts, which has n members.
func largeTopic(t *testing.T, n int) (*Store, *members) {
	t.Helper()
	s := localStore(t)
	s.LargeTopics = true
	m := &members{t: t, s: s, topic: "t", there: map[string]bool{}}
	if err := markedNow(t.Context(), s, "t"); err != nil {
		t.Fatal(err)
	}
	for range n {
		m.join()
	}
	return s, m
}

func TestAReadOfATopicWithPartsOutlastsFaults(t *testing.T) {
	t.Parallel()
	s, m := largeTopic(t, 20)
	for _, action := range []string{"Query", "BatchGetItem"} {
		for _, kind := range []fault{notApplied, applied} {
			for _, answer := range []string{throttle, serverFailed, "", denied} {
				var mu sync.Mutex
				requests := 0
				reader := failing(s, http.DefaultTransport, func(is string) (fault, string) {
					mu.Lock()
					defer mu.Unlock()
					if is != action {
						return noFault, ""
					}
					if requests++; requests != 1 && requests != 5 { // of queries, a later one is of a part
						return noFault, ""
					}
					return kind, answer
				})
				var err error
				for _, err = range reader.Subscriptions(t.Context(), "t", time.Now()) {
					if err != nil {
						break
					}
				}
				if refused := answer == denied; refused != (err != nil) {
					t.Errorf("%s, fault %v, answer %.80q: %v", action, kind, answer, err)
				}
				for range reader.Subscriptions(t.Context(), "t", time.Now()) { // may meet the other fault
				}
				m.check(reader, "what was kept") // a read that failed in the middle has kept nothing wrong
			}
		}
	}
}

// A batch of heads is answered in part.
func TestHeadsThatWereNotReadAreAskedForAgain(t *testing.T) {
	t.Parallel()
	s, got := scripted(t,
		answer{200, `{"Responses":{"s":[{"b00":{"N":"7"},"ttl":{"N":"1"}}]},"UnprocessedKeys":{"s":{"Keys":[{"topic":{"S":"parts/1/t"},"subscriber":{"S":"!head"}}]}}}`},
		answer{200, `{"Responses":{"s":[{"b10":{"N":"8"},"b1f":{"S":"odd"},"bfg":{"N":"9"}}]}}`})
	still(t, s, func(t *testing.T, s *Store) {
		counts, err := s.heads(t.Context(), "t")
		if err != nil || len(*got) != 2 {
			t.Fatalf("%d requests, error %v", len(*got), err)
		}
		if counts[0] != 7 || counts[16] != 8 || counts[0x1f] != neverKept || counts[2] != 0 {
			t.Errorf("counts %v", counts)
		}
	})
}

// A mark is tried to put, or looked for, once: so no answer may be late.
func TestATopicIsMarkedWhenItIsLarge(t *testing.T) {
	t.Parallel()
	large := func(t *testing.T, s *Store) bool {
		return New(s.client, s.tables).partsUntil(t.Context(), "t", time.Now()).After(time.Now())
	}
	t.Run("by a process that puts many rows", func(t *testing.T) {
		t.Parallel()
		s := localStore(t)
		s.LargeTopics = true
		still(t, s, func(t *testing.T, s *Store) {
			m := &members{t: t, s: s, topic: "t", there: map[string]bool{}}
			m.join()
			known, _ := s.layouts.Get("t")
			if known.rows != 1 {
				t.Fatalf("%d rows are counted", known.rows)
			}
			known.rows = manyRows - 2
			s.layouts.Add("t", known)
			m.join()
			if large(t, s) {
				t.Error("it is marked too early")
			}
			m.join()
			if !large(t, s) {
				t.Error("it is not marked")
			}
			m.join()
			m.check(New(s.client, s.tables), "then")
		})
	})
	for _, on := range []bool{true, false} {
		t.Run(fmt.Sprint("by a reader: ", on), func(t *testing.T) {
			t.Parallel()
			s := localStore(t)
			for i := range TopicPage + 1 { // as the previous release puts them
				row := attributes{"operationKey": text("k"), "ttl": number(time.Now().Add(time.Hour).Unix())}
				for name, value := range rowKey("t", fmt.Sprint("c", i), "1") {
					row[name] = value
				}
				_, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &s.tables.Subscriptions, Item: row})
				if err != nil {
					t.Fatal(err)
				}
			}
			still(t, s, func(t *testing.T, s *Store) {
				reader := New(s.client, s.tables)
				reader.LargeTopics = on
				if n := countRows(t, reader, "t"); n != TopicPage+1 || large(t, s) != on {
					t.Errorf("%d subscriptions; marked: %t", n, large(t, s))
				}
				if n := countRows(t, reader, "t"); n != TopicPage+1 {
					t.Errorf("then %d subscriptions", n)
				}
			})
		})
	}
}

// Rows that have expired, which DynamoDB may keep for days, make no topic large.
func TestExpiredRowsDoNotMakeATopicLarge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		live   int
		parts  time.Duration // that its mark lasts; 0 for none
		marked bool
	}{
		{10, 0, false}, {TopicPage - 1, 0, false}, {TopicPage, 0, true},
		{10, time.Minute, false}, {TopicPage, time.Minute, true},
	} {
		t.Run(fmt.Sprintf("%d, parts for %v", tt.live, tt.parts), func(t *testing.T) {
			t.Parallel()
			h := newHot(t, TopicPage+10, false) // of the same rows, some then live
			h.s.LargeTopics = true
			still(t, h.s, func(t *testing.T, s *Store) {
				h.TB, h.s = t, s
				until := time.Now().Add(tt.parts).Truncate(time.Second)
				if tt.parts > 0 {
					if err := h.s.PutMark(t.Context(), "hot", pubsub.Mark{Name: PartsMark, Expires: until}); err != nil {
						t.Fatal(err)
					}
				}
				later := time.Now().Add(30 * time.Second)
				h.expire(TopicPage+10-tt.live, later)
				n := 0
				for _, err := range h.s.Subscriptions(t.Context(), "hot", later) {
					if err != nil {
						t.Fatal(err)
					}
					n++
				}
				known := New(h.s.client, h.s.tables).partsUntil(t.Context(), "hot", later)
				if marked := known.After(later.Add(renewPartsAt)); n != tt.live || marked != tt.marked {
					t.Errorf("%d of %d subscriptions; parts until %v, marked: %t, want %t", n, tt.live, known, marked, tt.marked)
				}
			})
		})
	}
}

// A process marks a topic by the rate of its own rows. Times are virtual.
func TestAProcessMarksATopicByItsRate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		rows   int
		apart  time.Duration
		marked time.Duration // after it; -1 for never
	}{
		{"a thousand a second, over a hundred processes", 1000, 100 * time.Millisecond, 20 * time.Second},
		{"a third of that", 1000, 300 * time.Millisecond, time.Minute},
		{"a small topic of which all come at once", 20, 100 * time.Millisecond, -1},
		{"one of which all come again and again", 10 * manyRows, time.Second / 2, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			marks := 0
			bubble(t, localStore(t), func(string) (fault, string) {
				marks++
				return noFault, ""
			}, func(t *testing.T, s *Store) {
				s.LargeTopics = true
				begin, after := time.Now(), time.Duration(-1)
				for range tt.rows {
					time.Sleep(tt.apart)
					if s.noteListed(t.Context(), pubsub.Subscription{Topic: "t"}, runningItem{Topic: "t"}); marks > 0 {
						after = time.Since(begin)
						break
					}
				}
				if after != tt.marked {
					t.Errorf("it is marked after %v, want %v", after, tt.marked)
				}
			})
		})
	}
}

// The mark of a topic that is read is renewed while it is large, and only then.
func TestOnlyALargeTopicKeepsItsParts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		subscribers int
		left        time.Duration // of the mark
		renewed     bool
	}{
		{TopicPage, renewPartsAt - time.Minute, true},
		{TopicPage, renewPartsAt + time.Minute, false},
		{TopicPage - 1, renewPartsAt - time.Minute, false},
		{TopicPage - 1, time.Minute, false},
		{0, time.Minute, false},
	} {
		t.Run(fmt.Sprintf("%d, %v", tt.subscribers, tt.left), func(t *testing.T) {
			t.Parallel()
			h := newHot(t, tt.subscribers, false)
			h.s.LargeTopics = true
			still(t, h.s, func(t *testing.T, s *Store) {
				h.TB, h.s = t, s
				until := time.Now().Add(tt.left).Truncate(time.Second)
				if err := h.s.PutMark(t.Context(), "hot", pubsub.Mark{Name: PartsMark, Expires: until}); err != nil {
					t.Fatal(err)
				}
				h.event()
				var now time.Time
				marked := func(m pubsub.Mark) { now = m.Expires }
				for _, err := range h.s.MarkedSubscriptions(t.Context(), "hot", time.Now(), marked) {
					if err != nil {
						t.Fatal(err)
					}
				}
				if renewed := now.After(until); renewed != tt.renewed || now.Before(until) {
					t.Errorf("parts until %v, then until %v; renewed: %t, want %t", until, now, renewed, tt.renewed)
				}
			})
		})
	}
}

// Without the setting nothing is put into parts, even where there are some.
func TestNoRowIsPutIntoPartsWithoutTheSetting(t *testing.T) {
	t.Parallel()
	s := localStore(t)
	m := &members{t: t, s: s, topic: "t", there: map[string]bool{}}
	if err := markedNow(t.Context(), s, "t"); err != nil {
		t.Fatal(err)
	}
	for range 60 {
		m.join()
	}
	m.check(s, "then")
	for i := range topicParts {
		if n := countRows(t, s, partKey("t", i)); n > 0 {
			t.Errorf("part %d has %d rows", i, n)
		}
	}
}

// Before a rollback the setting is unset, and then docs/operations.md says to wait. Then the
// release before, which knows no parts, finds all who are there. Before that it would not.
func TestARollbackThatWaitsLosesNobody(t *testing.T) {
	t.Parallel()
	const wait = 150 * time.Minute // in docs/operations.md
	s, m := largeTopic(t, 0)
	older := func(at time.Time) (found int) {
		out, err := s.client.Query(t.Context(), &dynamodb.QueryInput{TableName: &s.tables.Subscriptions,
			KeyConditionExpression:   aws.String("topic = :topic AND subscriber BETWEEN :from AND :to"),
			FilterExpression:         aws.String("#ttl > :now"),
			ExpressionAttributeNames: map[string]string{"#ttl": "ttl"},
			ExpressionAttributeValues: attributes{":topic": text("t"), ":now": number(at.Unix()),
				":from": text("00"), ":to": text("ff$")}})
		if err != nil {
			t.Fatal(err)
		}
		return len(out.Items)
	}
	m.life = topology.ConnectionTTL // the longest
	for range 20 {
		m.join()
	}
	if n := older(time.Now()); n != 0 {
		t.Fatalf("the release before finds %d subscriptions in parts", n)
	}
	m.s = New(s.client, s.tables) // a process without the setting
	for range 10 {
		m.join()
	}
	m.life = wait + time.Hour // of those who come while it is waited
	for range 10 {
		m.join()
	}
	at := time.Now().Add(wait)
	all := 0
	for _, err := range s.Subscriptions(t.Context(), "t", at) {
		if err != nil {
			t.Fatal(err)
		}
		all++
	}
	if n := older(at); n != all || n != 10 {
		t.Errorf("the release before finds %d subscriptions, this one %d, of 10", n, all)
	}
	if n := older(time.Now()); n != 20 {
		t.Errorf("at once the release before finds %d subscriptions, want the 20 that are not in parts", n)
	}
}

// What cannot be found out or done about the layout costs only reads.
func TestALayoutThatCannotBeLearnedIsNoFault(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault{notApplied, applied} {
		s := localStore(t)
		s.LargeTopics = true
		if err := markedNow(t.Context(), s, "t"); err != nil {
			t.Fatal(err)
		}
		broken := failing(s, http.DefaultTransport, func(string) (fault, string) { return kind, denied })
		if until := broken.partsUntil(t.Context(), "t", time.Now()); !until.IsZero() {
			t.Errorf("it has parts until %v", until)
		}
		broken.noteRead(t.Context(), "u", time.Time{})
		m := &members{t: t, s: s, topic: "t", there: map[string]bool{}}
		m.join()
		m.check(s, "then")
	}
}

// The marks, and what is put under them: no row is in a part unless the mark lasts as long.
func TestARowIsInAPartOnlyIfTheMarkLastsAsLong(t *testing.T) {
	t.Parallel()
	s := New(newClient("http://127.0.0.1:1"), Tables{Subscriptions: "s"})
	s.LargeTopics = true
	until := time.Unix(2_000_000_000, 0)
	s.layouts.Add("t", layout{until: until, looked: time.Now()})
	s.layouts.Add("v", layout{looked: time.Now()})
	for _, tt := range []struct {
		topic   string
		union   []string
		expires time.Time
		want    int
	}{
		{"t", nil, until, 1},
		{"t", nil, until.Add(time.Second), 0},
		{"v", nil, until, 0},
		{"t", []string{"t", "v"}, until, 1},
		{"s", []string{"s", "t"}, until, 2},
		{pubsub.PresencePrefix + "t", nil, until, 0},
		{"", nil, until, 0},
	} {
		s.layouts.Add("s", layout{looked: time.Now()})
		got := s.inParts(t.Context(), pubsub.Subscription{Topic: tt.topic, Union: tt.union, Expires: tt.expires})
		if got != tt.want {
			t.Errorf("%q %q until %v: %b, want %b", tt.topic, tt.union, tt.expires, got, tt.want)
		}
	}
}

func TestTopicOfUndoesPartOf(t *testing.T) {
	t.Parallel()
	for _, topic := range []string{"t", "a/b", "parts", "", strings.Repeat("x", pubsub.MaxTopicBytes)} {
		seen := map[string]bool{}
		for i := range topicParts {
			key := partKey(topic, i)
			if TopicOf(key) != topic || pubsub.IsTopic(key) || len(key) > 2048 || seen[key] {
				t.Errorf("topic %.10q has part %.20q", topic, key)
			}
			seen[key] = true
		}
		if TopicOf(topic) != topic {
			t.Errorf("topic %.10q is of %.10q", topic, TopicOf(topic))
		}
	}
}

func FuzzTopicOf(f *testing.F) {
	f.Add("parts/0/t")
	f.Add("parts//")
	f.Fuzz(func(t *testing.T, key string) {
		if topic := TopicOf(key); topic != key && !strings.HasSuffix(key, "/"+topic) {
			t.Errorf("%q is of %q", key, topic)
		}
	})
}

// ofSize are rows that take n times rowBytes.
func ofSize(n int) []topicRow { return make([]topicRow, n) }

func TestKeptRowsStayWithinTheirBound(t *testing.T) {
	t.Parallel()
	const room = 2*topicBytes + 10*rowBytes
	k := newKeptRows(room)
	k.put("a", 0, 5, ofSize(4))
	k.put("b", 0, 5, ofSize(4))
	k.put("a", 1, 5, ofSize(1))
	if !k.has("b", 0, 5) || !k.has("a", 0, 5) || k.has("b", 1, 5) || k.has("a", 0, 6) || k.has("a", 0, neverKept) {
		t.Error("a bucket is not kept, or with another count")
	}
	check := func(when string, rows int) {
		t.Helper()
		if want := k.topics.Len()*topicBytes + rows*rowBytes; k.bytes != want {
			t.Errorf("%s %d bytes are kept, want %d", when, k.bytes, want)
		}
	}
	k.put("a", 2, 5, ofSize(3))
	if k.has("b", 0, 5) || !k.has("a", 0, 5) || !k.has("a", 2, 5) {
		t.Error("what was used last has gone, or what was not has stayed")
	}
	check("without b", 8)
	tooMany := (room - topicBytes) / rowBytes
	k.put("a", 3, 5, ofSize(tooMany))
	if k.has("a", 3, 5) {
		t.Error("more is kept than there is room for")
	}
	check("without more than there is room for", 8)
	k.put("b", 0, 5, ofSize(tooMany+1))
	if k.has("b", 0, 5) || !k.has("a", 0, 5) {
		t.Error("a topic has gone for one that has no room at all")
	}
	k.put("a", 0, 4, ofSize(1)) // read before, and late
	if !k.has("a", 0, 5) {
		t.Error("an earlier count has replaced a later one")
	}
	k.put("a", 0, 6, ofSize(6))
	if !k.has("a", 0, 6) {
		t.Error("a later count has not replaced an earlier one")
	}
	check("with a later count", 10)
	k.put("a", 0, 7, ofSize(0))
	if rows, ok := k.get("a", 0, 7); !ok || len(rows) != 0 {
		t.Error("an empty bucket is not kept")
	}
	check("with an empty bucket", 4)
	k.put("c", 0, neverKept, ofSize(1))
	check("with a count that cannot be read", 4)
	if k.has("a", 5, 0) || k.has("b", 5, 0) {
		t.Error("a bucket without a count is kept though nobody has read it")
	}
	k.put("a", 0, 0, ofSize(2)) // the count is lost
	if k.has("a", 0, 7) || !k.has("a", 0, 0) {
		t.Error("what was read without a count is not kept")
	}
	k.put("a", 0, 6, ofSize(3)) // and begins anew
	if k.has("a", 0, 0) || !k.has("a", 0, 6) {
		t.Error("a count that begins anew is not kept")
	}
	check("with a count that was lost", 7)
}

// Nobody knows whether a bucket without a count is empty, or its head was lost before its first
// row came. So it is read again after a while.
func TestABucketWithoutACountIsSoonReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newKeptRows(keptBytes)
		k.put("t", 0, 0, ofSize(0))
		k.put("t", 1, 1, ofSize(1))
		if !k.has("t", 0, 0) || !k.has("t", 1, 1) {
			t.Error("they are not kept")
		}
		time.Sleep(emptyFor + time.Millisecond)
		if k.has("t", 0, 0) || !k.has("t", 1, 1) {
			t.Error("the bucket without a count is kept, or the other is not")
		}
	})
}

// Topics go in the order of their last use, whether that was to read them or to keep them.
func TestKeptTopicsGoInTheOrderOfTheirUse(t *testing.T) {
	t.Parallel()
	const room = 4
	k := newKeptRows(room * (topicBytes + rowBytes))
	for _, topic := range []string{"a", "b", "c", "d"} {
		k.put(topic, 0, 5, ofSize(1))
	}
	k.get("a", 0, 5)
	k.put("b", 0, 6, ofSize(1))
	for _, tt := range []struct{ comes, goes string }{{"e", "c"}, {"f", "d"}, {"g", "a"}, {"h", "b"}, {"i", "e"}} {
		k.put(tt.comes, 0, 5, ofSize(1))
		if k.topics.Contains(tt.goes) || !k.topics.Contains(tt.comes) || k.topics.Len() != room {
			t.Errorf("when %s has come there are %q, with no room for %s", tt.comes, k.topics.Keys(), tt.goes)
		}
	}
}

// Topics that have no rows, such as those of which all have left, take their buckets.
func TestTopicsWithoutRowsStayWithinTheBound(t *testing.T) {
	t.Parallel()
	k := newKeptRows(keptBytes)
	const topics = 20_000
	for i := range topics {
		k.put(fmt.Sprint("t", i), i%pubsub.Buckets, 5, ofSize(0))
	}
	size := int(reflect.TypeFor[keptTopic]().Size())
	if n := k.topics.Len(); n*size > keptBytes || k.bytes > keptBytes || k.bytes != n*topicBytes {
		t.Errorf("%d topics of %d bytes are kept, counted as %d bytes", n, size, k.bytes)
	}
	if !k.has(fmt.Sprint("t", topics-1), (topics-1)%pubsub.Buckets, 5) || k.topics.Contains("t0") {
		t.Error("the last is not kept, or the first still is")
	}
	k.put("large", 0, 5, ofSize(100_000)) // they make room for rows
	if !k.has("large", 0, 5) || k.bytes > keptBytes {
		t.Errorf("with rows %d bytes are kept", k.bytes)
	}
}

// What docs/operations.md says of large topics in numbers.
func TestTheDocumentHasTheNumbersOfLargeTopics(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprintf("over %d partition keys", topicParts),
		fmt.Sprintf("one process lists %d subscriptions of it within a minute, or when `stream` finds %d,%03d,",
			manyRows, TopicPage/1000, TopicPage%1000),
		fmt.Sprintf("for %s to %s after it was last, at %d read units", hours(renewPartsAt), hours(partsFor), topicParts+1),
		fmt.Sprintf("keeps %d MB of them", keptBytes>>20),
		fmt.Sprintf("or %d,%d00 topics without any.", keptBytes/topicBytes/1000, keptBytes/topicBytes/100%10),
		fmt.Sprintf("at the latest after %.0f seconds", emptyFor.Seconds()),
	} {
		if !strings.Contains(string(page), text) {
			t.Errorf("docs/operations.md does not say %q", text)
		}
	}
}

func hours(d time.Duration) string { return fmt.Sprintf("%g hours", d.Hours()) }

// Rows count for at least what they allocate.
func TestKeptRowsCountAsWhatTheyTake(t *testing.T) {
	t.Parallel()
	if size := int(reflect.TypeFor[keptTopic]().Size()); topicBytes < size+size/8+pubsub.MaxTopicBytes {
		t.Errorf("a topic of %d bytes counts as %d", size, topicBytes)
	}
	plain := pubsub.Subscription{OperationID: "1"}
	with := func(change func(*pubsub.Subscription)) topicRow {
		row := topicRow{"01#c#1", plain}
		change(&row.Subscription)
		return row
	}
	const long = 5000
	text := strings.Repeat("x", long)
	none := with(func(*pubsub.Subscription) {})
	one := bytesOf([]topicRow{none})
	if size := int(reflect.TypeFor[topicRow]().Size()); one < size+size/16+len(none.key) {
		t.Errorf("a row of %d bytes and its key count as %d", size, one)
	}
	filtered := with(func(s *pubsub.Subscription) { s.Filter = text })
	union := with(func(s *pubsub.Subscription) { s.Union = []string{text, text} })
	for name, tt := range map[string]struct {
		rows []topicRow
		want int
	}{
		"claims":             {[]topicRow{with(func(s *pubsub.Subscription) { s.Viewer.Claims = text })}, one + long},
		"a viewer":           {[]topicRow{with(func(s *pubsub.Subscription) { s.Viewer.ID = text })}, one + long},
		"a long id":          {[]topicRow{with(func(s *pubsub.Subscription) { s.OperationID = text })}, one + long},
		"a union":            {[]topicRow{union}, one + 2*(long+stringBytes)},
		"a filter":           {[]topicRow{filtered}, one + long},
		"one filter of many": {[]topicRow{filtered, filtered, filtered}, 3*one + long},
		"several filters":    {[]topicRow{filtered, none, filtered}, 3*one + 2*long},
	} {
		if got := bytesOf(tt.rows); got != tt.want {
			t.Errorf("%s: %d bytes, want %d", name, got, tt.want)
		}
	}
}

// What is kept of a read does not hold on to the rest of it.
func TestABucketIsKeptAlone(t *testing.T) {
	t.Parallel()
	s := New(newClient("http://127.0.0.1:1"), Tables{Subscriptions: "s"})
	byBucket := map[int][]topicRow{}
	for i := 0; len(byBucket[0]) < 2 || len(byBucket[1]) < 2; i++ {
		id := fmt.Sprint("c", i)
		byBucket[pubsub.Bucket(id)] = append(byBucket[pubsub.Bucket(id)], topicRow{id, pubsub.Subscription{ConnectionID: id}})
	}
	read := slices.Concat(byBucket[0], byBucket[1])
	whole := weak.Make(&read[0])
	s.keep("t", span{0, 3, nil}, [pubsub.Buckets]int64{5, 5, 5}, read) // the last is empty
	clear(read)
	if read = nil; s.kept.has("t", 2, 5) {
		runtime.GC()
	}
	if whole.Value() != nil {
		t.Error("all that was read stays in memory")
	}
	for bucket := range 2 {
		rows, ok := s.kept.get("t", bucket, 5)
		same := func(a, b topicRow) bool { return a.key == b.key && a.ConnectionID == b.ConnectionID }
		if !ok || !slices.EqualFunc(rows, byBucket[bucket], same) {
			t.Errorf("bucket %d is kept as %+v", bucket, rows)
		}
	}
}

// An operation whose row was left behind elsewhere is listed once, as it is now.
func TestAnOperationInBothPlacesIsListedOnce(t *testing.T) {
	t.Parallel()
	row := func(key string, at int) *topicRow {
		return &topicRow{key, pubsub.Subscription{OperationID: key, At: time.UnixMilli(int64(at))}}
	}
	got := merged([]*topicRow{row("a", 1), row("b", 1), row("c", 3)}, []*topicRow{row("b", 2), row("c", 2), row("d", 1)})
	var list []string
	for _, r := range got {
		list = append(list, fmt.Sprint(r.key, r.At.UnixMilli()))
	}
	if want := []string{"a1", "b2", "c3", "d1"}; !slices.Equal(list, want) {
		t.Errorf("got %q", list)
	}
}

func TestAReadOfATopicWithPartsEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s, _ := largeTopic(t, 30)
	for step := 1; step <= 10; step++ {
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		requests := 0
		reader := failing(s, http.DefaultTransport, func(string) (fault, string) {
			mu.Lock()
			defer mu.Unlock()
			if requests++; requests == step {
				cancel()
			}
			return noFault, ""
		})
		n := 0
		var failed error
		for _, err := range reader.Subscriptions(ctx, "t", time.Now()) {
			if failed = err; err == nil {
				n++
			}
		}
		if cancel(); n < 30 && !errors.Is(failed, context.Canceled) {
			t.Errorf("request %d: %d subscriptions, then %v", step, n, failed)
		}
	}
}

// Whoever finds a connection gone ends it within two seconds, or tries again later: see
// endTime in package delivery. A client may have a subscription for each of a thousand large
// topics.
func TestAConnectionInManyPartsEndsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := dynamodb.Options{Region: "us-east-1", HTTPClient: distant(5 * time.Millisecond)}
		s := New(dynamodb.New(far), Tables{})
		operations := map[string]runningItem{}
		for i := range 100 {
			r := runningItem{Parts: 1<<pubsub.MaxTopics - 1}
			for n := range pubsub.MaxTopics {
				r.Union = append(r.Union, fmt.Sprint("t", i, "/", n))
			}
			r.Topic = r.Union[0]
			operations[fmt.Sprint(i)] = r
		}
		begun := time.Now()
		if err := s.deleteAllRows(t.Context(), "c", operations); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// distant is a server that answers anything after that time.
type distant time.Duration

func (d distant) Do(r *http.Request) (*http.Response, error) {
	time.Sleep(time.Duration(d))
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(ok)),
		Request: r}, nil
}

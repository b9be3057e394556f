package session_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/connection"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
)

// bill notes who pays what.
type bill map[string]int

func (b bill) Spend(_ context.Context, payer string, _ time.Time, units int) (int, error) {
	b[payer] += units
	return b[payer], nil
}

// allowing makes the bench draw from an allowance that counts every draw, as if a unit
// were a sample.
func (b *bench) allowing(perMinute int) bill {
	paid := bill{}
	b.Allowance = &allowance.Allowance{Store: paid, PerMinute: perMinute, Chance: func() float64 { return 0 },
		Now: func() time.Time { return time.Date(2026, 11, 28, 12, 0, 18, 0, time.UTC) }}
	return paid
}

const spentError = `","type":"error","payload":[{"message":"What may be asked for in a minute is spent; try again in 42 seconds.","extensions":{"code":"LIMIT_EXCEEDED"}}]}`

// Every draw counts as 60 units at first, so four draws are within the allowance.
// Beyond it a subscribe, which is two draws, is refused, and then the connection.
func TestAnAddressThatSpendsTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		send   []string
		want   []string
		closed bool
	}{
		"Within":      {[]string{initFrame, subscribe("1", "subscription"), `{"type":"ping"}`}, []string{ackFrame, `{"type":"pong"}`}, false},
		"Beyond":      {[]string{initFrame, subscribe("1", "subscription"), subscribe("2", "subscription")}, []string{ackFrame, `{"id":"2` + spentError}, false},
		"AQuery":      {[]string{initFrame, subscribe("1", "query"), subscribe("2", "query")}, []string{ackFrame, `{"id":"1","type":"next","payload":{"data":{}}}`, `{"id":"1","type":"complete"}`, `{"id":"2` + spentError}, false},
		"PingsGoOn":   {[]string{initFrame, subscribe("1", "subscription"), subscribe("2", "subscription"), `{"type":"ping"}`}, []string{ackFrame, `{"id":"2` + spentError, `{"type":"pong"}`}, false},
		"AndStops":    {[]string{initFrame, subscribe("1", "subscription"), subscribe("2", "subscription"), `{"type":"complete","id":"1"}`}, []string{ackFrame, `{"id":"2` + spentError}, false},
		"WhoGoesOnIs": {append([]string{initFrame, subscribe("1", "subscription"), subscribe("2", "subscription")}, many(`{"type":"pong"}`, 60)...), []string{ackFrame, `{"id":"2` + spentError, connectionError("4429", "Allowance spent")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.allowing(290)
			for _, frame := range tc.send {
				m := b.frame(frame)
				m.Address = "192.0.2.1"
				if err := b.Receive(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				if len(b.gateway.Frames("c")) == len(tc.want) && tc.closed && frame == `{"type":"pong"}` {
					break // it is closed
				}
			}
			b.check(t, tc.want, tc.closed)
		})
	}
}

func many(frame string, n int) (frames []string) {
	for range n {
		frames = append(frames, frame)
	}
	return frames
}

// A viewer with a token pays for its operations from every address.
func TestAViewerPaysForItsOperations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Auth = tokens{life: time.Hour}
	b.Checks = &checks{}
	paid := b.allowing(1_000_000)
	for i, frame := range []string{`{"type":"connection_init","payload":{"authorization":"ada"}}`, subscribe("1", "subscription"), subscribe("2", "query")} {
		m := b.frame(frame)
		m.Address = []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}[i]
		if err := b.Receive(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if paid["viewer/ada"] != 3*60 || paid["address/192.0.2.1/32"] != 2*60 || paid["address/192.0.2.2/32"] != 2*60 || paid["address/192.0.2.3/32"] != 3*60 {
		t.Errorf("paid is %v", paid)
	}
}

// laden is a store with a large connection, which remembers a complete of the id
// "2" that came a minute later.
type laden struct {
	*memory.Store
	bytes int
	late  time.Time
	looks []string // ids of operations that were subscribed with LookFirst
}

func (l *laden) Connection(ctx context.Context, id string) (pubsub.Connection, error) {
	c, err := l.Store.Connection(ctx, id)
	c.Bytes, c.Completed = l.bytes, map[string]time.Time{"2": l.late}
	return c, err
}

func (l *laden) PutSubscription(ctx context.Context, sub pubsub.Subscription, op pubsub.Operation, by pubsub.Sent, max int) error {
	if sub.LookFirst {
		l.looks = append(l.looks, sub.OperationID)
	}
	return l.Store.PutSubscription(ctx, sub, op, by, max)
}

// A message on a large connection reads and writes all of it.
func TestALargeConnectionIsPaidFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		bytes, subscribe, complete int
	}{
		// Each draw counts as at least 60 units.
		"Small": {1000, 60 + 60, 60},
		"Large": {200 << 10, 60 + 60 + 269, 60 + 60 + 132}, // a look is 6.25, a write with its look 131.25
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			l := &laden{Store: b.store, bytes: tc.bytes, late: b.start.Add(time.Minute)}
			b.Connections, b.Operations = l, l
			if err := b.send(t.Context(), initFrame); err != nil {
				t.Fatal(err)
			}
			paid, before := b.allowing(1_000_000), 0
			for _, step := range []struct {
				frame string
				want  int
			}{{subscribe("1", "subscription"), tc.subscribe}, {`{"type":"complete","id":"1"}`, tc.complete}, {subscribe("2", "subscription"), tc.subscribe}} {
				if err := b.send(t.Context(), step.frame); err != nil {
					t.Fatal(err)
				}
				if sum := paid["address/"]; sum-before != step.want {
					t.Errorf("%s is %d units, want %d", step.frame, sum-before, step.want)
				}
				before = paid["address/"]
			}
			if strings.Join(l.looks, " ") != "2" {
				t.Errorf("looked first for %q", l.looks)
			}
		})
	}
}

// A replay is drawn before it is posted.
func TestAReplayIsPaidFor(t *testing.T) {
	t.Parallel()
	large := pubsub.Event{ID: "1", Root: json.RawMessage(`"` + string(make([]byte, 100<<10)) + `"`)}
	for name, tc := range map[string]struct {
		perMinute int
		want      []string
	}{
		"Within": {10_000, []string{ackFrame, `{"id":"1","type":"next","payload":"1"}`}},
		"Beyond": {180, []string{ackFrame, `{"id":"1` + spentError}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.Executor = &history{log: []pubsub.Event{large}}
			b.allowing(tc.perMinute)
			if err := b.send(t.Context(), initFrame, subscribe("1", "x")); err != nil {
				t.Fatal(err)
			}
			b.check(t, tc.want, false)
		})
	}
}

// Every page is drawn, even one with nothing new, and every frame before the first is
// posted. Once the allowance is spent, no page is read.
func TestAReplayIsPaidForPageByPage(t *testing.T) {
	t.Parallel()
	const page = 1000 // units
	for name, tc := range map[string]struct {
		perMinute, pages, frames int
	}{
		"Within": {1_000_000, 6, 60}, // two pages for each of three reads
		"Beyond": {900, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &history{log: events(1, 60)}
			b := resumable(t, h)
			h.page = func(ctx context.Context) { allowance.Add(ctx, page) }
			paid := b.allowing(tc.perMinute)
			if err := b.send(t.Context(), subscribe("1", "x")); err != nil {
				t.Fatal(err)
			}
			ids, _ := b.replayed()
			if h.pages != tc.pages || len(ids) != tc.frames {
				t.Errorf("%d pages were read, %d frames were posted", h.pages, len(ids))
			}
			// The subscribe's frame and its operation count as 60 units each, a page as
			// at least its units and its frames.
			least := 2*60 + tc.pages*page + tc.frames
			if got := paid["address/"]; got < least || got > least+100 {
				t.Errorf("paid %d, want %d", got, least)
			}
		})
	}
}

// Behind CloudFront the address that opened the socket pays. It is looked up once, even
// for what reads nothing else. Until the store says, the connection pays.
func TestBehindTheEdgeWhoOpenedTheSocketPays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kept  string
		fault memory.Fault
		want  string
		reads int
	}{
		"Kept":          {"198.51.100.7", memory.NoFault, "address/198.51.100.7/32", 1},
		"NotKept":       {"", memory.NoFault, "address/edge", 2}, // by an older release
		"StoreIsSilent": {"198.51.100.7", memory.NotApplied, "address/edge", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				b.gateway.Open("edge")
				err := b.store.PutConnection(t.Context(), pubsub.Connection{ID: "edge", Address: tc.kept,
					InitDeadline: time.Now().Add(time.Minute), Expires: time.Now().Add(time.Hour)})
				if err != nil {
					t.Fatal(err)
				}
				reads := 0
				b.store.Fault = func(method string) memory.Fault {
					if method == "Connection" {
						reads++
					}
					return tc.fault
				}
				paid := b.allowing(1_000_000)
				b.BehindEdge = true
				for range 2 {
					m := b.frame(`{"type":"ping"}`)
					m.ConnectionID, m.Address = "edge", "192.0.2.1"
					if err := b.Receive(t.Context(), m); err != nil {
						t.Fatal(err)
					}
				}
				if len(paid) != 1 || paid[tc.want] != 2*60 {
					t.Errorf("paid is %v", paid)
				}
				if tc.reads > 0 && reads != tc.reads {
					t.Errorf("%d reads, want %d", reads, tc.reads)
				}
			})
		})
	}
}

// A bound on connections is paid for where there is one.
func TestToBeCountedHasItsPrice(t *testing.T) {
	t.Parallel()
	for max, draws := range map[int]int{0: 0, 5: 1} {
		b, queue := guarded(t, time.Hour)
		b.MaxConnections = max
		initPaid := b.allowing(1_000_000)
		b.Allowance.Chance = func() float64 { return 0.1 } // 6 units
		handshakePaid := bill{}
		c := connection.Connector{Connections: b.store, Checks: queue, Origins: []string{"*"}, MaxConnections: max, TTL: time.Hour,
			Allowance: &allowance.Allowance{Store: handshakePaid, PerMinute: 1_000_000, Chance: func() float64 { return 0.15 }}} // 9
		status, err := c.Connect(t.Context(), connection.Handshake{ConnectionID: "d", At: b.start, Subprotocols: "graphql-transport-ws"})
		if status != http.StatusOK || err != nil {
			t.Fatal(status, err)
		}
		if err := b.send(t.Context(), initWith(`{"Authorization":"Bearer ada"}`)); err != nil {
			t.Fatal(err)
		}
		for what, paid := range map[string]bill{"init": initPaid, "handshake": handshakePaid} {
			if len(paid) != draws {
				t.Errorf("with a bound of %d, for the %s is paid %v", max, what, paid)
			}
		}
	}
}

// A draw is counted when it is above chance × 60 units, so the counted frames tell what
// they cost.
func TestFramesHaveTheirPrices(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		frame string
		draws int // of more than 3.6 units
	}{
		"Pong":           {`{"type":"pong"}`, 0},
		"Ping":           {`{"type":"ping"}`, 0},
		"LargePing":      {`{"type":"ping","payload":{"a":"` + strings.Repeat("x", 30_000) + `"}}`, 1},
		"Complete":       {`{"type":"complete","id":"1"}`, 1},
		"Subscribe":      {subscribe("1", "subscription"), 1},
		"Query":          {subscribe("1", "query"), 1},
		"SecondInit":     {initFrame, 2}, // and the end of the connection
		"Nonsense":       {`nonsense`, 1},
		"SeveralFrames":  {`{"type":"pong","x":"` + strings.Repeat("x", 100_000) + `"}`, 1},
		"UnknownMessage": {`{"type":"unknown"}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			if err := b.send(t.Context(), initFrame); err != nil {
				t.Fatal(err)
			}
			paid := b.allowing(1_000_000)
			b.Allowance.Chance = func() float64 { return 0.06 }
			if err := b.send(t.Context(), tc.frame); err != nil {
				t.Fatal(err)
			}
			if got := paid["address/"]; got != 60*tc.draws {
				t.Errorf("paid %d, want %d draws", got, tc.draws)
			}
		})
	}
}

// A subscribe without room is looked at again and again, but pays once: for its frame,
// for itself and for the time that it waited.
func TestNoRoomIsPaidForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		err := b.send(t.Context(), initFrame, subscribe("1", "subscription"), subscribe("2", "subscription"),
			subscribe("3", "subscription"))
		if err != nil {
			t.Fatal(err)
		}
		paid := b.allowing(1_000_000) // a draw is 60
		if err := b.send(t.Context(), subscribe("4", "subscription")); err != nil {
			t.Fatal(err)
		}
		if paid["address/"] != 3*60 {
			t.Errorf("%d draws for an operation that never began", paid["address/"]/60)
		}
	})
}

// beginning is an executor whose subscriptions read something when they begin.
type beginning struct{ executor }

func (b beginning) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	x, err := b.executor.Prepare(op)
	x.Begin = func(ctx context.Context, _ pubsub.Viewer) error {
		allowance.Add(ctx, 10_000)
		return nil
	}
	return x, err
}

// A client that subscribes over and over makes Begin read, even if it is refused.
func TestWhatBeginReadsIsPaidFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Executor = beginning{}
	paid := b.allowing(1_000_000)
	for _, frame := range []string{initFrame, subscribe("1", "subscription")} {
		if err := b.Receive(t.Context(), b.frame(frame)); err != nil {
			t.Fatal(err)
		}
	}
	most := 0
	for _, units := range paid {
		most = max(most, units)
	}
	if most < 10_000 {
		t.Errorf("paid is %v", paid)
	}
}

// unseen is a subscription with a state that costs 700 units to read and does not pass.
type unseen struct{ cost float64 }

func (u unseen) Prepare(pubsub.Operation) (pubsub.Executable, error) {
	return pubsub.Executable{Kind: pubsub.KindSubscription, Topic: "t",
		Current: func(ctx context.Context) (*pubsub.Event, error) {
			allowance.Add(ctx, u.cost)
			return &pubsub.Event{ID: "1", Topic: "t"}, nil
		},
		Passes: func(pubsub.Viewer, *pubsub.Event) bool { return false },
	}, nil
}

// Who gets nothing of a state has had it read all the same.
func TestAStateThatDoesNotPassIsPaidFor(t *testing.T) {
	t.Parallel()
	sums := map[float64]int{}
	for _, cost := range []float64{0, 700} {
		b := setup(t)
		b.Executor = unseen{cost}
		paid := b.allowing(1_000_000)
		for _, frame := range []string{initFrame, subscribe("1", "subscription")} {
			m := b.frame(frame)
			m.Address = "192.0.2.1"
			if err := b.Receive(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		for _, units := range paid {
			sums[cost] += units
		}
	}
	if more := sums[700] - sums[0]; more < 700 {
		t.Errorf("the read cost %d units more", more)
	}
}

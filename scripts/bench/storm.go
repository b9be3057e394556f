package main

import (
	"container/heap"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"time"

	"subwire/scripts/bench/report"
	"subwire/shared/topology"
)

// storm is many clients that lose their sockets at once and connect again.
type storm struct {
	clients  int
	connects float64 // that the account takes per second
}

const (
	stormTitle = "Seconds until that share of clients has a socket again, by how they wait"
	herdTitle  = "Clients whose sockets began at the same moment, when these end"
)

func stormCommand() command {
	const about = "in virtual time: how long clients that all lost their sockets take to connect again"
	return command{"storm", about, func(flags *flag.FlagSet) measure {
		s := &storm{}
		flags.IntVar(&s.clients, "clients", 100_000, "that lose their sockets at once")
		flags.Float64Var(&s.connects, "connects", 500, "per second, the quota of the account, which is also the burst")
		return s.measure
	}}
}

// wait is how long a client waits before it connects, after that many attempts.
type wait func(random *rand.Rand, attempts int) time.Duration

// recommended is the wait of docs/clients.md: 1 s, doubled each time up to 30 s, less
// up to half of it at random.
func recommended(random *rand.Rand, attempts int) time.Duration {
	wait := min(time.Second<<min(attempts, 5), 30*time.Second)
	return wait - time.Duration(random.Int64N(int64(wait/2)))
}

// graphQLWS is the default of the npm package graphql-ws ("retryWait" in its
// ClientOptions): 2^attempts seconds, without a maximum, plus 0.3 to 3 s.
func graphQLWS(random *rand.Rand, attempts int) time.Duration {
	wait := time.Second<<min(attempts, 20) + 300*time.Millisecond
	return wait + time.Duration(random.Int64N(int64(2700*time.Millisecond)))
}

func (s *storm) measure(_ context.Context, in input) (report.Report, error) {
	if s.clients < 1 || s.connects < 1 {
		return report.Report{}, errors.New("-clients and -connects must be 1 or more")
	}
	t := report.Table{Title: stormTitle, Key: "percent",
		Columns: []string{"as docs/clients.md says", "as graphql-ws does by default"}}
	var columns [][]time.Duration
	for _, w := range []wait{recommended, graphQLWS} {
		columns = append(columns, s.run(w, in.seed))
	}
	for _, percent := range []int{1, 10, 50, 90, 99, 100} {
		var values []float64
		for _, back := range columns {
			values = append(values, back[max(1, (len(back)*percent+99)/100)-1].Seconds())
		}
		t.Rows = append(t.Rows, report.NewRow(fmt.Sprint(percent), values...))
	}
	return report.Report{
		Settings: report.Settings("clients", s.clients, "connects", s.connects, "seed", in.seed),
		Tables:   []report.Table{t, s.herd(in.seed)},
		Notes: []string{"Only the quota of new sockets is simulated, by a token bucket. " +
			"A client that is refused waits and tries again; the others have their socket at once.",
			"Cut after 2 hours: each first waits as docs/clients.md says. Left before: at a moment of its own from 100 to 115 " +
				"minutes, without a wait. Refused are attempts; longest without is how long the slowest client had no socket."},
		Plot: &report.Plot{Title: stormTitle, Table: stormTitle, Columns: t.Columns, Y: "s", LogY: true},
	}, nil
}

// herd compares sockets that the gateway cuts with sockets that their clients leave.
func (s *storm) herd(seed uint64) report.Table {
	t := report.Table{Title: herdTitle, Key: "sockets",
		Columns: []string{"attempts/s, at most", "refused", "longest without, s"}}
	for _, end := range []struct {
		label string
		lose  func(*rand.Rand) attempt
	}{
		{"cut after 2 hours", together},
		{"left before", leaving},
	} {
		back, most := s.simulate(end.lose, recommended, seed)
		refused, longest := 0, time.Duration(0)
		for _, b := range back {
			refused += b.number - 1
			longest = max(longest, b.at-b.lost)
		}
		t.Rows = append(t.Rows, report.NewRow(end.label, float64(most), float64(refused), longest.Seconds()))
	}
	return t
}

// together is the first attempt of a client whose socket ends when all others do.
func together(random *rand.Rand) attempt { return attempt{at: recommended(random, 0), number: 1} }

// leaving is that of a client that leaves its socket as shared/js/resume.mjs does, from 100
// to 115 minutes after it began, and connects at once.
func leaving(random *rand.Rand) attempt {
	at := topology.ConnectionLimit*5/6 + time.Duration(random.Int64N(int64(topology.ConnectionLimit/8)))
	return attempt{lost: at, at: at, number: 1}
}

// attempt is a client's next attempt to connect.
type attempt struct {
	lost   time.Duration // when it lost its socket
	at     time.Duration
	number int
}

// attempts are a heap, the earliest first.
type attempts []attempt

func (a attempts) Len() int           { return len(a) }
func (a attempts) Less(i, j int) bool { return a[i].at < a[j].at }
func (a attempts) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *attempts) Push(x any)        { *a = append(*a, x.(attempt)) }
func (a *attempts) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}

// run returns when each client has a socket, in ascending order, if all lose theirs at
// once and wait like that.
func (s *storm) run(w wait, seed uint64) (back []time.Duration) {
	got, _ := s.simulate(func(random *rand.Rand) attempt { return attempt{at: w(random, 0), number: 1} }, w, seed)
	for _, b := range got {
		back = append(back, b.at)
	}
	return back
}

// simulate returns the attempts that got a socket, in the order of time, and how many
// attempts there were in one second at most. lose is each client's first attempt, and w
// how long it waits for the next.
func (s *storm) simulate(lose func(*rand.Rand) attempt, w wait, seed uint64) (back []attempt, most int) {
	random := rand.New(rand.NewPCG(seed, 0))
	waiting := &attempts{}
	for range s.clients {
		heap.Push(waiting, lose(random))
	}
	tokens, filled := s.connects, time.Duration(0)
	second, tried := time.Duration(0), 0
	for waiting.Len() > 0 {
		next := heap.Pop(waiting).(attempt)
		if at := next.at.Truncate(time.Second); at != second {
			second, tried = at, 0
		}
		tried++
		most = max(most, tried)
		tokens = min(s.connects, tokens+(next.at-filled).Seconds()*s.connects)
		filled = next.at
		if tokens >= 1 {
			tokens--
			back = append(back, next)
			continue
		}
		heap.Push(waiting, attempt{next.lost, next.at + w(random, next.number), next.number + 1})
	}
	return back, most
}

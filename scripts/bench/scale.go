package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"subwire/scripts/bench/report"
	"subwire/scripts/bench/sim"
)

// scaling holds the flags of bench scale.
type scaling struct {
	root        string
	subscribers int
	chats       int
	members     int
	rate        float64
	duration    time.Duration
	clients     int
	times       sim.Times
	check       numbers
}

func scaleCommand() command {
	return command{"scale", "a simulation of AWS: a topic, chats or a reconnect storm beyond this machine, and the limits met", func(flags *flag.FlagSet) measure {
		s := &scaling{}
		flags.StringVar(&s.root, "root", ".", "`folder` of the repository, for -check")
		flags.IntVar(&s.subscribers, "subscribers", 1_000_000, "of the one topic")
		flags.IntVar(&s.chats, "chats", 100_000, "that are written to at random")
		flags.IntVar(&s.members, "members", 10, "subscribers of each chat")
		flags.Float64Var(&s.rate, "rate", 500, "messages per second, over all chats")
		flags.DurationVar(&s.duration, "duration", 30*time.Second, "of these messages")
		flags.IntVar(&s.clients, "clients", 100_000, "that lose their sockets at once")
		serviceTimes(flags, &s.times.GraphQL, &s.times.Row, &s.times.Sender, &s.times.Post, &s.times.PostCPU)
		flags.DurationVar(&s.times.Poll, "poll", 250*time.Millisecond, "between two reads of a stream that find nothing")
		flags.DurationVar(&s.times.Stream, "stream", 10*time.Millisecond, "one stream record, beside its rows")
		flags.DurationVar(&s.times.Send, "send", 8*time.Millisecond, "one request to SQS")
		flags.DurationVar(&s.times.Receive, "receive", 10*time.Millisecond, "from a message in the queue to its invocation")
		flags.DurationVar(&s.times.Message, "message", 15*time.Millisecond, "one invocation for a message or $connect")
		flags.Var(&s.check, "check", "`LIST` of three or more numbers of subscribers to run the local cloud with: the first two calibrate, the rest is compared")
		return s.measure
	}}
}

type scenario struct {
	title string
	run   func(sim.Quotas) sim.Result
}

func (s *scaling) scenarios(seed uint64) []scenario {
	fanOut := func(messages []sim.Message) func(sim.Quotas) sim.Result {
		return func(q sim.Quotas) sim.Result {
			return sim.FanOut(sim.Config{Quotas: q, Times: s.times, Seed: seed}, messages)
		}
	}
	storm := func(wait sim.Wait) func(sim.Quotas) sim.Result {
		return func(q sim.Quotas) sim.Result {
			return sim.Reconnect(sim.Config{Quotas: q, Times: s.times, Seed: seed}, sim.Storm{Clients: s.clients, Topics: 1, Wait: wait})
		}
	}
	var chats []sim.Message
	random := rand.New(rand.NewPCG(seed, 2))
	for _, at := range schedule(s.rate, s.duration, seed) {
		chats = append(chats, sim.Message{At: at, Topic: random.IntN(s.chats), Subscribers: s.members})
	}
	return []scenario{
		{fmt.Sprintf("One topic of %s subscribers", report.Format(float64(s.subscribers))), fanOut([]sim.Message{{Subscribers: s.subscribers}})},
		{fmt.Sprintf("%s chats of %d, %s messages/s for %v", report.Format(float64(s.chats)), s.members, report.Format(s.rate), s.duration), fanOut(chats)},
		{fmt.Sprintf("%s clients of one topic come back, as docs/clients.md says", report.Format(float64(s.clients))), storm(sim.Recommended)},
		{fmt.Sprintf("%s clients of one topic come back, as graphql-ws does by default", report.Format(float64(s.clients))), storm(sim.GraphQLWS)},
	}
}

// raise is a limit that somebody can raise.
type raise struct {
	limit string // without hits nothing needs raising
	do    func(*sim.Quotas) (what string)
}

func raises() []raise {
	return []raise{
		{sim.RequestLimit, func(q *sim.Quotas) string { q.Requests *= 10; return "requests " + report.Format(q.Requests) + "/s" }},
		{sim.ConnectLimit, func(q *sim.Quotas) string { q.Connects *= 10; return "connects " + report.Format(q.Connects) + "/s" }},
		{sim.GroupLimit, func(q *sim.Quotas) string { q.Groups *= 4; return fmt.Sprint("FANOUT_GROUPS ", q.Groups) }},
		{sim.SenderLimit, func(q *sim.Quotas) string { q.Senders *= 4; return fmt.Sprint("senders ", q.Senders) }},
		{sim.LaneLimit, func(q *sim.Quotas) string { q.Shards *= 4; return fmt.Sprint("stream shards ", q.Shards) }},
		{sim.ReadLimit, func(q *sim.Quotas) string {
			q.TopicReads *= 4
			return "topic reads " + report.Format(q.TopicReads) + "/s"
		}},
		{sim.WriteLimit, func(q *sim.Quotas) string {
			q.TopicWrites *= 4
			return "topic writes " + report.Format(q.TopicWrites) + "/s"
		}},
		{sim.LambdaLimit, func(q *sim.Quotas) string {
			q.Concurrency *= 10
			return fmt.Sprint("Lambda concurrency ", q.Concurrency)
		}},
	}
}

// steps is how many limits are raised at most, one after the other.
const steps = 3

func (s *scaling) measure(ctx context.Context, seed uint64) (report.Report, error) {
	r := report.Report{Settings: []report.Setting{{Name: "post", Value: s.times.Post.String()}, {Name: "cpu", Value: s.times.PostCPU.String()},
		{Name: "row", Value: s.times.Row.String()}, {Name: "poll", Value: s.times.Poll.String()}, {Name: "seed", Value: seed}},
		Notes: scaleNotes()}
	for _, one := range s.scenarios(seed) {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		tables, note := explore(one)
		r.Tables, r.Notes = append(r.Tables, tables...), append(r.Notes, note)
	}
	first := r.Tables[0]
	r.Plot = &report.Plot{Title: first.Title, Table: first.Title, Columns: first.Columns, Y: "s"}
	if len(s.check) > 0 {
		t, note, err := s.compare(ctx, seed)
		if err != nil {
			return r, err
		}
		r.Tables, r.Notes = append(r.Tables, t), append(r.Notes, note)
	}
	return r, nil
}

func scaleNotes() []string {
	return []string{
		"Simulated in virtual time with quotas of a new account and topology's settings. Assumed: service times as given, without variance; one partition per topic; a post that is refused is answered as fast as one that is taken; posts, messages and HTTP requests share one token bucket; nothing else uses the account.",
		"The percent tables are seconds until so many percent of what arrives at all has arrived. Each further column raises one more limit: of all, the one that helps most.",
		"Peak is what was used in the busiest second, or at once. A limit with hits may be no bottleneck: what waits for another one fills the queues before it.",
	}
}

// raised is a scenario with some limits raised.
type raised struct {
	what   string // the one raised last
	quotas sim.Quotas
	result sim.Result
}

func (v raised) with(one scenario, r raise) raised {
	next := v
	next.what = "+ " + r.do(&next.quotas)
	next.result = one.run(next.quotas)
	return next
}

// explore runs a scenario, then runs it again with the limit raised that helps most,
// as long as one helps.
func explore(one scenario) (tables []report.Table, note string) {
	now := raised{what: "as it is", quotas: sim.Defaults()}
	now.result = one.run(now.quotas)
	results, columns := []sim.Result{now.result}, []string{now.what}
	for range steps {
		next, ok := helps(one, now)
		if !ok {
			break
		}
		now = next
		results, columns = append(results, next.result), append(columns, next.what)
	}
	percents := report.Table{Title: one.title, Key: "percent", Columns: columns}
	for _, p := range []float64{1, 10, 50, 90, 99, 100} {
		percents.Rows = append(percents.Rows, rowFor(report.Format(p), results, func(r sim.Result) float64 { return r.Percentile(p).Seconds() }))
	}
	counted := report.Table{Title: one.title + ": outcome", Key: "count", Columns: columns}
	for _, c := range []struct {
		label string
		of    func(sim.Result) int
	}{{"wanted", func(r sim.Result) int { return r.Wanted }}, {"arrived", func(r sim.Result) int { return r.Delivered }},
		{"parked", func(r sim.Result) int { return r.Parked }}, {"not planned", func(r sim.Result) int { return r.Unplanned }}} {
		counted.Rows = append(counted.Rows, rowFor(c.label, results, func(r sim.Result) float64 { return float64(c.of(r)) }))
	}
	return []report.Table{percents, counted, limits(one.title, results[0])}, verdict(one.title, results[0], columns)
}

func rowFor(label string, results []sim.Result, of func(sim.Result) float64) report.Row {
	var values []float64
	for _, r := range results {
		values = append(values, of(r))
	}
	return report.NewRow(label, values...)
}

// worth is the fraction by which a raise must shorten the time to be reported.
const worth = 0.05

// better reports whether more arrives than before, or the same clearly sooner.
func (v raised) better(before sim.Result) bool {
	r := v.result
	return r.Delivered > before.Delivered ||
		r.Delivered == before.Delivered && r.Percentile(99).Seconds() < (1-worth)*before.Percentile(99).Seconds()
}

// helps finds the raise that helps most among the limits that were met. If no single
// one helps, it tries two together: the next limit may be close behind.
func helps(one scenario, now raised) (best raised, ok bool) {
	var alone []raised
	for _, r := range met(now.result) {
		alone = append(alone, now.with(one, r))
	}
	if best, ok = most(now, alone); ok {
		return best, true
	}
	var pairs []raised
	for _, first := range alone {
		for _, r := range met(first.result) {
			pair := first.with(one, r)
			pair.what = first.what + ", " + strings.TrimPrefix(pair.what, "+ ")
			pairs = append(pairs, pair)
		}
	}
	return most(now, pairs)
}

// met returns the raises of limits that were met.
func met(r sim.Result) []raise {
	return slices.DeleteFunc(raises(), func(raise raise) bool { return !r.Met(raise.limit) })
}

// most returns the best candidate, if it is better than now.
func most(now raised, candidates []raised) (best raised, ok bool) {
	for _, c := range candidates {
		if c.better(now.result) && (!ok || c.result.Delivered > best.result.Delivered ||
			c.result.Delivered == best.result.Delivered && c.result.Percentile(99) < best.result.Percentile(99)) {
			best, ok = c, true
		}
	}
	return best, ok
}

// limits shows how each limit fared.
func limits(title string, r sim.Result) report.Table {
	t := report.Table{Title: title + ": limits, as it is", Key: "limit", Columns: []string{"quota", "peak", "%", "hits", "first after s"}}
	for _, u := range r.Uses {
		first := u.First.Seconds()
		row := report.NewRow(u.Name, u.Quota, u.Peak, 100*u.Peak/u.Quota, float64(u.Hits), first)
		if u.Hits == 0 {
			row.Cells[4] = []float64{}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func verdict(title string, r sim.Result, columns []string) string {
	first, ok := r.First()
	if !ok {
		return title + ": no limit is met."
	}
	advice := "Raising none of them helps."
	if len(columns) > 1 {
		advice = "Raise, in this order: " + strings.ReplaceAll(strings.Join(columns[1:], ", "), "+ ", "") + "."
	}
	return fmt.Sprintf("%s: the first limit met is that of %s, after %.1f s. %s", title, first.Name, first.First.Seconds(), advice)
}

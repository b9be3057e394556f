package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/billing"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// goal is the most that a million pushes may cost, in USD.
const goal = 1.05

// costing is what bench cost is asked.
type costing struct {
	model
	subscribers int
	operations  int
	size        int // bytes of a message's text
	rate        float64
	connections int
	minutes     float64
	ping        time.Duration // 0 for heartbeats
	check       numbers
}

func costCommand() command {
	const about = "what a million pushes cost on AWS: a model, with -check against the metered local cloud"
	return command{"cost", about, func(flags *flag.FlagSet) measure {
		c := &costing{model: typical()}
		flags.IntVar(&c.subscribers, "subscribers", 1000, "per topic")
		flags.IntVar(&c.operations, "operations", 10, "distinct operations of a topic")
		flags.IntVar(&c.size, "text", 100, "`bytes` of a message's text")
		flags.Float64Var(&c.rate, "rate", 10, "messages per second, over all topics")
		flags.IntVar(&c.connections, "connections", 10_000, "open sockets")
		flags.Float64Var(&c.minutes, "minutes", 60, "for which they are open and messages come")
		flags.DurationVar(&c.ping, "ping", 0, pingFlag)
		flags.IntVar(&c.limits.Groups, "groups", c.limits.Groups, "message groups per topic ("+topology.FanoutGroups.Env+")")
		flags.IntVar(&c.workers, "workers", c.workers, "posts in flight per sender ("+topology.SenderWorkers.Env+")")
		flags.DurationVar(&c.graphql, "graphql", c.graphql, "one mutation")
		flags.IntVar(&c.direct, "direct", c.direct,
			"subscribers up to which stream delivers itself ("+topology.Direct.Env+")")
		flags.DurationVar(&c.stream, "stream", c.stream, "one stream record, beside its rows and its sends")
		flags.DurationVar(&c.enqueue, "enqueue", c.enqueue, "the sends of an event to the queue")
		flags.DurationVar(&c.row, "row", c.row, "one subscription, read and planned")
		flags.DurationVar(&c.sender, "sender", c.sender, "one invocation of the sender, beside its posts")
		flags.DurationVar(&c.post, "post", c.post, "one post, there and back")
		flags.DurationVar(&c.postCPU, "cpu", c.postCPU, "one post's share of a vCPU, as bench sender measures it")
		flags.DurationVar(&c.connect, "connect", c.connect, "one $connect")
		flags.DurationVar(&c.message, "message", c.message, "one message of a client")
		flags.DurationVar(&c.disconnect, "disconnect", c.disconnect, "one $disconnect or init check")
		flags.BoolVar(&c.fast, "fast", false, "go the fast way ("+topology.Fast.Env+"), which the meter then does, too")
		flags.Var(&c.check, "check", "`LIST` of subscribers to run the metered local cloud with, and to compare")
		return c.measure
	}}
}

const (
	serviceTitle = "USD per million pushes, by service"
	topicTitle   = "USD per million pushes, by subscribers of a topic"
	batchTitle   = "USD per million pushes, by batch size and subscribers of a topic"
	groupTitle   = "USD per million pushes, by message groups and subscribers of a topic"
	metricTitle  = "USD per million pushes for metrics, by subscribers of a topic"
	hourTitle    = "USD in the whole time"
	restTitle    = "USD in a month in which nothing happens, by pollers of each queue"
	priceTitle   = "Prices"
)

func (c *costing) measure(ctx context.Context, in input) (report.Report, error) {
	b := &bills{costing: c, prices: billing.USEast1(), seed: in.seed, known: map[int][]pubsub.Subscription{}}
	r := report.Report{
		Settings: report.Settings("subscribers", c.subscribers, "operations", c.operations, "text", c.size, "rate", c.rate,
			"connections", c.connections, "minutes", c.minutes, "ping", c.ping.String(), "groups", c.limits.Groups,
			"direct", c.direct, "workers", c.workers, "fast", strconv.FormatBool(c.fast),
			"post", c.post.String(), "cpu", c.postCPU.String(), "seed", in.seed),
		Tables: []report.Table{b.byService(), b.byTopic(), b.byBatch(), b.byGroups(), b.metricShare(), b.wholeTime(),
			b.rest(), b.priceList()},
		Notes: append([]string{
			"Everything that a push needs is in it, from the HTTP request of the mutation to the sender's log; " +
				"every queue message and stream record is taken for an invocation of its own, " +
				"and every operation for one that is not cached.",
			"Not in it: open sockets and data transfer, which are in the table of the whole time; free tiers and discounts. " +
				"Stream reads by Lambda are free.",
			"* is what topology has now.",
			fmt.Sprintf("A connection's metrics take %.0f bytes of its log. There are %d metrics at most, each $%.2f for a month in which "+
				"it is sent every hour.", b.connectionMetrics(), mostMetrics(), b.prices.Metric.USD)}, b.holds()...),
		Plot: &report.Plot{Title: "A million pushes", Table: topicTitle, Y: "USD", LogX: true, LogY: true,
			Columns: []string{"USD", "one push per Lambda", "AppSync"}},
	}
	if b.err != nil || len(c.check) == 0 {
		return r, b.err
	}
	t, err := c.compare(ctx, in.root)
	r.Tables = append(r.Tables, t)
	return r, err
}

// bills makes out bills of pushes to topics of any size. It keeps the first error.
type bills struct {
	*costing
	prices billing.Prices
	seed   uint64
	known  map[int][]pubsub.Subscription // topics, by size
	err    error
}

// topic returns a topic's subscriptions. Their operation ids are as long as UUIDs, like
// those of graphql-ws.
func (b *bills) topic(size int) []pubsub.Subscription {
	if b.known[size] == nil {
		subs := subscribers(size, b.operations, b.seed)
		for i := range subs {
			subs[i].OperationID = fmt.Sprintf("00000000-0000-0000-0000-%012x", i)
		}
		b.known[size] = subs
	}
	return b.known[size]
}

// withText is the event of a message with a text of that many bytes.
func withText(bytes int) pubsub.Event { return chatEvent(eventID, strings.Repeat("x", bytes)) }

// perMillion is the bill of a million pushes of messages with a text of that many bytes.
func (b *bills) perMillion(m model, subs []pubsub.Subscription, text int) billing.Bill {
	event, err := m.event(withText(text), subs)
	b.err = cmp.Or(b.err, err)
	return b.prices.Of(event.usage.Times(1e6 / float64(len(subs))))
}

func (b *bills) appSync(size int) float64 {
	return appSync(b.prices, size, frameBytes(withText(b.size))).Total() / float64(size) * 1e6
}

func (b *bills) byService() report.Table {
	subs := b.topic(b.subscribers)
	ours, single := b.perMillion(b.model, subs, b.size), b.perMillion(b.single(), subs, b.size)
	t := report.Table{Title: serviceTitle, Key: "service", Columns: []string{"Subwire", "one push per Lambda", "AppSync"}}
	for _, s := range ours.Services() {
		t.Rows = append(t.Rows, report.NewRow(s, ours.Service(s), single.Service(s), 0))
	}
	appSync := b.appSync(b.subscribers)
	t.Rows = append(t.Rows, report.NewRow("AppSync", 0, 0, appSync),
		report.NewRow("sum", ours.Total(), single.Total(), appSync))
	return t
}

// topicSizes are the rows or columns of the tables by topic.
func topicSizes() []int { return []int{1, 10, 100, 1_000, 10_000, 100_000} }

func (b *bills) byTopic() report.Table {
	services := []string{"API Gateway", "SQS", "Lambda", "DynamoDB", "CloudWatch Logs"}
	t := report.Table{Title: topicTitle, Key: "subscribers",
		Columns: slices.Concat([]string{"USD"}, services,
			[]string{"packed best", "by the queue", "the fast way", "one push per Lambda", "AppSync", "% of AppSync",
				"% with its write", "% packed best"})}
	for _, size := range []int{1, 10, 20, 50, 100, 1_000, 10_000, 100_000, 1_000_000} {
		ours := b.perMillion(b.model, b.topic(size), b.size)
		values := []float64{ours.Total()}
		for _, s := range services {
			values = append(values, ours.Service(s))
		}
		best := b.perMillion(b.packed(), b.topic(size), b.size).Total()
		values = append(values, best)
		for _, m := range []model{b.queued(), b.announcing()} {
			values = append(values, b.perMillion(m, b.topic(size), b.size).Total())
		}
		single := math.NaN() // for a million, that is a million batches
		if size < 1_000_000 {
			single = b.perMillion(b.single(), b.topic(size), b.size).Total()
		}
		values = append(values, single)
		theirs := b.appSync(size)
		written := theirs + b.prices.Write.USD/float64(size) // a resolver writes the row, as ours does
		t.Rows = append(t.Rows, report.NewRow(strconv.Itoa(size), append(values, theirs, 100*ours.Total()/theirs,
			100*ours.Total()/written, 100*best/written)...))
	}
	return t
}

func (b *bills) byBatch() report.Table {
	sizes := []int{50, 100, 250, 500, topology.BatchTargets, 2000, 4000}
	return b.sweep(batchTitle, "targets", sizes, topology.BatchTargets, func(m *model, targets int) {
		m.limits.Targets, m.limits.Bytes = targets, targets*topology.BatchBytes/topology.BatchTargets
	})
}

func (b *bills) byGroups() report.Table {
	groups := []int{1, 2, 4, 8, 16}
	return b.sweep(groupTitle, "groups", groups, b.limits.Groups, func(m *model, n int) { m.limits.Groups = n })
}

// sweep is a table of the cost of a million pushes, with a row for each value of a
// parameter and a column for each size of a topic.
func (b *bills) sweep(title, key string, values []int, now int, set func(*model, int)) report.Table {
	t := report.Table{Title: title, Key: key}
	for _, size := range topicSizes() {
		t.Columns = append(t.Columns, strconv.Itoa(size))
	}
	for _, value := range values {
		m, label, totals := b.model, strconv.Itoa(value), []float64(nil)
		set(&m, value)
		if value == now {
			label = "* " + label
		}
		for _, size := range topicSizes() {
			totals = append(totals, b.perMillion(m, b.topic(size), b.size).Total())
		}
		t.Rows = append(t.Rows, report.NewRow(label, totals...))
	}
	return t
}

// wholeTime is the bill for the period that the flags describe.
func (b *bills) wholeTime() report.Table {
	long := time.Duration(b.minutes * float64(time.Minute))
	million := b.rate * long.Seconds() * float64(b.subscribers) / 1e6
	pushes := b.perMillion(b.model, b.topic(b.subscribers), b.size)
	k := keptBy(b.ping)
	sockets := b.prices.Of(b.open(long, k).Plus(b.reopened(long, k)).Times(float64(b.connections)))
	t := report.Table{Title: hourTitle, Key: "what", Columns: []string{"USD", "per million pushes"}}
	sum := 0.0
	for _, row := range []struct {
		label string
		usd   float64
	}{
		{"pushes", pushes.Total() * million},
		{"polling of idle queues, at most", b.prices.Of(polling(long, mostPollers)).Total()},
		{"connection minutes", sockets.Extra()},
		{"heartbeats or pings, and connecting", sockets.Total()},
		{"data transfer", pushes.Extra() * million},
	} {
		t.Rows = append(t.Rows, report.NewRow(row.label, row.usd, row.usd/million))
		sum += row.usd
	}
	t.Rows = append(t.Rows, report.NewRow("sum", sum, sum/million))
	return t
}

// rest is the bill of a month of 30 days in which nothing happens. Two pollers are an
// observation of others; AWS says only how many there are at most.
func (b *bills) rest() report.Table {
	t := report.Table{Title: restTitle, Key: "pollers", Columns: []string{"million receives", "of them FIFO", "USD"}}
	for _, pollers := range []int{2, mostPollers} {
		u := polling(month, pollers)
		all, fifo := 0.0, 0.0
		for _, q := range u.Queues {
			if all += q.Empty; q.FIFO {
				fifo += q.Empty
			}
		}
		t.Rows = append(t.Rows, report.NewRow(strconv.Itoa(pollers), all/1e6, fifo/1e6, b.prices.Of(u).Total()))
	}
	return t
}

func (b *bills) priceList() report.Table {
	p := b.prices
	t := report.Table{Title: priceTitle, Key: "us-east-1", Columns: []string{"USD", "for"}}
	for _, price := range []billing.Price{p.Message, p.ConnectionMinute, p.Request, p.Invocation, p.GBSecond,
		p.Standard, p.FIFO, p.Write, p.Read, p.Log, p.Metric, p.Transfer, p.AppSyncUpdate, p.AppSyncQuery, p.AppSyncMinute} {
		t.Rows = append(t.Rows, report.NewRow(price.Unit+" ("+price.Source+")", price.USD, price.Per))
	}
	return t
}

// searched is the largest topic tried in the search for the smallest that meets the
// goal.
const searched = 20_000

// holds says from how many subscribers on the goal is met, for the message's text and
// for the largest that makes one frame.
func (b *bills) holds() (notes []string) {
	largest := billing.MessageUnit - frameBytes(withText(0))
	for _, text := range slices.Compact([]int{b.size, largest}) {
		all := b.topic(searched)
		from := 1 + sort.Search(searched, func(below int) bool {
			// Every n-th, so that the buckets stay in order and all occur.
			size := below + 1
			var subs []pubsub.Subscription
			for i := range size {
				subs = append(subs, all[i*len(all)/size])
			}
			return b.perMillion(b.model, subs, text).Total() <= goal
		})
		frame := frameBytes(withText(text))
		if from > searched {
			notes = append(notes, fmt.Sprintf(
				"A million pushes of %d bytes cost more than $%.2f for all topics of up to %d subscribers.", frame, goal, searched))
			continue
		}
		notes = append(notes, fmt.Sprintf("A million pushes of %d bytes cost at most $%.2f "+
			"from %d subscribers of a topic on: below, the event's own way is shared by too few.", frame, goal, from))
	}
	return notes
}

package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"subwire/scripts/bench/costmodel"
	"subwire/scripts/bench/report"
	"subwire/scripts/internal/billing"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// goal is the most that a million pushes may cost, in USD.
const goal = 1.05

// costing holds the flags of bench cost.
type costing struct {
	root        string
	subscribers int
	operations  int
	size        int // bytes of a message's text
	rate        float64
	connections int
	minutes     float64
	ping        time.Duration
	groups      int
	workers     int
	times       costmodel.Times
	socket      costmodel.Socket
	check       numbers
}

func costCommand() command {
	return command{"cost", "what a million pushes cost on AWS: a model, with -check against the metered local cloud", func(flags *flag.FlagSet) measure {
		c := &costing{}
		flags.StringVar(&c.root, "root", ".", "`folder` of the repository, for -check")
		flags.IntVar(&c.subscribers, "subscribers", 1000, "per topic")
		flags.IntVar(&c.operations, "operations", 10, "distinct operations of a topic")
		flags.IntVar(&c.size, "text", 100, "`bytes` of a message's text")
		flags.Float64Var(&c.rate, "rate", 10, "messages per second, over all topics")
		flags.IntVar(&c.connections, "connections", 10_000, "open sockets")
		flags.Float64Var(&c.minutes, "minutes", 60, "for which they are open and messages come")
		flags.DurationVar(&c.ping, "ping", 2*time.Minute, "between two pings of a client")
		flags.IntVar(&c.groups, "groups", defaultOf(topology.FanoutGroups), "message groups per topic ("+topology.FanoutGroups.Env+")")
		flags.IntVar(&c.workers, "workers", defaultOf(topology.SenderWorkers), "posts in flight per sender ("+topology.SenderWorkers.Env+")")
		serviceTimes(flags, &c.times.GraphQL, &c.times.Row, &c.times.Sender, &c.times.Post, &c.times.PostCPU)
		flags.DurationVar(&c.times.Stream, "stream", 15*time.Millisecond, "one stream record, beside its rows")
		flags.DurationVar(&c.socket.Connect, "connect", 15*time.Millisecond, "one $connect")
		flags.DurationVar(&c.socket.Message, "message", 15*time.Millisecond, "one message of a client")
		flags.DurationVar(&c.socket.Disconnect, "disconnect", 15*time.Millisecond, "one $disconnect or init check")
		flags.Var(&c.check, "check", "`LIST` of subscribers to run the metered local cloud with, and to compare")
		return c.measure
	}}
}

// defaultOf is the default of a numeric setting.
func defaultOf(s topology.SettingOf[int]) int {
	n, err := strconv.Atoi(s.Default)
	if err != nil {
		panic(s.Env + " has no number for a default") // topology is data
	}
	return n
}

const (
	serviceTitle = "USD per million pushes, by service"
	topicTitle   = "USD per million pushes, by subscribers of a topic"
	batchTitle   = "USD per million pushes, by batch size and subscribers of a topic"
	groupTitle   = "USD per million pushes, by message groups and subscribers of a topic"
	hourTitle    = "USD in the whole time"
	priceTitle   = "Prices"
	checkTitle   = "Model and meter"
)

func (c *costing) measure(ctx context.Context, seed uint64) (report.Report, error) {
	r := report.Report{Settings: []report.Setting{{Name: "subscribers", Value: c.subscribers}, {Name: "operations", Value: c.operations},
		{Name: "text", Value: c.size}, {Name: "rate", Value: c.rate}, {Name: "connections", Value: c.connections}, {Name: "minutes", Value: c.minutes},
		{Name: "ping", Value: c.ping.String()}, {Name: "groups", Value: c.groups}, {Name: "workers", Value: c.workers},
		{Name: "post", Value: c.times.Post.String()}, {Name: "cpu", Value: c.times.PostCPU.String()}, {Name: "seed", Value: seed}},
		Plot: &report.Plot{Title: "A million pushes", Table: topicTitle, Columns: []string{"USD", "one push per Lambda", "AppSync"},
			Y: "USD", LogX: true, LogY: true}}
	topics := newTopics(c, seed)
	for _, table := range []func() (report.Table, error){
		topics.byService, topics.byTopic, topics.byBatch, topics.byGroups, topics.wholeTime, c.prices} {
		t, err := table()
		if err != nil {
			return report.Report{}, err
		}
		r.Tables = append(r.Tables, t)
	}
	holds, err := topics.holds()
	if err != nil {
		return report.Report{}, err
	}
	r.Notes = append(costNotes(), holds...)
	if len(c.check) > 0 {
		t, err := c.compare(ctx)
		if err != nil {
			return report.Report{}, err
		}
		r.Tables = append(r.Tables, t)
	}
	return r, nil
}

func costNotes() []string {
	return []string{
		"Everything that a push needs is in it, from the HTTP request of the mutation to the sender's log; every queue message and stream record is taken for an invocation of its own, and every operation for one that is not cached.",
		"Not in it: open sockets and data transfer, which are in the table of the whole time; free tiers and discounts. Stream reads by Lambda are free.",
		"* is what topology has now.",
	}
}

func (c *costing) model() costmodel.Model { return costmodel.Deployed(c.times, c.groups, c.workers) }

// onePush is the model with one push per invocation: the cost of a queue message per subscriber.
func (c *costing) onePush() costmodel.Model {
	m := c.model()
	m.Limits.Targets = 1
	return m
}

func (c *costing) prices() (report.Table, error) {
	p := billing.USEast1()
	t := report.Table{Title: priceTitle, Key: "us-east-1", Columns: []string{"USD", "for"}}
	for _, price := range []billing.Price{p.Message, p.ConnectionMinute, p.Request, p.Invocation, p.GBSecond, p.Standard, p.FIFO,
		p.Write, p.Read, p.Log, p.Transfer, p.AppSyncUpdate, p.AppSyncQuery, p.AppSyncMinute} {
		t.Rows = append(t.Rows, report.NewRow(price.Unit+" ("+price.Source+")", price.USD, price.Per))
	}
	return t, nil
}

// topics makes topics of any size, each only once.
type topics struct {
	*costing
	seed  uint64
	known map[int][]pubsub.Subscription
}

func newTopics(c *costing, seed uint64) topics {
	return topics{c, seed, map[int][]pubsub.Subscription{}}
}

// of returns a topic's subscriptions. Their operation ids are UUIDs, like those of graphql-ws.
func (t topics) of(size int) []pubsub.Subscription {
	if t.known[size] == nil {
		subs := subscribers(size, t.operations, t.seed)
		for i := range subs {
			var id [16]byte
			binary.BigEndian.PutUint64(id[:], uint64(i))
			text := hex.EncodeToString(id[:])
			subs[i].OperationID = strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
		}
		t.known[size] = subs
	}
	return t.known[size]
}

// event is a message to a topic with a text of that many bytes.
func (t topics) event(text int) pubsub.Event { return chatEvent(eventID, strings.Repeat("x", text)) }

// perMillion is the bill of a million pushes to topics of one size.
func (t topics) perMillion(m costmodel.Model, size, text int) (billing.Bill, error) {
	event, err := m.Event(t.event(text), t.of(size))
	if err != nil {
		return nil, err
	}
	return billing.USEast1().Of(event.Usage.Times(1e6 / float64(size))), nil
}

func (t topics) appSync(size, text int) float64 {
	frame := costmodel.Frame(t.event(text))
	return costmodel.AppSync(billing.USEast1(), size, frame).Total() / float64(size) * 1e6
}

func (t topics) byService() (report.Table, error) {
	ours, err := t.perMillion(t.model(), t.subscribers, t.size)
	if err != nil {
		return report.Table{}, err
	}
	single, err := t.perMillion(t.onePush(), t.subscribers, t.size)
	if err != nil {
		return report.Table{}, err
	}
	table := report.Table{Title: serviceTitle, Key: "service", Columns: []string{"Subwire", "one push per Lambda", "AppSync"}}
	for _, s := range ours.Services() {
		table.Rows = append(table.Rows, report.NewRow(s, ours.Service(s), single.Service(s), 0))
	}
	appSync := t.appSync(t.subscribers, t.size)
	table.Rows = append(table.Rows, report.NewRow("AppSync", 0, 0, appSync), report.NewRow("sum", ours.Total(), single.Total(), appSync))
	return table, nil
}

// topicSizes are the rows or columns of the tables by topic.
func topicSizes() []int { return []int{1, 10, 100, 1_000, 10_000, 100_000} }

func (t topics) byTopic() (report.Table, error) {
	table := report.Table{Title: topicTitle, Key: "subscribers", Columns: []string{"USD", "API Gateway", "SQS", "Lambda", "DynamoDB", "CloudWatch Logs",
		"packed best", "one push per Lambda", "AppSync"}}
	best := t.model()
	best.Receive, best.Records, best.Cached = topology.QueueMappings()[0].BatchSize, topology.TableStream.BatchSize, true
	for _, size := range topicSizes() {
		ours, err := t.perMillion(t.model(), size, t.size)
		if err != nil {
			return report.Table{}, err
		}
		packed, err := t.perMillion(best, size, t.size)
		if err != nil {
			return report.Table{}, err
		}
		single, err := t.perMillion(t.onePush(), size, t.size)
		if err != nil {
			return report.Table{}, err
		}
		values := []float64{ours.Total()}
		for _, service := range table.Columns[1:6] {
			values = append(values, ours.Service(service))
		}
		table.Rows = append(table.Rows, report.NewRow(strconv.Itoa(size), append(values, packed.Total(), single.Total(), t.appSync(size, t.size))...))
	}
	return table, nil
}

func (t topics) byBatch() (report.Table, error) {
	sizes := []int{50, 100, 250, 500, topology.BatchTargets, 2000, 4000}
	return t.sweep(batchTitle, "targets", sizes, topology.BatchTargets, func(m *costmodel.Model, targets int) {
		m.Limits.Targets, m.Limits.Bytes = targets, targets*topology.BatchBytes/topology.BatchTargets
	})
}

func (t topics) byGroups() (report.Table, error) {
	return t.sweep(groupTitle, "groups", []int{1, 2, 4, 8, 16}, t.groups, func(m *costmodel.Model, groups int) { m.Limits.Groups = groups })
}

// sweep is a table of the cost of a million pushes, with a row for each value of a
// parameter and a column for each size of a topic.
func (t topics) sweep(title, key string, values []int, now int, set func(*costmodel.Model, int)) (report.Table, error) {
	table := report.Table{Title: title, Key: key}
	for _, size := range topicSizes() {
		table.Columns = append(table.Columns, strconv.Itoa(size))
	}
	for _, value := range values {
		m, label, totals := t.model(), strconv.Itoa(value), []float64(nil)
		set(&m, value)
		if value == now {
			label = "* " + label
		}
		for _, size := range topicSizes() {
			bill, err := t.perMillion(m, size, t.size)
			if err != nil {
				return report.Table{}, err
			}
			totals = append(totals, bill.Total())
		}
		table.Rows = append(table.Rows, report.NewRow(label, totals...))
	}
	return table, nil
}

// wholeTime is the bill for the period that the flags describe.
func (t topics) wholeTime() (report.Table, error) {
	long := time.Duration(t.minutes * float64(time.Minute))
	messages := t.rate * long.Seconds()
	event, err := t.model().Event(t.event(t.size), t.of(t.subscribers))
	if err != nil {
		return report.Table{}, err
	}
	p := billing.USEast1()
	pushes, transfer := p.Of(event.Usage.Times(messages)), p.Of(event.Usage.Times(messages)).Extra()
	sockets := p.Of(t.socket.Open(long, t.ping).Times(float64(t.connections)))
	polling := p.Of(costmodel.Polling(long)).Total()
	million := messages * float64(t.subscribers) / 1e6
	table := report.Table{Title: hourTitle, Key: "what", Columns: []string{"USD", "per million pushes"}}
	row := func(label string, usd float64) {
		table.Rows = append(table.Rows, report.NewRow(label, usd, usd/million))
	}
	row("pushes", pushes.Total())
	row("polling of idle queues, at most", polling)
	row("connection minutes", sockets.Extra())
	row("pings, and connecting every two hours", sockets.Total())
	row("data transfer", transfer)
	row("sum", pushes.Total()+polling+sockets.Extra()+sockets.Total()+transfer)
	return table, nil
}

// holds says from how many subscribers on the goal is met, for the message's text and
// for the largest that makes one frame.
func (t topics) holds() ([]string, error) {
	largest := billing.MessageUnit - costmodel.Frame(t.event(0))
	var notes []string
	for _, text := range slices.Compact([]int{t.size, largest}) {
		from, err := t.smallest(text)
		if err != nil {
			return nil, err
		}
		if from == 0 {
			notes = append(notes, fmt.Sprintf("A million pushes of %d bytes cost more than $%.2f for all topics of up to %d subscribers.", costmodel.Frame(t.event(text)), goal, searched))
			continue
		}
		notes = append(notes, fmt.Sprintf("A million pushes of %d bytes cost at most $%.2f from %d subscribers of a topic on: below, the event's own way is shared by too few.", costmodel.Frame(t.event(text)), goal, from))
	}
	return notes, nil
}

// searched is the largest topic tried in the search for the smallest.
const searched = 20_000

// smallest is the smallest topic for which a million pushes meet the goal, or 0.
func (t topics) smallest(text int) (int, error) {
	all := t.of(searched)
	dear := func(size int) (bool, error) {
		// Every n-th, so that the buckets stay in order and all occur.
		var subs []pubsub.Subscription
		for i := range size {
			subs = append(subs, all[i*len(all)/size])
		}
		event, err := t.model().Event(t.event(text), subs)
		if err != nil {
			return false, err
		}
		return billing.USEast1().Of(event.Usage).Total()/float64(size)*1e6 > goal, nil
	}
	low, high := 0, searched // too expensive, and cheap enough
	if tooDear, err := dear(high); err != nil || tooDear {
		return 0, err
	}
	for high-low > 1 {
		size := (low + high) / 2
		tooDear, err := dear(size)
		if err != nil {
			return 0, err
		}
		if tooDear {
			low = size
		} else {
			high = size
		}
	}
	return high, nil
}

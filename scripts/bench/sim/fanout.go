package sim

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"subwire/shared/dynamo"
)

type Message struct {
	At          time.Duration
	Topic       int
	Subscribers int
}

const (
	RequestLimit = "API Gateway requests"
	ConnectLimit = "API Gateway connects"
	ReadLimit    = "DynamoDB reads of a topic"
	WriteLimit   = "DynamoDB writes of a topic"
	LaneLimit    = "stream lanes"
	GroupLimit   = "message groups"
	SenderLimit  = "senders"
	RetryLimit   = "senders of retries"
	TimeLimit    = "stream time-out"
	LambdaLimit  = "Lambda concurrency"
)

type fanout struct {
	Config
	loop
	random   *rand.Rand
	requests *rate
	reads    Use
	topics   map[int]*rate         // reads of each topic
	latest   map[int]time.Duration // by topic: the latest message fanned out
	lane     Use
	timeout  Use
	lanes    []*lane
	groups   map[groupKey]*group
	group    Use
	ready    []*group // groups that wait for a sender
	senders  *slots
	retries  []delivery
	retriers *slots
	result   Result
}

// FanOut simulates messages from their mutations to the last push.
func FanOut(c Config, messages []Message) Result {
	f := &fanout{Config: c, random: rand.New(rand.NewPCG(c.Seed, 0)), topics: map[int]*rate{}, latest: map[int]time.Duration{}, groups: map[groupKey]*group{},
		requests: newRate(RequestLimit, c.Quotas.Requests, c.Quotas.RequestBurst),
		senders:  newSlots(SenderLimit, c.Quotas.Senders), retriers: newSlots(RetryLimit, c.Quotas.Retriers),
		reads:   Use{Name: ReadLimit, Quota: c.Quotas.TopicReads},
		lane:    Use{Name: LaneLimit, Quota: float64(c.Quotas.Shards * c.Quotas.Lanes)},
		group:   Use{Name: GroupLimit, Quota: float64(c.Quotas.Groups)},
		timeout: Use{Name: TimeLimit, Quota: c.Quotas.StreamTimeout.Seconds()},
	}
	for range c.Quotas.Shards * c.Quotas.Lanes {
		f.lanes = append(f.lanes, &lane{fanout: f})
	}
	for _, m := range messages {
		f.result.Wanted += m.Subscribers
		f.at(m.At, func() { f.mutate(m) })
	}
	f.run()
	for _, r := range f.topics {
		f.reads.Peak = max(f.reads.Peak, r.Peak)
	}
	f.result.finish(f.requests.Use, f.lane, f.reads, f.timeout, f.group, f.senders.Use, f.retriers.Use)
	return f.result
}

// mutate is the mutation over HTTP, which shares the posts' quota.
func (f *fanout) mutate(m Message) {
	if !f.requests.take(f.now) {
		f.requests.hit(f.now, 1, 0)
		f.result.Refused++
		f.result.Unplanned += m.Subscribers
		return
	}
	f.after(f.Times.GraphQL, func() {
		l := f.laneOf(m)
		if l.busy {
			l.enqueue(m)
			return
		}
		// The stream is read again when the next poll is due.
		wait := f.Times.Poll - f.now%max(f.Times.Poll, 1)
		f.after(wait%max(f.Times.Poll, 1), func() { l.enqueue(m) })
	})
}

// laneOf is the lane of a message. A topic is in one shard, whose lanes split it by
// whole keys ("Using AWS Lambda with Amazon DynamoDB"). Every message is an item of
// its own, so with more than one lane, any of them may get it.
func (f *fanout) laneOf(m Message) *lane {
	l := m.Topic % f.Quotas.Shards * f.Quotas.Lanes
	if f.Quotas.Lanes > 1 {
		l += f.random.IntN(f.Quotas.Lanes)
	}
	return f.lanes[l]
}

// Size of a topic's row and of one read unit, in bytes.
const (
	rowBytes = 180
	readUnit = 4 << 10
)

// rows are the rows of a topic from one index up to another.
type rows struct{ from, to int }

// parts are the first page and equal parts of the rest, the way package dynamo reads
// a topic.
func parts(n int) []rows {
	first := min(n, dynamo.TopicPage)
	out := []rows{{0, first}}
	for i := range dynamo.TopicReaders {
		out = append(out, rows{first + (n-first)*i/dynamo.TopicReaders, first + (n-first)*(i+1)/dynamo.TopicReaders})
	}
	return out
}

// planning is the fan-out of one event.
type planning struct {
	*reading
	message Message
	parts   []rows // left to read: first the first page alone, then the parts in turn
	turn    int
	open    map[int]int // by group: targets of the open batch
	done    func()
}

// next takes the next page of the parts.
func (p *planning) next() (page rows, ok bool) {
	for range p.parts {
		part := &p.parts[p.turn%len(p.parts)]
		if p.turn++; part.from < part.to {
			page = rows{part.from, min(part.to, part.from+dynamo.TopicPage)}
			part.from = page.to
			return page, true
		}
	}
	return rows{}, false
}

// page reads a page and sends the batches that it fills; after the last page it sends
// the partial ones. An event that takes longer than an invocation is planned again
// from its start, and gets no further: the queue drops what it already had.
func (p *planning) page() {
	page, ok := p.next()
	if !ok {
		p.flush()
		return
	}
	n := page.to - page.from
	wait := p.partition(p.message.Topic).reserve(p.now, float64(n*rowBytes)/readUnit)
	if wait > 0 {
		p.reads.hit(p.now, n, wait)
	}
	full := p.fill(page)
	took := max(wait, p.compute(time.Duration(n)*p.Times.Row)) + time.Duration((len(full)+messagesPerRequest-1)/messagesPerRequest)*p.Times.Send
	p.timeout.Peak = max(p.timeout.Peak, min(p.timeout.Quota, (p.now+took-p.deadline+p.Quotas.StreamTimeout).Seconds()))
	if p.now+took > p.deadline {
		p.abandon(page, full)
		return
	}
	p.after(took, func() {
		for _, d := range full {
			p.send(d)
		}
		p.page()
	})
}

// abandon gives up what is not yet sent or read.
func (p *planning) abandon(page rows, full []delivery) {
	lost := 0
	for _, d := range full {
		lost += d.targets
	}
	for _, n := range p.open {
		lost += n
	}
	for _, part := range p.parts {
		lost += part.to - part.from
	}
	p.timeout.hit(p.now, lost, 0)
	p.result.Unplanned += lost
	p.done()
}

// messagesPerRequest is how many full batches one request to SQS takes.
const messagesPerRequest = 4

// fill puts the rows into the batches of their groups and returns the full ones.
func (p *planning) fill(page rows) (full []delivery) {
	n, groups := p.message.Subscribers, p.Quotas.Groups
	for from := page.from; from < page.to; {
		g := from * groups / n
		end := min(page.to, (n*(g+1)+groups-1)/groups, from+p.Quotas.Targets-p.open[g])
		p.open[g] += end - from
		if from = end; p.open[g] == p.Quotas.Targets {
			full = append(full, p.delivery(g))
		}
	}
	return full
}

// delivery closes the batch of a group.
func (p *planning) delivery(g int) delivery {
	d := delivery{group: groupKey{p.message.Topic, g}, targets: p.open[g], posted: p.message.At}
	delete(p.open, g)
	return d
}

// flush sends the batches that are not full.
func (p *planning) flush() {
	wait := time.Duration(0)
	if len(p.open) > 0 {
		wait = time.Duration((len(p.open)+requestMessages-1)/requestMessages) * p.Times.Send
	}
	p.after(wait, func() {
		for _, g := range slices.Sorted(maps.Keys(p.open)) {
			p.send(p.delivery(g))
		}
		p.notePlace(p.message)
		p.done()
	})
}

// requestMessages is how many small messages one request to SQS takes.
const requestMessages = 10

func (f *fanout) partition(topic int) *rate {
	r := f.topics[topic]
	if r == nil {
		r = newRate(ReadLimit, f.Quotas.TopicReads, f.Quotas.TopicReads*300) // unused capacity of five minutes
		f.topics[topic] = r
	}
	return r
}

type groupKey struct{ topic, part int }

// group is the queue of a message group. While some of it is handled, the rest waits.
type group struct {
	waiting  []delivery
	inFlight bool
}

// delivery is a batch on its way.
type delivery struct {
	group   groupKey
	targets int
	posted  time.Duration // when the mutation was
	since   time.Duration // when it could have been received
	attempt int
}

// send puts the batch into the FIFO queue; it can be received a little later.
func (f *fanout) send(d delivery) {
	f.after(f.Times.Receive, func() {
		d.since = f.now
		f.arrive(d)
		f.receive()
	})
}

func (f *fanout) arrive(d delivery) {
	g := f.groups[d.group]
	if g == nil {
		g = &group{}
		f.groups[d.group] = g
	}
	g.waiting = append(g.waiting, d)
	if !g.inFlight && len(g.waiting) == 1 {
		f.ready = append(f.ready, g)
	}
}

// receive starts senders while messages wait and senders are free.
func (f *fanout) receive() {
	for len(f.ready) > 0 && f.senders.free() {
		var batch []delivery
		var from []*group
		for len(f.ready) > 0 && len(batch) < f.Quotas.Receive {
			g := f.ready[0]
			f.ready = f.ready[1:]
			n := min(len(g.waiting), f.Quotas.Receive-len(batch))
			batch = append(batch, g.waiting[:n]...)
			g.waiting = g.waiting[n:]
			g.inFlight = true
			from = append(from, g)
		}
		f.invoke(f.senders, batch, func() {
			f.senders.inUse--
			for _, g := range from {
				g.inFlight = false
				if len(g.waiting) > 0 {
					for i := range g.waiting {
						f.group.hit(f.now, g.waiting[i].targets, f.now-g.waiting[i].since)
						g.waiting[i].since = f.now
					}
					f.ready = append(f.ready, g)
				}
			}
			f.receive()
		})
	}
	if len(f.ready) > 0 {
		f.senders.hit(f.now, 1, 0)
	}
}

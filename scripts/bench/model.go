package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/billing"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
	"subwire/shared/transportws"
)

// model predicts the usage that the local cloud's meter counts, so that the two can be
// compared and priced alike. It plans and packs with the deployed code, and does no I/O.
type model struct {
	limits  fanout.Limits // of batches
	direct  int           // targets up to which stream delivers an event itself
	receive int           // most messages that one invocation of the sender gets; 1 is the most expensive
	records int           // stream records that one invocation gets; 1 is the most expensive
	workers int           // posts in flight per sender
	cached  bool          // whether the senders have already parsed the operations
	silent  bool          // whether METRICS is false
	fast    bool          // whether FAST is true

	// How long the parts take.
	graphql                      time.Duration // one mutation
	announce                     time.Duration // what FAST adds to it, beside its rows
	stream                       time.Duration // one stream record, without its rows and its sends
	enqueue                      time.Duration // the requests of an event to the queue, side by side
	row                          time.Duration // one subscription read and planned
	sender                       time.Duration // one invocation, without its posts
	post                         time.Duration // one post, there and back
	postCPU                      time.Duration // one post's share of a vCPU
	connect, message, disconnect time.Duration // one invocation
}

// deployed is the model of topology's deployment at its most expensive: every queue
// message and every stream record gets its own invocation, and no operation is cached.
func deployed() model {
	settings := topology.Defaults()
	return model{limits: limitsOf(topology.FanoutGroups.In(settings)), direct: topology.Direct.In(settings),
		receive: 1, records: 1, workers: topology.SenderWorkers.In(settings)}
}

// typical is the deployed model with usual times.
func typical() model {
	m := deployed()
	m.graphql, m.row = 15*time.Millisecond, 15*time.Microsecond
	m.stream, m.enqueue = 5*time.Millisecond, 10*time.Millisecond
	m.announce = 15 * time.Millisecond // a Query and a request to SQS
	m.sender, m.post, m.postCPU = 5*time.Millisecond, 10*time.Millisecond, 35*time.Microsecond
	m.connect, m.message, m.disconnect = 15*time.Millisecond, 15*time.Millisecond, 15*time.Millisecond
	return m
}

// packed is the least expensive: every invocation gets as much as it can.
func (m model) packed() model {
	m.receive, m.records, m.cached = topology.QueueMappings()[0].BatchSize, topology.TableStream.BatchSize, true
	return m
}

// queued sends all events by the queue, and announcing by the fast way.
func (m model) queued() model {
	m.direct, m.fast = 0, false
	return m
}

func (m model) announcing() model {
	m.fast = true
	return m
}

// single has one push per invocation, and so a queue message per subscriber.
func (m model) single() model {
	m = m.queued()
	m.limits.Targets = 1
	return m
}

// predicted is what one event takes on its way from the mutation to its last subscriber.
type predicted struct {
	usage   billing.Usage
	batches []packedBatch
}

type packedBatch struct{ targets, operations, bytes int }

// event predicts one event for the subscriptions of its topic, in ascending order of
// bucket.
func (m model) event(e pubsub.Event, subs []pubsub.Subscription) (predicted, error) {
	stored, err := storedBytes(e)
	if err != nil {
		return predicted{}, err
	}
	sends, batches, err := m.send(e, subs)
	if err != nil {
		return predicted{}, err
	}
	if len(subs) <= m.direct && !m.fast {
		return m.delivered(e, subs, stored, batches), nil
	}
	receives := math.Ceil(float64(len(batches)) / float64(m.receive))
	bytes, operations := 0, 0
	for _, b := range batches {
		bytes += b.bytes
		operations += b.operations
	}
	usage := m.everyWay(e, subs, stored, operations)
	planning := m.stream + m.enqueue + time.Duration(m.records*len(subs))*m.row
	usage.Functions[topology.Stream.Name] = function(topology.Stream, 1/float64(m.records), planning,
		float64(m.records*sentLog)+m.metricLog(m.planned(len(batches), len(subs))))
	usage.Functions[topology.Sender.Name] = m.senders(len(batches), operations, float64(len(subs)), receives)
	usage.Queues = map[string]billing.Queue{topology.Fanout.Name: {FIFO: true, Sends: sends, Deletes: receives,
		Receives: max(receives, math.Ceil(float64(bytes)/billing.QueueUnit))}}
	if m.fast && len(subs) > 0 && len(subs) <= topology.FastRows {
		usage = usage.Plus(m.announced(sends, subs))
	}
	return predicted{usage, batches}, nil
}

// everyWay is what an event takes by the queue and without: the mutation, the read of its
// subscriptions, the operations and the posts. Its maps are the caller's.
func (m model) everyWay(e pubsub.Event, subs []pubsub.Subscription, stored, operations int) billing.Usage {
	frame, targets := frameBytes(e), float64(len(subs))
	usage := billing.Usage{
		Gateway: billing.Gateway{Requests: 1, Sent: targets * billing.Units(frame, billing.MessageUnit),
			SentBytes: targets * float64(frame)},
		Functions: map[string]billing.Function{
			topology.GraphQL.Name: function(topology.GraphQL, 1, m.graphql, rowLog+m.metricLog(adds(metrics.Operations))),
		},
		Tables: map[string]billing.Table{
			eventsTable().Name + ".PutItem":        {Requests: 1, Writes: billing.Units(stored, writeUnit)},
			topology.Subscriptions.Name + ".Query": m.read(subs),
		},
	}
	if !m.cached {
		n := float64(operations)
		usage.Tables[topology.Operations.Name+".GetItem"] = billing.Table{Requests: n, Reads: n / 2} // it need not be new
	}
	return usage
}

// delivered predicts an event that stream delivers itself. Its groups are posted side by
// side, and each may have to load its operations.
func (m model) delivered(e pubsub.Event, subs []pubsub.Subscription, stored int, batches []packedBatch) predicted {
	operations := 0
	for _, b := range batches {
		operations += b.operations
	}
	targets, records := float64(len(subs)), float64(m.records)
	waiting := time.Duration(math.Ceil(targets/float64(m.workers))) * m.post
	working := time.Duration(targets * float64(m.postCPU))
	took := m.stream + max(waiting, working) + time.Duration(m.records*len(subs))*m.row
	usage := m.everyWay(e, subs, stored, operations)
	usage.Functions[topology.Stream.Name] = function(topology.Stream, 1/records, took,
		records*directLog+m.metricLog(func(meter *metrics.Meter) {
			m.planned(0, len(subs))(meter) // Batches is not written
			delivered(records*float64(len(batches)), records*float64(operations), records*targets)(meter)
		}))
	return predicted{usage, batches}
}

// announced is what the fast way adds to an event: it is read, planned and sent twice, and
// delivered once. A larger topic is looked at once a minute.
func (m model) announced(sends float64, subs []pubsub.Subscription) billing.Usage {
	mutation := function(topology.GraphQL, 1, m.graphql, rowLog+m.metricLog(adds(metrics.Operations)))
	slower := function(topology.GraphQL, 1, m.graphql+m.announce+time.Duration(len(subs))*m.row,
		rowLog+announcedLog+m.metricLog(adds(metrics.Operations, metrics.Fast)))
	return billing.Usage{
		Functions: map[string]billing.Function{topology.GraphQL.Name: {Seconds: slower.Seconds - mutation.Seconds,
			GBSeconds: slower.GBSeconds - mutation.GBSeconds, LogBytes: slower.LogBytes - mutation.LogBytes}},
		Queues: map[string]billing.Queue{topology.Fanout.Name: {FIFO: true, Sends: sends}},
		Tables: map[string]billing.Table{topology.Subscriptions.Name + ".Query": query(subs)},
	}
}

// send plans the event and sends it as the stream function does, to a queue that
// counts the requests in units.
func (m model) send(e pubsub.Event, subs []pubsub.Subscription) (units float64, batches []packedBatch, err error) {
	note := func(b fanout.Batch, body []byte) {
		batches = append(batches, packedBatch{b.Targets(), len(b.Tasks), len(body)})
	}
	counter := &unitCounter{}
	planned := fanout.Plan(e, each(subs, new(int)), m.limits)
	if err := queue.New(counter, "").Send(context.Background(), messages(planned, note)); err != nil {
		return 0, nil, fmt.Errorf("plan event: %w", err)
	}
	return counter.units, batches, nil
}

// unitCounter is a queue that takes everything and counts the billed units.
type unitCounter struct{ units float64 }

func (c *unitCounter) SendMessageBatch(
	_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	size, out := 0, &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		size += len(aws.ToString(e.MessageBody))
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	c.units += billing.Units(size, billing.QueueUnit)
	return out, nil
}

// Bytes that the functions log for each row, event and batch. Such a line has the request and
// the trace; eventLog is in it. Lambda itself logs only what failed.
const (
	rowLog    = 274 // "row written"
	sentLog   = 288 // "event sent"
	batchLog  = 307 // "batch delivered"
	directLog = 306 // "event delivered"

	announcedLog = 285 // "event announced"
)

// function is the usage of that many invocations, each with the same duration and the
// same number of bytes logged by the function itself.
func function(f topology.Function, invocations float64, took time.Duration, logged float64) billing.Function {
	seconds := invocations * math.Ceil(took.Seconds()*1000) / 1000
	return billing.Function{Invocations: invocations, Seconds: seconds,
		GBSeconds: seconds * float64(f.MemoryMB) / 1024, LogBytes: invocations * logged}
}

// senders is the usage of the senders, which get the batches in that many invocations.
func (m model) senders(batches, operations int, targets, invocations float64) billing.Function {
	each := targets / invocations
	waiting := time.Duration(math.Ceil(each/float64(m.workers))) * m.post
	working := time.Duration(each * float64(m.postCPU))
	logged := batchLog*float64(batches)/invocations + m.metricLog(delivered(float64(batches)/invocations, float64(operations)/invocations, each))
	return function(topology.Sender, invocations, m.sender+max(waiting, working), logged)
}

// frameBytes is the size of the message to a subscriber who asks for everything, under
// an id as long as a UUID.
func frameBytes(e pubsub.Event) int {
	return len(transportws.AppendNext(nil, "00000000-0000-0000-0000-000000000000", resultOf(e)))
}

// Units of DynamoDB, in bytes ("Read and write operations" in the DynamoDB Developer
// Guide): a write takes a unit per KB, a consistent read one per 4 KB of all the
// items that it meets.
const (
	writeUnit = 1 << 10
	readUnit  = 4 << 10
)

// read is the usage of reading an event's subscriptions, of which a page does for all
// events of the topic that come together.
func (m model) read(subs []pubsub.Subscription) billing.Table {
	t := query(subs)
	if len(subs) <= dynamo.TopicPage {
		t.Requests /= float64(m.records)
		t.Reads /= float64(m.records)
	}
	return t
}

// query is the usage of reading the topic's subscriptions as package dynamo does:
// those after the first page in parts by bucket.
func query(subs []pubsub.Subscription) (t billing.Table) {
	if len(subs) < dynamo.TopicPage {
		return pages(subs)
	}
	t = page(subs[:dynamo.TopicPage])
	rest := subs[dynamo.TopicPage:]
	begin := pubsub.Bucket(subs[dynamo.TopicPage-1].ConnectionID)
	left := pubsub.Buckets - begin
	readers := min(left, dynamo.TopicReaders)
	for i := range readers {
		n := 0
		for n < len(rest) && pubsub.Bucket(rest[n].ConnectionID) < begin+left*(i+1)/readers {
			n++
		}
		t, rest = plus(t, pages(rest[:n])), rest[n:]
	}
	return t
}

// pages is the usage of reading rows to the end: a full page may not be the last. A
// query that finds no row is charged a unit.
func pages(subs []pubsub.Subscription) (t billing.Table) {
	for {
		n := min(dynamo.TopicPage, len(subs))
		t, subs = plus(t, page(subs[:n])), subs[n:]
		if n < dynamo.TopicPage {
			return t
		}
	}
}

func page(subs []pubsub.Subscription) billing.Table {
	const number = 6 // bytes of ten digits ("DynamoDB item sizes and formats")
	size := 0
	for _, s := range subs {
		size += len("topic"+"subscriber"+"operationKey"+"ttl") +
			len(s.Topic) + len("00#"+s.ConnectionID+"#"+s.OperationID) + len(s.OperationKey) + number
	}
	return billing.Table{Requests: 1, Reads: billing.Units(size, readUnit)}
}

func plus(t, u billing.Table) billing.Table {
	return billing.Table{Requests: t.Requests + u.Requests, Reads: t.Reads + u.Reads}
}

// connection is what one connection costs from $connect to $disconnect, without its
// minutes: connection_init, and one subscription of the same duration. Its init check
// does not share a request.
func (m model) connection() billing.Usage {
	one := billing.Table{Requests: 1, Writes: 1}
	connections := topology.Connections.Name
	return billing.Usage{
		Gateway: billing.Gateway{Received: 2, Sent: 1},
		Functions: map[string]billing.Function{
			topology.Connect.Name: function(topology.Connect, 1, m.connect, m.metricLog(adds(metrics.Connected))),
			topology.Message.Name: function(topology.Message, 2, m.message,
				(m.metricLog(adds(metrics.Acknowledged))+m.metricLog(adds(metrics.Operations, metrics.Subscribed)))/2),
			topology.Disconnect.Name: function(topology.Disconnect, 2, m.disconnect, m.metricLog(adds(metrics.Disconnected))/2), // and the init check
		},
		Queues: map[string]billing.Queue{topology.ConnectionChecks.Name: {Sends: 1, Receives: 1, Deletes: 1}},
		Tables: map[string]billing.Table{
			connections + ".PutItem":                        one,
			connections + ".GetItem":                        {Requests: 3, Reads: 3},  // one looks whether the operation runs
			connections + ".UpdateItem":                     {Requests: 4, Writes: 4}, // ack, subscribe, closing, check
			connections + ".DeleteItem":                     one,
			topology.Operations.Name + ".GetItem":           {Requests: 1, Reads: 0.5}, // others have stored it
			topology.Subscriptions.Name + ".PutItem":        one,
			topology.Subscriptions.Name + ".BatchWriteItem": one,
		},
	}
}

// open is what a connection costs that is open for that long, without what opens it.
func (m model) open(long time.Duration, k keeping) billing.Usage {
	minutes := billing.Usage{Gateway: billing.Gateway{ConnectionMinutes: long.Minutes()}}
	return minutes.Plus(m.kept(k).Times(float64(long) / float64(k.every)))
}

// reopened is what opening it costs in that time.
func (m model) reopened(long time.Duration, k keeping) billing.Usage {
	return m.connection().Times(float64(long) / float64(k.life))
}

// mostPollers is how many pollers Lambda has per queue, at most, while nothing arrives
// ("Using Lambda with Amazon SQS" in the Lambda Developer Guide).
const mostPollers = 5

// polling is what the queues' event source mappings cost in that time while nothing
// arrives: each poller's receives wait for 20 s.
func polling(long time.Duration, pollers int) billing.Usage {
	const longPoll = 20 * time.Second
	u := billing.Usage{Queues: map[string]billing.Queue{}}
	for _, m := range topology.QueueMappings() {
		u.Queues[m.Queue.Name] = billing.Queue{FIFO: m.Queue.FIFO,
			Empty: float64(pollers) * float64(long) / float64(longPoll)}
	}
	return u
}

// appSync is the bill of one event in AppSync: its mutation, and an update for each 5
// KB to each subscriber ("AWS AppSync pricing"). It leaves out what its resolvers use.
func appSync(p billing.Prices, subscribers, frame int) billing.Bill {
	const update = 5 << 10
	return billing.Bill{
		{Service: "AppSync", What: "mutations", Quantity: 1, Price: p.AppSyncQuery},
		{Service: "AppSync", What: "updates", Price: p.AppSyncUpdate,
			Quantity: float64(subscribers) * billing.Units(frame, update)},
	}
}

// Package costmodel predicts what AWS charges for Subwire. It predicts the usage that
// the local cloud's meter counts, so that the two can be compared and priced alike.
// It plans and packs with the deployed code and does no I/O.
package costmodel

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/billing"
	"subwire/shared/chat"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
	"subwire/shared/transportws"
)

// Model is a deployment and how long its parts take.
type Model struct {
	Limits  fanout.Limits // of batches
	Receive int           // most messages that one invocation of the sender gets; 1 is the most expensive
	Records int           // stream records that one invocation gets; 1 is the most expensive
	Workers int           // posts in flight per sender
	Cached  bool          // whether the senders have already parsed the operations
	Times   Times
}

// Times are how long the parts take.
type Times struct {
	GraphQL time.Duration // one mutation
	Stream  time.Duration // one invocation, without its rows
	Row     time.Duration // one subscription read and planned
	Sender  time.Duration // one invocation, without its posts
	Post    time.Duration // one post, there and back
	PostCPU time.Duration // one post's share of a vCPU
}

// Deployed is the model of topology's deployment at its most expensive: every queue
// message and every stream record gets its own invocation, and no operation is cached.
func Deployed(t Times, groups, workers int) Model {
	return Model{Limits: fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes, Groups: groups},
		Receive: 1, Records: 1, Workers: workers, Times: t}
}

type Batch struct{ Targets, Operations, Bytes int }

// Event is what one event costs on its way from the mutation to its last subscriber.
type Event struct {
	Usage   billing.Usage
	Batches []Batch
}

// Event predicts one event for the subscriptions of its topic, in ascending order of
// bucket. The root value must be that of a chat message.
func (m Model) Event(e pubsub.Event, subs []pubsub.Subscription) (Event, error) {
	var message chat.Message
	if err := json.Unmarshal(e.Root, &message); err != nil {
		return Event{}, fmt.Errorf("read event: %w", err)
	}
	out := Event{}
	sends, err := m.send(e, subs, &out.Batches)
	if err != nil {
		return Event{}, err
	}
	receives := math.Ceil(float64(len(out.Batches)) / float64(m.Receive))
	units := 0.0
	for _, b := range out.Batches {
		units += float64(b.Bytes)
	}
	out.Usage = billing.Usage{
		Gateway: billing.Gateway{Requests: 1, Sent: float64(len(subs)) * billing.Units(Frame(e), billing.MessageUnit),
			SentBytes: float64(len(subs) * Frame(e))},
		Functions: map[string]billing.Function{
			topology.GraphQL.Name: function(topology.GraphQL, 1, m.Times.GraphQL, 0),
			topology.Stream.Name: function(topology.Stream, 1/float64(m.Records),
				m.Times.Stream+time.Duration(m.Records*len(subs))*m.Times.Row, 0),
			topology.Sender.Name: m.sender(out.Batches, receives),
		},
		Queues: map[string]billing.Queue{topology.Fanout.Name: {FIFO: true, Sends: sends, Deletes: receives,
			Receives: max(receives, math.Ceil(units/billing.QueueUnit))}},
		Tables: map[string]billing.Table{
			chat.Messages.Name + ".PutItem":        {Requests: 1, Writes: billing.Units(messageBytes(message), writeUnit)},
			topology.Subscriptions.Name + ".Query": m.read(subs),
		},
	}
	if !m.Cached {
		reads := 0.0
		for _, b := range out.Batches {
			reads += float64(b.Operations)
		}
		out.Usage.Tables[topology.Operations.Name+".GetItem"] = billing.Table{Requests: reads, Reads: reads}
	}
	return out, nil
}

// read is the usage of reading an event's subscriptions, of which a page does for
// all events of the topic that come together.
func (m Model) read(subs []pubsub.Subscription) billing.Table {
	t := query(subs)
	if len(subs) <= dynamo.TopicPage {
		t.Requests /= float64(m.Records)
		t.Reads /= float64(m.Records)
	}
	return t
}

// function is the usage of that many invocations, each with the same duration and the
// same number of bytes logged by the function itself.
func function(f topology.Function, invocations float64, took time.Duration, logged float64) billing.Function {
	seconds := invocations * math.Ceil(took.Seconds()*1000) / 1000
	return billing.Function{Invocations: invocations, Seconds: seconds,
		GBSeconds: seconds * float64(f.MemoryMB) / 1024, LogBytes: invocations * (platformLog + logged)}
}

// Bytes logged: by Lambda for each invocation, as the meter has it, and by the sender
// for each batch.
const (
	platformLog = 350
	batchLog    = 330
)

// sender is the usage of the senders, which get the batches in that many invocations.
func (m Model) sender(batches []Batch, invocations float64) billing.Function {
	if len(batches) == 0 {
		return billing.Function{}
	}
	targets := 0
	for _, b := range batches {
		targets += b.Targets
	}
	each := float64(targets) / invocations
	waiting := time.Duration(math.Ceil(each/float64(m.Workers))) * m.Times.Post
	working := time.Duration(each * float64(m.Times.PostCPU))
	return function(topology.Sender, invocations, m.Times.Sender+max(waiting, working),
		batchLog*float64(len(batches))/invocations)
}

// send plans the event and sends it as the stream function does, to a queue that
// counts. It returns the requests in units and notes the batches.
func (m Model) send(e pubsub.Event, subs []pubsub.Subscription, batches *[]Batch) (units float64, err error) {
	messages := func(yield func(queue.Message, error) bool) {
		for b, err := range fanout.Plan(e, each(subs), m.Limits) {
			var body []byte
			if err == nil {
				body, _, err = fanout.Encode(b)
			}
			*batches = append(*batches, Batch{b.Targets(), len(b.Tasks), len(body)})
			if !yield(queue.Message{Body: body, Group: b.Group()}, err) {
				return
			}
		}
	}
	counter := &counter{}
	if err := queue.New(counter, "").Send(context.Background(), messages); err != nil {
		return 0, fmt.Errorf("plan event: %w", err)
	}
	return counter.units, nil
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

// counter is a queue that takes everything and counts the billed units.
type counter struct{ units float64 }

func (c *counter) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	size, out := 0, &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		size += len(aws.ToString(e.MessageBody))
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	c.units += billing.Units(size, billing.QueueUnit)
	return out, nil
}

// Frame is the size of the message to a subscriber who asks for everything, under an
// id as long as a UUID.
func Frame(e pubsub.Event) int {
	payload := fmt.Appendf(nil, `{"data":{"newMessage":%s}}`, e.Root)
	return len(transportws.AppendNext(nil, "00000000-0000-0000-0000-000000000000", payload))
}

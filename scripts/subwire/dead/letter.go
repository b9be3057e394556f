package dead

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"subwire/scripts/internal/plain"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// deadQueue is a dead-letter queue, by logical names.
type deadQueue struct {
	name   string
	source string // the queue that the messages come from; "" for the stream's
	fifo   bool
}

// deadQueues lists those of any deployment.
func deadQueues() []deadQueue {
	var all []deadQueue
	for _, q := range (topology.Product{Inputs: true}).Queues() {
		if q.DeadLetters != "" {
			all = append(all, deadQueue{q.DeadLetters, q.Name, q.FIFO})
		}
	}
	return append(all, deadQueue{name: topology.StreamDead.Name})
}

// findQueues returns the queue with the name, or all for "".
func findQueues(name string) ([]deadQueue, error) {
	all := deadQueues()
	if name == "" {
		return all, nil
	}
	var names []string
	for _, q := range all {
		if q.name == name {
			return []deadQueue{q}, nil
		}
		names = append(names, q.name)
	}
	return nil, fmt.Errorf("%q is no queue of dead letters; these are: %s", name, strings.Join(names, ", "))
}

// letter is a dead letter, decoded as far as it can be.
type letter struct {
	queue    deadQueue
	id       string // of the message; it changes when it is sent again
	receipt  string
	group    string // of a FIFO queue
	sent     time.Time
	receives int
	parked   string // why a function parked it, or ""

	batch   fanout.Batch   // its content, unless it is the stream's
	records recordRange    // what it points to, if Lambda gave up the stream's records
	held    *fanout.Letter // its content, if the stream function gave up a record
	events  []pubsub.Event // of that record
	waiting *publication   // its content, if it is an event that was not published
	err     error          // why it contains nothing that can be sent
}

// publication is an event from outside, in any form that the function publish reads. Whoever
// parked it has said why; so everything can be sent again.
type publication struct {
	body       string
	attributes map[string]string
	event, id  string // for people; "" if the form does not show them
}

func newPublication(m types.Message, sent time.Time) *publication {
	p := &publication{body: aws.ToString(m.Body), attributes: map[string]string{}}
	for _, name := range []string{topology.EventAttribute, topology.IDAttribute} {
		if value := aws.ToString(m.MessageAttributes[name].StringValue); value != "" {
			p.attributes[name] = value
		}
	}
	var plain struct{ Event, ID string }
	_ = json.Unmarshal([]byte(p.body), &plain) // another form
	p.event, p.id = cmp.Or(p.attributes[topology.EventAttribute], plain.Event), cmp.Or(p.attributes[topology.IDAttribute], plain.ID)
	// Without an id, its message made one, and another message would make another. The time
	// stays in dead letters ("Setting-up dead-letter queue retention in Amazon SQS").
	if p.attributes[topology.EventAttribute] != "" && p.id == "" {
		p.attributes[topology.IDAttribute] = subwire.IDAt(sent, aws.ToString(m.MessageId))
	}
	return p
}

// recordRange is the part of a stream whose records the stream function could not
// handle ("Retaining discarded batches for a DynamoDB event source in Lambda" in the
// Lambda Developer Guide). The stream function may have handled others in between:
// one shard feeds many batches at once.
type recordRange struct {
	Shard   string    `json:"shardId"`
	Start   string    `json:"startSequenceNumber"`
	End     string    `json:"endSequenceNumber"`
	First   time.Time `json:"approximateArrivalOfFirstRecord"` // to the second
	Last    time.Time `json:"approximateArrivalOfLastRecord"`
	Records int       `json:"batchSize"`
	Stream  string    `json:"streamArn"`

	Condition string `json:"-"` // why it was given up
	Attempts  int    `json:"-"`
}

var (
	errNoRecords = errors.New("names no stream records")
	errCut       = errors.New("its record is too large for a letter; the row is in its table")
)

// decodeRange reads what Lambda sends to a destination.
func decodeRange(body string) (recordRange, error) {
	var m struct {
		Request struct {
			Condition string `json:"condition"`
			Attempts  int    `json:"approximateInvokeCount"`
		} `json:"requestContext"`
		Batch recordRange `json:"DDBStreamBatchInfo"`
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return recordRange{}, fmt.Errorf("%w: %v", errNoRecords, err)
	}
	if m.Batch.Shard == "" || m.Batch.Start == "" || m.Batch.End == "" || m.Batch.Stream == "" {
		return recordRange{}, errNoRecords
	}
	m.Batch.Condition, m.Batch.Attempts = m.Request.Condition, m.Request.Attempts
	return m.Batch, nil
}

// decoder is subwire.App.Events, and orPresence.
type decoder func(events.DynamoDBEventRecord) ([]pubsub.Event, error)

// orPresence also decodes records of presence, each to an event without a root: who is
// present is counted when it is planned.
func orPresence(decode decoder) decoder {
	return func(r events.DynamoDBEventRecord) ([]pubsub.Event, error) {
		if _, ok, err := dynamo.PresenceChange(r.Change); ok {
			return []pubsub.Event{{ID: r.EventID, Topic: r.Change.Keys[topology.Subscriptions.Key].String()}}, err
		}
		return decode(r)
	}
}

// newLetter decodes a message that was received from q.
func newLetter(q deadQueue, m types.Message, decode decoder) letter {
	l := letter{queue: q, id: aws.ToString(m.MessageId), receipt: aws.ToString(m.ReceiptHandle), group: group(m)}
	sent, _ := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
	l.sent = time.UnixMilli(sent)
	l.receives, _ = strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	l.parked = aws.ToString(m.MessageAttributes[queue.ReasonAttribute].StringValue)
	switch q.source {
	case "":
		l.decodeStream(aws.ToString(m.Body), decode)
	case topology.Events.Name:
		l.waiting = newPublication(m, l.sent)
	default:
		l.batch, l.err = fanout.Decode([]byte(aws.ToString(m.Body)))
	}
	return l
}

// decodeStream decodes both kinds of the stream's letters.
func (l *letter) decodeStream(body string, decode decoder) {
	held, err := fanout.DecodeLetter([]byte(body))
	if err != nil {
		l.records, l.err = decodeRange(body)
		return
	}
	l.held = &held
	if held.Cut {
		l.err = errCut
		return
	}
	var record events.DynamoDBEventRecord
	if err := json.Unmarshal(held.Record, &record); err != nil {
		l.err = fmt.Errorf("%w: %w", subwire.ErrUndecodable, err)
		return
	}
	l.events, l.err = decode(record)
}

// sequence is the number of the record that the stream function gave up.
func (l letter) sequence() string {
	var record struct {
		Change struct{ SequenceNumber string } `json:"dynamodb"`
	}
	_ = json.Unmarshal(l.held.Record, &record) // the function parked it although it has none
	return cmp.Or(record.Change.SequenceNumber, "without a number")
}

// event is the letter's event, or the first of several, or none.
func (l letter) event() pubsub.Event {
	if len(l.events) > 0 {
		return l.events[0]
	}
	return l.batch.Event
}

func group(m types.Message) string {
	return m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]
}

// receivedTooOften is the reason for messages that SQS itself moved, which have none.
const receivedTooOften = "received too often"

// reason says why it is a dead letter, in words that letters share.
func (l letter) reason() string {
	switch {
	case l.parked != "":
		return plain.Text(l.parked)
	case l.err != nil:
		return plain.Text(l.err.Error())
	case l.records.Condition != "":
		return plain.Text(l.records.Condition)
	}
	return receivedTooOften
}

// about reports whether the letter may concern the topic, or any for "". The topics
// of a stream's letter are only in its records.
func (l letter) about(topic string) bool {
	is := func(e pubsub.Event) bool { return e.Topic == topic }
	unknown := l.event().Topic == ""
	return topic == "" || l.err == nil && (unknown || is(l.batch.Event) || slices.ContainsFunc(l.events, is))
}

// what describes the letter's content to people.
func (l letter) what() string {
	switch {
	case l.event().Topic != "":
		return plain.Text(l.event().Topic) + " event " + plain.Text(l.event().ID)
	case l.waiting != nil && l.waiting.event != "":
		return strings.TrimSpace("event " + plain.Text(l.waiting.event) + " " + plain.Text(l.waiting.id))
	case l.waiting != nil:
		return "message " + l.id
	case l.held != nil:
		return "record " + plain.Text(l.sequence())
	case l.err != nil:
		return "message " + l.id
	case l.records.Start == l.records.End:
		return "record " + plain.Text(l.records.Start)
	}
	return "records " + plain.Text(l.records.Start) + " to " + plain.Text(l.records.End)
}

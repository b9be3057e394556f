// Package queue sends messages to one SQS queue, many per request, and each until SQS
// has taken it. It knows nothing of what is in a message, and it does not receive.
package queue

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"subwire/shared/sdkhttp"
	"subwire/shared/topology"
)

// Limits of one request ("SendMessageBatch" in the SQS API Reference).
const (
	requestMessages = 10
	requestBytes    = topology.QueueMessageBytes
)

// A message that SQS refused, and a request that failed for a passing reason, are sent
// again after a random pause of up to firstPause, which doubles up to maxPause. The SDK
// has already retried requests by then, but only for a second or two; an incident lasts
// longer.
const (
	patience   = 20 * time.Second
	firstPause = 100 * time.Millisecond
	maxPause   = 3200 * time.Millisecond

	// tryTime bounds one request, with the SDK's retries. A request that is never
	// answered, such as on a connection lost while the process was frozen, must leave
	// time for another. The SDK sets no bound.
	tryTime = 2 * time.Second
)

// ErrInvalidMessage is returned for a message with content that SQS refuses. A retry cannot
// help.
var ErrInvalidMessage = errors.New("message is refused")

// errMissing is why a message is sent again if the answer does not name it.
var errMissing = errors.New("missing in the answer")

// Client is the part of *sqs.Client that is used.
type Client interface {
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (
		*sqs.SendMessageBatchOutput, error)
}

// Message is one message for the queue. SQS takes 1 to 128 ASCII letters,
// digits and punctuation marks as a group or deduplication id.
type Message struct {
	Body            []byte        // JSON
	Group           string        // FIFO queues only: its messages are received in order
	DeduplicationID string        // FIFO queues only: a second one within 5 minutes is accepted and dropped
	Delay           time.Duration // standard queues only: at most 15 minutes, rounded up to seconds
	Reason          string        // why it is a dead letter, if it is one; see ReasonAttribute

	Attributes map[string]string // other message attributes

	// Overtaken makes what SendInOrder sends instead, once later messages of the group
	// may be in the queue.
	Overtaken func() (body []byte, deduplicationID string, err error)
}

// ReasonAttribute is the message attribute that says why a message was parked.
const ReasonAttribute = "reason"

// maxReason keeps a reason readable, in bytes.
const maxReason = 300

// Publisher sends to one queue. Many goroutines may use it at once.
type Publisher struct {
	client Client
	url    string
}

// NewClient returns a client for New.
func NewClient(cfg aws.Config) *sqs.Client {
	return sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.HTTPClient = sdkhttp.Wrap(o.HTTPClient) })
}

// New returns a Publisher for the queue at the given URL.
func New(client Client, url string) *Publisher { return &Publisher{client, url} }

// Send sends the messages as they come: a request leaves as soon as it is full, before
// the next message is asked for. It ends at the first error: one from msgs, or one that
// says how many messages of a request SQS did not take after 20 seconds of tries, or
// after half the time that ctx had left. Earlier requests have been sent by then, and
// the failed one may have been, so callers send all again with the same deduplication
// ids.
//
// No message overtakes one of an earlier request. Within a request SQS may take a
// message and refuse one before it, so messages of a group whose order matters belong
// in different calls, or in SendInOrder.
func (p *Publisher) Send(ctx context.Context, msgs iter.Seq2[Message, error]) error {
	return requests(msgs, func(full []Message) error { return p.send(ctx, full) })
}

// parallel is how many requests SendUnordered has under way at once.
const parallel = 4

// SendUnordered is Send for messages that may overtake each other: several requests are
// under way at once. All have ended when it returns.
func (p *Publisher) SendUnordered(ctx context.Context, msgs iter.Seq2[Message, error]) error {
	sending, ctx := errgroup.WithContext(ctx)
	sending.SetLimit(parallel)
	err := requests(msgs, func(full []Message) error {
		sending.Go(func() error { return p.send(ctx, full) })
		return context.Cause(ctx)
	})
	return cmp.Or(sending.Wait(), err)
}

// SendInOrder is Send for messages of one group, several to a request, each with an
// Overtaken. It never puts a message into the queue behind one that follows it.
//
// "For a FIFO queue, multiple messages within a single batch are enqueued in the order
// they are sent." But each may fail by itself, and no page says that those behind it
// then fail as well ("SendMessageBatch" in the SQS API Reference). What failed must not
// be sent again behind these, so its Overtaken is sent. The same goes for a request that
// may have been applied in part, as nobody knows the outcome. What is left goes one by
// one. If that fails too, the caller sends all again, and order is lost if SQS did take
// later messages without earlier ones.
func (p *Publisher) SendInOrder(ctx context.Context, msgs iter.Seq2[Message, error]) error {
	return requests(msgs, func(full []Message) error {
		rest, err := p.inOrder(ctx, full)
		if err != nil {
			return err
		}
		for _, m := range rest {
			if err := p.send(ctx, []Message{m}); err != nil {
				return err
			}
		}
		return nil
	})
}

// inOrder sends one request once. It returns what must follow it, in order.
func (p *Publisher) inOrder(ctx context.Context, msgs []Message) (rest []Message, err error) {
	if len(msgs) == 1 {
		return msgs, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	taken, unknown := p.once(ctx, entries(msgs))
	overtaken := false
	for i, m := range slices.Backward(msgs) {
		if taken[strconv.Itoa(i)] {
			overtaken = true
			continue
		}
		if overtaken {
			if m.Body, m.DeduplicationID, err = m.Overtaken(); err != nil {
				return nil, fmt.Errorf("replace an overtaken message: %w", err)
			}
		}
		rest = append(rest, m)
		overtaken = overtaken || unknown
	}
	slices.Reverse(rest)
	return rest, nil
}

// once sends the entries without any retry: the SDK's would hide what became of the
// first try. Nor does the end of ctx cut it off. It returns the ids of those that SQS
// took, or that this is unknown.
func (p *Publisher) once(ctx context.Context, entries []types.SendMessageBatchRequestEntry) (
	taken map[string]bool, unknown bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTime)
	defer cancel()
	out, err := p.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &p.url, Entries: entries},
		func(o *sqs.Options) { o.Retryer = aws.NopRetryer{} })
	if err != nil {
		return nil, !isClientFault(err)
	}
	return successful(out), false
}

// isClientFault reports whether SQS answered a request with an HTTP status that says
// that it did nothing, as when it throttles.
func isClientFault(err error) bool {
	var answer interface{ HTTPStatusCode() int }
	if !errors.As(err, &answer) {
		return false
	}
	status := answer.HTTPStatusCode()
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout
}

// requests divides the messages into requests, and hands each over when it is full.
func requests(msgs iter.Seq2[Message, error], send func([]Message) error) error {
	var next []Message
	size := 0
	flush := func() error {
		full := next
		next, size = nil, 0
		if len(full) == 0 {
			return nil
		}
		return send(full)
	}
	for m, err := range msgs {
		if err != nil {
			return fmt.Errorf("next message to send: %w", err)
		}
		m.Body = escape(m.Body)
		if size+len(m.Body) > requestBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		next, size = append(next, m), size+len(m.Body)
		if len(next) == requestMessages || size >= requestBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// SendLater sends one message to a standard queue, to be received after the delay: at
// most 15 minutes, rounded up to seconds.
func (p *Publisher) SendLater(ctx context.Context, body []byte, delay time.Duration) error {
	return p.Send(ctx, func(yield func(Message, error) bool) { yield(Message{Body: body, Delay: delay}, nil) })
}

// SendEach sends messages to a standard queue, to be received at once and in any order.
func (p *Publisher) SendEach(ctx context.Context, bodies [][]byte) error {
	return p.Send(ctx, func(yield func(Message, error) bool) {
		for _, body := range bodies {
			if !yield(Message{Body: body}, nil) {
				return
			}
		}
	})
}

// Park sends one message to a standard queue of dead letters, with the reason why.
func (p *Publisher) Park(ctx context.Context, body []byte, reason string) error {
	return p.Send(ctx, func(yield func(Message, error) bool) { yield(Message{Body: body, Reason: reason}, nil) })
}

// send sends one request, and repeats what SQS refused of it, while that may help and
// there is time.
func (p *Publisher) send(ctx context.Context, msgs []Message) error {
	entries := entries(msgs)
	until := giveUp(ctx)
	for attempt := 1; ; attempt++ {
		rest, again, err := p.try(ctx, entries)
		if len(rest) == 0 {
			return nil
		}
		if errors.Is(err, ErrInvalidMessage) && len(rest) > 1 {
			return p.sendEach(ctx, msgs, rest)
		}
		entries = rest
		if !again || time.Now().After(until) {
			return fmt.Errorf("%d of %d messages not sent: %w", len(entries), len(msgs), err)
		}
		if !pause(ctx, attempt) {
			return fmt.Errorf("%d of %d messages not sent: %w (%w)", len(entries), len(msgs), err, context.Cause(ctx))
		}
	}
}

// giveUp is when a request is no longer sent again. It leaves the caller half of its
// time to deal with the failure.
func giveUp(ctx context.Context) time.Time {
	wait := patience
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)/2)
	}
	return time.Now().Add(wait)
}

// sendEach sends each entry in its own request, as one of them is refused and must not
// keep the others back.
func (p *Publisher) sendEach(ctx context.Context, msgs []Message, entries []types.SendMessageBatchRequestEntry) error {
	var errs []error
	for _, e := range entries {
		i, _ := strconv.Atoi(*e.Id) // entry ids are indexes into msgs
		if err := p.send(ctx, msgs[i:i+1]); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// try sends the entries once. It returns those that SQS did not take, with the reason
// of one of them, and whether a retry may help.
func (p *Publisher) try(ctx context.Context, entries []types.SendMessageBatchRequestEntry) (
	rest []types.SendMessageBatchRequestEntry, again bool, reason error) {
	once, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	out, err := p.client.SendMessageBatch(once, &sqs.SendMessageBatchInput{QueueUrl: &p.url, Entries: entries})
	late := once.Err() != nil
	switch {
	case err == nil:
		return notTaken(entries, out)
	case isInvalidMessage(err):
		return entries, false, fmt.Errorf("send %d messages: %w: %w", len(entries), ErrInvalidMessage, err)
	}
	return entries, ctx.Err() == nil && (late || transient(err)), fmt.Errorf("send %d messages: %w", len(entries), err)
}

// transient reports whether the SDK would try again, had it not already.
func transient(err error) bool { return retry.NewStandard().IsErrorRetryable(err) }

// isInvalidMessage reports whether a request failed because of what its messages hold. The
// answer does not say which of them.
func isInvalidMessage(err error) bool {
	var failure smithy.APIError
	return errors.As(err, &failure) && aboutContent(failure.ErrorCode())
}

// aboutContent reports whether the code says that a message can never be taken. Other
// codes of the sender's fault may come from a queue or a permission that is wrong now
// and will be right again.
func aboutContent(code string) bool {
	switch code[strings.LastIndexByte(code, '.')+1:] { // some are AWS.SimpleQueueService.NAME
	case "InvalidMessageContents", "BatchRequestTooLong", "MessageTooLong":
		return true
	}
	return false
}

// entries are numbered: the id of each is its index.
func entries(msgs []Message) []types.SendMessageBatchRequestEntry {
	list := make([]types.SendMessageBatchRequestEntry, len(msgs))
	for i, m := range msgs {
		list[i] = entry(strconv.Itoa(i), m)
	}
	return list
}

func entry(id string, m Message) types.SendMessageBatchRequestEntry {
	e := types.SendMessageBatchRequestEntry{
		Id:           &id,
		MessageBody:  aws.String(string(m.Body)),
		DelaySeconds: int32((m.Delay + time.Second - 1) / time.Second),
	}
	if m.Group != "" {
		e.MessageGroupId = &m.Group
	}
	if m.DeduplicationID != "" {
		e.MessageDeduplicationId = &m.DeduplicationID
	}
	add := func(name, value string) {
		if e.MessageAttributes == nil {
			e.MessageAttributes = map[string]types.MessageAttributeValue{}
		}
		e.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
	}
	for name, value := range m.Attributes {
		add(name, value)
	}
	if m.Reason != "" {
		add(ReasonAttribute, strings.ToValidUTF8(m.Reason[:min(len(m.Reason), maxReason)], ""))
	}
	return e
}

// notTaken returns the entries that SQS did not take, in order, with the reason of one
// of them, and whether a retry may help. It cannot if one is refused for its content,
// which is an ErrInvalidMessage.
func notTaken(entries []types.SendMessageBatchRequestEntry, out *sqs.SendMessageBatchOutput) (
	rest []types.SendMessageBatchRequestEntry, again bool, reason error) {
	taken := successful(out)
	for _, e := range entries {
		if !taken[*e.Id] {
			rest = append(rest, e)
		}
	}
	again, reason = true, errMissing
	for _, f := range out.Failed {
		switch {
		case aboutContent(aws.ToString(f.Code)): // the reason that ends it all is the one to report
			return rest, false, fmt.Errorf("%w: %s: %s", ErrInvalidMessage, aws.ToString(f.Code), aws.ToString(f.Message))
		default:
			reason = fmt.Errorf("%s: %s", aws.ToString(f.Code), aws.ToString(f.Message))
		}
	}
	return rest, again, reason
}

// successful are the ids of the entries that SQS took.
func successful(out *sqs.SendMessageBatchOutput) map[string]bool {
	taken := make(map[string]bool, len(out.Successful))
	for _, s := range out.Successful {
		taken[aws.ToString(s.Id)] = true
	}
	return taken
}

// pause waits before the attempt after the given one. It returns false if ctx ended.
func pause(ctx context.Context, attempt int) bool {
	timer := time.NewTimer(rand.N(min(maxPause, firstPause<<min(attempt-1, 10))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// escape replaces the two characters that JSON allows in a string but SQS does not in a
// body ("SendMessageBatch" in the SQS API Reference).
func escape(json []byte) []byte {
	json = bytes.ReplaceAll(json, []byte("\uFFFE"), []byte(`\ufffe`))
	return bytes.ReplaceAll(json, []byte("\uFFFF"), []byte(`\uffff`))
}

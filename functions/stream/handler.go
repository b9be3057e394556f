package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/allowance"
	"subwire/shared/announce"
	"subwire/shared/connection"
	"subwire/shared/fanout"
	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
	"subwire/shared/trace"
)

type handler struct {
	log     *slog.Logger
	product product
	store   store
	fanout  interface {
		SendUnordered(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error
		SendInOrder(ctx context.Context, msgs iter.Seq2[queue.Message, error]) error
	}
	dead interface {
		Park(ctx context.Context, body []byte, reason string) error
	}
	checks    connection.Checks // of who is present
	limits    fanout.Limits
	direct    *direct
	marking   *announce.Marking    // of the process
	sent      *recent              // records that are finished
	audiences *allowance.Audiences // learn how many targets an event has, for whoever writes the next
	metrics   *metrics.Meter
	begun     time.Time // the invocation
}

const (
	// reserve is the part of the invocation's time that is kept for the report.
	reserve = 5 * time.Second

	// parallel is how many topics of a batch are fanned out at once.
	parallel = topology.StreamTopics
)

// handle fans out the records: topics side by side, records of one topic in order, up
// to the first that fails or until time is up. The event source mapping redelivers
// the first that failed and all after it. What was sent of these is remembered and
// skipped: in an incident of one topic they would come back for hours, and the queue
// drops repeated batches for five minutes only. Nobody is owed an event from before
// its subscription, so it does not matter who subscribed since.
func (h handler) handle(ctx context.Context, b batch) (events.DynamoDBEventResponse, error) {
	h.begun = time.Now()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-reserve))
		defer cancel()
	}
	if h.direct.most > 0 {
		if err := h.marking.Begin(ctx); err != nil { // until then the queue takes all events
			h.log.WarnContext(ctx, "not known since when topics are marked", "error", err)
		}
	}
	var records []record
	for i, raw := range b.Records {
		records = append(records, newRecords(h.product, i, raw)...)
	}
	left := newest(records)
	h.logLeftOut(ctx, records, left)
	left = h.joined(ctx, left)
	r := events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{}}
	if first := h.fanOutAll(ctx, left); first != nil {
		failed := events.DynamoDBBatchItemFailure{ItemIdentifier: first.sequence}
		r.BatchItemFailures = append(r.BatchItemFailures, failed)
	}
	return r, nil
}

// fanOutAll returns the first record that failed, or nil.
func (h handler) fanOutAll(ctx context.Context, records []record) (first *record) {
	var mu sync.Mutex
	all := lanes(records)
	work := make(chan []record, len(all))
	for _, lane := range all {
		work <- lane
	}
	close(work)
	var working sync.WaitGroup
	for range min(parallel, len(all)) {
		working.Go(func() {
			for lane := range work {
				failed := h.fanOutLane(ctx, lane)
				mu.Lock()
				if failed != nil && (first == nil || failed.place < first.place) {
					first = failed
				}
				mu.Unlock()
			}
		})
	}
	working.Wait()
	return first
}

// fanOutLane stops at the first record that fails, and returns it.
func (h handler) fanOutLane(ctx context.Context, lane []record) *record {
	if lane[0].present != nil && lane[0].err == nil {
		return h.tellPresence(ctx, lane)
	}
	to := &listeners{store: h.store, topic: lane[0].event.Topic}
	for _, part := range parts(lane) {
		if r, err := h.fanOutPart(ctx, part, to); err != nil {
			ctx = trace.With(ctx, r.event.Trace)
			h.log.ErrorContext(ctx, "fan-out failed", "record", r.sequence, "event", r.event.ID, "error", err)
			return &r
		}
		to.sent += len(part)
	}
	return nil
}

// fanOutPart sends the events of several records together if that is possible, or else
// one after the other. It returns the first record that failed, with the reason.
func (h handler) fanOutPart(ctx context.Context, part []record, to *listeners) (record, error) {
	if len(part) > 1 && to.few && ctx.Err() == nil {
		switch err := h.sendTogether(ctx, part, to); {
		case err == nil:
			return record{}, nil
		case !isHopeless(err) && !errors.Is(err, errSplit):
			return part[0], err
		}
	}
	for _, r := range part {
		if err := h.fanOut(ctx, r, to); err != nil {
			return r, err
		}
	}
	return record{}, nil
}

// fanOut sends the record's event, or parks a hopeless record. When it returns nil,
// the record is finished.
func (h handler) fanOut(ctx context.Context, r record, to *listeners) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx = trace.With(ctx, r.event.Trace)
	if h.sent.has(r.known()) {
		return nil
	}
	err := r.err
	if err == nil {
		err = h.send(ctx, r, to)
	}
	switch {
	case isHopeless(err) && r.shared != nil:
		err = h.apart(ctx, r, to)
	case isHopeless(err):
		err = h.park(ctx, fanout.Letter{Record: r.raw, Event: r.event.ID}, r, err)
	}
	if err == nil {
		h.finished(r)
	}
	return err
}

// What the log says of an event: that its batches are in the queue, or that it was delivered
// without. What could not be delivered is in batches.
const (
	eventSent      = "event sent"
	eventDelivered = "event delivered"

	eventDelivering = "delivering event" // names the targets
)

// sentAll notes an event that needs nothing more here: its audience, the metrics, a line of
// the log.
func (h handler) sentAll(ctx context.Context, r record, s announce.Size, what string, more ...any) {
	h.audiences.Note(ctx, r.event.Topic, s.Targets)
	h.metrics.Add(metrics.Events, r.events())
	h.metrics.Add(metrics.LeftOut, len(r.replaced))
	h.metrics.Add(metrics.Batches, s.Batches)
	h.metrics.Add(metrics.Targets, s.Targets)
	h.metrics.Add(metrics.Filtered, s.Filtered)
	h.metrics.Observe(metrics.FanOut, float64(s.Targets))
	attrs := []any{"event", r.announced().ID}
	if what == eventSent || s.Batches > 0 {
		attrs = append(attrs, "batches", s.Batches)
	}
	attrs = append(attrs, "targets", s.Targets)
	if !r.event.At.IsZero() {
		attrs = append(attrs, "lag", max(0, time.Since(r.event.At).Milliseconds()))
	}
	h.log.InfoContext(ctx, what, append(attrs, more...)...)
}

// logLeftOut logs the events of which only a newer one is left. Both are in order.
func (h handler) logLeftOut(ctx context.Context, all, left []record) {
	for _, r := range all {
		if len(left) > 0 && left[0].id == r.id {
			left = left[1:]
			continue
		}
		h.log.InfoContext(trace.With(ctx, r.event.Trace), "event left out", "record", r.sequence, "event", r.event.ID)
	}
}

// plan yields the messages of an event, and adds up what they are.
func (h handler) plan(ctx context.Context, r record, to *listeners,
	sum *announce.Size) iter.Seq2[queue.Message, error] {
	return h.messages(ctx, r, h.batches(ctx, r, to.all(ctx), h.product.Passes(r.event), sum))
}

// batches yields the batches of an event, and adds them up. passes is that of announce.Event.
func (h handler) batches(ctx context.Context, r record, to iter.Seq2[pubsub.Subscription, error],
	passes func(string, pubsub.Viewer) bool, sum *announce.Size) iter.Seq2[fanout.Batch, error] {
	return announce.Event{Event: r.announced(), Subscriptions: to, Passes: passes,
		LeaveOut: func(why error) error { return h.leaveOut(ctx, r, why) }}.Batches(h.limits, sum)
}

// messages encodes each batch as it is planned.
func (h handler) messages(ctx context.Context, r record,
	batches iter.Seq2[fanout.Batch, error]) iter.Seq2[queue.Message, error] {
	return announce.Messages(batches, func() {
		h.log.ErrorContext(ctx, "event may be overtaken", "record", r.sequence, "event", r.event.ID)
	})
}

// leaveOut parks the event for the one target that cannot get it. It does so once,
// although the record comes back as long as the other targets cannot be reached. A
// row that cannot be decoded names no target, so it is only logged.
func (h handler) leaveOut(ctx context.Context, r record, why error) error {
	target, ok := errors.AsType[*fanout.TargetError](why)
	if !ok {
		h.log.ErrorContext(ctx, "row left out", "record", r.sequence, "event", r.event.ID, "error", why)
		return nil
	}
	who := fanout.Addressee{ConnectionID: target.ConnectionID, OperationID: target.OperationID}
	id := r.id + " " + who.ConnectionID + " " + who.OperationID
	if h.sent.has(id) {
		return nil
	}
	err := h.park(ctx, fanout.Letter{Record: r.raw, Event: r.event.ID, Target: &who}, r, why)
	if err == nil {
		h.sent.add(id)
	}
	return err
}

// park puts the record into the dead letters, with its content: nobody waits for what
// cannot be helped. The log has ids only, as a reason may quote content.
func (h handler) park(ctx context.Context, l fanout.Letter, r record, why error) error {
	if r.shared != nil {
		return h.parkEach(ctx, l, r, why)
	}
	body, err := fanout.EncodeLetter(l, topology.QueueMessageBytes)
	if err == nil {
		err = h.dead.Park(ctx, body, why.Error())
	}
	if err != nil {
		return fmt.Errorf("park: %w", err)
	}
	h.metrics.Add(metrics.Parked, 1)
	h.log.ErrorContext(ctx, "record parked", "record", r.sequence, "event", r.event.ID, "panic", errors.Is(why, errPanic))
	return nil
}

// Package announce turns an event and the subscriptions of its topic into the messages that
// bring it to them by the queue of the fan-out. Whoever announces an event uses it, so an
// event that is announced twice to the same subscriptions has the same messages, and the
// queue drops the second.
//
// It also has the fast way (Fast), and says which topics may have events in that queue
// (QueuedMark, Marking). The store and the queue are its callers'.
package announce

import (
	"fmt"
	"iter"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

// Limits are those of every plan: one event has the same batches whoever plans it.
func Limits(settings topology.Values) fanout.Limits {
	return fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes,
		Alone: topology.QueueMessageBytes, Groups: topology.FanoutGroups.In(settings),
		OfConnection: topology.MaxOfTopic.In(settings)}
}

// Size is how many batches and targets an event was planned into, and how many subscriptions
// did not want it.
type Size struct{ Batches, Targets, Filtered int }

// Event is an event to announce.
type Event struct {
	pubsub.Event // with the id that it is sent with

	Subscriptions iter.Seq2[pubsub.Subscription, error] // of its topic

	// Passes judges filters, as fanout.Passing asks; with nil all subscriptions get the event.
	Passes func(filter string, v pubsub.Viewer) bool

	// LeaveOut gets each subscription that cannot get the event (see
	// fanout.OfOneSubscription). Its error ends the plan.
	LeaveOut func(why error) error
}

// Batches yields the batches that bring the event to its subscriptions, and adds them up.
func (e Event) Batches(l fanout.Limits, sum *Size) iter.Seq2[fanout.Batch, error] {
	rows := e.Subscriptions
	if e.Passes != nil {
		rows = fanout.Passing(rows, e.Passes, &sum.Filtered)
	}
	return counted(e.others(fanout.Plan(e.Event, rows, l)), sum)
}

// counted adds up the batches.
func counted(batches iter.Seq2[fanout.Batch, error], sum *Size) iter.Seq2[fanout.Batch, error] {
	return func(yield func(fanout.Batch, error) bool) {
		for b, err := range batches {
			if err == nil {
				sum.Batches++
				sum.Targets += b.Targets()
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// others goes on with the other subscriptions when one cannot get the event.
func (e Event) others(batches iter.Seq2[fanout.Batch, error]) iter.Seq2[fanout.Batch, error] {
	return func(yield func(fanout.Batch, error) bool) {
		for b, err := range batches {
			if err != nil && fanout.OfOneSubscription(err) {
				if err = e.LeaveOut(err); err == nil {
					continue
				}
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// Messages encodes each batch as it is planned. overtaken is called for each that the queue
// may have taken behind a later event, so that the subscriptions end instead.
func Messages(batches iter.Seq2[fanout.Batch, error], overtaken func()) iter.Seq2[queue.Message, error] {
	return func(yield func(queue.Message, error) bool) {
		for b, err := range batches {
			var m queue.Message
			if err == nil {
				m.Group = b.Group()
				m.Overtaken = func() ([]byte, string, error) {
					overtaken()
					return fanout.Encode(b.Ending(fanout.Overtaken))
				}
				m.Body, m.DeduplicationID, err = fanout.Encode(b)
			}
			if err != nil {
				err = fmt.Errorf("plan: %w", err)
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

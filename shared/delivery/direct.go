package delivery

import (
	"context"
	"time"

	"subwire/shared/fanout"
)

// Outcome is what became of the batches of one event.
type Outcome struct {
	Report Report

	// Left are batches of the targets that were neither served nor kept. The caller must
	// bring them the event in another way.
	Left []fanout.Batch

	// Slow says that patience did not last for all targets, some of which may be in Left and
	// some in the queue of retries. Batches without a turn to post in time do not count: that
	// says nothing of their topic.
	Slow bool

	// Hung says that some code of the product did not heed its context. It may still run.
	Hung bool

	others      []became
	lastRefusal string
}

// Attrs are what the log says of the outcome, as of one that came by the queue.
func (o Outcome) Attrs() []any { return appendOutcome(nil, o.Report, o.lastRefusal, o.others) }

// hangTime is how much longer than its patience a delivery may take: until begun posts have
// ended and what was not served is queued. Beyond that some code of the product does not
// heed its context.
const hangTime = lastPosts + queueTime + time.Second

// DeliverNow brings an event to the targets of its batches, which are in no queue. It begins
// no try when its patience is over, and does not wait for code that hangs: the batches that
// this keeps from ending are left, and nothing more is posted of them. The targets of a batch
// that cannot be encoded are left, too. If something is left and the batches come again in
// this process, it skips whom it served.
func (s *Sender) DeliverNow(ctx context.Context, batches []fanout.Batch, patience time.Duration) (o Outcome) {
	w := s.openFor(ctx, patience)
	defer w.close()
	type ended struct {
		batch int
		round *round
	}
	ends := make(chan ended, len(batches))
	running := 0
	for i, b := range batches {
		body, _, err := fanout.Encode(b)
		if err != nil {
			continue // it is left
		}
		running++
		go func() {
			r := s.begin(w, &round{body: body, direct: true})
			<-r.done
			ends <- ended{i, r}
		}()
	}
	rounds := make([]*round, len(batches)) // those that have ended
	impatient := w.trying.Done()
	var hangs <-chan time.Time // begins when the patience is over
	for running > 0 && !o.Hung {
		select {
		case e := <-ends:
			running--
			rounds[e.batch] = e.round
			o.add(e.round)
			if w.trying.Err() != nil && !e.round.noTurn.Load() {
				o.Slow = true
			}
		case <-impatient:
			impatient, hangs = nil, time.After(hangTime)
		case <-hangs:
			o.Slow, o.Hung = true, true
		}
	}
	for i, r := range rounds {
		if r == nil {
			o.Left = append(o.Left, batches[i])
		}
	}
	if len(o.Left) > 0 {
		for _, r := range rounds {
			if r != nil {
				r.keepReceipts()
			}
		}
	}
	return o
}

// add adds what became of one batch.
func (o *Outcome) add(r *round) {
	o.Report.add(r.report)
	if left := append(r.in(untried), r.in(failed)...); len(left) > 0 {
		o.Left = append(o.Left, r.batchOf(left, 0))
	}
	o.others = append(o.others, r.others()...)
	if r.lastRefusal != "" {
		o.lastRefusal = r.lastRefusal
	}
}

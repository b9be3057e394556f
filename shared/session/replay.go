package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"subwire/shared/allowance"
	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/socket"
	"subwire/shared/transportws"
)

const (
	// A replay has caught up when a read finds so few new events that posting
	// them takes well below activateTime.
	fewEvents = 50

	// activateTime bounds the last read before a subscription is activated, the
	// activation, and the posts of what came between. The rest of pubsub.SettleTime is
	// for taking the subscription back and saying so. It also bounds the pages of one
	// read: what is committed before a page that was read is posted after it, and must
	// not be older than what the client's next replay repeats.
	activateTime = pubsub.SettleTime - 3*time.Second

	// postsPerLook is after how many posts the replay looks whether the client has
	// completed the operation.
	postsPerLook = 25
)

// errOver says that the last event of a subscription was among those replayed.
var errOver = errors.New("the subscription has had its last event")

// resume begins a subscription whose client has missed events. The operation takes its
// id and catches up before it is listed: if new events were posted among old ones, a
// client that loses its connection again would ask for what follows its newest event,
// and never get the rest. Then the subscription is activated, and what was committed
// before that is read once more. What is committed later finds it listed. Any failure
// ends the operation with an error, so that the client subscribes again.
func (s *Session) resume(ctx context.Context, f Frame, c pubsub.Connection, sub pubsub.Subscription,
	x pubsub.Executable) error {
	silent := sub
	silent.Topic, silent.Replaying = "", sub.Topic
	if err := s.begin(ctx, f, silent, x.Stored); err != nil {
		return s.notBegun(ctx, f, sub.OperationID, err)
	}
	s.Metrics.Add(metrics.Subscribed, 1)
	s.Metrics.Add(metrics.Replays, 1)
	r := &replay{session: s, frame: f, stored: c.Bytes, id: sub.OperationID, operation: x, seen: map[string]bool{},
		most: min(s.MaxReplayBytes, replayFactor*len(f.Data))}
	err := r.run(ctx, sub)
	s.Metrics.Add(metrics.Replayed, r.posted)
	if why, closes := errors.AsType[transportws.CloseError](err); closes {
		return why
	}
	switch {
	case err == nil, errors.Is(err, pubsub.ErrCompleted):
		return nil
	case errors.Is(err, errOver):
		return s.complete(ctx, f, sub.OperationID)
	case errors.Is(err, pubsub.ErrGone):
		return s.forget(ctx, f.ConnectionID)
	case errors.Is(err, pubsub.ErrTooLarge):
		err = tooLarge()
	}
	if r.listed.IsZero() {
		_, err = s.takeBack(ctx, f, sub.OperationID, err)
		return err
	}
	// From here to the answer, or to the end of the socket, there is a hole.
	hole, cancel := context.WithDeadline(ctx, r.listed.Add(pubsub.SettleTime))
	defer cancel()
	ended, err := s.takeBack(hole, f, sub.OperationID, err)
	switch {
	case err != nil: // the client was not told; its socket may be open, and there is time left to close it
		return errors.Join(err, s.forget(ctx, f.ConnectionID))
	case !ended: // the client was told, but its id must not stay taken
		s.end(ctx, f, sub.OperationID)
	}
	return nil
}

// takeBack ends a resumed subscription and tells the client why, even if it could not
// be ended.
func (s *Session) takeBack(ctx context.Context, f Frame, id string, why error) (ended bool, err error) {
	running, ended := s.end(ctx, f, id)
	if !running {
		return ended, nil
	}
	return ended, s.fail(ctx, f, id, why)
}

// replay is one subscription that is being resumed.
type replay struct {
	session   *Session
	frame     Frame
	stored    int // bytes of its connection
	id        string
	operation pubsub.Executable
	most      int              // bytes, over all reads
	tally     *allowance.Tally // of what was read and not yet drawn

	readAt time.Time       // when the latest read began; zero before the first
	listed time.Time       // when the last read before the activation began; zero before
	bytes  int             // of the events that were read, as they count
	seen   map[string]bool // events that are posted or about to be, by id
	posts  int             // tried
	posted int
	over   bool // the last event is among those that were read
}

// run returns ErrCompleted when the operation was completed meanwhile, ErrGone
// when the gateway no longer knows the connection, and a CloseError when the
// store does not.
func (r *replay) run(ctx context.Context, sub pubsub.Subscription) error {
	ctx, cancel := retry.Within(ctx, retry.EndReserve)
	defer cancel()
	ctx, r.tally = allowance.WithTally(ctx)
	for n := fewEvents + 1; n > fewEvents; {
		var err error
		if n, err = r.round(ctx); err != nil {
			return err
		}
	}
	r.listed = r.readAt
	settle, cancel := context.WithDeadline(ctx, r.listed.Add(activateTime))
	defer cancel()
	err := r.ask(settle, "activate subscription", func(ctx context.Context) error {
		return r.session.Operations.ActivateSubscription(ctx, sub, r.operation.Stored, r.frame.sent)
	})
	if err != nil {
		return err
	}
	_, err = r.round(settle)
	return err
}

// round reads and posts what was committed until now, and returns how many
// events were new. Past a limit it posts nothing. After the last event that the
// subscription may have it returns errOver.
func (r *replay) round(ctx context.Context) (int, error) {
	frames, err := r.read(ctx)
	if err != nil {
		return 0, err
	}
	for _, frame := range frames {
		if err := r.post(ctx, frame); err != nil {
			return 0, err
		}
	}
	if r.over {
		return 0, errOver
	}
	return len(frames), nil
}

// read returns the frames of the events committed since the previous read began,
// without those it returned then. Each page is counted and paid for before the next is
// read.
func (r *replay) read(ctx context.Context) (frames [][]byte, err error) {
	since, last := r.readAt, ""
	reading := ctx
	for more := true; more; {
		var events []pubsub.Event
		var begun time.Time
		err = retry.Do(reading, 0, func(ctx context.Context) error {
			begun = time.Now()
			events, more, err = r.operation.Missed(ctx, since, last, pageEvents)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read missed events: %w", err)
		}
		if last == "" {
			r.readAt = begun
			var cancel context.CancelFunc
			reading, cancel = context.WithDeadline(ctx, begun.Add(activateTime))
			defer cancel()
		}
		if len(events) > 0 {
			last = events[len(events)-1].ID
		}
		page, err := r.count(ctx, slices.DeleteFunc(events, func(e pubsub.Event) bool { return r.seen[e.ID] }))
		if err != nil {
			page = nil // it will not be posted
		}
		if err := cmp.Or(err, r.pay(ctx, page)); err != nil {
			return nil, err
		}
		frames = append(frames, page...)
	}
	return frames, nil
}

// pay draws what was read and counted, and what the frames and the looks between them
// will cost.
func (r *replay) pay(ctx context.Context, frames [][]byte) error {
	units := r.tally.Take()
	for _, frame := range frames {
		units += allowance.Sent(len(frame)) + allowance.Read(r.stored)/postsPerLook
	}
	return r.session.draw(ctx, r.frame, pubsub.ViewerOf(ctx), units)
}

// count executes the operation with the events and counts them. Past a limit of the
// operation nothing will be posted: the events count for what was read.
func (r *replay) count(ctx context.Context, events []pubsub.Event) (frames [][]byte, err error) {
	if len(events) == 0 {
		return nil, nil
	}
	read, before := 0, r.bytes
	for _, e := range events {
		r.seen[e.ID] = true
		read += len(e.Root)
		if r.over || r.bytes > r.most || r.operation.Passes != nil && !r.operation.Passes(pubsub.ViewerOf(ctx), &e) {
			continue
		}
		if r.operation.Allow != nil {
			if err := r.operation.Allow(pubsub.ViewerOf(ctx), &e); err != nil {
				return nil, err
			}
		}
		payload, err := r.operation.Run(ctx, &e)
		if err != nil {
			return nil, fmt.Errorf("execute with event %s: %w", e.ID, err)
		}
		frame := transportws.AppendNext(nil, r.id, payload)
		r.bytes += max(len(frame), len(e.Root))
		frames = append(frames, frame)
		r.over = r.operation.Ends != nil && r.operation.Ends(&e)
	}
	add, past := pubsub.Replayed{Events: len(events), Bytes: r.bytes - before}, r.pastLimit()
	if past != nil {
		add.Bytes = read
	}
	err = r.ask(ctx, "count replayed events", func(ctx context.Context) error {
		allowance.Add(ctx, allowance.Stored(r.stored))
		return r.session.Operations.CountReplayed(ctx, r.frame.ConnectionID, add, r.session.minuteMost(), time.Now())
	})
	if errors.Is(err, pubsub.ErrReplayLimit) {
		err = r.session.replayedEnough()
	}
	return frames, cmp.Or(past, err)
}

// ask asks the store, which may no longer know the connection.
func (r *replay) ask(ctx context.Context, what string, do func(ctx context.Context) error) error {
	err := retry.Do(ctx, 0, do)
	switch {
	case errors.Is(err, pubsub.ErrGone):
		return transportws.ConnectionExpired()
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (r *replay) post(ctx context.Context, frame []byte) error {
	if r.posts%postsPerLook == postsPerLook-1 {
		if err := r.look(ctx); err != nil {
			return err
		}
	}
	r.posts++
	err := socket.PostUnless(ctx, r.session.Gateway, r.frame.ConnectionID, 0, frame, r.look)
	if err == nil {
		r.posted++
	}
	return err
}

// look returns ErrCompleted when the operation no longer runs.
func (r *replay) look(ctx context.Context) error {
	return r.ask(ctx, "load connection", func(ctx context.Context) error {
		c, err := r.session.Connections.Connection(ctx, r.frame.ConnectionID)
		if err == nil && c.Operations[r.id].By != r.frame.sent.ID {
			return pubsub.ErrCompleted // another may have its id
		}
		return err
	})
}

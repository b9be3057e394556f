package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/retry"
	"subwire/shared/transportws"
)

// roomPauses are the pauses before each further look at a connection on which the id is
// in use, or which has no room, until a subscribe is refused: with 4409 or an error. A
// client may use an id, or an operation's room, right after it sent a complete, which
// may still be on its way in another invocation that waits for the store or is only
// started. The price is that a client at fault hears of
// it a little later.
var roomPauses = []time.Duration{
	100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
}

// inRoom does what the message asks for, if need be once there is room for it. It also
// returns how long that took.
func (s *Session) inRoom(ctx context.Context, f Frame, message transportws.Message) (waited time.Duration, err error) {
	for _, pause := range roomPauses {
		err := s.inState(ctx, f, message)
		why, _ := errors.AsType[transportws.CloseError](err)
		hasNoRoom := s.noRoom(err) != nil
		if why.Code != transportws.CodeSubscriberAlreadyExists && !hasNoRoom {
			return waited, err
		}
		f.paid = f.paid || hasNoRoom
		waited += pause
		if !pauseWithin(ctx, pause) { // the complete may be as slow as this was
			return waited, s.fail(ctx, f, message.ID, errors.New("no time to see whether there is room"))
		}
	}
	err = s.inState(ctx, f, message)
	if refusal := s.noRoom(err); refusal != nil {
		return waited, s.fail(ctx, f, message.ID, refusal)
	}
	return waited, err
}

// pauseWithin waits, and leaves the EndReserve of ctx. It returns false if that began
// first.
func pauseWithin(ctx context.Context, d time.Duration) bool {
	ctx, cancel := retry.Within(ctx, retry.EndReserve)
	defer cancel()
	return retry.Sleep(ctx, d)
}

// room says what keeps the connection from one more operation, as far as its state
// tells. What is refused here has read and written nothing else. Racing subscribes pass
// it; they are bounded by the store's condition, the planner, or the count of what is
// replayed.
func (s *Session) room(f Frame, c pubsub.Connection, id string, x pubsub.Executable) error {
	wanted := pubsub.Running{Topic: x.Topic, Union: x.Union}
	replays := 0
	for _, op := range c.Operations {
		if op.Replaying != "" && f.At.Sub(op.At) < longestReplay {
			replays++
		}
	}
	switch {
	case !c.HasRoom(id, wanted, s.MaxOperations):
		return pubsub.ErrTooManyOperations
	case s.MaxOfTopic > 0 && mostOf(wanted.Topics(), c) >= s.MaxOfTopic:
		return pubsub.ErrTooManyOfTopic
	case x.Missed == nil:
		return nil
	case replays >= maxReplays:
		return errReplaying
	case s.replayedOut(c):
		return pubsub.ErrReplayLimit
	}
	return nil
}

// mostOf is how many operations the connection has of that of the topics of which it has
// most.
func mostOf(topics []string, c pubsub.Connection) (most int) {
	for _, topic := range topics {
		n := 0
		for _, op := range c.Operations {
			if op.Topic == topic || op.Replaying == topic || slices.Contains(op.Union, topic) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// noRoom returns what to tell the client when there is no room for its operation until
// another ends; nil for any other error, and for none.
func (s *Session) noRoom(err error) error {
	switch {
	case errors.Is(err, pubsub.ErrTooManyOperations):
		return pubsub.Refusal(pubsub.CodeTooMany,
			fmt.Sprintf("A connection may run %d operations at once, or fewer with long ids and topics.",
				s.MaxOperations))
	case errors.Is(err, pubsub.ErrTooManyOfTopic):
		return pubsub.Refusal(pubsub.CodeLimit,
			fmt.Sprintf("A connection may have %d subscriptions of one topic.", s.MaxOfTopic))
	case errors.Is(err, errReplaying):
		return pubsub.Refusal(pubsub.CodeUnavailable, // the same may begin in a moment
			fmt.Sprintf("A connection is replayed %d subscriptions at once; try again when they are.", maxReplays))
	}
	return nil
}

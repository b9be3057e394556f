package session

import (
	"errors"
	"fmt"
	"time"

	"subwire/shared/pubsub"
)

// How much may be replayed.
const (
	// replayLimit is the most events that an operation is replayed. At 10 to 20 ms a
	// post that is 5 to 10 of the 25 s of an invocation.
	replayLimit = 500

	// minuteLimit is the most events that a connection is replayed per minute: all of
	// its operations together, however often they begin.
	minuteLimit = 2000

	// replayFactor is how many bytes an operation is replayed at most for each byte of
	// its subscribe message: how far a client may multiply.
	replayFactor = 2000

	// pageEvents is how many events are read before they are counted: the cost of a
	// refused replay.
	pageEvents = 50

	// maxReplays is how many operations of a connection catch up at once, as far as its
	// state tells. One that a process left behind counts for longestReplay, which is
	// longer than an invocation.
	maxReplays    = 2
	longestReplay = 30 * time.Second
)

// errReplaying says that a subscribe must wait for other replays of its connection.
var errReplaying = errors.New("connection is being replayed as much as it may be at once")

// minuteMost is the most that a connection is replayed per minute. An event counts with
// its frame or, if that is more, with what is read for it: a small selection costs the
// whole read.
func (s *Session) minuteMost() pubsub.Replayed {
	return pubsub.Replayed{Events: minuteLimit, Bytes: 2 * s.MaxReplayBytes}
}

// replayedOut reports whether the connection has had what it may have this minute, or
// less than a page is left: what could not be counted would be read for nothing,
// however often the client asks.
func (s *Session) replayedOut(c pubsub.Connection) bool {
	most := s.minuteMost()
	return !time.Now().Truncate(time.Minute).After(c.ReplayMinute) &&
		(c.Replayed.Events+pageEvents > most.Events || c.Replayed.Bytes+most.Bytes/4 > most.Bytes)
}

func (s *Session) replayedEnough() error {
	most := s.minuteMost()
	return pubsub.Refusal(pubsub.CodeReplayLimit, fmt.Sprintf(
		"A connection is replayed %d events or %d bytes a minute; query them, and subscribe after the newest.",
		most.Events, most.Bytes))
}

// pastLimit returns the refusal of an operation that has had all it may have.
func (r *replay) pastLimit() error {
	switch {
	case len(r.seen) > replayLimit:
		return pubsub.Refusal(pubsub.CodeReplayLimit, fmt.Sprintf(
			"More than %d events were missed; query them, and subscribe after the newest.", replayLimit))
	case r.bytes > r.most:
		return pubsub.Refusal(pubsub.CodeReplayLimit, fmt.Sprintf(
			"More than %d bytes were missed; query them, and subscribe after the newest.", r.most))
	}
	return nil
}

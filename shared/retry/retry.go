// Package retry does a step of a conversation again until it succeeds, is decided, or has
// used its time. A fault of the server must not end a client's connection, so what fails
// is tried until the invocation is about to end. Each step leaves the steps after it the
// time that they need.
package retry

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// Reserves are what a step leaves of its context's time.
const (
	// ReturnReserve is for the function to return: the gateway turns a time-out into a
	// frame that ends every operation of the client. The reserves below come on top of
	// it.
	ReturnReserve = 500 * time.Millisecond

	// CloseReserve is for closing the socket, when the client cannot be told.
	CloseReserve = 750 * time.Millisecond

	// AnswerReserve is for telling the client, when the operation cannot be ended.
	AnswerReserve = 1500 * time.Millisecond

	// EndReserve is for ending the operation and answering, when the store, a query, a
	// mutation or a replay takes too long. It leaves them 22 of 25 s.
	EndReserve = 2500 * time.Millisecond
)

const (
	// patience is how long a step goes on if its context has no end.
	patience = 20 * time.Second

	// briefTime bounds what must happen even after its context has ended: two such steps
	// fit into CloseReserve and ReturnReserve.
	briefTime = 400 * time.Millisecond
)

// Pauses between tries: at random up to firstPause, which doubles up to longestPause.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// Do calls step until it succeeds or its error is decided, or until only the reserve is
// left of ctx. It returns the last error.
func Do(ctx context.Context, reserve time.Duration, step func(ctx context.Context) error) error {
	tries, cancel := untilReserve(ctx, reserve)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := step(tries)
		if err == nil || Decided(err) || !Sleep(tries, rand.N(pause)) {
			return err
		}
	}
}

// Briefly is Do for at most 400 ms.
func Briefly(ctx context.Context, step func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, briefTime)
	defer cancel()
	return Do(ctx, 0, step)
}

// untilReserve returns a context for tries. Once the reserve has begun it gets half of
// the time that is left: a late try is better than none.
func untilReserve(ctx context.Context, reserve time.Duration) (context.Context, context.CancelFunc) {
	deadline, ends := ctx.Deadline()
	if !ends {
		return context.WithTimeout(ctx, patience)
	}
	left := time.Until(deadline)
	return context.WithTimeout(ctx, max(left-reserve, left/2))
}

// Within returns a context that ends the reserve before ctx does.
func Within(ctx context.Context, reserve time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline.Add(-reserve))
	}
	return context.WithCancel(ctx)
}

// Sleep waits for d. It returns false if ctx ended first.
func Sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil // both may have come
	case <-ctx.Done():
		return false
	}
}

// decisions are the errors that another try would return as well.
var decisions = []error{pubsub.ErrGone, pubsub.ErrNotAcknowledged, pubsub.ErrAlreadyInitialised, pubsub.ErrInitTimeout,
	pubsub.ErrSubscriberExists, pubsub.ErrCompleted, pubsub.ErrReused,
	pubsub.ErrTooManyOperations, pubsub.ErrTooManyConnections,
	pubsub.ErrTokenMissing, pubsub.ErrTokenExpired, pubsub.ErrTokenInvalid, pubsub.ErrTokenRevoked,
	pubsub.ErrReplayLimit, pubsub.ErrTooLarge}

// Decided reports whether err is final, and not a fault of the server. An unknown error
// is a fault: one try too many costs little, giving up costs the client.
func Decided(err error) bool {
	if _, final := errors.AsType[pubsub.Errors](err); final {
		return true
	}
	if _, final := errors.AsType[transportws.CloseError](err); final {
		return true
	}
	return slices.ContainsFunc(decisions, func(d error) bool { return errors.Is(err, d) })
}

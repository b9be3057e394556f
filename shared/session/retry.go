package session

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// A fault of the server must not end a client's connection, so what fails is tried
// again until the invocation is about to end. Each step leaves the steps after it the
// time that they need.
const (
	// returnReserve is for the function to return: the gateway turns a time-out into a
	// frame that ends every operation of the client. The reserves below come on top of
	// it.
	returnReserve = 500 * time.Millisecond

	// closeReserve is for closing the socket, when the client cannot be told.
	closeReserve = 750 * time.Millisecond

	// answerReserve is for telling the client, when the operation cannot be ended.
	answerReserve = 1500 * time.Millisecond

	// reserve is for ending the operation and answering, when the store, a query,
	// a mutation or a replay takes too long. It leaves them 22 of 25 s.
	reserve = 2500 * time.Millisecond

	// patience is how long a step goes on if its context has no end.
	patience = 20 * time.Second
)

// Pauses between tries: at random up to firstPause, which doubles up to
// longestPause.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// within returns a context that ends the reserve before ctx does.
func within(ctx context.Context, reserve time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline.Add(-reserve))
	}
	return context.WithCancel(ctx)
}

// again calls do until it succeeds or is decided, or until only the reserve is left of
// ctx. It returns the last error.
func again(ctx context.Context, reserve time.Duration, do func(ctx context.Context) error) error {
	tries, cancel := untilReserve(ctx, reserve)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := do(tries)
		if err == nil || decided(err) || !sleep(tries, rand.N(pause)) {
			return err
		}
	}
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

// once is again for a write that succeeds once. A try with an unknown effect may have
// been that one, and then the next fails with done. Then look decides: without an
// error, the write was ours.
func once(ctx context.Context, write func(ctx context.Context) error, done error, look func(ctx context.Context) error) error {
	unknown := false
	return again(ctx, reserve, func(ctx context.Context) error {
		err := write(ctx)
		if unknown && errors.Is(err, done) {
			return look(ctx)
		}
		unknown = unknown || err != nil && !decided(err)
		return err
	})
}

// sleep waits for d. It returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil // both may have come
	case <-ctx.Done():
		return false
	}
}

// sleepWithin is sleep that leaves the reserve of ctx.
func sleepWithin(ctx context.Context, reserve, d time.Duration) bool {
	ctx, cancel := within(ctx, reserve)
	defer cancel()
	return sleep(ctx, d)
}

// decisions are the errors that another try would return as well.
var decisions = []error{pubsub.ErrGone, pubsub.ErrNotAcknowledged, pubsub.ErrAlreadyInitialised, pubsub.ErrInitTimeout,
	pubsub.ErrSubscriberExists, pubsub.ErrCompleted, pubsub.ErrReused,
	pubsub.ErrTooManyOperations, pubsub.ErrTooManyConnections,
	pubsub.ErrTokenMissing, pubsub.ErrTokenExpired, pubsub.ErrTokenRefused, pubsub.ErrReplayLimit, pubsub.ErrTooLarge}

// decided reports whether err is an answer, not a fault of the server. An unknown error
// is a fault: one try too many costs little, giving up costs the client.
func decided(err error) bool {
	if _, refused := errors.AsType[pubsub.Errors](err); refused {
		return true
	}
	if _, refused := errors.AsType[transportws.CloseError](err); refused {
		return true
	}
	return slices.ContainsFunc(decisions, func(d error) bool { return errors.Is(err, d) })
}

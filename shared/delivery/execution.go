package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/pubsub"
)

// execution runs one operation of a batch with its event: once for all viewers, or once
// for each if the result depends on the viewer.
type execution struct {
	round     *round
	operation string // key

	prepared   bool
	executable pubsub.Executable
	shared     *outcome         // of a run that looked at no viewer, or of none at all: good for everybody
	outcomes   map[int]*outcome // by the viewer's place in the batch
}

// outcome is the result of an execution. If it has an error, trying again may help.
type outcome struct {
	answer answer
	err    error
}

// answer is what to send to the target.
func (e *execution) answer(ctx context.Context, t fanout.Target) (*answer, error) {
	o := e.outcomes[t.Viewer]
	if o == nil {
		if o = e.run(ctx, e.round.batch.Viewer(t)); o.err != nil {
			e.round.sender.Log.Warn("operation not executed", "event", e.round.batch.Event.ID, "operation", e.operation, "error", o.err)
		}
		if e.outcomes == nil {
			e.outcomes = map[int]*outcome{}
		}
		e.outcomes[t.Viewer] = o
	}
	return &o.answer, o.err
}

// errPanicked is the outcome of an execution that panicked. The panic's value may hold
// data, so it is neither logged nor sent.
var errPanicked = errors.New("policy or resolver panicked")

// run executes for the viewer, unless another viewer's result will do. Whether the
// viewer may have the event at all is asked each time. A panic is the fault of this
// operation alone; the others go on.
func (e *execution) run(ctx context.Context, v pubsub.Viewer) (o *outcome) {
	defer func() {
		if p := recover(); p != nil {
			e.round.sender.Log.Error(errPanicked.Error(), "event", e.round.batch.Event.ID, "operation", e.operation,
				"type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			o = newOutcome(nil, errPanicked)
		}
	}()
	if why, ends := refusals[e.operation]; ends {
		return newOutcome(nil, why)
	}
	if !e.prepared {
		e.prepared, e.shared = true, newOutcome(nil, errPanicked) // in case it does
		err := e.round.patiently(ctx, loadShare, func(ctx context.Context) (err error) {
			e.executable, err = e.round.sender.executable(ctx, e.operation)
			return err
		})
		e.shared = nil
		if err != nil {
			e.shared = newOutcome(nil, err)
		}
	}
	if e.executable.Allow != nil {
		if err := e.executable.Allow(v); err != nil {
			return newOutcome(nil, err)
		}
	}
	if e.shared != nil {
		return e.shared
	}
	ctx = pubsub.WithViewer(ctx, v)
	var payload json.RawMessage
	err := e.round.patiently(ctx, 1, func(ctx context.Context) (err error) {
		payload, err = e.executable.Run(ctx, &e.round.batch.Event)
		return err
	})
	o = newOutcome(payload, err)
	if !pubsub.ViewerRead(ctx) {
		e.shared = o
	}
	return o
}

// refusals are what the targets hear of a task that is not an operation's.
var refusals = map[string]pubsub.Errors{
	fanout.TooMany: pubsub.Refusal(pubsub.CodeLimit,
		"The connection has too many subscriptions of one topic; this one has ended."),
	fanout.TooLarge: pubsub.Refusal(pubsub.CodeLimit,
		"An event was too large to be sent to this subscription, which has ended."),
	fanout.Overtaken: pubsub.Refusal(pubsub.CodeUnavailable,
		"An event could not be kept in order; this subscription has ended. Try again."),
}

// newOutcome turns an error that no retry would mend into the answer that ends the
// subscription.
func newOutcome(payload []byte, err error) *outcome {
	o := &outcome{answer: answer{payload: payload}, err: err}
	if refused, ok := errors.AsType[pubsub.Errors](err); ok {
		o.answer, o.err = refusal(refused)
	} else if errors.Is(err, pubsub.ErrUnknownOperation) {
		o.answer, o.err = refusal(pubsub.Refusal(pubsub.CodeInternal, "The subscription's operation is no longer known."))
	}
	return o
}

// executeTime bounds how long the executions of a batch may fail, all together: loads
// from a store that refuses for minutes, and resolvers that wait for something. Ten
// batches of a group must still fit into one invocation.
const executeTime = 2 * time.Second

// loadShare is the fraction of what is left of it that one load may take: several loads
// that fail must leave enough for one that succeeds, which takes milliseconds.
const loadShare = 5

// patiently calls do with a share of what earlier failures of the batch have left of
// executeTime. Success costs none of it.
func (d *round) patiently(ctx context.Context, share time.Duration, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, (executeTime-d.failing)/share)
	defer cancel()
	begun := time.Now()
	err := do(ctx)
	if err != nil {
		d.failing += time.Since(begun)
	}
	return err
}

package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"subwire/shared/fanout"
	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/transportws"
)

// execution runs one operation of a batch with its event: once for all viewers, or once
// for each if the result depends on the viewer.
type execution struct {
	round     *round
	operation string // key

	prepared   bool
	executable pubsub.Executable
	shared     *result         // of a run that looked at no viewer, or of none at all: good for everybody
	results    map[int]*result // by the viewer's place in the batch
}

// result is what came of an execution. If it has an error, trying again may help.
type result struct {
	frame frame
	err   error
}

// frame is what to send to the target.
func (e *execution) frame(ctx context.Context, t *target) (*frame, error) {
	res := e.results[t.Viewer]
	if res == nil {
		if res = e.run(ctx, e.round.batch.Viewer(*t.Target)); res.err != nil {
			e.round.sender.Log.WarnContext(ctx, "operation not executed",
				"event", e.round.batch.Event.ID, "operation", e.operation, "error", res.err)
		}
		e.results[t.Viewer] = res
	}
	return &res.frame, res.err
}

// errPanicked is the error of an execution that panicked. The panic's value may hold
// data, so it is neither logged nor sent.
var errPanicked = errors.New("policy or resolver panicked")

// run executes for the viewer, unless another viewer's result will do. Whether the
// viewer may have the event at all is asked each time. A panic is the fault of this
// operation alone; the others go on.
func (e *execution) run(ctx context.Context, v pubsub.Viewer) (res *result) {
	defer func() {
		if p := recover(); p != nil {
			e.round.sender.Log.ErrorContext(ctx, errPanicked.Error(), "event", e.round.batch.Event.ID, "operation", e.operation,
				"type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			res = newResult(nil, errPanicked)
		}
	}()
	if e.operation == fanout.Completed {
		return &result{frame: frame{kind: completion}}
	}
	if e.operation == fanout.Node {
		body, err := node.Encode(e.round.batch.Event)
		return &result{frame{kind: event, payload: body}, err}
	}
	if why, over := limits[e.operation]; over {
		return newResult(nil, why)
	}
	if !e.prepared {
		e.prepare(ctx)
	}
	if e.executable.Allow != nil {
		if err := e.executable.Allow(v, &e.round.batch.Event); err != nil {
			return newResult(nil, err)
		}
	}
	if e.shared != nil {
		return e.shared
	}
	ctx = pubsub.WithViewer(ctx, v)
	var payload json.RawMessage
	e.round.ran++
	err := e.round.patiently(ctx, 1, func(ctx context.Context) (err error) {
		payload, err = e.executable.Run(ctx, &e.round.batch.Event)
		return err
	})
	res = newResult(payload, err)
	if err == nil && e.executable.Ends != nil && e.executable.Ends(&e.round.batch.Event) {
		res.frame.kind = last
	}
	if !pubsub.ViewerRead(ctx) {
		e.shared = res
	}
	return res
}

// prepare loads the operation. If that fails, it does so for everybody.
func (e *execution) prepare(ctx context.Context) {
	e.prepared, e.shared = true, newResult(nil, errPanicked) // in case it does
	err := e.round.patiently(ctx, loadShare, func(ctx context.Context) (err error) {
		e.executable, err = e.round.sender.executable(ctx, e.operation)
		return err
	})
	e.shared = nil
	if err != nil {
		e.shared = newResult(nil, err)
	}
}

// limits are what the targets hear of a task that is not an operation's.
var limits = map[string]pubsub.Errors{
	fanout.TooMany: pubsub.Refusal(pubsub.CodeLimit,
		"The connection has too many subscriptions of one topic; this one has ended."),
	fanout.TooLarge: pubsub.Refusal(pubsub.CodeLimit,
		"An event was too large to be sent to this subscription, which has ended."),
	fanout.Overtaken: pubsub.Refusal(pubsub.CodeUnavailable,
		"An event could not be kept in order; this subscription has ended. Try again."),
}

// newResult turns an error that no retry would mend into the frame that ends the
// subscription.
func newResult(payload []byte, err error) *result {
	final, ok := errors.AsType[pubsub.Errors](err)
	if errors.Is(err, pubsub.ErrUnknownOperation) {
		final, ok = pubsub.Refusal(pubsub.CodeInternal, "The subscription's operation is no longer known."), true
	}
	if !ok {
		return &result{frame{payload: payload}, err}
	}
	if payload, err = json.Marshal(final); err != nil {
		return &result{err: fmt.Errorf("encode errors: %w", err)}
	}
	return &result{frame: frame{payload: payload, kind: refusal}}
}

// resultTooLarge ends an operation with a result that the gateway does not take.
var resultTooLarge = newResult(nil, pubsub.Refusal(pubsub.CodeTooLarge,
	"The result is larger than a message may be; the subscription has ended.")).frame

// frame is what a target is sent, without the operation id.
type frame struct {
	kind    frameKind
	payload []byte
}

// frameKind is the type of a frame's message. After all but the first two the subscription
// is deleted.
type frameKind uint8

const (
	next       frameKind = iota // a next message
	event                       // no message of the protocol: the event, for a node
	last                        // a next message, and then a complete
	refusal                     // an error message
	completion                  // a complete message
)

func (f frame) ends() bool { return f.kind > event }

func (f frame) encode(operationID string) []byte {
	switch f.kind {
	case event:
		return f.payload
	case refusal:
		return transportws.AppendError(nil, operationID, f.payload)
	case completion:
		return transportws.AppendComplete(nil, operationID)
	}
	// The envelope around id and payload is about 35 bytes.
	return transportws.AppendNext(make([]byte, 0, len(f.payload)+len(operationID)+48), operationID, f.payload)
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
func (r *round) patiently(ctx context.Context, share time.Duration, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, (executeTime-r.failing)/share)
	defer cancel()
	begun := time.Now()
	err := do(ctx)
	if err != nil {
		r.failing += time.Since(begun)
	}
	return err
}

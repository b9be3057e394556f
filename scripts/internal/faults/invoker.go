package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"subwire/shared/fanout"
	"subwire/shared/topology"
)

// Invoker runs a function with one event and returns its response.
type Invoker interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// Function is an Invoker whose processes can be killed.
type Function interface {
	Invoker
	Kill() bool
}

// Wrap returns the function with its faults.
func (i *Injector) Wrap(name string, f Function) Invoker {
	var wrapped Invoker = &killer{injector: i, point: pointLambda + name, f: f}
	switch name {
	case topology.Stream.Name:
		return duplicator{i, wrapped}
	case topology.Sender.Name:
		return bug{i, wrapped}
	}
	return wrapped
}

// killer kills one of the function's processes in the middle of an invocation.
type killer struct {
	injector *Injector
	point    string
	f        Function
	took     atomic.Int64 // how long the last invocation took, in nanoseconds
}

func (k *killer) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if r := k.injector.roll(k.point); r.fault != nil {
		after := time.Duration(r.moment * float64(k.took.Load()))
		defer time.AfterFunc(after, func() { k.f.Kill() }).Stop()
	}
	begin := time.Now()
	response, err := k.f.Invoke(ctx, payload)
	k.took.Store(int64(time.Since(begin)))
	return response, err
}

// duplicator gives the function a batch again that it has already handled.
type duplicator struct {
	injector *Injector
	next     Invoker
}

func (d duplicator) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	response, err := d.next.Invoke(ctx, payload)
	if err == nil && d.injector.roll(pointStream).fault != nil {
		_, _ = d.next.Invoke(ctx, payload) // nobody waits for the repetition
	}
	return response, err
}

// bug is a sender that fails every event of some topics.
type bug struct {
	injector *Injector
	next     Invoker
}

// failing reports whether the sender fails events of the topic, and notes that it does.
func (i *Injector) failing(topic string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, r := range i.points[pointSender] {
		if !r.off && r.Topic == topic {
			i.met[r.name()]++
			return true
		}
	}
	return false
}

func (i *Injector) hasBug() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.ContainsFunc(i.points[pointSender], func(r *roller) bool { return !r.off })
}

func (b bug) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if !b.injector.hasBug() {
		return b.next.Invoke(ctx, payload)
	}
	var e events.SQSEvent
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	var failed []events.SQSBatchItemFailure
	good := slices.DeleteFunc(slices.Clone(e.Records), func(m events.SQSMessage) bool {
		batch, err := fanout.Decode([]byte(m.Body))
		hit := err == nil && b.injector.failing(batch.Event.Topic)
		if hit {
			failed = append(failed, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
		return hit
	})
	if len(failed) == 0 {
		return b.next.Invoke(ctx, payload)
	}
	var report events.SQSEventResponse
	if len(good) > 0 {
		if err := b.invoke(ctx, good, &report); err != nil {
			return nil, err
		}
	}
	report.BatchItemFailures = append(report.BatchItemFailures, failed...)
	return json.Marshal(report)
}

func (b bug) invoke(ctx context.Context, messages []events.SQSMessage, report *events.SQSEventResponse) error {
	payload, err := json.Marshal(events.SQSEvent{Records: messages})
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	response, err := b.next.Invoke(ctx, payload)
	if err != nil {
		return err
	}
	return json.Unmarshal(response, report)
}

package gql_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"subwire/shared/chat"
	"subwire/shared/gql"
	"subwire/shared/hostile"
	"subwire/shared/memory"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
)

// use prepares an operation and runs it, as often as allowed.
func use(e *gql.Executor, op pubsub.Operation, event *pubsub.Event) (json.RawMessage, error) {
	x, err := e.Prepare(op)
	if err != nil {
		return nil, err
	}
	return x.Run(context.Background(), event)
}

// largeMessages fill chat 1.
func largeMessages() []chat.Message { return hostile.Messages("1") }

// largeChat is an executor with a chat 1 of the largest size.
func largeChat(t testing.TB, limits gql.Limits) *gql.Executor {
	t.Helper()
	s := memory.New()
	hostile.Fill(t, s, "1")
	c := chat.New().MustOpen(subwire.Env{Tables: s, Anonymous: true})
	c.Introspection, c.Limits, c.Log = true, limits, slog.New(slog.DiscardHandler)
	return gql.MustNew(c)
}

func TestNoDocumentCostsTooMuch(t *testing.T) { // not parallel: it measures
	e := largeChat(t, gql.DefaultLimits)
	for name, op := range hostile.Documents() {
		t.Run(name, func(t *testing.T) {
			var err error
			if n := hostile.Allocated(func() { _, err = use(e, op, nil) }); n > hostile.MostMemory {
				t.Errorf("%d MB allocated", n>>20)
			}
			var refused pubsub.Errors
			if err != nil && !errors.As(err, &refused) {
				t.Errorf("not refused but failed: %v", err)
			}
		})
	}
}

// BenchmarkHostile prints the cost of each hostile document: in CPU, however busy the
// machine is, and in bytes.
func BenchmarkHostile(b *testing.B) {
	e := largeChat(b, gql.DefaultLimits)
	for name, op := range hostile.Documents() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := hostile.CPU(b)
			for b.Loop() {
				_, _ = use(e, op, nil)
			}
			b.ReportMetric(float64((hostile.CPU(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

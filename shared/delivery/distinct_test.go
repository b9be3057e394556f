package delivery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"subwire/shared/chat"
	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/gql"
	"subwire/shared/hostile"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
)

// distinct are subscribers of one topic, each with a document of its own.
type distinct struct {
	operations // but for Operation
	documents  map[string]pubsub.Operation
	batches    [][]byte
}

func (d *distinct) Operation(_ context.Context, key string) (pubsub.Operation, error) {
	return d.documents[key], nil
}

func newDistinct(t testing.TB, n int, document func(i int) string) *distinct {
	t.Helper()
	const perBatch = 350 // a batch has 60 KB
	d := &distinct{documents: map[string]pubsub.Operation{}}
	m := chat.Message{ID: "01A", ChatID: "lobby", Content: strings.Repeat("x", 1000), SenderName: "Ada", CreatedAt: time.UnixMilli(0)}
	root, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	batch := fanout.Batch{Event: pubsub.Event{ID: m.ID, Topic: chat.Topic(m.ChatID), Root: root}}
	for i := range n {
		op := pubsub.Operation{Document: document(i)}
		d.documents[op.Key()] = op
		target := fanout.Target{ConnectionID: fmt.Sprint("c", i), OperationID: "s", Expires: math.MaxInt32 * 2}
		batch.Tasks = append(batch.Tasks, fanout.Task{Operation: op.Key(), Targets: []fanout.Target{target}})
		if len(batch.Tasks) == perBatch || i == n-1 {
			d.batches = append(d.batches, body(t, batch))
			batch.Tasks = nil
		}
	}
	return d
}

func (d *distinct) deliver(t testing.TB, s *delivery.Sender) (all delivery.Report) {
	t.Helper()
	for _, b := range d.batches {
		report, err := s.Deliver(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		all.Delivered += report.Delivered
	}
	return all
}

// prepares counts prepared operations.
type prepares struct {
	pubsub.Executor
	n atomic.Int32
}

func (p *prepares) Prepare(op pubsub.Operation) (pubsub.Executable, error) {
	p.n.Add(1)
	return p.Executor.Prepare(op)
}

func chatExecutor() *prepares {
	schema := chat.New().MustOpen(subwire.Env{Anonymous: true})
	schema.Limits, schema.Log = gql.DefaultLimits.OverSocket(), slog.New(slog.DiscardHandler)
	return &prepares{Executor: gql.MustNew(schema)}
}

// Up to a number of documents, an event costs only their execution, however many a
// topic has.
func TestDistinctDocumentsArePreparedOnce(t *testing.T) {
	t.Parallel()
	const n = 1400
	d := newDistinct(t, n, func(i int) string { return fmt.Sprintf(`subscription S%d{newMessage(chatId:"lobby"){id}}`, i) })
	executor := chatExecutor()
	s := delivery.New(delivery.Config{Store: d, Executor: executor, Gateway: sink{}, Retries: &retries{}, Workers: 8, Log: slog.New(slog.DiscardHandler)})
	for range 3 {
		if report := d.deliver(t, s); report.Delivered != n {
			t.Errorf("got %+v", report)
		}
	}
	if got := executor.n.Load(); got != n {
		t.Errorf("%d operations were prepared", got)
	}
}

// BenchmarkHostileDocuments prints what an event costs with 1,400 subscribers whose
// documents all differ and cost as much as the limits allow: the first event that a
// process gets, and each that follows.
func BenchmarkHostileDocuments(b *testing.B) {
	for name, document := range map[string]func(i int) string{
		"Chain": func(i int) string { return chainOfFragments(i, 49) },
		"Leaves": func(i int) string {
			return fmt.Sprintf(`subscription S%d{newMessage(chatId:"lobby"){%s}}`, i, strings.Repeat("id ", 99))
		},
	} {
		b.Run(name, func(b *testing.B) {
			d := newDistinct(b, 1400, document)
			s := delivery.New(delivery.Config{Store: d, Executor: chatExecutor(), Gateway: sink{}, Retries: &retries{}, Workers: 64, Log: slog.New(slog.DiscardHandler)})
			before := hostile.CPU(b)
			d.deliver(b, s)
			first := hostile.CPU(b) - before
			before = hostile.CPU(b)
			for b.Loop() {
				d.deliver(b, s)
			}
			b.ReportMetric(float64((hostile.CPU(b)-before).Milliseconds())/float64(b.N), "cpu-ms/event")
			b.ReportMetric(float64(first.Milliseconds()), "first-cpu-ms")
		})
	}
}

// chainOfFragments is a subscription with that many fragments; each spreads the next.
func chainOfFragments(i, fragments int) string {
	document := fmt.Sprintf(`subscription S%d{newMessage(chatId:"lobby"){...F1}}`, i)
	for f := 1; f < fragments; f++ {
		document += fmt.Sprintf("fragment F%d on Message{...F%d id}", f, f+1)
	}
	return document + fmt.Sprintf("fragment F%d on Message{id}", fragments)
}

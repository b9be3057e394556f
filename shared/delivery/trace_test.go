package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"subwire/shared/delivery"
	"subwire/shared/fanout"
	"subwire/shared/memory"
	"subwire/shared/metrics"
	"subwire/shared/pubsub"
	"subwire/shared/trace"
)

const traceID = "1-5759e988-bd862e3fe1be46a994272793"

// Latency is observed once for a batch: from the write to the last post that succeeded, of
// the first attempt.
func TestLatency(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for name, tc := range map[string]struct {
		age     time.Duration // of the event; 0 for an unknown one
		attempt int
		fails   bool
		again   bool // its message fails
		want    string
	}{
		"FirstAttempt":     {age: 2 * second, want: "[5000]"}, // the slowest post takes 3 s
		"NoTime":           {want: ""},
		"ClockIsBehind":    {age: -10 * second, want: "[0]"},
		"Retried":          {age: 2 * second, attempt: 1, want: ""},
		"NothingWasPosted": {age: 2 * second, fails: true, want: ""},
		"ComesAgain":       {age: 2 * second, again: true, want: ""},
		"AlmostAnHour":     {age: time.Hour - 3*second, want: "[3600000]"},
		"OutOfDeadLetters": {age: time.Hour, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, 4, same("doc"))
				b.gateway.Fault = func(id string, _ []byte) (bool, error) {
					if tc.fails || tc.again && id == "c2" {
						return false, pubsub.ErrBusy
					}
					if id == "c1" {
						time.Sleep(3 * second)
					}
					return true, nil
				}
				var lines strings.Builder
				b.Metrics = metrics.New("s", &lines, time.Now)
				batch := b.batch(t)
				batch.Attempt, batch.Event.Trace = tc.attempt, traceID
				if tc.age != 0 {
					batch.Event.At = time.Now().Add(-tc.age)
				}
				if tc.again {
					b.retries.err = errors.New("queue is down")
				}
				if _, err := b.deliver(t, batch); (err != nil) != tc.again {
					t.Fatal(err)
				}
				b.Metrics.Flush()
				var line struct{ Latency json.RawMessage }
				if err := json.Unmarshal([]byte(lines.String()), &line); err != nil && lines.Len() > 0 {
					t.Fatal(err)
				}
				if string(line.Latency) != tc.want {
					t.Errorf("observed %s, want %s", line.Latency, tc.want)
				}
			})
		})
	}
}

// What is queued again or parked has the trace, and each line of the log, which also says
// who did not get the event, and why.
func TestATraceGoesToTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		b := setup(t, 3, same("doc"))
		b.Log = slog.New(trace.Handler(slog.NewJSONHandler(&log, nil)))
		if err := b.gateway.Delete(t.Context(), "c1"); err != nil {
			t.Fatal(err)
		}
		b.gateway.Fault = func(id string, _ []byte) (bool, error) {
			if id == "c2" {
				return false, refusing{}
			}
			return true, nil
		}
		batch := b.batch(t)
		batch.Event.Trace, batch.Event.At = traceID, time.Now()
		ctx := trace.WithRequest(t.Context(), "r1")
		if report, err := b.Deliver(ctx, body(t, batch)); err != nil || report != (delivery.Report{Delivered: 1, Gone: 1, Retried: 1}) {
			t.Fatalf("%+v, %v", report, err)
		}
		again := b.retries.batches[0]
		if again.Event.Trace != traceID || !again.Event.At.Equal(batch.Event.At.Truncate(time.Millisecond)) {
			t.Errorf("queued %+v", again.Event)
		}
		again.Attempt = 8
		if report, err := b.Deliver(ctx, body(t, again)); err != nil || report.Parked != 1 {
			t.Fatalf("%+v, %v", report, err)
		}
		for line := range strings.Lines(log.String()) {
			if !strings.Contains(line, `"request":"r1","trace":"`+traceID+`"`) {
				t.Errorf("without its trace: %s", line)
			}
		}
		for _, want := range []string{`"range":0,"attempt":0,`, `{"connection":"c1","outcome":"gone"}`,
			`{"connection":"c2","outcome":"retried","why":"status 403 ForbiddenException"}`,
			`"others":[{"connection":"c2","outcome":"parked","why":"status 403 ForbiddenException"}]`, `"msg":"batch parked"`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("no %s in\n%s", want, &log)
			}
		}
	})
}

// A batch whose targets are all refused does not fill the log.
func TestALineNamesAHundredTargets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		b := setup(t, 150, same("doc"))
		b.Log = slog.New(slog.NewJSONHandler(&log, nil))
		b.gateway.Fault = func(string, []byte) (bool, error) { return false, pubsub.ErrBusy }
		if report, err := b.deliver(t, b.batch(t)); err != nil || report.Retried != 150 {
			t.Fatalf("%+v, %v", report, err)
		}
		if n := strings.Count(log.String(), `"connection":"c`); n != 100 {
			t.Errorf("%d targets are named", n)
		}
	})
}

// A sender without a trace in its batch logs none, whatever its own invocation has.
func TestABatchWithoutATraceHasNone(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	s := delivery.New(delivery.Config{Store: memory.New(), Gateway: &memory.Gateway{}, Retries: &retries{}, Dead: &retries{},
		Executor: executor{}, Workers: 1, Log: slog.New(trace.Handler(slog.NewJSONHandler(&log, nil)))})
	b := fanout.Batch{Event: pubsub.Event{ID: "e", Topic: "t", Root: json.RawMessage(`1`)}, Tasks: []fanout.Task{{Operation: fanout.TooMany,
		Targets: []fanout.Target{{ConnectionID: "c", OperationID: "s", Expires: time.Now().Add(time.Hour).Unix()}}}}}
	if _, err := s.Deliver(trace.With(context.Background(), traceID), body(t, b)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "batch delivered") || strings.Contains(log.String(), traceID) {
		t.Errorf("logged %s", fmt.Sprint(&log))
	}
}

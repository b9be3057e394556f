package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/story"
	"subwire/shared/topology"
)

// tally counts what happens in a local cloud, from the logs of the cloud and its
// functions. It is the writer of the functions' output.
type tally struct {
	mu sync.Mutex // guards the fields below
	stages
}

// stages is what each stage of the pipeline did.
type stages struct {
	invocations map[string]int  // by function
	failures    int             // of invocations
	events      map[string]bool // by id, those that senders had batches of
	batches     int             // that senders delivered
	delivered   int             // posts of these batches
	retried     int             // targets of these batches that were queued for later
	refused     int             // of these, in batches whose last target was refused, not late
	repeated    int             // batches that failed and so came back
}

// start starts a local cloud that is counted. Its clients have time to initialise, as
// the machine may be busy.
func (t *tally) start(ctx context.Context, cfg cloud.Config) (*cloud.Cloud, error) {
	t.stages = stages{invocations: map[string]int{}, events: map[string]bool{}}
	settings := map[string]string{topology.InitTimeout.Env: "5m"}
	maps.Copy(settings, cfg.Settings)
	cfg.Settings, cfg.Output, cfg.Log = settings, t, slog.New(invocations{tally: t})
	return cloud.Start(ctx, cfg)
}

// settling bounds the wait for what happens after an arrival.
const settling = time.Minute

// until waits until done returns true, but no longer than settling, and reports
// whether it did.
func until(ctx context.Context, done func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// settled is what was counted after before, once the senders have logged every
// arrival, which they do after the last post of a batch. A sender that was killed never
// does.
func (t *tally) settled(ctx context.Context, c *crowd, before stages) stages {
	until(ctx, func() bool { return t.since(stages{}).delivered >= c.arrivals() })
	return t.since(before)
}

// since is what was counted after before, an earlier result.
func (t *tally) since(before stages) stages {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.stages
	now.invocations, now.events = maps.Clone(now.invocations), maps.Clone(now.events)
	for name, n := range before.invocations {
		now.invocations[name] -= n
	}
	for id := range before.events {
		delete(now.events, id)
	}
	now.failures -= before.failures
	now.batches -= before.batches
	now.delivered -= before.delivered
	now.retried -= before.retried
	now.refused -= before.refused
	now.repeated -= before.repeated
	return now
}

// Write implements io.Writer: it counts what is logged about batches, and about events that
// were delivered directly, each in one line and one call.
func (t *tally) Write(line []byte) (int, error) {
	_, text, _ := bytes.Cut(line, []byte(": "))
	var said struct {
		Msg, Event string
		Outcome    struct{ Delivered, Retried int }
		Reason     string `json:"last refusal"`
	}
	if json.Unmarshal(text, &said) != nil || said.Msg != story.Delivered && said.Msg != story.DeliveredDirectly {
		return len(line), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events[said.Event] = true
	t.batches++
	t.delivered += said.Outcome.Delivered
	t.retried += said.Outcome.Retried
	if !strings.Contains(said.Reason, "time was up") && !strings.Contains(said.Reason, "context") {
		t.refused += said.Outcome.Retried
	}
	return len(line), nil
}

// invocations is the cloud's log: one record per invocation.
type invocations struct {
	*tally
	function string
}

func (i invocations) Enabled(context.Context, slog.Level) bool { return true }

func (i invocations) WithGroup(string) slog.Handler { return i }

func (i invocations) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "function" {
			i.function = a.Value.String()
		}
	}
	return i
}

func (i invocations) Handle(_ context.Context, r slog.Record) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.Message == "batch failed" {
		i.repeated++
	}
	if r.Message != "invocation" {
		return nil
	}
	i.tally.invocations[i.function]++
	if r.Level >= slog.LevelError {
		i.failures++
	}
	return nil
}

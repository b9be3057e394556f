package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"subwire/scripts/bench/costmodel"
	"subwire/scripts/bench/report"
	"subwire/scripts/internal/billing"
	"subwire/shared/chat"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// comparison is what the model predicts for a trial, and what was metered.
type comparison struct {
	dearest, best billing.Usage // for the trial's messages
	metered       billing.Usage
}

// figure is one number of a usage. For packing, how many messages or records one
// invocation gets, the model gives only bounds.
type figure struct {
	label   string
	packing bool
	of      func(billing.Usage) float64
}

// figures are what the model and the meter are compared by.
func figures() []figure {
	table := func(name string) func(billing.Usage) billing.Table {
		return func(u billing.Usage) billing.Table { return u.Tables[name] }
	}
	put, query := table(chat.Messages.Name+".PutItem"), table(topology.Subscriptions.Name+".Query")
	queue := func(u billing.Usage) billing.Queue { return u.Queues[topology.Fanout.Name] }
	invoked := func(f topology.Function) func(billing.Usage) float64 {
		return func(u billing.Usage) float64 { return u.Functions[f.Name].Invocations }
	}
	return []figure{
		{"HTTP requests", false, func(u billing.Usage) float64 { return u.Gateway.Requests }},
		{"messages sent", false, func(u billing.Usage) float64 { return u.Gateway.Sent }},
		{"graphql invocations", false, invoked(topology.GraphQL)},
		{"messages written, units", false, func(u billing.Usage) float64 { return put(u).Writes }},
		{"subscriptions read, requests", true, func(u billing.Usage) float64 { return query(u).Requests }},
		{"subscriptions read, units", true, func(u billing.Usage) float64 { return query(u).Reads }},
		{"fanout sends", false, func(u billing.Usage) float64 { return queue(u).Sends }},
		{"stream invocations", true, invoked(topology.Stream)},
		{"sender invocations", true, invoked(topology.Sender)},
		{"fanout receives", true, func(u billing.Usage) float64 { return queue(u).Receives }},
		{"fanout deletes", true, func(u billing.Usage) float64 { return queue(u).Deletes }},
		{"operations read, units", true, func(u billing.Usage) float64 { return u.Tables[topology.Operations.Name+".GetItem"].Reads }},
	}
}

// errorOf is how far the meter is from the model, in percent of the model. A figure
// with bounds is off only outside them.
func (f figure) errorOf(c comparison) float64 {
	model, metered := f.of(c.dearest), f.of(c.metered)
	if f.packing {
		low := min(f.of(c.best), model)
		model = min(max(metered, low), model)
	}
	if model == metered {
		return 0
	}
	return 100 * (metered - model) / model
}

// trialMessages is low, as the counts of each message are the same.
const trialMessages = 20

// compare runs a trial for each size and sets model and meter side by side.
func (c *costing) compare(ctx context.Context) (report.Table, error) {
	t := report.Table{Title: checkTitle, Key: fmt.Sprintf("%d messages", trialMessages)}
	rows := make([][]float64, len(figures()))
	for _, size := range c.check {
		t.Columns = append(t.Columns, fmt.Sprintf("%d: model", size), "at best", "metered", "error, %")
		compared, err := c.try(ctx, size)
		if err != nil {
			return report.Table{}, fmt.Errorf("check with %d subscribers: %w", size, err)
		}
		for i, f := range figures() {
			rows[i] = append(rows[i], f.of(compared.dearest), f.of(compared.best), f.of(compared.metered), f.errorOf(compared))
		}
	}
	for i, f := range figures() {
		t.Rows = append(t.Rows, report.NewRow(f.label, rows[i]...))
	}
	return t, nil
}

// try runs one trial and predicts it from the subscriptions that it had.
func (c *costing) try(ctx context.Context, size int) (comparison, error) {
	done, err := trial{root: c.root, operations: c.operations, messages: trialMessages, gap: 400 * time.Millisecond, size: c.size}.run(ctx, size)
	if err != nil {
		return comparison{}, err
	}
	out := comparison{metered: done.usage}
	if out.dearest, err = predict(c.model(), c.size, done.subscriptions); err != nil {
		return out, err
	}
	best := c.model()
	best.Receive, best.Records, best.Cached = topology.QueueMappings()[0].BatchSize, topology.TableStream.BatchSize, true
	out.best, err = predict(best, c.size, done.subscriptions)
	return out, err
}

func predict(m costmodel.Model, size int, subs []pubsub.Subscription) (billing.Usage, error) {
	e := chatEvent(eventID, strings.Repeat("x", size))
	e.Topic = chat.Topic(trialChat)
	event, err := m.Event(e, subs)
	return event.Usage.Times(trialMessages), err
}

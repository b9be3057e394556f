package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/cloud"
	"subwire/shared/dynamo"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

const checkTitle = "Model and meter"

// trialMessages is low, as the counts of each message are the same.
const trialMessages = 20

// comparison is what the model predicts for a trial, and what was metered.
type comparison struct {
	dearest, best billing.Usage // for the trial's messages
	metered       billing.Usage
}

// quantity is one number of a usage. For packing, how many messages or records one
// invocation gets, the model gives only bounds.
type quantity struct {
	label   string
	packing bool
	of      func(billing.Usage) float64
}

// quantities are what the model and the meter are compared by.
func quantities() []quantity {
	table := func(call string) func(billing.Usage) billing.Table {
		return func(u billing.Usage) billing.Table { return u.Tables[call] }
	}
	put, query := table(eventsTable().Name+".PutItem"), table(topology.Subscriptions.Name+".Query")
	operations := table(topology.Operations.Name + ".GetItem")
	queue := func(u billing.Usage) billing.Queue { return u.Queues[topology.Fanout.Name] }
	invoked := func(f topology.Function) func(billing.Usage) float64 {
		return func(u billing.Usage) float64 { return u.Functions[f.Name].Invocations }
	}
	return []quantity{
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
		{"operations read, units", true, func(u billing.Usage) float64 { return operations(u).Reads }},
	}
}

// errorOf is how far the meter is from the model, in percent of the model. A quantity
// with bounds is off only outside them.
func (q quantity) errorOf(c comparison) float64 {
	model, metered := q.of(c.dearest), q.of(c.metered)
	if q.packing {
		model = min(max(metered, min(q.of(c.best), model)), model)
	}
	if model == metered {
		return 0
	}
	return 100 * (metered - model) / model
}

// compare runs a trial for each size and sets model and meter side by side.
func (c *costing) compare(ctx context.Context, root string) (report.Table, error) {
	t := report.Table{Title: checkTitle, Key: fmt.Sprintf("%d messages", trialMessages)}
	rows := make([][]float64, len(quantities()))
	for _, size := range c.check {
		t.Columns = append(t.Columns, fmt.Sprintf("%d: model", size), "at best", "metered", "error, %")
		compared, err := c.try(ctx, root, size)
		if err != nil {
			return t, fmt.Errorf("check with %d subscribers: %w", size, err)
		}
		for i, q := range quantities() {
			rows[i] = append(rows[i], q.of(compared.dearest), q.of(compared.best), q.of(compared.metered), q.errorOf(compared))
		}
	}
	for i, q := range quantities() {
		t.Rows = append(t.Rows, report.NewRow(q.label, rows[i]...))
	}
	return t, nil
}

// try sends messages one after the other to that many subscribers, through a metered
// local cloud, and predicts it from the subscriptions that it had. If a delivery is
// missing it returns an error, as the figures would be meaningless.
func (c *costing) try(ctx context.Context, root string, subscribers int) (out comparison, err error) {
	counter := &tally{}
	local, err := counter.start(ctx, cloud.Config{Root: root, Meter: true,
		Settings: map[string]string{
			topology.Fast.Env: strconv.FormatBool(c.fast), topology.Direct.Env: strconv.Itoa(c.direct)}})
	if err != nil {
		return out, err
	}
	defer local.Stop()
	chats := []string{benchChat}
	members, err := gather(ctx, local.WSURL, subscribers, c.operations, chats)
	if err != nil {
		return out, err
	}
	defer members.close()
	l := newLoad(local.HTTPURL, chats, c.size)
	if err := l.warmUp(ctx, members); err != nil {
		return out, err
	}
	counter.settled(ctx, members, stages{})
	before := settledUsage(ctx, local)
	var at []time.Duration
	for i := range trialMessages {
		at = append(at, time.Duration(i)*400*time.Millisecond) // so that they do not meet
	}
	if _, _, err := l.run(ctx, members, at, patience); err != nil {
		return out, err
	}
	if members.left > 0 || members.failures > 0 {
		return out, fmt.Errorf("%d deliveries are missing, %d mutations failed", members.left, members.failures)
	}
	counter.settled(ctx, members, stages{})
	out.metered = settledUsage(ctx, local).Minus(before)
	subs, err := subscriptionsOf(ctx, local)
	if err != nil {
		return out, err
	}
	dearest, err := c.event(withText(c.size), subs)
	if err != nil {
		return out, err
	}
	best, err := c.packed().event(withText(c.size), subs)
	out.dearest, out.best = dearest.usage.Times(trialMessages), best.usage.Times(trialMessages)
	return out, err
}

// patience is how long nothing may arrive.
const patience = 30 * time.Second

// settledUsage reads the meter once the received messages have been deleted, which
// nobody else waits for.
func settledUsage(ctx context.Context, c *cloud.Cloud) (u billing.Usage) {
	until(ctx, func() bool {
		u = c.Meter.Usage()
		q := u.Queues[topology.Fanout.Name]
		return q.Deletes >= u.Functions[topology.Sender.Name].Invocations &&
			(q.Sends > 0 || u.Functions[topology.Stream.Name].Invocations > 0) // small events need no queue
	})
	return u
}

func subscriptionsOf(ctx context.Context, c *cloud.Cloud) (subs []pubsub.Subscription, err error) {
	tables := dynamo.Tables{Subscriptions: c.Tables[topology.Subscriptions.Name]}
	store := dynamo.New(dynamo.NewClient(c.Backend.AWS()), tables)
	for s, err := range store.Subscriptions(ctx, topicOf(benchChat), time.Now()) {
		if err != nil {
			return nil, err
		}
		subs = append(subs, s)
	}
	return subs, nil
}

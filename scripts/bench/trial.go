package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/cloud"
	"subwire/shared/chat"
	"subwire/shared/dynamo"
	"subwire/shared/pubsub"
	"subwire/shared/topology"
)

// trial sends messages one after the other through a metered local cloud, to compare
// a model with what happens.
type trial struct {
	root       string // of the repository
	operations int    // distinct ones among the subscribers
	messages   int
	gap        time.Duration // between two messages, so that they do not meet
	size       int           // bytes of a message's text
}

type tried struct {
	usage         billing.Usage // of the messages alone
	stages        stages        // the same
	crowd         *crowd        // closed
	subscriptions []pubsub.Subscription
}

// trialPatience is how long nothing may arrive.
const trialPatience = 30 * time.Second

// run has that many subscribers of one chat. If a delivery is missing it returns an
// error, as the figures would be meaningless.
func (t trial) run(ctx context.Context, subscribers int) (tried, error) {
	counter := newTally()
	local, err := cloud.Start(ctx, cloud.Config{Root: t.root, Output: counter, Log: slog.New(invocations{tally: counter}), Meter: true,
		Settings: map[string]string{topology.InitTimeout.Env: "5m"}})
	if err != nil {
		return tried{}, err
	}
	defer local.Stop()
	members, err := gather(ctx, local.WSURL, subscribers, t.operations, []string{trialChat})
	if err != nil {
		return tried{}, err
	}
	defer members.close()
	l := newLoad(local.HTTPURL, []string{trialChat}, t.size)
	if err := l.warmUp(ctx, members); err != nil {
		return tried{}, err
	}
	done := tried{crowd: members}
	before, usage := counter.settled(ctx, members).since(stages{}), settledUsage(ctx, local)
	var at []time.Duration
	for i := range t.messages {
		at = append(at, time.Duration(i)*t.gap)
	}
	if _, _, err := l.run(ctx, members, at, trialPatience); err != nil {
		return tried{}, err
	}
	if members.left > 0 || members.failures() > 0 {
		return tried{}, fmt.Errorf("%d deliveries are missing, %d mutations failed", members.left, members.failures())
	}
	done.stages = counter.settled(ctx, members).since(before)
	done.usage = settledUsage(ctx, local).Minus(usage)
	done.subscriptions, err = subscriptionsOf(ctx, local)
	return done, err
}

const trialChat = "trial"

// settledUsage reads the meter once the received messages have been deleted, which
// nobody else waits for. The wait is short, in case it never happens.
func settledUsage(ctx context.Context, c *cloud.Cloud) billing.Usage {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		u := c.Meter.Usage()
		if q := u.Queues[topology.Fanout.Name]; q.Deletes >= u.Functions[topology.Sender.Name].Invocations && q.Sends > 0 {
			return u
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return u
		}
	}
}

func subscriptionsOf(ctx context.Context, c *cloud.Cloud) (subs []pubsub.Subscription, err error) {
	store := dynamo.New(dynamo.NewClient(c.Backend.AWS()), dynamo.Tables{Subscriptions: c.Tables[topology.Subscriptions.Name]})
	for s, err := range store.Subscriptions(ctx, chat.Topic(trialChat), time.Now()) {
		if err != nil {
			return nil, err
		}
		subs = append(subs, s)
	}
	return subs, nil
}

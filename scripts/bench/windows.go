package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"strconv"

	"golang.org/x/sync/errgroup"

	"subwire/scripts/bench/report"
	"subwire/scripts/internal/billing"
	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/timing"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/dynamo"
	"subwire/shared/products"
	"subwire/shared/pubsub"
	"subwire/shared/shop"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// windows is what bench windows is asked.
type windows struct {
	model
	size   int     // bytes of an event's text
	posts  numbers // events that come in one
	check  int     // subscribers of the metered run; 0 for none
	rounds int     // of it, for each number of events
}

func windowsCommand() command {
	const about = "what a million events delivered cost when several come in one post: a model, with -check by the meter"
	return command{"windows", about, func(flags *flag.FlagSet) measure {
		w := &windows{model: typical(), posts: numbers{1, 2, 5, pubsub.ListedEvents}}
		flags.IntVar(&w.size, "text", 100, "`bytes` of an event's text")
		flags.Var(&w.posts, "events", "`LIST` of events that come in one post")
		flags.IntVar(&w.check, "check", 0, "subscribers to run the metered local cloud with, 0 for none")
		flags.IntVar(&w.rounds, "rounds", 10, "of the metered run, for each number of events")
		return w.measure
	}}
}

const (
	windowTitle = "USD per million events delivered, by events in a post and subscribers of a topic"
	shareTitle  = "The same, in percent of one event in a post"
	meterTitle  = "Metered: positions of couriers, from their rows to the posts"
)

func (w *windows) measure(ctx context.Context, in input) (report.Report, error) {
	b := &bills{costing: &costing{model: w.model, operations: 10, size: w.size}, prices: billing.USEast1(), seed: in.seed,
		known: map[int][]pubsub.Subscription{}}
	costs, shares := w.tables(b)
	r := report.Report{
		Settings: report.Settings("text", w.size, "events", w.posts.String(), "check", w.check, "rounds", w.rounds,
			"seed", in.seed),
		Tables: []report.Table{costs, shares},
		Notes: []string{"An event is delivered once for each subscriber. Everything is in it, " +
			"from the HTTP request of each mutation to the sender's log.",
			"AppSync posts each event to each subscriber."},
	}
	if b.err != nil || w.check == 0 {
		return r, b.err
	}
	t, err := w.metered(ctx, in, b.prices)
	r.Tables = append(r.Tables, t)
	return r, err
}

func (w *windows) tables(b *bills) (costs, shares report.Table) {
	costs, shares = report.Table{Title: windowTitle, Key: "events"}, report.Table{Title: shareTitle, Key: "events"}
	sizes := []int{1, 10, 100, 1000}
	first, appSync := []float64(nil), []float64(nil)
	for _, size := range sizes {
		costs.Columns = append(costs.Columns, strconv.Itoa(size))
		first = append(first, b.delivered(1, size))
		appSync = append(appSync, b.appSync(size))
	}
	shares.Columns = costs.Columns
	for _, k := range w.posts {
		var usd, percent []float64
		for i, size := range sizes {
			one := b.delivered(k, size)
			usd, percent = append(usd, one), append(percent, 100*one/first[i])
		}
		costs.Rows = append(costs.Rows, report.NewRow(strconv.Itoa(k), usd...))
		shares.Rows = append(shares.Rows, report.NewRow(strconv.Itoa(k), percent...))
	}
	costs.Rows = append(costs.Rows, report.NewRow("AppSync", appSync...))
	return costs, shares
}

// delivered is the price of a million events delivered, of which k come in one post.
func (b *bills) delivered(k, subscribers int) float64 {
	u, err := b.window(k, b.topic(subscribers), b.size)
	b.err = cmp.Or(b.err, err)
	return b.prices.Of(u.Times(1e6 / float64(k*subscribers))).Total()
}

// joinedLog is the bytes of a line "event joined".
const joinedLog = 324

// window predicts k events with a text of that many bytes that come in one list.
func (m model) window(k int, subs []pubsub.Subscription, text int) (billing.Usage, error) {
	one := withText(text)
	written, err := m.event(one, subs)
	if err != nil || k == 1 {
		return written.usage, err
	}
	// A message as large as the list is planned and posted in the same way.
	list := len("[") + k*(len(one.Root)+len(","))
	sent, err := m.event(withText(text+list-len(one.Root)), subs)
	if err != nil {
		return billing.Usage{}, err
	}
	put := eventsTable().Name + ".PutItem"
	writing := billing.Usage{
		Gateway:   billing.Gateway{Requests: 1},
		Functions: map[string]billing.Function{topology.GraphQL.Name: written.usage.Functions[topology.GraphQL.Name]},
		Tables:    map[string]billing.Table{put: written.usage.Tables[put]},
	}
	u := sent.usage
	u.Gateway.Requests = 0
	delete(u.Functions, topology.GraphQL.Name)
	delete(u.Tables, put)
	others := float64(k - 1) // records of the invocation that sends the list
	seconds := others * m.stream.Seconds()
	reading := billing.Usage{Functions: map[string]billing.Function{topology.Stream.Name: {Seconds: seconds,
		GBSeconds: seconds * float64(topology.Stream.MemoryMB) / 1024, LogBytes: others * joinedLog}}}
	return u.Plus(reading).Plus(writing.Times(float64(k))), nil
}

// metered publishes positions of couriers to a local cloud that takes the times of AWS: in
// each round as many at once as are to come in one post. Their rows are in one shard of the
// stream, and are written past the meter.
func (w *windows) metered(ctx context.Context, in input, prices billing.Prices) (report.Table, error) {
	t := report.Table{Title: meterTitle, Key: "events at once", Columns: []string{"events in a post", "posts",
		"stream invocations", "sender invocations", "USD per million delivered", "% of one"}}
	app, err := products.Named("shop")
	if err != nil {
		return t, err
	}
	counter := &tally{}
	local, err := counter.start(ctx, cloud.Config{Root: in.root, Meter: true, App: app, OneShard: true,
		Timing: timing.AWS(in.seed)})
	if err != nil {
		return t, err
	}
	defer local.Stop()
	market := shop.New()
	tables := dynamo.Tables{Products: local.Tables}
	market.MustOpen(subwire.Env{Tables: dynamo.New(dynamo.NewClient(local.Backend.AWS()), tables)})
	readers, err := w.followers(ctx, local.WSURL)
	if err != nil {
		return t, err
	}
	round := 0
	run := func(k int) (posts int, err error) {
		round++
		publishing, publishCtx := errgroup.WithContext(ctx)
		for i := range k {
			publishing.Go(func() error {
				p := shop.Position{CourierID: fmt.Sprint("courier", i), Latitude: float64(round)}
				return market.Publish(publishCtx, "courierMoved", fmt.Sprintf("%06d", round), p)
			})
		}
		if err := publishing.Wait(); err != nil {
			return 0, err
		}
		for _, r := range readers {
			n, err := readPositions(ctx, r, round, k)
			if err != nil {
				return 0, err
			}
			posts += n
		}
		return posts, nil
	}
	if _, err := run(1); err != nil { // warms up
		return t, err
	}
	first := 0.0
	for _, k := range w.posts {
		before, posts := settledUsage(ctx, local), 0
		for range w.rounds {
			n, err := run(k)
			if err != nil {
				return t, err
			}
			posts += n
		}
		u := settledUsage(ctx, local).Minus(before)
		events := float64(k * w.rounds * len(readers))
		usd := prices.Of(u).Total() / events * 1e6
		first = cmp.Or(first, usd)
		t.Rows = append(t.Rows, report.NewRow(strconv.Itoa(k), events/float64(posts), u.Gateway.Sent,
			u.Functions[topology.Stream.Name].Invocations, u.Functions[topology.Sender.Name].Invocations, usd, 100*usd/first))
	}
	return t, nil
}

// followers subscribe to all couriers, each over a socket of its own.
func (w *windows) followers(ctx context.Context, url string) (all []*wsclient.Subscription, err error) {
	for range w.check {
		client, err := wsclient.Dial(ctx, url, wsclient.Options{KeepAlive: keepAlive})
		if err != nil {
			return nil, err
		}
		op := wsclient.Operation{Query: `subscription { couriers { courierId latitude longitude } }`}
		s, err := client.Subscribe(ctx, op)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// readPositions reads the positions of a round, and returns in how many posts they came. What
// is left of an earlier round comes twice, if at all.
func readPositions(ctx context.Context, s *wsclient.Subscription, round, k int) (posts int, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for seen := map[string]bool{}; len(seen) < k; {
		raw, err := s.Next(ctx)
		if err != nil {
			return 0, fmt.Errorf("round %d: %d of %d positions came: %w", round, len(seen), k, err)
		}
		var got struct {
			Data struct{ Couriers []shop.Position }
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			return 0, fmt.Errorf("read positions: %w", err)
		}
		posts++
		for _, p := range got.Data.Couriers {
			if p.Latitude == float64(round) {
				seen[p.CourierID] = true
			}
		}
	}
	return posts, nil
}

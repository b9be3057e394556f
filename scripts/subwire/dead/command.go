// Package dead is subwire dead: it shows what the pipeline could not deliver, and
// sends it again.
package dead

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/spf13/cobra"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/subwire/cli"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/products"
	"subwire/shared/topology"
)

// errRemain says that not everything asked for was sent.
var errRemain = errors.New("some dead letters remain")

func Command() *cobra.Command {
	dead := &cobra.Command{Use: "dead", Short: "Show what could not be delivered, and send it again"}
	where, o := cli.Deployment(dead), options{}
	run := func(do func(t *tool, ctx context.Context, o options) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, _ []string) error {
			d, err := where.Resolve(cmd.Context())
			if err != nil {
				return err
			}
			t, err := newTool(d, cmd.OutOrStdout(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			t.local = where.Local()
			return do(t, cmd.Context(), o)
		}
	}
	list := &cobra.Command{Use: "list", Short: "Show how many each queue has, how old they are and why", Args: cobra.NoArgs,
		RunE: run((*tool).list)}
	cli.Output(list, &o.json)
	show := &cobra.Command{Use: "show [QUEUE]", Short: "Show each dead letter, of one queue or of all",
		RunE: run((*tool).show)}
	cli.Output(show, &o.json)
	send := &cobra.Command{Use: "send {QUEUE | --all}", Short: "Send a queue's dead letters again, or tell what would be sent",
		RunE: run((*tool).send),
		Example: `  subwire dead send retries-dead --local          # tells what it would do
  subwire dead send retries-dead --local --yes    # does it`}
	send.Flags().IntVar(&o.max, "max", 0, "at most `N` of them; 0 for all")
	send.Flags().Float64Var(&o.rate, "rate", 0, "at most `R` of them per second; 0 for as fast as it goes")
	send.Flags().BoolVar(&o.all, "all", false, "let SQS move every queue's back as they are, with those that cannot be decoded")
	send.Flags().BoolVar(&o.yes, "yes", false, "do it; without, only tell what would be done")
	send.PreRunE = func(*cobra.Command, []string) error { return o.check() }
	for _, cmd := range []*cobra.Command{show, send} {
		cmd.Flags().StringVar(&o.topic, "topic", "", "only events of `TOPIC`, such as newMessage/lobby")
		cmd.Args = func(cmd *cobra.Command, args []string) error { return o.choose(cmd, args) }
		for _, q := range deadQueues() {
			cmd.ValidArgs = append(cmd.ValidArgs, q.name)
		}
	}
	dead.AddCommand(list, show, send)
	return dead
}

type options struct {
	queue, topic   string // "" for all
	json, all, yes bool
	max            int
	rate           float64
}

// choose takes the argument, a queue's name.
func (o *options) choose(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		o.queue = args[0]
	}
	_, err := findQueues(o.queue)
	return cmp.Or(cobra.MaximumNArgs(1)(cmd, args), err)
}

func (o options) check() error {
	switch {
	case o.max < 0 || o.rate < 0 || o.rate > 0 && o.rate < minRate:
		return fmt.Errorf("--max and --rate must not be negative, and --rate at least %g", minRate)
	case o.all == (o.queue != ""):
		return errors.New("say which: send QUEUE, or send --all")
	case o.all && (o.topic != "" || o.max != 0):
		return errors.New("SQS moves all: --all goes with neither --topic nor --max")
	}
	return nil
}

// minRate keeps a page of messages from being hidden for hours.
const minRate = 0.01

// tool gives the commands access to a deployment.
type tool struct {
	queues interface {
		receiver
		sender
		mover
	}
	urls   map[string]string // of the queues, by logical name
	packer packer
	local  bool
	out    io.Writer
	errs   io.Writer // also for the progress bar, if it is a terminal
}

func newTool(d deployment.Deployment, out, errs io.Writer) (*tool, error) {
	app, err := products.App(d.App.Name)
	if err != nil {
		return nil, fmt.Errorf("product of the deployment: %w", err)
	}
	client := dynamo.NewClient(d.AWS)
	return &tool{queues: sqs.NewFromConfig(d.AWS), urls: d.Queues, out: out, errs: errs, packer: packer{
		connections:   connections{client, d.Tables[topology.Connections.Name]},
		records:       source{dynamodbstreams.NewFromConfig(d.AWS), client, d.App.StreamMappings(), d.Tables},
		subscriptions: dynamo.New(client, dynamo.Tables{Subscriptions: d.Tables[topology.Subscriptions.Name]}),
		decode:        orPresence(app.Events),
		passes:        app.Passes,
		limits:        fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes, Alone: topology.QueueMessageBytes, Groups: d.FanoutGroups},
	}}, nil
}

// deadQueues lists those of the deployment.
func (t *tool) deadQueues() []deadQueue {
	return slices.DeleteFunc(deadQueues(), func(q deadQueue) bool { return t.urls[q.name] == "" })
}

// find returns the deployment's queue with the name, or all for "".
func (t *tool) find(name string) ([]deadQueue, error) {
	if name == "" {
		return t.deadQueues(), nil
	}
	if t.urls[name] == "" {
		return nil, fmt.Errorf("the deployment has no queue %s", name)
	}
	return findQueues(name)
}

// walk walks through a queue of n letters; page is the time each page takes.
func (t *tool) walk(q deadQueue, n int, page time.Duration) *walk {
	return &walk{client: t.queues, decode: t.packer.decode, queue: q, url: t.urls[q.name],
		hidden: min(hidden+time.Duration(n)*hiddenPerLetter+page, hiddenMost)}
}

func (t *tool) list(ctx context.Context, o options) error {
	var all []overview
	for _, q := range t.deadQueues() {
		has := overview{Queue: q.name, Reasons: map[string]int{}}
		n, err := count(ctx, t.queues, q, t.urls[q.name])
		if err != nil {
			return err
		}
		err = t.walk(q, n, 0).each(ctx, func(l letter) (verdict, error) {
			has.add(l)
			return stays, nil
		})
		if err != nil {
			return err
		}
		has.Messages = max(n, has.Seen)
		all = append(all, has)
	}
	if o.json {
		return cli.PrintJSON(t.out, all...)
	}
	return printOverviews(t.out, all, time.Now())
}

func (t *tool) show(ctx context.Context, o options) error {
	queues, err := t.find(o.queue)
	if err != nil {
		return err
	}
	for _, q := range queues {
		all, err := count(ctx, t.queues, q, t.urls[q.name])
		if err != nil {
			return err
		}
		w := t.walk(q, all, 0)
		err = w.each(ctx, func(l letter) (verdict, error) {
			if o.topic != "" && l.event().Topic != o.topic {
				return stays, nil
			}
			return stays, newLine(l, time.Now()).print(t.out, l, o.json)
		})
		if err != nil {
			return err
		}
		if unseen := all - len(w.seen); q.fifo && unseen > 0 {
			fmt.Fprintf(t.errs, "%s shows the first ten of each message group; %d were not seen\n", q.name, unseen)
		}
	}
	return nil
}

func (t *tool) send(ctx context.Context, o options) error {
	if o.all {
		return t.moveAll(ctx, o)
	}
	queues, err := t.find(o.queue)
	if err != nil {
		return err
	}
	q := queues[0]
	all, err := count(ctx, t.queues, q, t.urls[q.name])
	if err != nil {
		return err
	}
	bar := t.bar(min(all, cmp.Or(o.max, all)), q.name)
	s := &sending{client: t.queues, urls: t.urls, packer: t.packer, max: o.max, really: o.yes,
		out: aboveBar{bar, t.out}, done: func() { _ = bar.Add(1) }} // it fails past the total, which is approximate
	s.packer.topic = o.topic
	if o.rate > 0 {
		s.pause = time.Duration(float64(time.Second) / o.rate)
	}
	w := t.walk(q, all, pageSize*s.pause)
	err = w.each(ctx, func(l letter) (verdict, error) { return s.visit(ctx, l) })
	_ = bar.Exit()
	stopped := errors.Is(err, context.Canceled) // by Ctrl-C: another run continues
	if stopped {
		s.tally.more, err = true, nil
	}
	if !o.yes && q.fifo && len(w.seen) < all { // the rest is behind the first ten of a group
		s.tally.more = true
	}
	enough := o.max > 0 && s.tally.handled() == o.max
	if o.yes && err == nil && !stopped && !enough {
		s.tally.unseen = max(0, all-len(w.seen))
	}
	s.summary(q)
	switch {
	case err != nil:
		return err
	case stopped, o.yes && s.tally.kept > 0, s.tally.unseen > 0:
		return errRemain
	}
	return nil
}

func (s *sending) summary(q deadQueue) {
	sent, deleted := "sent", "deleted"
	if !s.really {
		sent, deleted = "would be sent", "would be deleted"
	}
	fmt.Fprintf(s.out, "%s: %d %s, %d %s as nobody is connected, %d cannot be sent", q.name, s.tally.sent, sent, s.tally.obsolete, deleted, s.tally.kept)
	if s.tally.more {
		fmt.Fprint(s.out, "; there are more")
	}
	if s.tally.unseen > 0 {
		fmt.Fprintf(s.out, "; %d may remain", s.tally.unseen)
	}
	if !s.really && s.tally.handled() > 0 {
		fmt.Fprint(s.out, "; --yes does it")
	}
	fmt.Fprintln(s.out)
}

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/plain"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/topology"
)

// Exit codes.
const (
	exitDone    = 0
	exitError   = 1
	exitRemains = 3
)

const usage = `say what to do:
  redrive list                      what each queue of dead letters has
  redrive show [-queue Q] ...       one line for each dead letter
  redrive send -queue Q [-yes] ...  send a queue's dead letters again, or tell what would be sent
  redrive send -all [-yes]          let SQS move all of them as they are
each with -local or -stack NAME; redrive COMMAND -help lists the flags`

// run is the command without its process.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	code, err := dispatch(ctx, args, out, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
		fmt.Fprintln(errs, "redrive:", plain.Lines(err.Error()))
		return exitError
	}
	return code
}

func dispatch(ctx context.Context, args []string, out, errs io.Writer) (code int, err error) {
	if len(args) == 0 {
		return exitError, errors.New(usage)
	}
	o := options{}
	flags := flag.NewFlagSet("redrive "+args[0], flag.ContinueOnError)
	flags.SetOutput(errs)
	where := deployment.Register(flags)
	var do func(t *tool, ctx context.Context, o options) (int, error)
	switch args[0] {
	case "list":
		do = (*tool).list
	case "show":
		do = (*tool).show
		flags.StringVar(&o.queue, "queue", "", "only of the dead letters `QUEUE`")
		flags.StringVar(&o.topic, "topic", "", "only events of `TOPIC`, such as newMessage/lobby")
		flags.BoolVar(&o.json, "json", false, "one JSON object a line")
	case "send":
		do = (*tool).send
		flags.StringVar(&o.queue, "queue", "", "the dead letters `QUEUE` to send again")
		flags.StringVar(&o.topic, "topic", "", "only events of `TOPIC`, such as newMessage/lobby")
		flags.IntVar(&o.max, "max", 0, "at most `N` of them; 0 for all")
		flags.Float64Var(&o.rate, "rate", 0, "at most `R` of them per second; 0 for as fast as it goes")
		flags.BoolVar(&o.all, "all", false, "let SQS move every queue's back as they are, undecodable ones and used up tries included")
		flags.BoolVar(&o.yes, "yes", false, "do it; without, only tell what would be done")
	default:
		return exitError, fmt.Errorf("unknown command %q; %s", args[0], usage)
	}
	if err := flags.Parse(args[1:]); err != nil {
		return exitError, err
	}
	if err := o.check(args[0], flags.Args()); err != nil {
		return exitError, err
	}
	d, err := where.Resolve(ctx)
	if err != nil {
		return exitError, err
	}
	t := newTool(d, out, errs)
	t.local = where.Local()
	return do(t, ctx, o)
}

// options are the flags of all commands.
type options struct {
	queue, topic   string
	json, all, yes bool
	max            int
	rate           float64
}

func (o options) check(command string, rest []string) error {
	_, err := findQueues(o.queue)
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is no flag", rest[0])
	case err != nil:
		return err
	case o.max < 0 || o.rate < 0 || o.rate > 0 && o.rate < minRate:
		return fmt.Errorf("-max and -rate must not be negative, and -rate at least %g", minRate)
	case command == "send" && o.all == (o.queue != ""):
		return errors.New("say which: send -queue QUEUE, or send -all")
	case o.all && (o.topic != "" || o.max != 0):
		return errors.New("SQS moves all: -all goes with neither -topic nor -max")
	}
	return nil
}

// minRate keeps a page of messages from being out of sight for hours.
const minRate = 0.01

// tool is the commands' way to a deployment.
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

func newTool(d deployment.Deployment, out, errs io.Writer) *tool {
	client := dynamo.NewClient(d.AWS)
	return &tool{queues: sqs.NewFromConfig(d.AWS), urls: d.Queues, out: out, errs: errs, packer: packer{
		connections:   connections{client, d.Tables[topology.Connections.Name]},
		records:       source{dynamodbstreams.NewFromConfig(d.AWS), client, d.Tables[topology.Messages.Name]},
		subscriptions: dynamo.New(client, dynamo.Tables{Subscriptions: d.Tables[topology.Subscriptions.Name]}),
		limits:        fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes, Alone: topology.QueueMessageBytes, Groups: d.FanoutGroups},
	}}
}

// walk is one through a queue of n letters, of which each page takes so long.
func (t *tool) walk(q deadQueue, n int, page time.Duration) *walk {
	return &walk{client: t.queues, queue: q, url: t.urls[q.name],
		hidden: min(hidden+time.Duration(n)*hiddenPerLetter+page, hiddenMost)}
}

func (t *tool) list(ctx context.Context, _ options) (int, error) {
	var all []overview
	for _, q := range deadQueues() {
		o := overview{queue: q.name, reasons: map[string]int{}}
		var err error
		if o.messages, err = count(ctx, t.queues, q, t.urls[q.name]); err != nil {
			return exitError, err
		}
		err = t.walk(q, o.messages, 0).each(ctx, func(l letter) (verdict, error) {
			o.add(l)
			return stays, nil
		})
		if err != nil {
			return exitError, err
		}
		all = append(all, o)
	}
	return exitDone, printOverviews(t.out, all, time.Now())
}

func (t *tool) show(ctx context.Context, o options) (int, error) {
	queues, err := findQueues(o.queue)
	if err != nil {
		return exitError, err
	}
	for _, q := range queues {
		all, err := count(ctx, t.queues, q, t.urls[q.name])
		if err != nil {
			return exitError, err
		}
		w := t.walk(q, all, 0)
		err = w.each(ctx, func(l letter) (verdict, error) {
			if o.topic != "" && l.topic() != o.topic {
				return stays, nil
			}
			return stays, newLine(l, time.Now()).print(t.out, l, o.json)
		})
		if err != nil {
			return exitError, err
		}
		if unseen := all - len(w.seen); q.fifo && unseen > 0 {
			fmt.Fprintf(t.errs, "%s shows the first ten of each message group; %d were not seen\n", q.name, unseen)
		}
	}
	return exitDone, nil
}

func (t *tool) send(ctx context.Context, o options) (int, error) {
	if o.all {
		return t.moveAll(ctx, o)
	}
	queues, err := findQueues(o.queue)
	if err != nil {
		return exitError, err
	}
	q := queues[0]
	all, err := count(ctx, t.queues, q, t.urls[q.name])
	if err != nil {
		return exitError, err
	}
	bar := t.bar(min(all, cmp.Or(o.max, all)), q.name)
	s := &sending{client: t.queues, urls: t.urls, packer: t.packer, max: o.max, really: o.yes,
		out: aboveBar{bar, t.out}, done: func() { _ = bar.Add(1) }} // it fails past the total, which is about right
	s.packer.topic = o.topic
	if o.rate > 0 {
		s.pause = time.Duration(float64(time.Second) / o.rate)
	}
	w := t.walk(q, all, pageSize*s.pause)
	err = w.each(ctx, func(l letter) (verdict, error) { return s.visit(ctx, l) })
	_ = bar.Exit()
	if errors.Is(err, context.Canceled) { // a Ctrl-C, which is not an error: a further run goes on
		s.tally.more, err = true, nil
	}
	if !o.yes && q.fifo && len(w.seen) < all { // behind the first ten of a group
		s.tally.more = true
	}
	s.summary(q)
	switch {
	case err != nil:
		return exitError, err
	case s.tally.kept > 0, s.tally.more, !o.yes && s.tally.handled() > 0:
		return exitRemains, nil
	}
	return exitDone, nil
}

// summary prints the tally in one line.
func (s *sending) summary(q deadQueue) {
	sent, deleted := "sent", "deleted"
	if !s.really {
		sent, deleted = "would be sent", "would be deleted"
	}
	fmt.Fprintf(s.out, "%s: %d %s, %d %s as nobody is connected, %d cannot be sent", q.name, s.tally.sent, sent, s.tally.obsolete, deleted, s.tally.kept)
	if s.tally.more {
		fmt.Fprint(s.out, "; there are more")
	}
	if !s.really && s.tally.handled() > 0 {
		fmt.Fprint(s.out, "; -yes does it")
	}
	fmt.Fprintln(s.out)
}

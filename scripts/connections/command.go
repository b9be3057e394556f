package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/plain"
	"subwire/shared/apigw"
	"subwire/shared/dynamo"
	"subwire/shared/pubsub"
	"subwire/shared/session"
	"subwire/shared/topology"
	"subwire/shared/transportws"
)

const usage = `say what to do:
  connections list                       one line for each connection
  connections show ID                    all that is stored of one
  connections close -viewer ID [-yes]    end a viewer's connections, or tell which
  connections close -all [-yes]          end all of them
each with -local or -stack NAME`

// options are the flags of all commands.
type options struct {
	viewer   string
	all, yes bool
	id       string // of show
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	o := options{}
	flags := flag.NewFlagSet("connections "+args[0], flag.ContinueOnError)
	where := deployment.Register(flags)
	var do func(t tool, ctx context.Context, o options) error
	switch args[0] {
	case "list":
		do = tool.list
		flags.StringVar(&o.viewer, "viewer", "", "only those of the viewer `ID`")
	case "show":
		do = tool.show
	case "close":
		do = tool.close
		flags.StringVar(&o.viewer, "viewer", "", "those of the viewer `ID`")
		flags.BoolVar(&o.all, "all", false, "all of them")
		flags.BoolVar(&o.yes, "yes", false, "do it; without, only tell what would be done")
	default:
		return fmt.Errorf("unknown command %q; %s", args[0], usage)
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if err := o.check(args[0], flags.Args()); err != nil {
		return err
	}
	d, err := where.Resolve(ctx)
	if err != nil {
		return err
	}
	return do(newTool(d, out), ctx, o)
}

func (o *options) check(command string, rest []string) error {
	if command == "show" {
		if len(rest) != 1 {
			return errors.New("say which: show ID, behind the flags")
		}
		o.id = rest[0]
		return nil
	}
	if len(rest) > 0 {
		return fmt.Errorf("%q is no flag", rest[0])
	}
	if command == "close" && o.all == (o.viewer != "") {
		return errors.New("say which: close -viewer ID, or close -all")
	}
	return nil
}

// tool is the commands' way to a deployment.
type tool struct {
	store interface {
		Connections(ctx context.Context) iter.Seq2[pubsub.Connection, error]
		Connection(ctx context.Context, id string) (pubsub.Connection, error)
		DeleteConnection(ctx context.Context, id string) error
	}
	gateway session.Gateway
	out     io.Writer
}

func newTool(d deployment.Deployment, out io.Writer) tool {
	return tool{out: out,
		store: dynamo.New(dynamo.NewClient(d.AWS), dynamo.Tables{Connections: d.Tables[topology.Connections.Name],
			Subscriptions: d.Tables[topology.Subscriptions.Name]}),
		gateway: apigw.New(d.AWS, callback(d.WSURL), 1),
	}
}

// callback is the endpoint of the management API: that of the sockets, over
// HTTP.
func callback(wsURL string) string {
	return strings.TrimSuffix("http"+strings.TrimPrefix(wsURL, "ws"), "/")
}

// matching yields the connections that the flags choose, as the store does.
func (t tool) matching(ctx context.Context, o options) iter.Seq2[pubsub.Connection, error] {
	return func(yield func(pubsub.Connection, error) bool) {
		for c, err := range t.store.Connections(ctx) {
			if err == nil && o.viewer != "" && c.Viewer.ID != o.viewer {
				continue
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

func (t tool) list(ctx context.Context, o options) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CONNECTION\tVIEWER\tCONNECTED\tEXPIRES\tOPERATIONS")
	n := 0
	for c, err := range t.matching(ctx, o) {
		if err != nil {
			return err
		}
		n++
		viewer := c.Viewer.ID
		if viewer == "" {
			viewer = "(anonymous)"
		}
		fmt.Fprintf(w, "%s\t%q\t%s\t%s\t%d\n", c.ID, viewer, stamp(c.ConnectedAt), stamp(c.Expires), len(c.Operations))
	}
	fmt.Fprintf(w, "%d connections\n", n)
	return w.Flush()
}

func stamp(t time.Time) string { return t.UTC().Format(time.DateTime) }

func (t tool) show(ctx context.Context, o options) error {
	c, err := t.store.Connection(ctx, o.id)
	if errors.Is(err, pubsub.ErrGone) {
		return fmt.Errorf("there is no connection %s", o.id)
	}
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "connection\t%s\nviewer\t%q\nclaims\t%s\ninit payload\t%s\nacknowledged\t%t\nconnected\t%s\nexpires\t%s\n",
		c.ID, c.Viewer.ID, plain.Text(c.Viewer.Claims), plain.Text(string(c.Init)), c.Acknowledged,
		stamp(c.ConnectedAt), stamp(c.Expires))
	for _, id := range slices.Sorted(maps.Keys(c.Operations)) {
		topic := c.Operations[id].Topic
		if topic == "" {
			topic = "(query or mutation)"
		}
		fmt.Fprintf(w, "operation %q\t%s\n", id, plain.Text(topic))
	}
	return w.Flush()
}

// close ends connections. What fails for one is told, and the others go on.
func (t tool) close(ctx context.Context, o options) error {
	closed, failed := 0, 0
	for c, err := range t.matching(ctx, o) {
		if err != nil {
			return err
		}
		if o.yes {
			err = t.end(ctx, c.ID)
		} else {
			fmt.Fprintf(t.out, "would close %s of %q\n", c.ID, c.Viewer.ID)
		}
		if err != nil {
			failed++
			fmt.Fprintf(t.out, "%s: %v\n", c.ID, err)
			continue
		}
		closed++
	}
	switch {
	case failed > 0:
		return fmt.Errorf("closed %d connections; %d could not, or were not told", closed, failed)
	case o.yes:
		fmt.Fprintf(t.out, "closed %d connections\n", closed)
	default:
		fmt.Fprintf(t.out, "would close %d connections; -yes does it\n", closed)
	}
	return nil
}

// end tells the client and forgets the connection. What is stored goes first:
// nothing is delivered from then on, whether the client can be told or not.
func (t tool) end(ctx context.Context, id string) error {
	if err := t.store.DeleteConnection(ctx, id); err != nil {
		return err
	}
	return session.Refuse(ctx, t.gateway, id, transportws.ConnectionRevoked())
}

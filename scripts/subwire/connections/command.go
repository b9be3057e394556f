// Package connections is subwire connections: it shows who is connected, and ends
// connections, for instance when a viewer's token is no longer valid.
package connections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/plain"
	"subwire/scripts/subwire/cli"
	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/node"
	"subwire/shared/pubsub"
	"subwire/shared/socket"
	"subwire/shared/topology"
	"subwire/shared/transportws"
)

type options struct {
	viewer         string
	all, yes, json bool
	id             string // of show
}

func Command() *cobra.Command {
	connections := &cobra.Command{Use: "connections", Short: "Show who is connected, and end connections"}
	where, o := cli.Deployment(connections), options{}
	run := func(do func(t tool, ctx context.Context, o options) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			d, err := where.Resolve(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) > 0 {
				o.id = args[0]
			}
			t, err := newTool(d, cmd.OutOrStdout(), os.Getenv)
			if err != nil {
				return err
			}
			return do(t, cmd.Context(), o)
		}
	}
	list := &cobra.Command{Use: "list", Short: "Show a line for each connection", Args: cobra.NoArgs,
		RunE: run(tool.list)}
	list.Flags().StringVar(&o.viewer, "viewer", "", "only those of the viewer `ID`")
	cli.Output(list, &o.json)
	show := &cobra.Command{Use: "show ID", Short: "Show all that is stored of one", Args: cobra.ExactArgs(1),
		RunE: run(tool.show)}
	cli.Output(show, &o.json)
	end := &cobra.Command{Use: "close {--viewer ID | --all}", Short: "End connections, or tell which", Args: cobra.NoArgs,
		RunE: run(tool.close),
		Example: `  subwire connections close --viewer ada --stack subwire-prod          # tells what it would do
  subwire connections close --viewer ada --stack subwire-prod --yes    # does it`}
	end.Flags().StringVar(&o.viewer, "viewer", "", "those of the viewer `ID`")
	end.Flags().BoolVar(&o.all, "all", false, "all of them")
	end.Flags().BoolVar(&o.yes, "yes", false, "do it; without, only tell what would be done")
	end.PreRunE = func(*cobra.Command, []string) error {
		if o.all == (o.viewer != "") {
			return errors.New("say which: close --viewer ID, or close --all")
		}
		return nil
	}
	connections.AddCommand(list, show, end)
	return connections
}

// tool gives the commands access to a deployment.
type tool struct {
	store interface {
		Connections(ctx context.Context) iter.Seq2[pubsub.Connection, error]
		Connection(ctx context.Context, id string) (pubsub.Connection, error)
		DeleteConnection(ctx context.Context, id string) error
	}
	gateway pubsub.Gateway
	hosts   bool // whether the gateway reaches the sockets of hosts
	out     io.Writer
}

// newTool also reaches the sockets of hosts if the environment says how, as it does for
// the functions.
func newTool(d deployment.Deployment, out io.Writer, getenv func(string) string) (tool, error) {
	settings, errs := topology.Read([]*topology.Setting{topology.HostURL.Setting, topology.HostKey.Setting}, getenv)
	if errs != nil {
		return tool{}, errors.Join(errs...)
	}
	store := dynamo.New(dynamo.NewClient(d.AWS), dynamo.Tables{Connections: d.Tables[topology.Connections.Name],
		Subscriptions: d.Tables[topology.Subscriptions.Name]})
	p := boot.Process{AWS: d.AWS, Config: boot.Config{Callback: callback(d.GatewayURL), Settings: settings}}
	return tool{store: store, gateway: p.Gateway(store, 1), hosts: topology.HostURL.In(settings) != "", out: out}, nil
}

// callback is the endpoint of the management API: the sockets' URL, over HTTP.
func callback(wsURL string) string {
	return strings.TrimSuffix("http"+strings.TrimPrefix(wsURL, "ws"), "/")
}

// matching yields the connections that the flags choose, in the store's order.
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

// stored is what list and show print about a connection; its JSON is one object.
type stored struct {
	ID           string            `json:"id"`
	Viewer       string            `json:"viewer"`                // "" for anonymous
	Claims       string            `json:"claims,omitempty"`      // as JSON
	Init         string            `json:"initPayload,omitempty"` // the part that is kept, as JSON
	Acknowledged bool              `json:"acknowledged"`
	Connected    time.Time         `json:"connected"`
	Expires      time.Time         `json:"expires"`
	Operations   map[string]string `json:"operations"` // topics by id; "" for a query or mutation, and on a host
}

func newStored(c pubsub.Connection) stored {
	operations := map[string]string{}
	for id, running := range c.Operations {
		operations[id] = strings.Join(running.Topics(), ", ")
	}
	return stored{c.ID, c.Viewer.ID, c.Viewer.Claims, string(c.Init), c.Acknowledged,
		c.ConnectedAt.UTC(), c.Expires.UTC(), operations}
}

func (t tool) list(ctx context.Context, o options) error {
	var all []stored
	for c, err := range t.matching(ctx, o) {
		if err != nil {
			return err
		}
		all = append(all, newStored(c))
	}
	if o.json {
		return cli.PrintJSON(t.out, all...)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CONNECTION\tVIEWER\tCONNECTED\tEXPIRES\tOPERATIONS")
	for _, c := range all {
		viewer := cmp.Or(c.Viewer, "(anonymous)")
		fmt.Fprintf(w, "%s\t%q\t%s\t%s\t%d\n", c.ID, viewer, stamp(c.Connected), stamp(c.Expires), len(c.Operations))
	}
	fmt.Fprintf(w, "%d connections\n", len(all))
	return w.Flush()
}

func stamp(t time.Time) string { return t.Format(time.DateTime + "Z07:00") }

func (t tool) show(ctx context.Context, o options) error {
	found, err := t.store.Connection(ctx, o.id)
	if errors.Is(err, pubsub.ErrGone) {
		return fmt.Errorf("there is no connection %s", o.id)
	}
	if err != nil {
		return err
	}
	c := newStored(found)
	if o.json {
		return cli.PrintJSON(t.out, c)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "connection\t%s\nviewer\t%q\nclaims\t%s\ninit payload\t%s\nacknowledged\t%t\nconnected\t%s\nexpires\t%s\n",
		c.ID, c.Viewer, plain.Text(c.Claims), plain.Text(c.Init), c.Acknowledged, stamp(c.Connected), stamp(c.Expires))
	untold := "(query or mutation)"
	if _, held := node.Parse(c.ID); held {
		untold = "(its topics are known to its host alone)"
	}
	for _, id := range slices.Sorted(maps.Keys(c.Operations)) {
		fmt.Fprintf(w, "operation %q\t%s\n", id, plain.Text(cmp.Or(c.Operations[id], untold)))
	}
	return w.Flush()
}

// close ends connections. If one fails, it says so and goes on with the others.
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
		fmt.Fprintf(t.out, "would close %d connections; --yes does it\n", closed)
	}
	return nil
}

// end tells the client and forgets the connection. It deletes what is stored first:
// from then on nothing is delivered, whether or not the client can be told. But a host goes
// on until it closes the socket, so without a way to it nothing is deleted.
func (t tool) end(ctx context.Context, id string) error {
	if _, held := node.Parse(id); held && !t.hosts {
		return fmt.Errorf("a host holds the socket: set %s and %s", topology.HostURL.Env, topology.HostKey.Env)
	}
	if err := t.store.DeleteConnection(ctx, id); err != nil {
		return err
	}
	return socket.Close(ctx, t.gateway, id, transportws.ConnectionRevoked())
}

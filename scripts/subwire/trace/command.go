// Package trace is subwire trace: it tells from the functions' logs what became of one
// event, from the mutation to the posts, and of one of its subscribers.
package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/plain"
	"subwire/scripts/internal/story"
	"subwire/scripts/subwire/cli"
	"subwire/shared/dynamo"
	"subwire/shared/table"
	"subwire/shared/topology"
	"subwire/shared/trace"
)

type options struct {
	event, connection string
	since             time.Duration
	json              bool
}

// Command is subwire trace.
func Command() *cobra.Command {
	o := options{}
	cmd := &cobra.Command{Use: "trace EVENT", Short: "Tell what became of an event", Args: oneID,
		Long: `Tell what became of an event, from the mutation to the posts, and of one of its
subscribers. EVENT is the id of the event, as the log has it, or of its trace. That of a
row that is written once, such as a chat message, is the row's; any other row of a table
without a sort key is found by its key, too.

It reads the functions' logs. Of a stack, CloudWatch Logs Insights does, for $0.005 per GB
that it scans; it needs logs:StartQuery and logs:GetQueryResults, and dynamodb:GetItem for
rows. Lines may take a minute to be found. The local cloud keeps the latest 10,000 lines.

The log names those who did not simply get the event, up to 100 of each batch. Who was
delivered to is in no line, but each subscriber is always in the same of the topic's
message groups.`,
		Example: "  subwire trace 01JD5Z8W4S6QH6M9T6FVG0YZ1A --local\n" +
			"  subwire trace 1-5759e988-bd862e3fe1be46a994272793 --connection TWegAf_YCYcCJ9w= --stack subwire-prod"}
	where := cli.Deployment(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := where.Resolve(cmd.Context())
		if err != nil {
			return err
		}
		o.event = args[0]
		return run(cmd.Context(), d, o, cmd.OutOrStdout())
	}
	cmd.Flags().StringVar(&o.connection, "connection", "",
		"also tell what became of the subscriber with the connection `ID`")
	cmd.Flags().DurationVar(&o.since, "since", 24*time.Hour, "`TIME` that the search goes back; not for the local cloud")
	cli.Output(cmd, &o.json)
	return cmd
}

// oneID takes the id of an event. Nobody needs one with quotes, and a query has no place for
// them.
func oneID(cmd *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(1)(cmd, args); err != nil {
		return err
	}
	if args[0] == "" || strings.ContainsAny(args[0], "\"\\\n") {
		return errors.New("no event has such an id")
	}
	return nil
}

func run(ctx context.Context, d deployment.Deployment, o options, out io.Writer) error {
	source, err := sourceOf(d, o.since)
	if err != nil {
		return err
	}
	store := dynamo.New(dynamo.NewClient(d.AWS), dynamo.Tables{Products: d.Tables})
	found, err := find(ctx, source, o.event, func() (string, error) {
		return traceOfRow(ctx, store, d.App.Tables, o.event)
	})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("no line of the log is about %s", plain.Text(o.event))
	}
	s := newTale(found)
	if o.connection != "" {
		s.Summary.Connection = s.of(o.connection, d.FanoutGroups)
	}
	if o.json {
		if err := cli.PrintJSON(out, s.Steps...); err != nil {
			return err
		}
		return cli.PrintJSON(out, s.Summary)
	}
	return s.print(out)
}

// find returns the lines about an event, or about all events of a trace, in order of time.
func find(ctx context.Context, s source, event string, ofRow func() (string, error)) ([]story.Line, error) {
	if trace.IsID(event) {
		return s.lines(ctx, query{traces: []string{event}})
	}
	found, err := s.lines(ctx, query{event: event})
	if err != nil {
		return nil, err
	}
	traces := tracesOf(found)
	if len(found) == 0 {
		id, err := ofRow()
		if err != nil || id == "" {
			return nil, err
		}
		return s.lines(ctx, query{traces: []string{id}})
	}
	if len(traces) == 0 {
		return found, nil
	}
	return s.lines(ctx, query{event: event, traces: traces})
}

// rows is the part of table.Store that is used.
type rows interface {
	GetRow(ctx context.Context, t topology.Table, k table.Key, bytes int) (table.Row, error)
}

// traceOfRow is the trace that wrote the row with the key, in any of the product's tables
// without a sort key; "" if there is none.
func traceOfRow(ctx context.Context, store rows, tables []topology.Table, key string) (string, error) {
	for _, t := range tables {
		k := table.Key{Partition: key}
		if !t.Stream || k.Check(t) != nil {
			continue
		}
		row, err := store.GetRow(ctx, t, k, topology.QueueMessageBytes)
		switch id := table.Text(row, table.Trace); {
		case err != nil && !errors.Is(err, table.ErrNotFound):
			return "", err
		case trace.IsID(id):
			return id, nil
		}
	}
	return "", nil
}

func (s tale) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tFUNCTION\tWHAT\t\tREQUEST")
	for _, step := range s.Steps {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", step.At.UTC().Format("2006-01-02 15:04:05.000Z07:00"), plain.Text(step.Function),
			plain.Text(step.What), plain.Text(step.Detail), plain.Text(step.Request))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%s\n", plain.Lines(s.Summary.String()))
	return err
}

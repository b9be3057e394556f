// Package publish is subwire publish: it publishes events of a product from a shell.
package publish

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/internal/plain"
	"subwire/scripts/subwire/cli"
	"subwire/shared/products"
	"subwire/shared/publish"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

type options struct {
	event, id string
	lines     bool
}

func Command() *cobra.Command {
	o := options{}
	cmd := &cobra.Command{Use: "publish EVENT [JSON | -]", Short: "Publish an event of a product that takes events", Args: cobra.RangeArgs(1, 2),
		Long: `Publish an event of a product that takes events (subwire.Inbox), and print its id.
It is durable then. The JSON of the event is an argument or, with - or without, on
standard input. An event with an id that was used within a day is dropped, so a
command with --id may be repeated. Of events of which only the newest counts, one is
dropped whose id is not greater than the newest of its group within an hour.`,
		Example: `  subwire publish courierMoved '{"courierId":"carl","latitude":52.52,"longitude":13.41}' --local
  subwire publish courierMoved --lines --id 2026-11-28 --stack subwire-shop-dev <positions.ndjson`}
	where := cli.Deployment(cmd)
	cmd.Flags().StringVar(&o.id, "id", "", "`ID` of the event; without, a new one")
	cmd.Flags().BoolVar(&o.lines, "lines", false, "each line on standard input is an event; its id is ID-000000001, …")
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case o.lines && len(args) > 1 && args[1] != "-":
			return errors.New("--lines reads standard input: leave out the JSON")
		case cmd.Flags().Changed("id") && o.id == "":
			return errors.New("--id is empty")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := where.Resolve(cmd.Context())
		if err != nil {
			return err
		}
		p, err := publisher(d)
		if err != nil {
			return err
		}
		in := cmd.InOrStdin()
		if len(args) > 1 && args[1] != "-" {
			in = bytes.NewBufferString(args[1])
		}
		o.event, o.id = args[0], cmp.Or(o.id, ulid.Make().String())
		return run(cmd.Context(), p, o, in, cmd.OutOrStdout())
	}
	return cmd
}

// publisher is for the product that the deployment runs.
func publisher(d deployment.Deployment) (*publish.Publisher, error) {
	app, err := products.App(d.App.Name)
	if err != nil {
		return nil, err
	}
	return publish.New(d.AWS, app, d.Tables[subwire.InboxTable])
}

// maxLine is more than the JSON of any event may have, in bytes.
const maxLine = 4 * topology.BatchBytes

// run publishes what in holds, in order, and prints the ids as it goes.
func run(ctx context.Context, p *publish.Publisher, o options, in io.Reader, out io.Writer) error {
	if !o.lines {
		data, err := io.ReadAll(in)
		if err != nil {
			return fmt.Errorf("read the event: %w", err)
		}
		return one(ctx, p, o.event, o.id, data, out)
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	n := 0
	for ; lines.Scan(); n++ {
		id := fmt.Sprintf("%s-%09d", o.id, n+1) // they ascend
		if err := one(ctx, p, o.event, id, lines.Bytes(), out); err != nil {
			return fmt.Errorf("line %d: %w; with --id %s the lines before it may be repeated", n+1, err, o.id)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read line %d: %w", n+1, err)
	}
	return nil
}

func one(ctx context.Context, p *publish.Publisher, event, id string, data []byte, out io.Writer) error {
	var checked json.RawMessage
	if err := json.Unmarshal(data, &checked); err != nil {
		return fmt.Errorf("the event is no JSON: %w", err)
	}
	if err := p.Publish(ctx, event, id, checked); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, plain.Lines(id))
	return err
}

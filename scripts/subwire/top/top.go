// Package top is subwire top: the figures of the dashboard, in a terminal.
package top

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"subwire/scripts/internal/figures"
	"subwire/scripts/internal/plain"
	"subwire/scripts/subwire/cli"
	"subwire/shared/topology"
)

type options struct {
	once, json bool
	every      time.Duration
}

// How often a look is taken. AWS has a new figure every minute.
const (
	everyLocal = 5 * time.Second
	everyStack = time.Minute
	least      = time.Second
)

func Command() *cobra.Command {
	o := options{}
	cmd := &cobra.Command{Use: "top", Short: "Show what goes through the pipeline, and what is lost", Args: cobra.NoArgs,
		Long: `Show the figures of the dashboard for the latest minute, a line for each part of the
pipeline, and the alarms that are on. Figures that are zero are left out. Without a
terminal, or with --once, it looks once.

On AWS a figure is some two minutes old, and a look costs money: CloudWatch takes $0.01
for 1,000 metrics (GetMetricData), so a look at about 60 each minute costs $0.04 an hour.
It needs cloudwatch:GetMetricData and cloudwatch:DescribeAlarms.`,
		Example: `  subwire top --local
  subwire top --stack subwire-prod --once -o json`,
		PreRunE: func(*cobra.Command, []string) error {
			if o.every != 0 && o.every < least {
				return fmt.Errorf("--every is %s at least", least)
			}
			return nil
		}}
	where := cli.Deployment(cmd)
	cmd.Flags().BoolVar(&o.once, "once", false, "look once")
	cmd.Flags().DurationVar(&o.every, "every", 0, "`TIME` between looks; default 5s, and 1m for a stack")
	cli.Output(cmd, &o.json)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := where.Resolve(cmd.Context())
		if err != nil {
			return err
		}
		var s source = figures.Of(d)
		usual := everyStack
		if where.Local() {
			s, usual = local{d}, everyLocal
		}
		o.every = cmp.Or(o.every, usual)
		out := cmd.OutOrStdout()
		if f, ok := out.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
			o.once = true
		}
		return run(cmd.Context(), s, d.App.Pipeline(), o, out)
	}
	return cmd
}

// source is where the figures come from.
type source interface {
	Look(ctx context.Context, parts []topology.Part) (figures.Look, error)
}

// run looks until ctx ends. Once it has seen something, an error is shown and does not
// end it: during an incident, a command that gives up is of no use.
func run(ctx context.Context, s source, parts []topology.Part, o options, out io.Writer) error {
	l, err := s.Look(ctx, parts)
	if err != nil {
		return err
	}
	if o.once {
		return show(out, l, parts, o.json)
	}
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	for {
		var page strings.Builder
		if shown := show(&page, l, parts, o.json); shown != nil {
			return shown
		}
		if err != nil {
			fmt.Fprintf(&page, "\n%s\n", plain.Lines("the last look failed: "+err.Error()))
		}
		if err := draw(out, page.String(), o.json); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		next, failed := s.Look(ctx, parts)
		if err = failed; err == nil {
			l = next
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// draw writes the page over the last one (ECMA-48: CUP, EL, ED). JSON is a line for each look.
func draw(out io.Writer, page string, asJSON bool) error {
	if !asJSON {
		page = "\x1b[H" + strings.ReplaceAll(page, "\n", "\x1b[K\n") + "\x1b[J"
	}
	_, err := io.WriteString(out, page)
	return err
}

func show(out io.Writer, l figures.Look, parts []topology.Part, asJSON bool) error {
	if asJSON {
		return cli.PrintJSON(out, l)
	}
	fmt.Fprintf(out, "the minute of %s UTC\n\n", l.At.UTC().Format("15:04"))
	for _, p := range parts {
		fmt.Fprintf(out, "%-12s%s\n", p.Name, line(p, l.Figures[p.Name]))
	}
	alarms := "none"
	if len(l.Alarms) > 0 {
		alarms = strings.Join(l.Alarms, ", ") + `: see "Alarms" in docs/operations.md`
	}
	_, err := fmt.Fprintf(out, "\n%-12s%s\n", "alarms", alarms)
	for _, f := range l.Faults {
		_, err = fmt.Fprintln(out, plain.Lines("CloudWatch would not take a line of "+f))
	}
	return err
}

// line is the figures of a part that are not zero, in its order.
func line(p topology.Part, values map[string]float64) string {
	var said []string
	for _, f := range p.Figures {
		if v := values[f.Label]; v != 0 {
			said = append(said, f.Label+" "+strconv.FormatFloat(v, 'f', decimals(v), 64))
		}
	}
	if len(said) == 0 {
		return "-"
	}
	return strings.Join(said, "   ")
}

// decimals keeps what is small from being shown as 0.
func decimals(v float64) int {
	if v < 10 && v != float64(int(v)) {
		return 1
	}
	return 0
}

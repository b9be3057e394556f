// Package check is subwire check: it tells which stored subscriptions the product of this
// checkout would end.
package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"subwire/scripts/internal/stored"
	"subwire/scripts/subwire/cli"
	"subwire/shared/dynamo"
	"subwire/shared/products"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

type options struct {
	settings []string // NAME=VALUE
	values   topology.Values
	json     bool
}

func Command() *cobra.Command {
	o := options{}
	cmd := &cobra.Command{Use: "check", Short: "Tell which stored subscriptions the product as it is here would end", Args: cobra.NoArgs,
		Long: `Tell which stored subscriptions would end if the product as it is here were deployed,
because its schema no longer has what their documents ask for. Each operation is
prepared as the function sender would. Variables are not shown. It reads the whole
table of operations, at 512 read units a second at most.

The exit code is 0 if all of them run, and 1 if one does not, or if that is not known.`,
		Example: `  subwire check --stack subwire-prod
  subwire check --stack subwire-prod --setting MAX_FIELDS=200   # if it is deployed with that`,
		PreRunE: func(*cobra.Command, []string) (err error) {
			_, o.values, err = cli.Settings(o.settings)
			return err
		}}
	where := cli.Deployment(cmd)
	cmd.Flags().StringArrayVar(&o.settings, "setting", nil, "`NAME=VALUE` of the release, if it is not the default")
	cli.Output(cmd, &o.json)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := where.Resolve(cmd.Context())
		if err != nil {
			return err
		}
		app, err := products.App(d.App.Name)
		if err != nil {
			return err
		}
		store := dynamo.New(dynamo.NewClient(d.AWS), dynamo.Tables{Operations: d.Tables[topology.Operations.Name]})
		return run(cmd.Context(), store, app, o, cmd.OutOrStdout())
	}
	return cmd
}

type store interface {
	Operations(ctx context.Context) iter.Seq2[dynamo.Stored, error]
}

func run(ctx context.Context, s store, app *subwire.App, o options, out io.Writer) error {
	r, err := stored.Check(s.Operations(ctx), app, o.values, time.Now())
	if o.json {
		err = errors.Join(err, cli.PrintJSON(out, r.Outdated...))
	} else {
		for _, op := range r.Outdated {
			fmt.Fprintln(out, op.Text())
		}
	}
	switch {
	case err != nil:
		return err
	case len(r.Outdated) > 0:
		return fmt.Errorf("of %d operations in use, %d no longer run: %s", r.Operations, len(r.Outdated), stored.Consequence)
	case !o.json:
		fmt.Fprintf(out, "all %d operations in use run\n", r.Operations)
	}
	return nil
}

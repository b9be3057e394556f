// Package revoke is subwire revoke: it ends all connections of a viewer, and keeps its
// tokens from opening others.
package revoke

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/spf13/cobra"

	"subwire/scripts/internal/deployment"
	"subwire/scripts/subwire/cli"
	"subwire/shared/connection"
	"subwire/shared/dynamo"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

func Command() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke SUBJECT", Short: "End all connections of a viewer, and refuse its tokens so far",
		Args: cobra.ExactArgs(1),
		Long: `End all connections of the viewer that tokens name as their subject (sub), and refuse
new connections with tokens that were issued until now. It reads no table. It may be
repeated. Requests over HTTP are answered until the token expires.`,
		Example: `  subwire revoke ada --stack subwire-prod`}
	where := cli.Deployment(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := where.Resolve(cmd.Context())
		if err != nil {
			return err
		}
		return run(cmd.Context(), revoker(d), args[0], cmd.OutOrStdout())
	}
	return cmd
}

func revoker(d deployment.Deployment) connection.Revoker {
	return connection.Revoker{
		Quotas: dynamo.New(dynamo.NewClient(d.AWS), dynamo.Tables{Connections: d.Tables[topology.Connections.Name]}),
		Checks: queue.New(sqs.NewFromConfig(d.AWS), d.Queues[topology.ConnectionChecks.Name]),
	}
}

func run(ctx context.Context, r connection.Revoker, subject string, out io.Writer) error {
	n, err := r.Revoke(ctx, subject)
	if err != nil {
		return fmt.Errorf("%d connections are ending, others may be left; repeat the command: %w", n, err)
	}
	_, err = fmt.Fprintf(out, "%q is revoked; %d connections are ending\n", subject, n)
	return err
}

// Package console is subwire console: the page that the local cloud has, for a stack. It looks
// from this machine, with its owner's credentials; nothing is deployed for it.
package console

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"subwire/scripts/internal/console"
	"subwire/scripts/internal/deployment"
	"subwire/scripts/subwire/cli"
	"subwire/shared/topology"
)

// Command is subwire console.
func Command() *cobra.Command {
	var listen string
	cmd := &cobra.Command{Use: "console", Args: cobra.NoArgs,
		Short: "Show a stack's events, figures and dead letters in a browser",
		Long: `Serve a page on this machine that shows a stack: the figures of its dashboard, the events
that go through it and what became of each, its queues, and dead letters with a button that
sends them again. The printed URL has a key, without which the page is refused. Ctrl-C ends
it. With --local, print the URL of the local cloud's own page, which shows and does more.

The functions' logs are read every five seconds, which has no price; a line appears up to a
minute after it was written. LOG_LEVEL must be info. While a page is open, the rest costs
about $0.04 an hour: figures each minute, $0.01 for 1,000 metrics (GetMetricData), and the
depths of queues each half minute, $0.40 for a million requests. The page says what has been
spent. Connections and topics need a read of their whole table, which waits for a button
that names its price.

It needs cloudformation:DescribeStacks, logs:FilterLogEvents, cloudwatch:GetMetricData,
cloudwatch:DescribeAlarms and sqs:GetQueueAttributes; for connections dynamodb:DescribeTable
and dynamodb:Scan; for dead letters what "The console" in docs/operations.md lists. What is
not allowed is said on the page, and the rest goes on. Prices are those of us-east-1.`,
		Example: `  subwire console --stack subwire-prod
  subwire console --local`,
		PreRunE: func(*cobra.Command, []string) error { return checkListen(listen) }}
	where := cli.Deployment(cmd)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0",
		"`ADDRESS` of this machine for the page of a stack; port 0 for a free one")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d, err := where.Resolve(cmd.Context())
		if err != nil {
			return err
		}
		if where.Local() {
			return printLocal(cmd.Context(), d, cmd.OutOrStdout())
		}
		return serve(cmd.Context(), d, listen, cmd.OutOrStdout())
	}
	return cmd
}

// checkListen refuses an address that others reach, or that a name server could make such.
func checkListen(address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil || !console.Loopback(address) {
		return fmt.Errorf("--listen is an address of this machine alone with a port, such as 127.0.0.1:4001, not %q", address)
	}
	return nil
}

// printLocal prints the URL of the local cloud's console, if it has one.
func printLocal(ctx context.Context, d deployment.Deployment, out io.Writer) error {
	url := strings.TrimSuffix(d.HTTPURL, topology.GraphQLPath) + console.Path
	var state console.State
	if err := deployment.AskControl(ctx, url+"/api/state", &state); err != nil {
		return fmt.Errorf("the local cloud has no console, which needs a loopback address as --http: %w", err)
	}
	_, err := fmt.Fprintln(out, url)
	return err
}

// serve serves the page until ctx ends.
func serve(ctx context.Context, d deployment.Deployment, address string, out io.Writer) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen for the page: %w", err)
	}
	key := rand.Text()
	// Cookies are of all ports, so the name says which.
	cookie := fmt.Sprintf("subwire-console-%d", l.Addr().(*net.TCPAddr).Port)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := newStack(ctx, d)
	page := gate(key, cookie, console.Handler(s, s.actions()))
	server := &http.Server{Handler: page, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	s.watch()
	fmt.Fprintf(out, "the console of %s: http://%s%s?key=%s\nCtrl-C ends it.\n", d.Stack, l.Addr(), console.Path, key)
	err = server.Serve(l)
	stop()
	s.running.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

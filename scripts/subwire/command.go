package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"subwire/scripts/subwire/chat"
	"subwire/scripts/subwire/check"
	"subwire/scripts/subwire/cli"
	"subwire/scripts/subwire/connections"
	"subwire/scripts/subwire/console"
	"subwire/scripts/subwire/dead"
	"subwire/scripts/subwire/doctor"
	"subwire/scripts/subwire/local"
	"subwire/scripts/subwire/publish"
	"subwire/scripts/subwire/revoke"
	"subwire/scripts/subwire/schema"
	"subwire/scripts/subwire/token"
	"subwire/scripts/subwire/top"
	"subwire/scripts/subwire/trace"
	"subwire/scripts/subwire/trust"
)

// run is the tool without its process.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	root := &cobra.Command{Use: "subwire",
		Long: `Try, watch and mend Subwire, on this machine or in AWS.

The exit code is 0 when all was done that was asked for, 1 when not, and 2 for a
wrong command line.`}
	root.AddCommand(chat.Command(), check.Command(), connections.Command(), console.Command(), dead.Command(),
		doctor.Command(), local.Command(), publish.Command(), revoke.Command(), schema.Command(), token.Command(),
		top.Command(), trace.Command(), trust.Command())
	return cli.Run(ctx, root, args, out, errs)
}

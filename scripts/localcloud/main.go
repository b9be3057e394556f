// Localcloud is subwire local alone, for make run: without the operator's other commands,
// and AWS's libraries that they need, it is compiled in a third of the time.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"subwire/scripts/subwire/cli"
	"subwire/scripts/subwire/local"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	root := &cobra.Command{Use: "subwire"}
	root.AddCommand(local.Command())
	os.Exit(cli.Run(ctx, root, os.Args[1:], os.Stdout, os.Stderr))
}

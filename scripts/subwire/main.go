// Subwire is the operator's tool. `subwire --help` lists its commands, and
// `subwire completion --help` says how a shell completes them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C waits for nothing
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Redrive shows what the pipeline could not deliver, and sends it again:
//
//	go run ./scripts/redrive list -local
//	go run ./scripts/redrive show -stack NAME -queue retries-dead
//	go run ./scripts/redrive send -stack NAME -queue retries-dead -yes
//
// It exits with 0 when nothing remains, 1 after an error, and 3 when something
// remains that was asked for.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the current message
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

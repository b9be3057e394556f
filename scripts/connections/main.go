// Connections shows who is connected, and ends connections, as when a viewer's
// token is no longer good:
//
//	go run ./scripts/connections list -local
//	go run ./scripts/connections show -stack NAME ID
//	go run ./scripts/connections close -stack NAME -viewer ada -yes
//	go run ./scripts/connections close -stack NAME -all -yes
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"subwire/scripts/internal/plain"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "connections:", plain.Lines(err.Error()))
		os.Exit(1)
	}
}

// Command host holds sockets itself, instead of API Gateway. It does the work of the
// functions connect, message, disconnect and sender for them.
package main

import (
	"context"
	"os/signal"
	"syscall"

	"subwire/shared/boot"
	"subwire/shared/products"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

func main() { boot.MainOf(topology.Host, products.App, run) }

// run serves until SIGTERM or SIGINT, and then until its sockets are closed.
func run(p boot.Process, app *subwire.App) error {
	s, err := newServer(p, app)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return s.serve(ctx)
}

// Command sender delivers fan-out batches to their connections.
package main

import (
	"subwire/functions/internal/invocation"
	"subwire/functions/internal/sending"
	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/products"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

func main() { boot.MainOf(topology.Sender, products.App, run) }

func run(p boot.Process, app *subwire.App) error {
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	sender, err := sending.New(p, app, store, queue.NewClient(p.AWS))
	if err != nil {
		return err
	}
	invocation.Serve(p, handler{p.Log, sender}.handle)
	return nil
}

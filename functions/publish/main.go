// Command publish publishes events that come by HTTP, SQS, EventBridge and SNS.
package main

import (
	"subwire/functions/internal/fast"
	"subwire/functions/internal/invocation"
	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/products"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

func main() { boot.MainOf(topology.Publish, products.App, run) }

func run(p boot.Process, app *subwire.App) error {
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	if _, err := app.Open(subwire.Env{Tables: store, Log: p.Log, Fast: fast.New(p, app, store)}); err != nil {
		return err
	}
	invocation.Serve(p, handler{
		log:     p.Log,
		app:     app,
		dead:    queue.New(queue.NewClient(p.AWS), p.Queue(topology.EventsDead)),
		metrics: p.Metrics,
	}.handle)
	return nil
}

// Command stream turns changes of the product's tables into fan-out batches.
package main

import (
	"subwire/functions/internal/invocation"
	"subwire/functions/internal/sending"
	"subwire/shared/allowance"
	"subwire/shared/announce"
	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/products"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

func main() { boot.MainOf(topology.Stream, products.App, run) }

func run(p boot.Process, app *subwire.App) error {
	client := queue.NewClient(p.AWS)
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	store.LargeTopics = topology.LargeTopics.In(p.Settings)
	small := &direct{slow: &recent{}}
	if !p.QueueOnly() {
		sender, err := sending.New(p, app, store, client)
		if err != nil {
			return err
		}
		small.most, small.sender = topology.Direct.In(p.Settings), sender
	}
	// The URL of the checks is "" for a product without presence, which has none.
	invocation.Serve(p, handler{
		log:       p.Log,
		product:   app,
		store:     store,
		fanout:    queue.New(client, p.Queue(topology.Fanout)),
		dead:      queue.New(client, p.Queue(topology.StreamDead)),
		checks:    queue.New(client, p.Queue(topology.ConnectionChecks)),
		limits:    announce.Limits(p.Settings),
		direct:    small,
		marking:   announce.NewMarking(store),
		sent:      &recent{},
		audiences: allowance.NewAudiences(store, topology.MaxCostPerMinute.In(p.Settings)),
		metrics:   p.Metrics,
	}.handle)
	return nil
}

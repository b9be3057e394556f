// Command stream turns changes of the product's tables into fan-out batches.
package main

import (
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/functions/internal/invocation"
	"subwire/shared/allowance"
	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/products"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

func main() { boot.MainOf(topology.Stream, products.App, run) }

func run(p boot.Process, app *subwire.App) error {
	client := sqs.NewFromConfig(p.AWS)
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	// The URL of the checks is "" for a product without presence, which has none.
	invocation.Serve(p, handler{
		log:     p.Log,
		product: app,
		store:   store,
		fanout:  queue.New(client, p.Queue(topology.Fanout)),
		dead:    queue.New(client, p.Queue(topology.StreamDead)),
		checks:  queue.New(client, p.Queue(topology.ConnectionChecks)),
		limits: fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes,
			Alone: topology.QueueMessageBytes, Groups: topology.FanoutGroups.In(p.Settings),
			OfConnection: topology.MaxOfTopic.In(p.Settings)},
		sent:      &recent{},
		audiences: allowance.NewAudiences(store, topology.MaxCostPerMinute.In(p.Settings)),
		metrics:   p.Metrics,
	}.handle)
	return nil
}

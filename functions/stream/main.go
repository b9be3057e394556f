// Command stream turns changes of the product's tables into fan-out batches.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/shared/allowance"
	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

func main() { boot.Main(topology.Stream, run) }

func run(p boot.Process) error {
	client := sqs.NewFromConfig(p.AWS)
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	lambda.Start(handler{
		log:     p.Log,
		product: p.App,
		store:   store,
		fanout:  queue.New(client, p.Queue(topology.Fanout)),
		dead:    queue.New(client, p.Queue(topology.StreamDead)),
		limits: fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes,
			Alone: topology.QueueMessageBytes, Groups: topology.FanoutGroups.In(p.Settings),
			OfConnection: topology.MaxOfTopic.In(p.Settings)},
		sent:      &recent{},
		audiences: allowance.NewAudiences(store, topology.MaxCostPerMinute.In(p.Settings)),
	}.handle)
	return nil
}

// Command stream turns new chat messages into fan-out batches.
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

func main() {
	p := boot.Start(topology.Stream)
	client := sqs.NewFromConfig(p.AWS)
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	lambda.Start(handler{
		log:    p.Log,
		store:  store,
		fanout: queue.New(client, p.Queue(topology.Fanout)),
		dead:   queue.New(client, p.Queue(topology.StreamDead)),
		limits: fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes,
			Alone: topology.QueueMessageBytes, Groups: p.FanoutGroups, OfConnection: p.MaxOfTopic},
		sent:      &recent{},
		audiences: allowance.NewAudiences(store, p.MaxCostPerMinute),
	}.handle)
}

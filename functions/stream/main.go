// Command stream turns new chat messages into fan-out batches.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/fanout"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

func main() {
	p := boot.Start(topology.Stream)
	lambda.Start(handler{
		log:    p.Log,
		store:  dynamo.New(dynamo.NewClient(p.AWS), p.Tables()),
		fanout: queue.New(sqs.NewFromConfig(p.AWS), p.Queue(topology.Fanout)),
		limits: fanout.Limits{Targets: topology.BatchTargets, Bytes: topology.BatchBytes, Groups: p.FanoutGroups},
	}.handle)
}

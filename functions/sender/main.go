// Command sender delivers fan-out batches to their connections.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/shared/apigw"
	"subwire/shared/boot"
	"subwire/shared/delivery"
	"subwire/shared/dynamo"
	"subwire/shared/gql"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

func main() {
	p := boot.Start(topology.Sender)
	queues, store := sqs.NewFromConfig(p.AWS), dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	schema := gql.Chat{Store: store, Policy: gql.PolicyOf(p.Auth.Mode)}.Schema()
	schema.Limits, schema.Log = p.Limits.OverSocket(), p.Log
	lambda.Start(handler{p.Log, delivery.New(delivery.Config{
		Store:    store,
		Executor: gql.MustNew(schema),
		Gateway:  apigw.New(p.AWS, p.Callback, 2*p.SenderWorkers),
		Retries:  queue.New(queues, p.Queue(topology.Retries)),
		Dead:     queue.New(queues, p.Queue(topology.RetriesDead)),
		Workers:  p.SenderWorkers,
		Log:      p.Log,
	})}.handle)
}

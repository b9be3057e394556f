// Command sender delivers fan-out batches to their connections.
package main

import (
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/functions/internal/invocation"
	"subwire/shared/boot"
	"subwire/shared/delivery"
	"subwire/shared/dynamo"
	"subwire/shared/gql"
	"subwire/shared/products"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

func main() { boot.MainOf(topology.Sender, products.App, run) }

func run(p boot.Process, app *subwire.App) error {
	queues, store := sqs.NewFromConfig(p.AWS), dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	anonymous := topology.Auth.In(p.Settings) == topology.Anonymous
	schema, err := app.Open(subwire.Env{Tables: store, Anonymous: anonymous, Log: p.Log})
	if err != nil {
		return err
	}
	schema.Limits, schema.Log = gql.LimitsOf(p.Settings).OverSocket(), p.Log
	executor, err := gql.New(schema)
	if err != nil {
		return err
	}
	workers := topology.SenderWorkers.In(p.Settings)
	invocation.Serve(p, handler{p.Log, delivery.New(delivery.Config{
		Store:    store,
		Executor: executor,
		Gateway:  p.Gateway(store, 2*workers),
		Retries:  queue.New(queues, p.Queue(topology.Retries)),
		Dead:     queue.New(queues, p.Queue(topology.RetriesDead)),
		Workers:  workers,
		Log:      p.Log,
		Metrics:  p.Metrics,
	})}.handle)
	return nil
}

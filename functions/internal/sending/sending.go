// Package sending builds what the functions that deliver events have in common.
package sending

import (
	"subwire/shared/boot"
	"subwire/shared/delivery"
	"subwire/shared/dynamo"
	"subwire/shared/gql"
	"subwire/shared/pacing"
	"subwire/shared/queue"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// New builds a sender of the product's events from the settings. It does no network I/O.
// Errors are those of settings that no function can start with.
func New(p boot.Process, app *subwire.App, store *dynamo.Store, queues queue.Client) (*delivery.Sender, error) {
	anonymous := topology.Auth.In(p.Settings) == topology.Anonymous
	schema, err := app.Open(subwire.Env{Tables: store, Anonymous: anonymous, Log: p.Log})
	if err != nil {
		return nil, err
	}
	schema.Limits, schema.Log = gql.LimitsOf(p.Settings).OverSocket(), p.Log
	executor, err := gql.New(schema)
	if err != nil {
		return nil, err
	}
	workers := topology.SenderWorkers.In(p.Settings)
	return delivery.New(delivery.Config{
		Store:    store,
		Executor: executor,
		Gateway:  p.Gateway(store, 2*workers),
		Retries:  queue.New(queues, p.Queue(topology.Retries)),
		Dead:     queue.New(queues, p.Queue(topology.RetriesDead)),
		Workers:  workers,
		Quota:    pacing.New(store, topology.APIRate.In(p.Settings), p.Log),
		Log:      p.Log,
		Metrics:  p.Metrics,
	}), nil
}

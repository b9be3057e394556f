// Command message answers $default: every message of a client.
package main

import (
	"subwire/functions/internal/invocation"
	"subwire/functions/internal/operations"
	"subwire/shared/boot"
	"subwire/shared/gql"
	"subwire/shared/products"
	"subwire/shared/session"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

func main() { boot.MainOf(topology.Message, products.App, run) }

func run(p boot.Process, app *subwire.App) error {
	settings := p.Settings
	o, err := operations.New(p, app, gql.LimitsOf(settings).OverSocket())
	if err != nil {
		return err
	}
	o.Store.LargeTopics = topology.LargeTopics.In(settings)
	invocation.Serve(p, handler{&session.Session{
		Connections:    o.Store,
		Operations:     o.Store,
		Executor:       o.Executor,
		Gateway:        p.Gateway(o.Store, 1),
		Auth:           o.Auth,
		Checks:         o.Checks,
		Documents:      o.Documents,
		Rate:           session.NewFrameRate(topology.MaxFramesPerSecond.In(settings)),
		Allowance:      o.Allowance,
		Audiences:      o.Audiences,
		BehindEdge:     topology.EdgeSecret.In(settings).On(),
		InitMembers:    topology.InitMembers.In(settings),
		MaxIDBytes:     topology.MaxOperationIDBytes.In(settings),
		MaxInitBytes:   topology.MaxInitBytes.In(settings),
		MaxOperations:  topology.MaxSubscriptions.In(settings),
		MaxOfTopic:     topology.MaxOfTopic.In(settings),
		MaxReplayBytes: topology.MaxReplayBytes.In(settings),
		MaxConnections: topology.MaxConnections.In(settings),
		Log:            p.Log,
		Metrics:        p.Metrics,
	}}.handle)
	return nil
}

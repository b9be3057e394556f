// Command graphql answers GraphQL over HTTP.
package main

import (
	"subwire/functions/graphql/web"
	"subwire/functions/internal/invocation"
	"subwire/functions/internal/operations"
	"subwire/shared/boot"
	"subwire/shared/gql"
	"subwire/shared/products"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

func main() { boot.MainOf(topology.GraphQL, products.App, run) }

func run(p boot.Process, app *subwire.App) error {
	settings, limits := p.Settings, gql.LimitsOf(p.Settings)
	o, err := operations.New(p, app, limits)
	if err != nil {
		return err
	}
	invocation.Serve(p, handler{
		log:      p.Log,
		executor: o.Executor,
		auth:     o.Auth,
		origins:  topology.AllowedOrigins.In(settings),
		site: web.Site{Files: web.Built(), WebSocketURL: p.WebSocketURL, Auth: topology.Auth.In(settings),
			GraphiQL: topology.GraphiQL.In(settings)},
		documents: o.Documents,
		maxBody:   limits.BodyBytes(),
		edge:      topology.EdgeSecret.In(settings),
		allowance: o.Allowance,
		metrics:   p.Metrics,
	}.handle)
	return nil
}

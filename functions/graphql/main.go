// Command graphql answers GraphQL over HTTP.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	"subwire/functions/graphql/web"
	"subwire/functions/internal/operations"
	"subwire/shared/boot"
	"subwire/shared/gql"
	"subwire/shared/topology"
)

func main() { boot.Main(topology.GraphQL, run) }

func run(p boot.Process) error {
	settings, limits := p.Settings, gql.LimitsOf(p.Settings)
	o, err := operations.New(p, limits)
	if err != nil {
		return err
	}
	lambda.Start(handler{
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
	}.handle)
	return nil
}

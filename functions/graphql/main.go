// Command graphql answers GraphQL over HTTP.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	"subwire/functions/graphql/web"
	"subwire/shared/allowance"
	"subwire/shared/auth"
	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/gql"
	"subwire/shared/topology"
	"subwire/shared/trusted"
)

func main() { boot.Main(topology.GraphQL, run) }

func run(p boot.Process) error {
	settings, mode, limits := p.Settings, topology.Auth.In(p.Settings), gql.LimitsOf(p.Settings)
	cost := topology.MaxCostPerMinute.In(settings)
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	schema := gql.Chat{Store: store, Policy: gql.PolicyOf(mode),
		Audiences: allowance.NewAudiences(store, cost)}.Schema()
	schema.Introspection, schema.Limits, schema.Log = topology.Introspection.In(settings), limits, p.Log
	executor, err := gql.New(schema)
	if err != nil {
		return err
	}
	authenticator, err := auth.New(auth.ConfigOf(settings), p.AWS)
	if err != nil {
		return err
	}
	documents, err := trusted.Read(topology.TrustedDocuments.In(settings))
	if err != nil {
		return err
	}
	lambda.Start(handler{
		log:      p.Log,
		executor: executor,
		auth:     authenticator,
		origins:  topology.AllowedOrigins.In(settings),
		site: web.Site{Files: web.Built(), WebSocketURL: p.WebSocketURL, Auth: mode,
			GraphiQL: topology.GraphiQL.In(settings)},
		documents: documents,
		maxBody:   limits.BodyBytes(),
		edge:      topology.EdgeSecret.In(settings),
		allowance: allowance.New(store, cost, p.Log),
	}.handle)
	return nil
}

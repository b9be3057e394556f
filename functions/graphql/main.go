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

func main() {
	p := boot.Start(topology.GraphQL)
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	schema := gql.Chat{Store: store, Policy: gql.PolicyOf(p.Auth.Mode),
		Audiences: allowance.NewAudiences(store, p.MaxCostPerMinute)}.Schema()
	schema.Introspection, schema.Limits, schema.Log = p.Introspection, p.Limits, p.Log
	authenticator := auth.MustNew(auth.Config(p.Auth), p.AWS)
	site := web.Site{Files: web.Built(), WebSocketURL: p.WebSocketURL, Auth: p.Auth.Mode, GraphiQL: p.GraphiQL}
	lambda.Start(handler{p.Log, gql.MustNew(schema), authenticator, p.AllowedOrigins, site, trusted.MustRead(p.TrustedDocuments),
		p.Limits.BodyBytes(), p.Edge, allowance.New(store, p.MaxCostPerMinute, p.Log)}.handle)
}

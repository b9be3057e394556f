// Command graphql answers GraphQL over HTTP.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	"subwire/functions/graphql/web"
	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/gql"
	"subwire/shared/topology"
)

func main() {
	p := boot.Start(topology.GraphQL)
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	schema := gql.Chat{Store: store}.Schema()
	schema.Introspection, schema.Log = p.Introspection, p.Log
	site := web.Site{Files: web.Built(), WebSocketURL: p.WebSocketURL, Auth: "anonymous", GraphiQL: p.GraphiQL}
	lambda.Start(handler{p.Log, gql.MustNew(schema), p.AllowedOrigins, site}.handle)
}

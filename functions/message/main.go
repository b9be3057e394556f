// Command message answers $default: every message of a client.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	"subwire/shared/apigw"
	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/gql"
	"subwire/shared/session"
	"subwire/shared/topology"
)

func main() {
	p := boot.Start(topology.Message)
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	schema := gql.Chat{Store: store}.Schema()
	schema.Introspection, schema.Log = p.Introspection, p.Log
	lambda.Start(handler{&session.Session{
		Connections:   store,
		Operations:    store,
		Executor:      gql.MustNew(schema),
		Gateway:       apigw.New(p.AWS, p.Callback, 1),
		MaxOperations: p.MaxSubscriptions,
		Log:           p.Log,
	}}.handle)
}

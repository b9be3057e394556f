// Command connect answers $connect: it refuses a socket or stores a new
// connection.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/shared/allowance"
	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/queue"
	"subwire/shared/session"
	"subwire/shared/topology"
)

func main() {
	p := boot.Start(topology.Connect)
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	lambda.Start(handler{
		log:  p.Log,
		edge: p.Edge,
		connector: session.Connector{
			Connections:   store,
			Checks:        queue.New(sqs.NewFromConfig(p.AWS), p.Queue(topology.ConnectionChecks)),
			Origins:       p.AllowedOrigins,
			RequireOrigin: p.RequireOrigin,
			MaxPerAddress: p.MaxConnections,
			KeepAddress:   p.Edge.On(),
			Allowance:     allowance.New(store, p.MaxCostPerMinute, p.Log),
			InitTimeout:   p.InitTimeout,
			TTL:           topology.ConnectionTTL,
		},
	}.handle)
}

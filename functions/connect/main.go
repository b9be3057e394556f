// Command connect answers $connect: it refuses a socket or stores a new
// connection.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/queue"
	"subwire/shared/session"
	"subwire/shared/topology"
)

func main() {
	p := boot.Start(topology.Connect)
	lambda.Start(handler{
		log:  p.Log,
		edge: p.Edge,
		connector: session.Connector{
			Connections:   dynamo.New(dynamo.NewClient(p.AWS), p.Tables()),
			Checks:        queue.New(sqs.NewFromConfig(p.AWS), p.Queue(topology.ConnectionChecks)),
			Origins:       p.AllowedOrigins,
			RequireOrigin: p.RequireOrigin,
			MaxPerAddress: p.MaxConnections,
			InitTimeout:   p.InitTimeout,
			TTL:           topology.ConnectionTTL,
		},
	}.handle)
}

// Command connect answers $connect: it refuses a socket or stores a new connection.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/shared/allowance"
	"subwire/shared/boot"
	"subwire/shared/connection"
	"subwire/shared/dynamo"
	"subwire/shared/queue"
	"subwire/shared/topology"
)

func main() { boot.Main(topology.Connect, run) }

func run(p boot.Process) error {
	settings, guard := p.Settings, topology.EdgeSecret.In(p.Settings)
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	lambda.Start(handler{
		log:  p.Log,
		edge: guard,
		connector: connection.Connector{
			Connections:   store,
			Checks:        queue.New(sqs.NewFromConfig(p.AWS), p.Queue(topology.ConnectionChecks)),
			Origins:       topology.AllowedOrigins.In(settings),
			RequireOrigin: topology.RequireOrigin.In(settings),
			MaxPerAddress: topology.MaxConnections.In(settings),
			KeepAddress:   guard.On(),
			Allowance:     allowance.New(store, topology.MaxCostPerMinute.In(settings), p.Log),
			InitTimeout:   topology.InitTimeout.In(settings),
			TTL:           topology.ConnectionTTL,
		},
	}.handle)
	return nil
}

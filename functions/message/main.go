// Command message answers $default: every message of a client.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/functions/internal/operations"
	"subwire/shared/apigw"
	"subwire/shared/boot"
	"subwire/shared/gql"
	"subwire/shared/queue"
	"subwire/shared/session"
	"subwire/shared/topology"
)

func main() { boot.Main(topology.Message, run) }

func run(p boot.Process) error {
	settings := p.Settings
	o, err := operations.New(p, gql.LimitsOf(settings).OverSocket())
	if err != nil {
		return err
	}
	lambda.Start(handler{&session.Session{
		Connections:    o.Store,
		Operations:     o.Store,
		Executor:       o.Executor,
		Gateway:        apigw.New(p.AWS, p.Callback, 1),
		Auth:           o.Auth,
		Checks:         queue.New(sqs.NewFromConfig(p.AWS), p.Queue(topology.ConnectionChecks)),
		Documents:      o.Documents,
		Rate:           session.NewFrameRate(topology.MaxFramesPerSecond.In(settings)),
		Allowance:      o.Allowance,
		BehindEdge:     topology.EdgeSecret.In(settings).On(),
		InitMembers:    topology.InitMembers.In(settings),
		MaxIDBytes:     topology.MaxOperationIDBytes.In(settings),
		MaxInitBytes:   topology.MaxInitBytes.In(settings),
		MaxOperations:  topology.MaxSubscriptions.In(settings),
		MaxOfTopic:     topology.MaxOfTopic.In(settings),
		MaxReplayBytes: topology.MaxReplayBytes.In(settings),
		MaxConnections: topology.MaxConnections.In(settings),
		Log:            p.Log,
	}}.handle)
	return nil
}

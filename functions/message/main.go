// Command message answers $default: every message of a client.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"subwire/shared/allowance"
	"subwire/shared/apigw"
	"subwire/shared/auth"
	"subwire/shared/boot"
	"subwire/shared/dynamo"
	"subwire/shared/gql"
	"subwire/shared/queue"
	"subwire/shared/session"
	"subwire/shared/topology"
	"subwire/shared/trusted"
)

func main() { boot.Main(topology.Message, run) }

func run(p boot.Process) error {
	settings := p.Settings
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	schema := gql.Chat{Store: store, Policy: gql.PolicyOf(topology.Auth.In(settings)),
		Audiences: allowance.NewAudiences(store, topology.MaxCostPerMinute.In(settings))}.Schema()
	schema.Limits, schema.Log = gql.LimitsOf(settings).OverSocket(), p.Log
	schema.Introspection = topology.Introspection.In(settings)
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
	lambda.Start(handler{&session.Session{
		Connections:    store,
		Operations:     store,
		Executor:       executor,
		Gateway:        apigw.New(p.AWS, p.Callback, 1),
		Auth:           authenticator,
		Checks:         queue.New(sqs.NewFromConfig(p.AWS), p.Queue(topology.ConnectionChecks)),
		Documents:      documents,
		Frames:         session.NewFrames(topology.MaxFramesPerSecond.In(settings)),
		Allowance:      allowance.New(store, topology.MaxCostPerMinute.In(settings), p.Log),
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

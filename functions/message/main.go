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

func main() {
	p := boot.Start(topology.Message)
	store := dynamo.New(dynamo.NewClient(p.AWS), p.Tables())
	schema := gql.Chat{Store: store, Policy: gql.PolicyOf(p.Auth.Mode),
		Audiences: allowance.NewAudiences(store, p.MaxCostPerMinute)}.Schema()
	schema.Introspection, schema.Limits, schema.Log = p.Introspection, p.Limits.OverSocket(), p.Log
	lambda.Start(handler{&session.Session{
		Connections:    store,
		Operations:     store,
		Executor:       gql.MustNew(schema),
		Gateway:        apigw.New(p.AWS, p.Callback, 1),
		Auth:           auth.MustNew(auth.Config(p.Auth), p.AWS),
		Checks:         queue.New(sqs.NewFromConfig(p.AWS), p.Queue(topology.ConnectionChecks)),
		Documents:      trusted.MustRead(p.TrustedDocuments),
		Frames:         session.NewFrames(p.MaxFramesPerSecond),
		Allowance:      allowance.New(store, p.MaxCostPerMinute, p.Log),
		BehindEdge:     p.Edge.On(),
		InitMembers:    p.InitMembers,
		MaxIDBytes:     p.MaxOperationIDBytes,
		MaxInitBytes:   p.MaxInitBytes,
		MaxOperations:  p.MaxSubscriptions,
		MaxOfTopic:     p.MaxOfTopic,
		MaxReplayBytes: p.MaxReplayBytes,
		MaxConnections: p.MaxConnections,
		Log:            p.Log,
	}}.handle)
}

package main

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// addPublishers lets the roles put rows into the inbox and use the ways in, if there are
// any. The policy is attached to them by
// their names, which are unique in an account. So it names their account, too: a role of
// this one may have the name of the one that is meant.
func (s *stack) addPublishers() {
	if len(s.publishers) == 0 {
		return
	}
	var names []any
	for _, arn := range s.publishers {
		names = append(names, arn[strings.LastIndex(arn, "/")+1:])
	}
	statements := []awsiam.PolicyStatement{allow(s.tables[subwire.InboxTable].TableArn(), "dynamodb:PutItem")}
	if s.app.Inputs {
		route := topology.EventsRoute
		statements = append(statements, allow(s.queues[topology.Events.Name].QueueArn(), "sqs:SendMessage"),
			allow(s.arn("execute-api", s.httpAPI+"/"+topology.HTTPStage+"/"+route.Method+route.Path), "execute-api:Invoke"))
	}
	for _, statement := range statements {
		statement.AddCondition(jsii.String("StringEquals"), map[string]any{"aws:PrincipalAccount": account(s.publishers[0])})
	}
	awsiam.NewCfnManagedPolicy(s.cdk, jsii.String("publishers"), &awsiam.CfnManagedPolicyProps{
		Description: jsii.String("May publish events"),
		PolicyDocument: awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{
			Statements: &statements}),
		Roles: &names,
	})
}

// account is that of an ARN.
func account(arn string) string { return strings.Split(arn, ":")[4] }

// region is the region in an ARN.
func region(arn string) string { return strings.Split(arn, ":")[3] }

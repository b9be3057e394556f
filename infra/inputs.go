package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/topology"
)

// addInputs sends what EventBridge and SNS have for us to the queue of events. What they
// cannot send there goes to its dead letters. Both begin when they may send, as what they
// are refused is not tried again.
func (s *stack) addInputs() {
	if s.eventPattern != nil {
		name := s.prefix() + "events"
		allowed := s.allowSending("events.amazonaws.com", s.arn("events", "rule/"+name))
		rule := awsevents.NewCfnRule(s.cdk, jsii.String("events-rule"), &awsevents.CfnRuleProps{
			Name: &name, Description: jsii.String("Events to publish"), EventPattern: s.eventPattern,
			Targets: []any{&awsevents.CfnRule_TargetProperty{Id: jsii.String("queue"), Arn: s.queues[topology.Events.Name].QueueArn(),
				DeadLetterConfig: &awsevents.CfnRule_DeadLetterConfigProperty{Arn: s.queues[topology.EventsDead.Name].QueueArn()}}},
		})
		rule.Node().AddDependency(allowed...)
	}
	if len(s.eventTopics) == 0 {
		return
	}
	allowed := s.allowSending("sns.amazonaws.com", *jsii.Strings(s.eventTopics...)...)
	for _, topic := range s.eventTopics {
		subscription := awssns.NewCfnSubscription(s.cdk, jsii.String("subscription-"+topic), &awssns.CfnSubscriptionProps{
			TopicArn: &topic, Protocol: jsii.String("sqs"), Endpoint: s.queues[topology.Events.Name].QueueArn(),
			RedrivePolicy: map[string]any{"deadLetterTargetArn": s.queues[topology.EventsDead.Name].QueueArn()},
		})
		subscription.Node().AddDependency(allowed...)
	}
}

// allowSending lets the service send to the queue of events and to its dead letters, for
// those sources alone. It returns the policies.
func (s *stack) allowSending(service string, sources ...*string) (policies []constructs.IDependable) {
	for _, q := range []topology.Queue{topology.Events, topology.EventsDead} {
		queue := s.queues[q.Name]
		statement := allow(queue.QueueArn(), "sqs:SendMessage")
		statement.AddPrincipals(awsiam.NewServicePrincipal(&service, nil))
		statement.AddCondition(jsii.String("ArnEquals"), map[string]any{"aws:SourceArn": sources})
		policies = append(policies, queue.AddToResourcePolicy(statement).PolicyDependable)
	}
	return policies
}

package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Only the route that takes events asks for a signature, and it does.
func TestTheRouteOfEventsNeedsASignature(t *testing.T) {
	t.Parallel()
	got := map[string]any{}
	for _, p := range open.all("AWS::ApiGatewayV2::Route") {
		if p["AuthorizationType"] != "NONE" {
			got[p["RouteKey"].(string)] = p["AuthorizationType"]
		}
	}
	if diff := cmp.Diff(map[string]any{"POST /events": "AWS_IAM"}, got); diff != "" {
		t.Errorf("routes with authorization differ (-want +got):\n%s", diff)
	}
}

// allowing returns who else may do what with the queue, as lines.
func allowing(queue string) (all []string) {
	for _, p := range open.all("AWS::SQS::QueuePolicy") {
		for _, s := range p["PolicyDocument"].(object)["Statement"].([]any) {
			s := s.(object)
			if s["Effect"] != "Allow" || open.text(s["Resource"]) != "<Arn of "+open.prefix()+queue+">" {
				continue
			}
			var sources []string
			for _, arn := range list(s["Condition"].(object)["ArnEquals"].(object)["aws:SourceArn"]) {
				sources = append(sources, open.text(arn))
			}
			all = append(all, s["Principal"].(object)["Service"].(string)+" "+s["Action"].(string)+" "+strings.Join(sources, " "))
		}
	}
	return all
}

func TestOnlyTheRuleAndTheTopicsMaySendEvents(t *testing.T) {
	t.Parallel()
	want := []string{
		"events.amazonaws.com sqs:SendMessage arn:Partition:events:Region:AccountId:rule/subwire-shop-dev-events",
		"sns.amazonaws.com sqs:SendMessage arn:aws:sns:eu-west-1:123456789012:couriers arn:aws:sns:eu-west-1:210987654321:vans.fifo",
	}
	for _, q := range open.app.Queues() {
		var may []string
		if strings.HasPrefix(q.Name, "events") {
			may = want
		}
		if diff := cmp.Diff(may, allowing(q.Name)); diff != "" {
			t.Errorf("%s takes from others (-want +got):\n%s", q.Name, diff)
		}
	}
}

// What is refused for want of permission is not tried again, so the permission comes first.
func TestEventsAndTopicsSendToTheQueue(t *testing.T) {
	t.Parallel()
	const queue, dead = "<Arn of subwire-shop-dev-events>", "<Arn of subwire-shop-dev-events-dead>"
	var policies []any
	for id, p := range open.all("AWS::SQS::QueuePolicy") {
		if name := open.text(p["Queues"].([]any)[0]); strings.Contains(name, "events") {
			policies = append(policies, id)
		}
	}
	topics := map[string]bool{}
	for id, r := range open.Resources {
		p := r.Properties
		switch r.Type {
		case "AWS::Events::Rule":
			check(t, "pattern", p["EventPattern"], object{"source": []string{"com.example.couriers"}, "detail-type": []string{"courierMoved"}})
			check(t, "name", p["Name"], "subwire-shop-dev-events")
			targets := p["Targets"].([]any)
			target := targets[0].(object)
			if len(targets) != 1 || open.text(target["Arn"]) != queue || open.text(target["DeadLetterConfig"].(object)["Arn"]) != dead || target["RoleArn"] != nil {
				t.Errorf("targets %v", targets)
			}
		case "AWS::SNS::Subscription":
			topics[p["TopicArn"].(string)] = true
			if open.text(p["Endpoint"]) != queue || open.text(p["RedrivePolicy"].(object)["deadLetterTargetArn"]) != dead || p["Protocol"] != "sqs" || p["RawMessageDelivery"] != nil {
				t.Errorf("subscription %v", p)
			}
		default:
			continue
		}
		for _, policy := range policies {
			if !slices.Contains(r.DependsOn, policy) {
				t.Errorf("%s comes before %v", id, policy)
			}
		}
	}
	if diff := cmp.Diff([]string{"arn:aws:sns:eu-west-1:123456789012:couriers", "arn:aws:sns:eu-west-1:210987654321:vans.fifo"},
		slices.Sorted(maps.Keys(topics))); diff != "" || len(policies) != 2 {
		t.Errorf("%d policies; topics differ (-want +got):\n%s", len(policies), diff)
	}
}

// A publisher may use all ways in, and nothing else.
func TestPublishersMayUseTheWaysIn(t *testing.T) {
	t.Parallel()
	var got []string
	for _, policy := range open.all("AWS::IAM::ManagedPolicy") {
		for _, s := range policy["PolicyDocument"].(object)["Statement"].([]any) {
			s := s.(object)
			check(t, "condition", s["Condition"], object{"StringEquals": object{"aws:PrincipalAccount": "123456789012"}})
			got = append(got, s["Action"].(string)+" on "+open.text(s["Resource"]))
		}
	}
	if diff := cmp.Diff([]string{
		"dynamodb:PutItem on <Arn of subwire-shop-dev-inbox>",
		"sqs:SendMessage on <Arn of subwire-shop-dev-events>",
		"execute-api:Invoke on arn:Partition:execute-api:Region:AccountId:<subwire-shop-dev-http>/$default/POST/events",
	}, got); diff != "" {
		t.Errorf("publishers may otherwise (-want +got):\n%s", diff)
	}
}

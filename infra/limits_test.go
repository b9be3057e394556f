package main

import (
	"slices"
	"testing"
)

// Types that cannot have tags in a template.
var untagged = []string{"AWS::Lambda::Permission", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Version", "AWS::Lambda::Alias", "AWS::SQS::QueuePolicy",
	"AWS::ApiGatewayV2::Route", "AWS::ApiGatewayV2::Integration", "AWS::ApiGatewayV2::ApiMapping",
	"AWS::ApiGatewayV2::IntegrationResponse", "AWS::ApiGatewayV2::RouteResponse", "AWS::ApiGateway::Account",
	"AWS::SNS::Subscription", "AWS::IAM::ManagedPolicy", "AWS::IAM::Policy",
	"AWS::CloudWatch::Dashboard", "AWS::Logs::QueryDefinition"}

// tags returns the tags of a resource, in either form.
func tags(p object) map[string]any {
	found := map[string]any{}
	all := p["Tags"]
	if all == nil {
		all = p["ResourceTags"] // of a budget
	}
	switch all := all.(type) {
	case object:
		return all
	case []any:
		for _, tag := range all {
			found[tag.(object)["Key"].(string)] = tag.(object)["Value"]
		}
	}
	return found
}

func TestEverythingHasTags(t *testing.T) {
	t.Parallel()
	for _, tmpl := range []template{everySwitch, open, watched} {
		for id, r := range tmpl.Resources {
			got := tags(r.Properties)
			if slices.Contains(untagged, r.Type) {
				continue
			}
			if got["app"] == nil || got["env"] == nil || got["component"] == nil {
				t.Errorf("%s %s has tags %v", r.Type, id, got)
			}
		}
	}
	check(t, "tags of a function", tags(everySwitch.all("AWS::Lambda::Function")["functionsender6C3B3A25"]),
		object{"app": "subwire-prod", "env": "prod", "component": "sender", "owner": "Team A"})
	check(t, "tags of a table", tags(dev.named("AWS::DynamoDB::Table", "messages")),
		object{"app": "subwire-dev", "env": "dev", "component": "messages"})
	check(t, "tags of a rule", tags(watched.named("AWS::Events::Rule", "canary"))["component"], "canary")
	check(t, "tags of an API", tags(dev.named("AWS::ApiGatewayV2::Api", "sockets")),
		object{"app": "subwire-dev", "env": "dev", "component": "sockets"})
}

func TestTheBudgetTellsWhoHearsOfAlarms(t *testing.T) {
	t.Parallel()
	budgets := everySwitch.all("AWS::Budgets::Budget")
	if len(budgets)+len(dev.all("AWS::Budgets::Budget")) != 1 {
		t.Fatalf("there are %d budgets", len(budgets))
	}
	for _, p := range budgets {
		budget := p["Budget"].(object)
		check(t, "name", everySwitch.text(budget["BudgetName"]), "subwire-prod-Region")
		delete(budget, "BudgetName")
		check(t, "budget", budget, object{"BudgetType": "COST", "TimeUnit": "MONTHLY",
			"BudgetLimit": object{"Amount": 200, "Unit": "USD"}})
		at := map[string][]float64{}
		for _, n := range p["NotificationsWithSubscribers"].([]any) {
			check(t, "subscribers", n.(object)["Subscribers"], []object{{"SubscriptionType": "EMAIL", "Address": "ops@example.com"}})
			notice := n.(object)["Notification"].(object)
			kind := notice["NotificationType"].(string)
			at[kind] = append(at[kind], notice["Threshold"].(float64))
		}
		if !slices.Equal(at["ACTUAL"], []float64{80, 100}) || !slices.Equal(at["FORECASTED"], []float64{100}) {
			t.Errorf("it tells at %v", at)
		}
	}
}

func TestCeilingsAreOfTablesAndIndexes(t *testing.T) {
	t.Parallel()
	want := object{"MaxReadRequestUnits": 2000, "MaxWriteRequestUnits": 1000}
	indexes := 0
	for id, p := range published.all("AWS::DynamoDB::Table") {
		check(t, id, p["OnDemandThroughput"], want)
		all, _ := p["GlobalSecondaryIndexes"].([]any)
		for _, index := range all {
			indexes++
			check(t, id+" index", index.(object)["OnDemandThroughput"], want)
		}
	}
	if indexes == 0 {
		t.Error("no table has an index")
	}
	for id, p := range dev.all("AWS::DynamoDB::Table") {
		check(t, id, p["OnDemandThroughput"], nil)
	}
}

func TestWhereItMayBeDeployed(t *testing.T) {
	t.Parallel()
	if dev.environment != "aws://unknown-account/unknown-region" || alarmed.environment != "aws://123456789012/eu-west-1" {
		t.Errorf("it may be deployed to %s, and with -c account and region to %s", dev.environment, alarmed.environment)
	}
}

func TestOnlyAProductionIsProtected(t *testing.T) {
	t.Parallel()
	if dev.protected || !everySwitch.protected || !otherProduction.protected {
		t.Errorf("protected: dev %v, prod %v, production=true %v", dev.protected, everySwitch.protected, otherProduction.protected)
	}
	messages := 0
	for id, r := range otherProduction.Resources {
		if r.Properties["TableName"] == "subwire-live-messages" {
			messages++
			check(t, id+" is kept", r.DeletionPolicy, "RetainExceptOnCreate")
		}
	}
	if messages != 1 {
		t.Errorf("%d tables of messages", messages)
	}
}

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"subwire/shared/topology"
)

// alarmsOf returns the template's alarms by name, without the deployment's prefix.
func alarmsOf(tmpl template, prefix string) map[string]object {
	all := map[string]object{}
	for _, r := range tmpl.Resources {
		if r.Type == "AWS::CloudWatch::Alarm" {
			all[strings.TrimPrefix(r.Properties["AlarmName"].(string), prefix)] = r.Properties
		}
	}
	return all
}

func TestAlarmsAreThoseOfTheTopology(t *testing.T) {
	t.Parallel()
	want := everySwitch.app.Alarms(3000)
	got := alarmsOf(everySwitch, "subwire-prod-")
	if len(got) != len(want) {
		t.Errorf("%d alarms, want %d", len(got), len(want))
	}
	for _, a := range want {
		p := got[a.Name]
		if p == nil {
			t.Errorf("there is no alarm %s", a.Name)
			continue
		}
		check(t, a.Name, object{"above": p["Threshold"], "operator": p["ComparisonOperator"], "bad": p["DatapointsToAlarm"],
			"minutes": p["EvaluationPeriods"], "missing": p["TreatMissingData"]},
			object{"above": a.Above, "operator": "GreaterThanThreshold", "bad": a.Bad, "minutes": a.Minutes, "missing": "notBreaching"})
		want := object{"metric": a.Metric, "period": 60, "statistic": a.Statistic, "percentile": nil, "metrics": nil}
		switch {
		case a.Expression != "":
			want = object{"metric": nil, "period": nil, "statistic": nil, "percentile": nil, "metrics": mathOf(a)}
		case a.Statistic == "p99":
			want["statistic"], want["percentile"] = nil, "p99"
		}
		check(t, a.Name, object{"metric": p["MetricName"], "period": p["Period"], "statistic": p["Statistic"],
			"percentile": p["ExtendedStatistic"], "metrics": p["Metrics"]}, want)
		if actions, _ := p["AlarmActions"].([]any); len(actions) != 1 {
			t.Errorf("alarm %s is sent to %v", a.Name, p["AlarmActions"])
		}
	}
}

// mathOf is the alarm's metric math: its expression, and each metric of it in the stack.
func mathOf(a topology.Alarm) (all []object) {
	all = []object{{"Id": "result", "Expression": a.Expression, "Label": a.Name, "ReturnData": true}}
	for id, name := range a.Metrics() {
		all = append(all, object{"Id": id, "ReturnData": false, "MetricStat": object{"Period": 60, "Stat": "Sum",
			"Metric": object{"Namespace": "Subwire", "MetricName": name, "Dimensions": []object{{"Name": "Stack", "Value": "subwire-prod"}}}}})
	}
	return all
}

// The dimensions of each service, as its page names them.
func TestAnAlarmIsAboutItsOwnResource(t *testing.T) {
	t.Parallel()
	got := alarmsOf(everySwitch, "subwire-prod-")
	for name, want := range map[string]string{
		"queue-retries-dead":   "AWS/SQS QueueName <QueueName of subwire-prod-retries-dead>",
		"queue-fanout":         "AWS/SQS QueueName <QueueName of subwire-prod-fanout.fifo>",
		"sender-errors":        "AWS/Lambda FunctionName <subwire-prod-sender>",
		"table-messages-reads": "AWS/DynamoDB TableName <subwire-prod-messages>",
		"sockets-errors":       "AWS/ApiGateway ApiId <subwire-prod-sockets>",
		"http-errors":          "AWS/ApiGateway ApiId <subwire-prod-http>",
		"parked":               "Subwire Stack subwire-prod",
	} {
		of := got[name]["Dimensions"].([]any)[0].(object)
		said := fmt.Sprint(got[name]["Namespace"], " ", of["Name"], " ", everySwitch.text(of["Value"]))
		if said != want {
			t.Errorf("alarm %s is about %s, want %s", name, said, want)
		}
	}
	index := alarmsOf(alarmedShop, "subwire-shop-dev-")["table-orders-byShop-reads"]
	check(t, "index", index["Dimensions"].([]any)[1], object{"Name": "GlobalSecondaryIndexName", "Value": "byShop"})
	if of := index["Dimensions"].([]any)[0].(object); alarmedShop.text(of["Value"]) != "<subwire-shop-dev-orders>" {
		t.Errorf("the index is of table %v", of)
	}
	if got["concurrency"]["Dimensions"] != nil {
		t.Error("the account's concurrency has dimensions")
	}
}

func TestWhereAlarmsGo(t *testing.T) {
	t.Parallel()
	for _, mail := range everySwitch.all("AWS::SNS::Topic") {
		check(t, "subscription", mail["Subscription"], []object{{"Protocol": "email", "Endpoint": "ops@example.com"}})
	}
	for name, p := range alarmsOf(alarmed, "subwire-dev-") {
		check(t, name, p["AlarmActions"], []string{"arn:aws:sns:eu-west-1:123456789012:ops"})
	}
	if len(alarmsOf(dev, "")) > 0 {
		t.Error("a deployment that did not ask for alarms has some")
	}
}

// Whoever is woken up finds what to do.
func TestEachAlarmNamesASectionOfTheRunbook(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Split(string(raw), "\n")
	for _, a := range append(everySwitch.app.Alarms(1000), hostedProd.app.Alarms(1000)...) {
		if !slices.Contains(page, "### "+a.Runbook) {
			t.Errorf("alarm %s: docs/operations.md has no section %q", a.Name, a.Runbook)
		}
	}
}

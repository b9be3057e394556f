package main

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/topology"
)

// The dashboard's grid has 24 columns ("Dashboard Body Structure and Syntax").
const (
	widgetWidth, widgetHeight = 12, 6
	headHeight                = 4
)

const picture = "## %s\n```\nmutation > table > stream > fan-out queue > sender > API Gateway > clients\n" +
	"                    |                         |\n               stream-dead     retries, retries-dead, fanout-dead\n```\n" +
	"Read it from left to right and from top to bottom: what comes in, what goes out, what waits, what is lost. " +
	"What to do about it: docs/operations.md, \"Alarms\"."

// addDashboard adds one picture of the pipeline: a graph for each part of the topology's.
func (s *stack) addDashboard() {
	if !s.dashboard {
		return
	}
	name := strings.TrimSuffix(s.prefix(), "-")
	widgets := []any{map[string]any{"type": "text", "x": 0, "y": 0, "width": 24, "height": headHeight,
		"properties": map[string]any{"markdown": strings.Replace(picture, "%s", name, 1)}}}
	for i, part := range s.app.Pipeline() {
		var lines []any
		for _, f := range part.Figures {
			namespace, dimensions := s.source(f.Of)
			line := []any{namespace, f.Metric}
			for _, d := range dimensions {
				line = append(line, d.Name, d.Value)
			}
			lines = append(lines, append(line, map[string]any{"stat": f.Statistic, "label": f.Label}))
		}
		widgets = append(widgets, map[string]any{"type": "metric",
			"x": i % 2 * widgetWidth, "y": headHeight + i/2*widgetHeight, "width": widgetWidth, "height": widgetHeight,
			"properties": map[string]any{"title": part.Name, "view": "timeSeries", "region": s.cdk.Region(), "period": 60,
				"metrics": lines, "yAxis": map[string]any{"left": map[string]any{"min": 0}}}})
	}
	awscloudwatch.NewCfnDashboard(s.cdk, jsii.String("dashboard"), &awscloudwatch.CfnDashboardProps{DashboardName: &name,
		DashboardBody: s.cdk.ToJsonString(map[string]any{"widgets": widgets}, nil)})
}

// queries are saved in Logs Insights. Replace ID by an id before running one. A connection may
// also be among the others of a batch, and the id of an event may have an ending.
var queries = []struct{ name, text string }{
	{"What failed", `filter level = "ERROR" or level = "WARN" or record.status in ["failure", "error", "timeout"]
| fields @timestamp, function, msg, error, connection, event, request, type, record.status, record.requestId
| sort @timestamp desc
| limit 200`},
	{"What failed, by code", `filter ispresent(Code)
| stats sum(Refused) as refused, sum(Failed) as failed by Code
| sort refused + failed desc`},
	{"Slowest events", `filter msg = "batch delivered" or msg = "event delivered"
| stats count(*) as batches, (max(@timestamp) - min(@timestamp)) / 1000 as seconds by event
| sort seconds desc
| limit 50`},
	{"One connection", `filter @message like "ID"
| fields @timestamp, function, msg, error, code, request
| sort @timestamp`},
	{"One event", `filter event like "ID" or trace = "ID"
| fields @timestamp, function, msg, error, attempt, request
| sort @timestamp`},
	{"Why something was parked", `filter msg = "batch parked" or msg = "record parked" or msg = "event parked"
| stats count(*) as times by function, msg, reason
| sort times desc`},
}

// addQueries saves the queries over the logs of all functions. They cost nothing until
// they run.
func (s *stack) addQueries() {
	if s.local != "" {
		return // the emulator does not know them
	}
	var groups []any
	for _, f := range s.app.Functions() {
		groups = append(groups, "/aws/lambda/"+s.prefix()+f.Name)
	}
	if s.fargate {
		groups = append(groups, s.hostLogs())
	}
	for _, q := range queries {
		id := jsii.String("query-" + strings.ReplaceAll(q.name, " ", "-"))
		awslogs.NewCfnQueryDefinition(s.cdk, id, &awslogs.CfnQueryDefinitionProps{
			Name:          jsii.String(strings.TrimSuffix(s.prefix(), "-") + "/" + q.name),
			QueryString:   jsii.String(q.text),
			LogGroupNames: &groups})
	}
}

// source returns the namespace and the dimensions of a metric.
func (s *stack) source(of topology.Source) (namespace string, dimensions []topology.Dimension) {
	return of.CloudWatch(topology.Names{
		Queue:    func(name string) string { return *s.queues[name].QueueName() },
		Function: func(name string) string { return *s.functions[name].FunctionName() },
		Table:    func(name string) string { return *s.tables[name].TableName() },
		Sockets:  s.socketAPI,
		HTTP:     s.httpAPI,
		Stack:    strings.TrimSuffix(s.prefix(), "-"),
		Balancer: s.host.balancerName,
		Targets:  s.host.targetsName,
		Cluster:  s.host.clusterName,
		Service:  s.prefix() + topology.Host.Name,
	})
}

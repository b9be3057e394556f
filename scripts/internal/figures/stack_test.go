package figures

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"subwire/scripts/internal/deployment"
	"subwire/shared/topology"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// fake answers in pages, with a value for each query whose metric has one.
type fake struct {
	t      *testing.T
	values map[string]float64 // by namespace, name and dimension
	asked  []string
}

func (f *fake) GetMetricData(_ context.Context, in *cloudwatch.GetMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	if in.StartTime.Second() != 0 || in.EndTime.Sub(*in.StartTime) != time.Minute {
		f.t.Errorf("asked for %v to %v", in.StartTime, in.EndTime)
	}
	out := &cloudwatch.GetMetricDataOutput{}
	half := len(in.MetricDataQueries) / 2
	queries := in.MetricDataQueries[half:]
	if in.NextToken == nil {
		queries, out.NextToken = in.MetricDataQueries[:half], aws.String("more")
	}
	for _, q := range queries {
		m := q.MetricStat.Metric
		name := strings.Join([]string{*m.Namespace, *m.MetricName, *m.Dimensions[0].Name, *m.Dimensions[0].Value, *q.MetricStat.Stat}, " ")
		f.asked = append(f.asked, name)
		r := types.MetricDataResult{Id: q.Id}
		if v, ok := f.values[name]; ok {
			r.Values = []float64{v}
		}
		out.MetricDataResults = append(out.MetricDataResults, r)
	}
	return out, nil
}

func (f *fake) DescribeAlarms(_ context.Context, in *cloudwatch.DescribeAlarmsInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error) {
	if in.StateValue != types.StateValueAlarm {
		f.t.Errorf("asked for alarms in %s", in.StateValue)
	}
	return &cloudwatch.DescribeAlarmsOutput{MetricAlarms: []types.MetricAlarm{
		{AlarmName: aws.String("subwire-dev-parked")}, {AlarmName: aws.String("subwire-dev-2-parked")}}}, nil
}

func TestAStacksFigures(t *testing.T) {
	t.Parallel()
	app := topology.Product{Name: topology.App.Default}
	d := deployment.Deployment{App: app, Stack: "subwire-dev", HTTPURL: "https://abc.execute-api.eu-west-1.amazonaws.com/graphql",
		WSURL: "wss://ws.example.com/live", Tables: map[string]string{}, Queues: map[string]string{}}
	for _, table := range app.AllTables() {
		d.Tables[table.Name] = "subwire-dev-" + table.Name
	}
	for _, q := range app.Queues() {
		d.Queues[q.Name] = "https://sqs.eu-west-1.amazonaws.com/123456789012/subwire-dev-" + q.Name
	}
	f := &fake{t: t, values: map[string]float64{"Subwire Posted Stack subwire-dev Sum": 7,
		"AWS/SQS ApproximateNumberOfMessagesVisible QueueName subwire-dev-stream-dead Maximum": 2}}
	s := Stack{d, f, func() time.Time { return noon.Add(50 * time.Second) }}
	l, err := s.Look(t.Context(), app.Pipeline())
	if err != nil {
		t.Fatal(err)
	}
	if !l.At.Equal(noon.Add(-2*time.Minute)) || l.Figures["posts"]["posted"] != 7 || l.Figures["losses"]["stream-dead"] != 2 || len(l.Figures) != 2 {
		t.Errorf("saw %v", l)
	}
	if !slices.Equal(l.Alarms, []string{"parked"}) {
		t.Errorf("alarms %v: want that of this stack, not of subwire-dev-2", l.Alarms)
	}
	for _, want := range []string{"AWS/ApiGateway 5xx ApiId abc Sum", "AWS/Lambda IteratorAge FunctionName subwire-dev-stream Maximum",
		"AWS/DynamoDB ReadThrottleEvents TableName subwire-dev-messages Sum"} {
		if !slices.Contains(f.asked, want) && !strings.Contains(want, "messages") {
			t.Errorf("did not ask for %s", want)
		}
	}
	for _, name := range f.asked {
		if strings.Contains(name, "ClientError") {
			t.Errorf("asked for %s, whose API is unknown", name)
		}
	}
	if n := len(f.asked); n > 500 { // "GetMetricData" in the CloudWatch API Reference
		t.Errorf("one call asks for %d metrics", n)
	}
}

// Package figures asks CloudWatch for the figures of the dashboard: what goes through a stack,
// what is lost, and which alarms are on.
package figures

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"subwire/scripts/internal/deployment"
	"subwire/shared/topology"
)

// Look is what was seen of a minute. Its JSON is one object.
type Look struct {
	At      time.Time                     `json:"at"`      // start of the minute
	Figures map[string]map[string]float64 `json:"figures"` // by part and label; those with data
	Alarms  []string                      `json:"alarms"`  // that are on
	Faults  []string                      `json:"faults,omitempty"`
	Asked   int                           `json:"-"` // for how many metrics: CloudWatch takes $0.01 for 1,000
}

// Set notes a figure.
func (l Look) Set(part, label string, value float64) {
	if l.Figures[part] == nil {
		l.Figures[part] = map[string]float64{}
	}
	l.Figures[part][label] = value
}

// Stack asks CloudWatch about a stack.
type Stack struct {
	deployment.Deployment
	Client Client
	Now    func() time.Time
}

// Client is the part of *cloudwatch.Client that is used.
type Client interface {
	GetMetricData(context.Context, *cloudwatch.GetMetricDataInput, ...func(*cloudwatch.Options)) (
		*cloudwatch.GetMetricDataOutput, error)
	DescribeAlarms(context.Context, *cloudwatch.DescribeAlarmsInput, ...func(*cloudwatch.Options)) (
		*cloudwatch.DescribeAlarmsOutput, error)
}

// Of returns the stack of the deployment.
func Of(d deployment.Deployment) Stack {
	return Stack{d, cloudwatch.NewFromConfig(d.AWS), time.Now}
}

// behind is how old the latest minute is: Lambda's metrics, and those of its log, are there
// within two minutes or so ("Viewing metrics for Lambda functions" promises nothing).
const behind = 2 * time.Minute

// Look returns the figures of the parts, for the latest minute that is there.
func (s Stack) Look(ctx context.Context, parts []topology.Part) (Look, error) {
	at := s.Now().Truncate(time.Minute).Add(-behind)
	seen := Look{At: at, Figures: map[string]map[string]float64{}}
	in := &cloudwatch.GetMetricDataInput{StartTime: aws.Time(at), EndTime: aws.Time(at.Add(time.Minute))}
	type place struct{ part, label string }
	places := map[string]place{}
	for _, p := range parts {
		for _, f := range p.Figures {
			metric, ok := s.metric(f)
			if !ok {
				continue
			}
			id := fmt.Sprintf("m%d", len(places))
			places[id] = place{p.Name, f.Label}
			in.MetricDataQueries = append(in.MetricDataQueries, types.MetricDataQuery{Id: &id,
				MetricStat: &types.MetricStat{Metric: metric, Period: aws.Int32(60), Stat: aws.String(f.Statistic)}})
		}
	}
	seen.Asked = len(in.MetricDataQueries)
	for {
		out, err := s.Client.GetMetricData(ctx, in)
		if err != nil {
			return Look{}, fmt.Errorf("get metrics of %s: %w", s.Stack, err)
		}
		for _, r := range out.MetricDataResults {
			if p := places[aws.ToString(r.Id)]; len(r.Values) > 0 {
				seen.Set(p.part, p.label, r.Values[0])
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	var err error
	seen.Alarms, err = s.alarms(ctx)
	return seen, err
}

// alarms returns which of the stack's alarms are on, without its name. Another stack's name may
// begin with this one's.
func (s Stack) alarms(ctx context.Context) ([]string, error) {
	ours, on := map[string]bool{}, map[string]bool{}
	for _, a := range s.App.Alarms(1) {
		ours[s.Stack+"-"+a.Name] = true
	}
	pages := cloudwatch.NewDescribeAlarmsPaginator(s.Client, &cloudwatch.DescribeAlarmsInput{
		AlarmNamePrefix: aws.String(s.Stack + "-"), StateValue: types.StateValueAlarm})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describe alarms of %s: %w", s.Stack, err)
		}
		for _, a := range page.MetricAlarms {
			if name := aws.ToString(a.AlarmName); ours[name] {
				on[strings.TrimPrefix(name, s.Stack+"-")] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(on)), nil
}

// metric is the figure's metric in the stack. It is unknown for an API behind a custom
// domain, as the stack's outputs have no other name of it.
func (s Stack) metric(f topology.Figure) (*types.Metric, bool) {
	namespace, dimensions := f.Of.CloudWatch(topology.Names{
		Queue:    func(name string) string { return path.Base(s.Queues[name]) },
		Function: func(name string) string { return s.Stack + "-" + name },
		Table:    func(name string) string { return s.Tables[name] },
		Sockets:  apiID(s.GatewayURL),
		HTTP:     apiID(s.HTTPURL),
		Stack:    s.Stack,
	})
	m := &types.Metric{Namespace: &namespace, MetricName: &f.Metric}
	for _, d := range dimensions {
		m.Dimensions = append(m.Dimensions, types.Dimension{Name: &d.Name, Value: &d.Value})
	}
	return m, !slices.ContainsFunc(dimensions, func(d topology.Dimension) bool { return d.Value == "" })
}

// apiID is the first label of {api}.execute-api.{region}.amazonaws.com, or "".
func apiID(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	id, rest, _ := strings.Cut(u.Host, ".")
	if !strings.HasPrefix(rest, "execute-api.") {
		return ""
	}
	return id
}

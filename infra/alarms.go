package main

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/topology"
)

// addAlarms adds the alarms and the topic that they are sent to: a new one with the
// e-mail address, which must be confirmed, or one that exists.
func (s *stack) addAlarms() {
	if s.alarms == "" {
		return
	}
	topic := s.alarms
	if !strings.HasPrefix(topic, "arn:") {
		topic = *awssns.NewCfnTopic(s.cdk, jsii.String("alarms"), &awssns.CfnTopicProps{
			TopicName:    jsii.String(s.prefix() + "alarms"),
			Subscription: []any{&awssns.CfnTopic_SubscriptionProperty{Protocol: jsii.String("email"), Endpoint: &s.alarms}},
		}).Ref()
	}
	for _, a := range s.app.Alarms(s.accountConcurrency) {
		if s.local == "" || a.Expression == "" { // the emulator knows no metric math
			s.addAlarm(a, topic)
		}
	}
}

func (s *stack) addAlarm(a topology.Alarm, topic string) {
	props := &awscloudwatch.CfnAlarmProps{
		AlarmName:          jsii.String(s.prefix() + a.Name),
		AlarmDescription:   jsii.String(a.Says + ` See "` + a.Runbook + `" in docs/operations.md.`),
		ComparisonOperator: jsii.String("GreaterThanThreshold"),
		Threshold:          jsii.Number(a.Above),
		DatapointsToAlarm:  jsii.Number(a.Bad),
		EvaluationPeriods:  jsii.Number(a.Minutes),
		TreatMissingData:   jsii.String(missing(a)),
		AlarmActions:       &[]any{topic},
		OkActions:          &[]any{topic},
	}
	namespace, of := s.source(a.Of)
	var dimensions []any
	for _, d := range of {
		dimensions = append(dimensions, &awscloudwatch.CfnAlarm_DimensionProperty{Name: &d.Name, Value: &d.Value})
	}
	switch {
	case a.Expression != "":
		props.Metrics = expression(a, namespace, dimensions)
	case strings.HasPrefix(a.Statistic, "p"):
		props.ExtendedStatistic = &a.Statistic
	default:
		props.Statistic = &a.Statistic
	}
	if a.Expression == "" {
		props.Namespace, props.MetricName, props.Period = &namespace, &a.Metric, jsii.Number(60)
		if dimensions != nil {
			props.Dimensions = dimensions
		}
	}
	alarm := awscloudwatch.NewCfnAlarm(s.cdk, jsii.String("alarm-"+a.Name), props)
	if a.Missing { // else it would go off while the first deployment has not come to the tasks
		alarm.Node().AddDependency(s.host.service)
	}
}

func missing(a topology.Alarm) string {
	if a.Missing {
		return "breaching"
	}
	return "notBreaching"
}

// expression is the alarm's metric math.
func expression(a topology.Alarm, namespace string, dimensions []any) []any {
	all := []any{&awscloudwatch.CfnAlarm_MetricDataQueryProperty{
		Id: jsii.String("result"), Expression: &a.Expression, Label: &a.Name, ReturnData: jsii.Bool(true)}}
	for id, metric := range a.Metrics() {
		all = append(all, &awscloudwatch.CfnAlarm_MetricDataQueryProperty{Id: &id, ReturnData: jsii.Bool(false),
			MetricStat: &awscloudwatch.CfnAlarm_MetricStatProperty{Stat: &a.Statistic, Period: jsii.Number(60),
				Metric: &awscloudwatch.CfnAlarm_MetricProperty{
					Namespace: &namespace, MetricName: &metric, Dimensions: dimensions}}})
	}
	return all
}

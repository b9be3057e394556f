package main

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/topology"
)

// addMappings adds the event source mappings. They are spelled out, as the CDK's
// event sources would give the roles more permissions than they use.
func (s *stack) addMappings() {
	for _, m := range s.app.StreamMappings() {
		s.addStreamMapping(m)
	}
	for _, m := range s.app.QueueMappings() {
		s.addQueueMapping(m)
	}
}

// Both kinds of mapping take a list of failures. Without this setting the list is
// ignored and the failures are lost.
var reportFailures = jsii.Strings("ReportBatchItemFailures")

func (s *stack) addStreamMapping(m topology.StreamMapping) {
	mapping := awslambda.NewCfnEventSourceMapping(s.cdk, jsii.String("mapping-"+m.Table.Name), &awslambda.CfnEventSourceMappingProps{
		FunctionName:   s.live[m.Function.Name].FunctionArn(),
		EventSourceArn: s.tables[m.Table.Name].TableStreamArn(),
		// From the beginning: a recreated mapping sends a day's events twice rather
		// than lose those of a minute.
		StartingPosition:               jsii.String("TRIM_HORIZON"),
		BatchSize:                      jsii.Number(m.BatchSize),
		MaximumBatchingWindowInSeconds: jsii.Number(0), // latency matters more than the number of invocations
		ParallelizationFactor:          jsii.Number(m.Parallelization),
		BisectBatchOnFunctionError:     m.Bisect,
		MaximumRetryAttempts:           jsii.Number(m.MaxRetries),
		MaximumRecordAgeInSeconds:      jsii.Number(m.MaxAge.Seconds()),
		FunctionResponseTypes:          reportFailures,
		FilterCriteria: &awslambda.CfnEventSourceMapping_FilterCriteriaProperty{
			Filters: []any{&awslambda.CfnEventSourceMapping_FilterProperty{
				Pattern: jsii.String(pattern(m))}},
		},
		DestinationConfig: &awslambda.CfnEventSourceMapping_DestinationConfigProperty{
			OnFailure: &awslambda.CfnEventSourceMapping_OnFailureProperty{
				Destination: s.queues[m.OnFailure.Name].QueueArn()},
		},
	})
	s.component(m.Function.Name, mapping)
}

// pattern lets through what the mapping moves ("Using event filtering with a DynamoDB
// event source").
func pattern(m topology.StreamMapping) string {
	events := `"eventName":["` + strings.Join(m.Events, `","`) + `"]`
	if m.Prefix == "" {
		return "{" + events + "}"
	}
	return "{" + events + `,"dynamodb":{"Keys":{"` + m.Table.Key + `":{"S":[{"prefix":"` + m.Prefix + `"}]}}}}`
}

// maxConcurrency is how many concurrent invocations the mapping may use. In an
// account limited to ten, three mappings take six at most, and eight with the queue of
// events, so that sockets can still be opened and answered.
func (s *stack) maxConcurrency(m topology.QueueMapping) *float64 {
	if s.small {
		return jsii.Number(topology.LeastMaxConcurrency)
	}
	return jsii.Number(m.MaxConcurrency)
}

func (s *stack) addQueueMapping(m topology.QueueMapping) {
	props := &awslambda.CfnEventSourceMappingProps{
		FunctionName:          s.live[m.Function.Name].FunctionArn(),
		EventSourceArn:        s.queues[m.Queue.Name].QueueArn(),
		BatchSize:             jsii.Number(m.BatchSize),
		FunctionResponseTypes: reportFailures,
		ScalingConfig: &awslambda.CfnEventSourceMapping_ScalingConfigProperty{
			MaximumConcurrency: s.maxConcurrency(m)},
	}
	if !m.Queue.FIFO { // FIFO queues have no window
		props.MaximumBatchingWindowInSeconds = jsii.Number(0)
	}
	mapping := awslambda.NewCfnEventSourceMapping(s.cdk, jsii.String("mapping-"+m.Queue.Name), props)
	s.component(m.Function.Name, mapping)
}

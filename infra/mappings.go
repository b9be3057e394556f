package main

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/topology"
)

// addMappings adds the event source mappings. They are described whole, as
// the CDK's event sources would give the roles more than they use.
func (s *stack) addMappings() {
	s.addStreamMapping(topology.MessageStream)
	for _, m := range topology.QueueMappings() {
		s.addQueueMapping(m)
	}
}

// Both kinds of mapping take a list of what failed; without this the list is
// ignored and what failed is lost.
var reportFailures = jsii.Strings("ReportBatchItemFailures")

func (s *stack) addStreamMapping(m topology.StreamMapping) {
	awslambda.NewCfnEventSourceMapping(s.cdk, jsii.String("mapping-"+m.Table.Name), &awslambda.CfnEventSourceMappingProps{
		FunctionName:   s.functions[m.Function.Name].FunctionName(),
		EventSourceArn: s.tables[m.Table.Name].TableStreamArn(),
		// From the beginning: a mapping that is made anew sends a day's
		// messages twice rather than lose those of a minute.
		StartingPosition:               jsii.String("TRIM_HORIZON"),
		BatchSize:                      jsii.Number(m.BatchSize),
		MaximumBatchingWindowInSeconds: jsii.Number(0), // latency counts for more than invocations
		ParallelizationFactor:          jsii.Number(m.Parallelization),
		BisectBatchOnFunctionError:     m.Bisect,
		MaximumRetryAttempts:           jsii.Number(m.MaxRetries),
		MaximumRecordAgeInSeconds:      jsii.Number(m.MaxAge.Seconds()),
		FunctionResponseTypes:          reportFailures,
		FilterCriteria: &awslambda.CfnEventSourceMapping_FilterCriteriaProperty{
			Filters: []any{&awslambda.CfnEventSourceMapping_FilterProperty{
				Pattern: jsii.String(`{"eventName":["` + m.Event + `"]}`)}},
		},
		DestinationConfig: &awslambda.CfnEventSourceMapping_DestinationConfigProperty{
			OnFailure: &awslambda.CfnEventSourceMapping_OnFailureProperty{
				Destination: s.queues[m.OnFailure.Name].QueueArn()},
		},
	})
}

// maxConcurrency is how many invocations at once the mapping may use. In an
// account that may run ten, three mappings take six at most, so that sockets are
// opened and answered meanwhile.
func (s *stack) maxConcurrency(m topology.QueueMapping) *float64 {
	if s.small {
		return jsii.Number(topology.LeastMaxConcurrency)
	}
	return jsii.Number(m.MaxConcurrency)
}

func (s *stack) addQueueMapping(m topology.QueueMapping) {
	props := &awslambda.CfnEventSourceMappingProps{
		FunctionName:          s.functions[m.Function.Name].FunctionName(),
		EventSourceArn:        s.queues[m.Queue.Name].QueueArn(),
		BatchSize:             jsii.Number(m.BatchSize),
		FunctionResponseTypes: reportFailures,
		ScalingConfig: &awslambda.CfnEventSourceMapping_ScalingConfigProperty{
			MaximumConcurrency: s.maxConcurrency(m)},
	}
	if !m.Queue.FIFO { // which knows no window
		props.MaximumBatchingWindowInSeconds = jsii.Number(0)
	}
	awslambda.NewCfnEventSourceMapping(s.cdk, jsii.String("mapping-"+m.Queue.Name), props)
}

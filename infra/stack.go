package main

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/topology"
)

// stack is the deployment while it is being built.
type stack struct {
	options
	cdk       awscdk.Stack
	tables    map[string]awsdynamodb.Table  // these by logical name
	queues    map[string]awssqs.Queue       //
	functions map[string]awslambda.Function //
	live      map[string]awslambda.Alias    // of each function; what is invoked
	socketAPI string                        // id of the WebSocket API
	httpAPI   string                        // id of the HTTP API
	host      host                          // nothing without -c host
}

// newStack builds the stack of the product and the deployment, such as subwire-dev. With
// an account and a region it can be deployed nowhere else; without, it goes where the
// command line is logged in.
func newStack(scope constructs.Construct, o options) awscdk.Stack {
	name := o.app.Stack(o.env)
	s := &stack{
		options: o,
		cdk: awscdk.NewStack(scope, &name, &awscdk.StackProps{
			Description: jsii.String("Subwire: GraphQL subscriptions over API Gateway WebSockets"),
			Env:         o.place(),
			// deploycheck takes it away again from a first deployment that failed.
			TerminationProtection: &o.production,
		}),
		tables: map[string]awsdynamodb.Table{}, queues: map[string]awssqs.Queue{},
		functions: map[string]awslambda.Function{}, live: map[string]awslambda.Alias{},
	}
	s.cdk.Node().SetContext(jsii.String(recognizeVersionProps), true)
	s.addTags()
	for _, t := range o.app.AllTables() {
		s.addTable(t)
	}
	for _, q := range o.app.Queues() {
		s.addQueue(q)
	}
	s.addHostEntrance()         // before the functions, likewise
	sockets := s.addSocketAPI() // before the functions, which get its URL
	for _, f := range o.app.Functions() {
		if f.Name != topology.Canary.Name { // it gets the URLs of both APIs
			s.addFunction(f)
		}
	}
	s.addMappings()
	s.addRoutes(sockets)
	s.addHTTPAPI()
	s.addHost()
	s.addCanary()
	s.addInputs()
	s.addPublishers()
	s.addAlarms()
	s.addShift()
	s.addBudget()
	s.addDashboard()
	s.addQueries()
	s.addOutputs()
	return s.cdk
}

// addTable adds a table that is billed per request. Only some of the product's are worth
// keeping: everything else is gone with its sockets. They are kept, except when the
// table's own creation is rolled back: a leftover table would hold the name at the next
// attempt. So the table cannot be protected from deletion yet ("DeletionPolicy
// attribute", "Using deletion protection"); scripts/deploy.sh turns that on once the
// stack is complete.
func (s *stack) addTable(t topology.Table) {
	props := &awsdynamodb.TableProps{
		TableName:    jsii.String(s.prefix() + t.Name),
		PartitionKey: &awsdynamodb.Attribute{Name: &t.Key, Type: awsdynamodb.AttributeType_STRING},
		BillingMode:  awsdynamodb.BillingMode_PAY_PER_REQUEST,
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: &t.Kept},
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	}
	if t.Sort != "" {
		props.SortKey = &awsdynamodb.Attribute{Name: &t.Sort, Type: awsdynamodb.AttributeType_STRING}
	}
	if t.TTL != "" {
		props.TimeToLiveAttribute = &t.TTL
	}
	if t.Stream {
		props.Stream = awsdynamodb.StreamViewType_NEW_IMAGE
	}
	if t.Stream && t.OldImages {
		props.Stream = awsdynamodb.StreamViewType_NEW_AND_OLD_IMAGES
	}
	props.MaxReadRequestUnits, props.MaxWriteRequestUnits = s.ceilings()
	if t.Kept && s.production {
		props.RemovalPolicy = awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE
	}
	table := awsdynamodb.NewTable(s.cdk, jsii.String("table-"+t.Name), props)
	for _, index := range t.Indexes {
		props := &awsdynamodb.GlobalSecondaryIndexProps{IndexName: &index.Name,
			ProjectionType: awsdynamodb.ProjectionType_ALL,
			PartitionKey:   &awsdynamodb.Attribute{Name: &index.Key, Type: awsdynamodb.AttributeType_STRING}}
		if index.Sort != "" {
			props.SortKey = &awsdynamodb.Attribute{Name: &index.Sort, Type: awsdynamodb.AttributeType_STRING}
		}
		props.MaxReadRequestUnits, props.MaxWriteRequestUnits = s.ceilings()
		table.AddGlobalSecondaryIndex(props)
	}
	s.tables[t.Name] = table
	s.component(t.Name, table)
}

// ceilings are the most units a second that a table or an index takes, or nil. What is
// beyond is throttled, and tried again ("DynamoDB maximum throughput for on-demand
// tables").
func (s *stack) ceilings() (reads, writes *float64) {
	if s.maxReads > 0 {
		reads = jsii.Number(s.maxReads)
	}
	if s.maxWrites > 0 {
		writes = jsii.Number(s.maxWrites)
	}
	return reads, writes
}

// addQueue adds a queue after its dead letters. Every message is encrypted at rest
// and in transit.
func (s *stack) addQueue(q topology.Queue) {
	props := &awssqs.QueueProps{
		QueueName:         jsii.String(s.prefix() + q.Name),
		Encryption:        awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		VisibilityTimeout: duration(q.Visibility),
		RetentionPeriod:   duration(q.Retention),
		RemovalPolicy:     awscdk.RemovalPolicy_DESTROY,
	}
	if q.FIFO { // high throughput: each message group has its own limits
		props.Fifo = jsii.Bool(true)
		props.DeduplicationScope = awssqs.DeduplicationScope_MESSAGE_GROUP
		props.FifoThroughputLimit = awssqs.FifoThroughputLimit_PER_MESSAGE_GROUP_ID
	}
	if q.DeadLetters != "" {
		props.DeadLetterQueue = &awssqs.DeadLetterQueue{
			Queue: s.queues[q.DeadLetters], MaxReceiveCount: jsii.Number(q.MaxReceives)}
	}
	props.RedriveAllowPolicy = s.redriveAllowPolicy(q)
	s.queues[q.Name] = awssqs.NewQueue(s.cdk, jsii.String("queue-"+q.Name), props)
	s.component(q.Name, s.queues[q.Name])
}

// redriveAllowPolicy lets only q's source queue use it for dead letters. The source
// is named by hand, as it refers to q itself.
func (s *stack) redriveAllowPolicy(q topology.Queue) *awssqs.RedriveAllowPolicy {
	var sources []awssqs.IQueue
	for _, source := range s.app.Queues() {
		if source.DeadLetters == q.Name {
			arn := s.arn("sqs", s.prefix()+source.Name)
			sources = append(sources, awssqs.Queue_FromQueueArn(s.cdk, jsii.String("source-of-"+q.Name), arn))
		}
	}
	if len(sources) == 0 {
		return &awssqs.RedriveAllowPolicy{RedrivePermission: awssqs.RedrivePermission_DENY_ALL}
	}
	return &awssqs.RedriveAllowPolicy{SourceQueues: &sources} // only the listed queues may
}

// arn names a resource of this account and region.
func (s *stack) arn(service, resource string) *string {
	parts := []string{"arn", *s.cdk.Partition(), service, *s.cdk.Region(), *s.cdk.Account(), resource}
	return jsii.String(strings.Join(parts, ":"))
}

// place is where the stack may be deployed; nil for wherever the command line is logged in.
func (o options) place() *awscdk.Environment {
	if o.account == "" {
		return nil
	}
	return &awscdk.Environment{Account: &o.account, Region: &o.region}
}

func duration(d time.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number(d.Seconds()))
}

func (s *stack) addOutputs() {
	tables := s.app.TableOutputs()
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		s.output(tables[name], s.tables[name].TableName())
	}
	queues := s.app.QueueOutputs()
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		s.output(queues[name], s.queues[name].QueueUrl())
	}
	s.output(topology.OutputApp, &s.app.Name)
	s.output(topology.OutputFanoutGroups, jsii.String(s.value(topology.FanoutGroups.Setting)))
}

func (s *stack) output(key string, value *string) {
	awscdk.NewCfnOutput(s.cdk, &key, &awscdk.CfnOutputProps{Value: value})
}

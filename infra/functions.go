package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/topology"
)

// addFunction adds a function with its own role and log group, and publishes a version,
// which its alias makes live. The versions before are kept, for going back. One that was
// published by a deployment that failed is not: Lambda would not publish the same again,
// so the next try would fail, too ("PublishVersion" of AWS Lambda).
func (s *stack) addFunction(f topology.Function) {
	name := s.prefix() + f.Name
	logs := awslogs.NewLogGroup(s.cdk, jsii.String("logs-"+f.Name), &awslogs.LogGroupProps{
		LogGroupName:  jsii.String("/aws/lambda/" + name),
		Retention:     awslogs.RetentionDays(s.retention()),
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	role := s.role(f, logs)
	function := awslambda.NewFunction(s.cdk, jsii.String("function-"+f.Name), &awslambda.FunctionProps{
		FunctionName:                 &name,
		Runtime:                      awslambda.Runtime_PROVIDED_AL2023(),
		Architecture:                 s.architecture(),
		Handler:                      jsii.String("bootstrap"),
		Code:                         awslambda.Code_FromAsset(jsii.String(filepath.Join(s.assets, f.Name)), nil),
		MemorySize:                   jsii.Number(f.MemoryMB),
		Timeout:                      duration(f.Timeout),
		Environment:                  s.environment(f),
		Role:                         role,
		LogGroup:                     logs,
		LoggingFormat:                awslambda.LoggingFormat_JSON,
		SystemLogLevelV2:             awslambda.SystemLogLevel(strings.ToUpper(s.platformLogs)),
		ApplicationLogLevelV2:        awslambda.ApplicationLogLevel_TRACE,
		ReservedConcurrentExecutions: s.concurrency(f),
		RecursiveLoop:                recursion(f),
		Tracing:                      s.xray(),
		CurrentVersionOptions: &awslambda.VersionOptions{
			RemovalPolicy: awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE},
	})
	s.functions[f.Name] = function
	s.live[f.Name] = s.alias(f, function)
	s.component(f.Name, logs, function, s.live[f.Name], role)
}

// platformLevels are the levels of what Lambda itself logs. START, END and REPORT of each
// invocation are of INFO and DEBUG, and failures of WARN ("System log level event mapping"
// in "Log-level filtering" of the Lambda Developer Guide). Only in the JSON format are there
// levels.
//
// From what the functions log, Lambda must take nothing away: LOG_LEVEL alone says how much
// that is. So their level is the lowest. Lambda takes a line without a level for INFO, such
// as one of metrics or of a panic. It "doesn't double-encode any logs that are already JSON
// encoded" ("Configuring JSON and plain text log formats"); that it passes on other lines as
// they are, too, is a guess.
var platformLevels = []string{"warn", "info", "debug"}

// xray says whether X-Ray samples the functions' invocations; then the CDK adds the
// permission. It would do so for PASS_THROUGH, too, which is Lambda's default.
func (s *stack) xray() (mode awslambda.Tracing) {
	if s.tracing {
		mode = awslambda.Tracing_ACTIVE
	}
	return mode
}

func (s *stack) architecture() awslambda.Architecture {
	if s.arch == "amd64" {
		return awslambda.Architecture_X86_64()
	}
	return awslambda.Architecture_ARM_64()
}

// concurrency is what the function reserves, or nil. It is also the function's limit.
func (s *stack) concurrency(f topology.Function) *float64 {
	if !s.reserve || f.Reserved == 0 {
		return nil
	}
	return jsii.Number(f.Reserved)
}

// recursion says whether Lambda stops a chain of about 16 invocations through a
// queue, as it does by default ("Use Lambda recursive loop detection to prevent
// infinite loops"). AWS does not say how it counts through a batch of messages.
func recursion(f topology.Function) awslambda.RecursiveLoop {
	if f.AllowLoops {
		return awslambda.RecursiveLoop_ALLOW
	}
	return awslambda.RecursiveLoop_TERMINATE
}

// environment is what topology gives the function.
func (s *stack) environment(f topology.Function) *map[string]*string {
	env := map[string]*string{}
	for _, t := range f.Tables {
		env[t.Env()] = s.tables[t.Name].TableName()
	}
	for _, q := range f.Queues {
		env[q.Env] = s.queues[q.Name].QueueUrl()
	}
	if f.Callback {
		env[topology.CallbackEnv] = jsii.String(s.executeAPI("https", s.socketAPI) + "/" + topology.SocketStage)
	}
	if f.WebSocket {
		env[topology.WebSocketEnv] = jsii.String(s.webSocketURL())
	}
	if f.HTTP {
		env[topology.HTTPEnv] = jsii.String(s.httpURL() + topology.GraphQLPath)
	}
	s.addSettings(f, env)
	if s.reachesHost(f) {
		env[topology.HostURL.Env] = jsii.String(s.hostURL())
		env[topology.HostKey.Env] = jsii.String(s.hostKeyParameter())
	}
	return &env
}

// reachesHost reports whether the function posts to sockets of the host: whoever posts to API
// Gateway's does.
func (s *stack) reachesHost(f topology.Function) bool { return s.fargate && f.Callback }

// addSettings adds the settings that the function gets.
func (s *stack) addSettings(f topology.Function, env map[string]*string) {
	for _, setting := range f.Settings() {
		value := s.value(setting)
		if setting == topology.Claims.Setting {
			value = s.app.AllClaims(value)
		}
		env[setting.Env] = jsii.String(value)
	}
}

// role lets the function do what Product.Access says and write its log.
func (s *stack) role(f topology.Function, logs awslogs.LogGroup) awsiam.Role {
	statements := []awsiam.PolicyStatement{allow(logs.LogGroupArn(), "logs:CreateLogStream", "logs:PutLogEvents")}
	for _, p := range s.app.Access()[f.Name] {
		actions := p.Actions
		if s.local != "" && slices.Contains(actions, "sqs:SendMessage") {
			// For a batch AWS checks sqs:SendMessage, too; MiniStack checks this.
			actions = append(slices.Clone(actions), "sqs:SendMessageBatch")
		}
		statements = append(statements, allow(s.resource(p), actions...))
	}
	statements = append(statements, s.keyAccess(f)...)
	if s.reachesHost(f) {
		statements = append(statements, s.mayRead(s.hostKeyParameter())...)
	}
	lambda := awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil)
	return s.roleOf("role-"+f.Name, lambda, statements)
}

// roleOf is a role that may be assumed by whom it names, and may do what the statements allow.
func (s *stack) roleOf(id string, by awsiam.IPrincipal, statements []awsiam.PolicyStatement) awsiam.Role {
	return awsiam.NewRole(s.cdk, &id, &awsiam.RoleProps{AssumedBy: by,
		InlinePolicies: &map[string]awsiam.PolicyDocument{
			"access": awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{Statements: &statements})},
	})
}

func allow(resource *string, actions ...string) awsiam.PolicyStatement {
	return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions: jsii.Strings(actions...), Resources: &[]*string{resource}})
}

// resource returns the ARN that a permission applies to.
func (s *stack) resource(p topology.Permission) *string {
	switch p.On {
	case topology.OnTable:
		return s.tables[p.Name].TableArn()
	case topology.OnIndex:
		table, index, _ := strings.Cut(p.Name, "/")
		return jsii.String(*s.tables[table].TableArn() + "/index/" + index)
	case topology.OnStream:
		return s.tables[p.Name].TableStreamArn()
	case topology.OnStreams:
		return jsii.String("*")
	case topology.OnQueue:
		return s.queues[p.Name].QueueArn()
	case topology.OnSockets:
		return s.arn("execute-api", s.socketAPI+"/"+topology.SocketStage+"/"+p.Name+"/@connections/*")
	}
	panic("Product.Access: infra does not know " + string(p.On))
}

// retention returns CloudWatch's constant for the days.
func (s *stack) retention() string {
	return map[int]string{
		1: "ONE_DAY", 3: "THREE_DAYS", 5: "FIVE_DAYS", 7: "ONE_WEEK", 14: "TWO_WEEKS", 30: "ONE_MONTH",
		60: "TWO_MONTHS", 90: "THREE_MONTHS", 180: "SIX_MONTHS", 365: "ONE_YEAR",
	}[s.logRetention]
}

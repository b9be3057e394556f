package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/topology"
)

// check compares a value of the template with the wanted one, as JSON, so that
// numbers compare as numbers.
func check(t *testing.T, what string, got, want any) {
	t.Helper()
	var w any
	raw, err := json.Marshal(want)
	if err == nil {
		err = json.Unmarshal(raw, &w)
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

func TestEverythingIsThereOnce(t *testing.T) {
	t.Parallel()
	got := map[string]int{}
	for _, r := range dev.Resources {
		got[r.Type]++
	}
	queues, functions := len(topology.Queues()), len(topology.Functions())
	routes := len(topology.Routes) + len(topology.HTTPRoutes())
	want := map[string]int{
		"AWS::DynamoDB::Table": len(topology.Tables()), "AWS::SQS::Queue": queues, "AWS::SQS::QueuePolicy": queues,
		"AWS::Lambda::Function": functions, "AWS::IAM::Role": functions, "AWS::Logs::LogGroup": functions,
		"AWS::Lambda::EventSourceMapping": 1 + len(topology.QueueMappings()),
		"AWS::ApiGatewayV2::Api":          2, "AWS::ApiGatewayV2::Stage": 2,
		"AWS::ApiGatewayV2::Route":       routes,
		"AWS::ApiGatewayV2::Integration": len(topology.Routes) + 1,
		"AWS::Lambda::Permission":        routes,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("resources differ (-want +got):\n%s", diff)
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	for _, table := range topology.Tables() {
		p := dev.named("AWS::DynamoDB::Table", table.Name)
		key := []object{{"AttributeName": table.Key, "KeyType": "HASH"}}
		attributes := []object{{"AttributeName": table.Key, "AttributeType": "S"}}
		if table.Sort != "" {
			key = append(key, object{"AttributeName": table.Sort, "KeyType": "RANGE"})
			attributes = append(attributes, object{"AttributeName": table.Sort, "AttributeType": "S"})
		}
		check(t, table.Name+" key", p["KeySchema"], key)
		check(t, table.Name+" attributes", p["AttributeDefinitions"], attributes)
		check(t, table.Name+" billing", p["BillingMode"], "PAY_PER_REQUEST")
		check(t, table.Name+" recovery", p["PointInTimeRecoverySpecification"],
			object{"PointInTimeRecoveryEnabled": table.Name == topology.Messages.Name})
		var ttl, stream any
		if table.TTL != "" {
			ttl = object{"AttributeName": table.TTL, "Enabled": true}
		}
		if table.Stream {
			stream = object{"StreamViewType": "NEW_IMAGE"}
		}
		check(t, table.Name+" TTL", p["TimeToLiveSpecification"], ttl)
		check(t, table.Name+" stream", p["StreamSpecification"], stream)
	}
}

func TestQueues(t *testing.T) {
	t.Parallel()
	arn := "arn:Partition:sqs:Region:AccountId:subwire-dev-"
	sourceOf := map[string]string{}
	for _, q := range topology.Queues() {
		sourceOf[q.DeadLetters] = q.Name
	}
	for _, q := range topology.Queues() {
		p := dev.named("AWS::SQS::Queue", q.Name)
		want := object{"VisibilityTimeout": q.Visibility.Seconds(), "MessageRetentionPeriod": q.Retention.Seconds(),
			"SqsManagedSseEnabled": true}
		if q.FIFO {
			maps.Copy(want, object{"FifoQueue": true, "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"})
		}
		got := maps.Clone(p)
		for _, apart := range []string{"QueueName", "Tags", "RedrivePolicy", "RedriveAllowPolicy"} {
			delete(got, apart)
		}
		check(t, q.Name, got, want)
		redrive, _ := p["RedrivePolicy"].(object)
		if q.DeadLetters == "" {
			check(t, q.Name+" redrive", p["RedrivePolicy"], nil)
		} else {
			check(t, q.Name+" receives", redrive["maxReceiveCount"], q.MaxReceives)
			check(t, q.Name+" dead letters", dev.text(redrive["deadLetterTargetArn"]), "<Arn of subwire-dev-"+q.DeadLetters+">")
		}
		allow, _ := p["RedriveAllowPolicy"].(object)
		if source := sourceOf[q.Name]; source != "" {
			check(t, q.Name+" allows", allow["redrivePermission"], "byQueue")
			check(t, q.Name+" source", dev.text(allow["sourceQueueArns"].([]any)[0]), arn+source)
		} else {
			check(t, q.Name+" allows", allow, object{"redrivePermission": "denyAll"})
		}
	}
}

func TestQueuesRefuseWhatIsNotEncrypted(t *testing.T) {
	t.Parallel()
	refusing := map[string]bool{}
	for _, p := range dev.all("AWS::SQS::QueuePolicy") {
		for _, s := range p["PolicyDocument"].(object)["Statement"].([]any) {
			s := s.(object)
			check(t, "effect", s["Effect"], "Deny")
			check(t, "condition", s["Condition"], object{"Bool": object{"aws:SecureTransport": "false"}})
			refusing[dev.text(s["Resource"])] = true
		}
	}
	for _, q := range topology.Queues() {
		if !refusing["<Arn of subwire-dev-"+q.Name+">"] {
			t.Errorf("%s can be used without TLS", q.Name)
		}
	}
}

func TestFunctions(t *testing.T) {
	t.Parallel()
	reserved := map[string]any{topology.Sender.Name: 110.0, topology.Disconnect.Name: 50.0, topology.Stream.Name: 20.0}
	loops := map[bool]string{true: "Allow", false: "Terminate"}
	for _, f := range topology.Functions() {
		p := dev.named("AWS::Lambda::Function", f.Name)
		check(t, f.Name+" runtime", p["Runtime"], "provided.al2023")
		check(t, f.Name+" handler", p["Handler"], "bootstrap")
		check(t, f.Name+" architecture", p["Architectures"], []string{"arm64"})
		check(t, f.Name+" time-out", p["Timeout"], f.Timeout.Seconds())
		check(t, f.Name+" memory", p["MemorySize"], f.MemoryMB)
		check(t, f.Name+" concurrency", p["ReservedConcurrentExecutions"], reserved[f.Name])
		check(t, f.Name+" loops", p["RecursiveLoop"], loops[f.AllowLoops])
		check(t, f.Name+" log", dev.text(p["LoggingConfig"].(object)["LogGroup"]), "</aws/lambda/subwire-dev-"+f.Name+">")
		check(t, f.Name+" environment", environment(dev, p), wantedEnvironment(f))
	}
}

// A function's reserved concurrency is also its limit: a mapping that may use more is
// throttled, and each throttled batch counts as a receive ("Configuring maximum
// concurrency for Amazon SQS event sources").
func TestReservedConcurrencyFitsTheMappings(t *testing.T) {
	t.Parallel()
	mapped := map[string]int{}
	for _, m := range topology.QueueMappings() {
		mapped[m.Function.Name] += m.MaxConcurrency
	}
	for _, f := range topology.Functions() {
		if f.Reserved > 0 && f.Reserved < mapped[f.Name] {
			t.Errorf("%s reserves %d, and its mappings use %d", f.Name, f.Reserved, mapped[f.Name])
		}
	}
}

// Lambda's loop guard stops a function that sends to a queue that invokes it,
// directly or through others, unless the function is exempt.
func TestLoopsAreAllowedWhereTheyAre(t *testing.T) {
	t.Parallel()
	for _, f := range topology.Functions() {
		for _, m := range topology.QueueMappings() {
			sends := slices.ContainsFunc(f.Queues, func(q topology.Queue) bool { return q.Name == m.Queue.Name })
			if sends && m.Function.Name == f.Name && !f.AllowLoops {
				t.Errorf("%s sends to %s, which invokes it", f.Name, m.Queue.Name)
			}
		}
	}
}

func environment(t template, function object) any {
	env := object{}
	for name, value := range function["Environment"].(object)["Variables"].(object) {
		env[name] = t.text(value)
	}
	return env
}

// wantedEnvironment is what boot.Load asks for.
func wantedEnvironment(f topology.Function) object {
	env := object{}
	for _, t := range f.Tables {
		env[t.Env] = "<subwire-dev-" + t.Name + ">"
	}
	for _, q := range f.Queues {
		env[q.Env] = "<subwire-dev-" + q.Name + ">"
	}
	if f.Callback {
		env[topology.CallbackEnv] = "https://<subwire-dev-sockets>.execute-api.Region.URLSuffix/live"
	}
	if f.WebSocket {
		env[topology.WebSocketEnv] = "wss://<subwire-dev-sockets>.execute-api.Region.URLSuffix/live"
	}
	for _, s := range f.Settings() {
		env[s.Env] = s.Default
	}
	return env
}

func TestLogsAreNotKeptForEver(t *testing.T) {
	t.Parallel()
	for id, p := range dev.all("AWS::Logs::LogGroup") {
		check(t, id, p["RetentionInDays"], 30)
	}
}

func TestMappings(t *testing.T) {
	t.Parallel()
	got := map[string]object{}
	for _, p := range dev.all("AWS::Lambda::EventSourceMapping") {
		source := dev.text(p["EventSourceArn"])
		p = maps.Clone(p)
		p["FunctionName"] = dev.text(p["FunctionName"])
		delete(p, "EventSourceArn")
		delete(p, "Tags")
		got[source] = p
	}
	m := topology.MessageStream
	stream := got["<StreamArn of subwire-dev-messages>"]
	check(t, "dead letters of the stream", dev.text(stream["DestinationConfig"].(object)["OnFailure"].(object)["Destination"]),
		"<Arn of subwire-dev-"+m.OnFailure.Name+">")
	delete(stream, "DestinationConfig")
	check(t, "stream mapping", map[string]any(stream), object{
		"FunctionName": "<subwire-dev-" + m.Function.Name + ">", "StartingPosition": "TRIM_HORIZON",
		"BatchSize": m.BatchSize, "MaximumBatchingWindowInSeconds": 0, "ParallelizationFactor": m.Parallelization,
		"BisectBatchOnFunctionError": m.Bisect, "MaximumRetryAttempts": m.MaxRetries, "MaximumRecordAgeInSeconds": m.MaxAge.Seconds(),
		"FunctionResponseTypes": []string{"ReportBatchItemFailures"},
		"FilterCriteria":        object{"Filters": []object{{"Pattern": `{"eventName":["INSERT"]}`}}},
	})
	for _, m := range topology.QueueMappings() {
		want := object{"FunctionName": "<subwire-dev-" + m.Function.Name + ">", "BatchSize": m.BatchSize,
			"FunctionResponseTypes": []string{"ReportBatchItemFailures"}, "ScalingConfig": object{"MaximumConcurrency": m.MaxConcurrency}}
		if !m.Queue.FIFO {
			want["MaximumBatchingWindowInSeconds"] = 0
		}
		check(t, m.Queue.Name+" mapping", map[string]any(got["<Arn of subwire-dev-"+m.Queue.Name+">"]), want)
	}
}

func TestAPIs(t *testing.T) {
	t.Parallel()
	sockets := dev.named("AWS::ApiGatewayV2::Api", "sockets")
	check(t, "sockets", sockets["ProtocolType"], "WEBSOCKET")
	check(t, "CORS is the function's", dev.named("AWS::ApiGatewayV2::Api", "http")["CorsConfiguration"], nil)
	stages := map[string]object{}
	for _, p := range dev.all("AWS::ApiGatewayV2::Stage") {
		check(t, "deployment", p["AutoDeploy"], true)
		stages[p["StageName"].(string)] = p["DefaultRouteSettings"].(object)
	}
	check(t, "sockets throttle", stages[topology.SocketStage], object{"ThrottlingRateLimit": 3000, "ThrottlingBurstLimit": 1500})
	check(t, "HTTP throttle", stages[topology.HTTPStage], object{"ThrottlingRateLimit": 500, "ThrottlingBurstLimit": 500})
}

func TestRoutesReachTheirFunctions(t *testing.T) {
	t.Parallel()
	got, want := map[string]string{}, map[string]string{}
	for _, p := range dev.all("AWS::ApiGatewayV2::Route") {
		key := p["RouteKey"].(string)
		for id, integration := range dev.all("AWS::ApiGatewayV2::Integration") {
			if strings.HasSuffix(dev.text(p["Target"]), "<"+id+">") {
				uri := dev.text(integration["IntegrationUri"])
				got[key] = uri[strings.LastIndex(uri, "subwire-dev-"):]
			}
		}
	}
	for key, f := range topology.Routes {
		want[key] = "subwire-dev-" + f.Name
	}
	for _, path := range topology.HTTPRoutes() {
		want["ANY "+path] = "subwire-dev-" + topology.GraphQL.Name
	}
	for key, name := range want {
		if !strings.HasPrefix(got[key], name) {
			t.Errorf("%s goes to %q, want %s", key, got[key], name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("routes are %v", got)
	}
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		topology.OutputHTTPURL: "https://<subwire-dev-http>.execute-api.Region.URLSuffix/graphql",
		topology.OutputWSURL:   "wss://<subwire-dev-sockets>.execute-api.Region.URLSuffix/live",
	}
	for _, table := range topology.Tables() {
		want[topology.TableOutputs[table.Name]] = "<subwire-dev-" + table.Name + ">"
	}
	for _, q := range topology.Queues() {
		want[topology.QueueOutputs[q.Name]] = "<subwire-dev-" + q.Name + ">"
	}
	want[topology.OutputFanoutGroups] = topology.FanoutGroups.Default
	got := map[string]string{}
	for key, output := range dev.Outputs {
		got[key] = dev.text(output["Value"])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outputs differ (-want +got):\n%s", diff)
	}
}

func TestOnlyProductionKeepsItsMessages(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		t    template
		keep bool
	}{{"dev", dev, false}, {"prod", everySwitch, true}} {
		for id, r := range tc.t.Resources {
			if nameProperty[r.Type] == "" || r.Type == "AWS::ApiGatewayV2::Api" || r.Type == "AWS::Lambda::Function" {
				continue
			}
			deleted, replaced := "Delete", "Delete"
			if tc.keep && tc.t.name(id) == "subwire-prod-messages" {
				deleted, replaced = "RetainExceptOnCreate", "Retain"
			}
			check(t, fmt.Sprint(tc.name, " ", tc.t.name(id)), r.DeletionPolicy, deleted)
			check(t, fmt.Sprint(tc.name, " ", tc.t.name(id), " when replaced"), r.UpdateReplacePolicy, replaced)
		}
	}
}

// A first deployment that fails is rolled back. It must leave nothing that holds a
// name the next one needs: resources that are always kept have generated names, and
// nothing may be protected from deletion, which would stop the roll-back.
func TestAFirstDeploymentThatFailedCanBeRepeated(t *testing.T) {
	t.Parallel()
	for _, tmpl := range []template{dev, everySwitch, small} {
		for id, r := range tmpl.Resources {
			if name, named := r.Properties[nameProperty[r.Type]]; named && r.DeletionPolicy == "Retain" {
				t.Errorf("%s keeps the name %v", id, name)
			}
			if r.Properties["DeletionProtectionEnabled"] == true {
				t.Errorf("%s cannot be rolled back", id)
			}
		}
	}
}

// The account's logging serves all its APIs and depends on our role.
func TestTheAccountsLoggingOutlivesTheStack(t *testing.T) {
	t.Parallel()
	for id, p := range everySwitch.all("AWS::ApiGateway::Account") {
		role := strings.TrimSuffix(strings.TrimPrefix(everySwitch.text(p["CloudWatchRoleArn"]), "<Arn of "), ">")
		for _, kept := range []string{id, role} {
			check(t, kept, everySwitch.Resources[kept].DeletionPolicy, "Retain")
			check(t, kept+" when replaced", everySwitch.Resources[kept].UpdateReplacePolicy, "Retain")
		}
		check(t, role+" has a name", everySwitch.Resources[role].Properties["RoleName"], nil)
		return
	}
	t.Error("no account has its logging set")
}

// API Gateway's role may create log groups, even after the stack is gone.
func TestAccessLogsHaveNoNameOfOurs(t *testing.T) {
	t.Parallel()
	for id, p := range everySwitch.all("AWS::Logs::LogGroup") {
		if name, named := p["LogGroupName"].(string); named && !strings.HasPrefix(name, "/aws/lambda/") {
			t.Errorf("%s has the name %s", id, name)
		}
	}
}

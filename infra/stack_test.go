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
	for _, tmpl := range []template{dev, shopDev, open} {
		got := map[string]int{}
		for _, r := range tmpl.Resources {
			got[r.Type]++
		}
		queues, functions := len(tmpl.app.Queues()), len(tmpl.app.Functions())
		routes, mocks := len(topology.Routes)+len(tmpl.app.HTTPRoutes()), len(topology.Mocks)
		want := map[string]int{
			"AWS::DynamoDB::Table": len(tmpl.app.AllTables()), "AWS::SQS::Queue": queues, "AWS::SQS::QueuePolicy": queues,
			"AWS::Lambda::Function": functions, "AWS::Lambda::Version": functions, "AWS::Lambda::Alias": functions,
			"AWS::IAM::Role": functions, "AWS::Logs::LogGroup": functions,
			"AWS::Lambda::EventSourceMapping": len(tmpl.app.StreamMappings()) + len(tmpl.app.QueueMappings()),
			"AWS::ApiGatewayV2::Api":          2, "AWS::ApiGatewayV2::Stage": 2,
			"AWS::ApiGatewayV2::Route":               routes + mocks,
			"AWS::ApiGatewayV2::Integration":         len(topology.Routes) + 1 + mocks,
			"AWS::ApiGatewayV2::IntegrationResponse": mocks,
			"AWS::ApiGatewayV2::RouteResponse":       1, // of ping
			"AWS::Lambda::Permission":                routes,
			"AWS::Logs::QueryDefinition":             len(queries),
		}
		if tmpl.app.Inputs {
			want["AWS::ApiGatewayV2::Integration"]++
			maps.Copy(want, map[string]int{"AWS::Events::Rule": 1, "AWS::SNS::Subscription": 2, "AWS::IAM::ManagedPolicy": 1})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("resources of %s differ (-want +got):\n%s", tmpl.app.Name, diff)
		}
	}
}

// keySchema is a key in the template's form.
func keySchema(key, sort string) []object {
	schema := []object{{"AttributeName": key, "KeyType": "HASH"}}
	if sort != "" {
		schema = append(schema, object{"AttributeName": sort, "KeyType": "RANGE"})
	}
	return schema
}

func TestTables(t *testing.T) {
	t.Parallel()
	for _, tmpl := range []template{dev, shopDev} {
		for _, table := range tmpl.app.AllTables() {
			p := tmpl.named("AWS::DynamoDB::Table", table.Name)
			check(t, table.Name+" key", p["KeySchema"], keySchema(table.Key, table.Sort))
			keys := []string{table.Key, table.Sort}
			var indexes []object
			for _, index := range table.Indexes {
				keys = append(keys, index.Key, index.Sort)
				indexes = append(indexes, object{"IndexName": index.Name, "KeySchema": keySchema(index.Key, index.Sort),
					"Projection": object{"ProjectionType": "ALL"}})
			}
			if indexes != nil || p["GlobalSecondaryIndexes"] != nil {
				check(t, table.Name+" indexes", p["GlobalSecondaryIndexes"], indexes)
			}
			var attributes []object
			for i, key := range keys {
				if key != "" && !slices.Contains(keys[:i], key) {
					attributes = append(attributes, object{"AttributeName": key, "AttributeType": "S"})
				}
			}
			check(t, table.Name+" attributes", p["AttributeDefinitions"], attributes)
			check(t, table.Name+" billing", p["BillingMode"], "PAY_PER_REQUEST")
			check(t, table.Name+" recovery", p["PointInTimeRecoverySpecification"],
				object{"PointInTimeRecoveryEnabled": table.Name == "messages" || table.Name == "orders"})
			var ttl, stream any
			if table.TTL != "" {
				ttl = object{"AttributeName": table.TTL, "Enabled": true}
			}
			if table.Stream {
				stream = object{"StreamViewType": map[bool]string{false: "NEW_IMAGE", true: "NEW_AND_OLD_IMAGES"}[table.OldImages]}
			}
			check(t, table.Name+" TTL", p["TimeToLiveSpecification"], ttl)
			check(t, table.Name+" stream", p["StreamSpecification"], stream)
		}
	}
}

// A table of another name or logical id would be a new one, without the old one's rows.
func TestADeployedChatKeepsItsTables(t *testing.T) {
	t.Parallel()
	got := map[string]any{}
	for id, p := range everySwitch.all("AWS::DynamoDB::Table") {
		got[id] = p["TableName"]
	}
	if diff := cmp.Diff(map[string]any{"tableconnections8969752F": "subwire-prod-connections",
		"tablesubscriptions09E506DF": "subwire-prod-subscriptions", "tableoperationsD0B7A660": "subwire-prod-operations",
		"tablemessages8E6422C2": "subwire-prod-messages", "tableinboxEBB05CA3": "subwire-prod-inbox",
		"tablereads12D238B0": "subwire-prod-reads", "tableonce14959FB5": "subwire-prod-once"}, got); diff != "" {
		t.Errorf("tables differ (-want +got):\n%s", diff)
	}
}

func TestQueues(t *testing.T) {
	t.Parallel()
	arn := "arn:Partition:sqs:Region:AccountId:" + open.prefix()
	sourceOf := map[string]string{}
	for _, q := range open.app.Queues() {
		sourceOf[q.DeadLetters] = q.Name
	}
	for _, q := range open.app.Queues() {
		p := open.named("AWS::SQS::Queue", q.Name)
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
			check(t, q.Name+" dead letters", open.text(redrive["deadLetterTargetArn"]), "<Arn of "+open.prefix()+q.DeadLetters+">")
		}
		allow, _ := p["RedriveAllowPolicy"].(object)
		if source := sourceOf[q.Name]; source != "" {
			check(t, q.Name+" allows", allow["redrivePermission"], "byQueue")
			check(t, q.Name+" source", open.text(allow["sourceQueueArns"].([]any)[0]), arn+source)
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
	reserved := map[string]any{topology.Sender.Name: 110.0, topology.Disconnect.Name: 50.0}
	loops := map[bool]string{true: "Allow", false: "Terminate"}
	for _, tmpl := range []template{dev, shopDev, open} {
		reserved[topology.Stream.Name] = 10 * float64(len(tmpl.app.StreamMappings()))
		for _, f := range tmpl.app.Functions() {
			p := tmpl.named("AWS::Lambda::Function", f.Name)
			check(t, f.Name+" runtime", p["Runtime"], "provided.al2023")
			check(t, f.Name+" handler", p["Handler"], "bootstrap")
			check(t, f.Name+" architecture", p["Architectures"], []string{"arm64"})
			check(t, f.Name+" time-out", p["Timeout"], f.Timeout.Seconds())
			check(t, f.Name+" memory", p["MemorySize"], f.MemoryMB)
			check(t, f.Name+" concurrency", p["ReservedConcurrentExecutions"], reserved[f.Name])
			check(t, f.Name+" loops", p["RecursiveLoop"], loops[f.AllowLoops])
			logging := p["LoggingConfig"].(object)
			check(t, f.Name+" log", tmpl.text(logging["LogGroup"]), "</aws/lambda/"+tmpl.prefix()+f.Name+">")
			check(t, f.Name+" log's format", logging["LogFormat"], "JSON")
			check(t, f.Name+" least level", logging["ApplicationLogLevel"], "TRACE") // LOG_LEVEL says how much there is
			check(t, f.Name+" platform's least level", logging["SystemLogLevel"], "WARN")
			check(t, f.Name+" environment", environment(tmpl, p), wantedEnvironment(tmpl, f))
		}
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
func wantedEnvironment(tmpl template, f topology.Function) object {
	env := object{}
	for _, t := range f.Tables {
		env[t.Env()] = "<" + tmpl.prefix() + t.Name + ">"
	}
	for _, q := range f.Queues {
		env[q.Env] = "<" + tmpl.prefix() + q.Name + ">"
	}
	if f.Callback {
		env[topology.CallbackEnv] = "https://<" + tmpl.prefix() + "sockets>.execute-api.Region.URLSuffix/live"
	}
	if f.WebSocket {
		env[topology.WebSocketEnv] = "wss://<" + tmpl.prefix() + "sockets>.execute-api.Region.URLSuffix/live"
	}
	if f.HTTP {
		env[topology.HTTPEnv] = "https://<" + tmpl.prefix() + "http>.execute-api.Region.URLSuffix/graphql"
	}
	for _, s := range f.Settings() {
		env[s.Env] = s.Default
	}
	if _, given := env[topology.App.Env]; given {
		env[topology.App.Env] = tmpl.app.Name
	}
	if _, given := env[topology.Claims.Env]; given {
		env[topology.Claims.Env] = strings.Join(tmpl.app.Claims, ",")
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
	patterns := map[string]string{"messages": `{"eventName":["INSERT"]}`, "orders": `{"eventName":["INSERT","MODIFY","REMOVE"]}`,
		"visits": `{"eventName":["INSERT","REMOVE"]}`, "inbox": `{"eventName":["INSERT","MODIFY"]}`,
		"reads":         `{"eventName":["INSERT","MODIFY","REMOVE"]}`,
		"subscriptions": `{"eventName":["INSERT","MODIFY","REMOVE"],"dynamodb":{"Keys":{"topic":{"S":[{"prefix":"present/"}]}}}}`}
	for _, tmpl := range []template{dev, shopDev, open} {
		got := map[string]object{}
		for _, p := range tmpl.all("AWS::Lambda::EventSourceMapping") {
			source := tmpl.text(p["EventSourceArn"])
			p = maps.Clone(p)
			p["FunctionName"] = tmpl.text(p["FunctionName"])
			delete(p, "EventSourceArn")
			delete(p, "Tags")
			got[source] = p
		}
		for _, m := range tmpl.app.StreamMappings() {
			stream := got["<StreamArn of "+tmpl.prefix()+m.Table.Name+">"]
			check(t, "dead letters of the stream", tmpl.text(stream["DestinationConfig"].(object)["OnFailure"].(object)["Destination"]),
				"<Arn of "+tmpl.prefix()+m.OnFailure.Name+">")
			delete(stream, "DestinationConfig")
			check(t, m.Table.Name+" mapping", map[string]any(stream), object{
				"FunctionName": "<" + tmpl.prefix() + m.Function.Name + ":live>", "StartingPosition": "TRIM_HORIZON",
				"BatchSize": m.BatchSize, "MaximumBatchingWindowInSeconds": 0, "ParallelizationFactor": m.Parallelization,
				"BisectBatchOnFunctionError": m.Bisect, "MaximumRetryAttempts": m.MaxRetries, "MaximumRecordAgeInSeconds": m.MaxAge.Seconds(),
				"FunctionResponseTypes": []string{"ReportBatchItemFailures"},
				"FilterCriteria":        object{"Filters": []object{{"Pattern": patterns[m.Table.Name]}}},
			})
		}
		for _, m := range tmpl.app.QueueMappings() {
			want := object{"FunctionName": "<" + tmpl.prefix() + m.Function.Name + ":live>", "BatchSize": m.BatchSize,
				"FunctionResponseTypes": []string{"ReportBatchItemFailures"}, "ScalingConfig": object{"MaximumConcurrency": m.MaxConcurrency}}
			if !m.Queue.FIFO {
				want["MaximumBatchingWindowInSeconds"] = 0
			}
			check(t, m.Queue.Name+" mapping", map[string]any(got["<Arn of "+tmpl.prefix()+m.Queue.Name+">"]), want)
		}
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
	for _, tmpl := range []template{dev, shopDev, open} {
		got, want := map[string]string{}, map[string]string{}
		for _, p := range tmpl.all("AWS::ApiGatewayV2::Route") {
			key := p["RouteKey"].(string)
			for id, integration := range tmpl.all("AWS::ApiGatewayV2::Integration") {
				if strings.HasSuffix(tmpl.text(p["Target"]), "<"+id+">") && integration["IntegrationType"] != "MOCK" {
					uri := tmpl.text(integration["IntegrationUri"])
					got[key] = uri[strings.LastIndex(uri, tmpl.prefix()):]
				}
			}
		}
		for key, f := range topology.Routes {
			want[key] = tmpl.prefix() + f.Name + ":live>"
		}
		for _, r := range tmpl.app.HTTPRoutes() {
			want[r.Key()] = tmpl.prefix() + r.Function.Name + ":live>"
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
}

// What the gateway handles itself: each route's integration, answer and throttle.
func TestTheGatewayAnswersPings(t *testing.T) {
	t.Parallel()
	for _, tmpl := range []template{dev, open, hosted} {
		integrations, answers := tmpl.all("AWS::ApiGatewayV2::Integration"), tmpl.all("AWS::ApiGatewayV2::IntegrationResponse")
		twoWay := tmpl.all("AWS::ApiGatewayV2::RouteResponse")
		sockets := tmpl.all("AWS::ApiGatewayV2::Stage")["socketsstage"]
		throttles, seen := sockets["RouteSettings"].(object), 0.0
		check(t, "the other routes' throttle", sockets["DefaultRouteSettings"], object{"ThrottlingRateLimit": 3000, "ThrottlingBurstLimit": 1500})
		for id, route := range tmpl.all("AWS::ApiGatewayV2::Route") {
			key := route["RouteKey"].(string)
			mock, ok := topology.Mocks[key]
			if !ok {
				continue
			}
			seen++
			target := strings.Trim(strings.TrimPrefix(tmpl.text(route["Target"]), "integrations/"), "<>")
			check(t, key+" integration", integrations[target], object{"ApiId": route["ApiId"], "IntegrationType": "MOCK",
				"PassthroughBehavior": "WHEN_NO_MATCH", "RequestTemplates": object{"$default": `{"statusCode":200}`},
				"TemplateSelectionExpression": `\$default`})
			check(t, key+" throttle", throttles[key], object{"ThrottlingRateLimit": mock.Rate, "ThrottlingBurstLimit": mock.Burst})
			var said []any
			for _, a := range answers {
				if tmpl.text(a["IntegrationId"]) == "<"+target+">" {
					said = append(said, a["ResponseTemplates"])
				}
			}
			back := 0.0
			for _, r := range twoWay {
				if tmpl.text(r["RouteId"]) == "<"+id+">" && r["RouteResponseKey"] == "$default" {
					back++
				}
			}
			if mock.Answer == "" {
				check(t, key+" says", said, []any{nil})
				check(t, key+" is one way", []any{route["RouteResponseSelectionExpression"], back}, []any{nil, 0.0})
				continue
			}
			check(t, key+" says", said, []any{object{"$default": mock.Answer}})
			check(t, key+" is answered", []any{route["RouteResponseSelectionExpression"], back}, []any{"$default", 1})
		}
		check(t, "routes and throttles", []any{seen, float64(len(throttles))}, []any{len(topology.Mocks), len(topology.Mocks)})
	}
	check(t, "selection", dev.named("AWS::ApiGatewayV2::Api", "sockets")["RouteSelectionExpression"], topology.RouteSelection)
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	for _, tmpl := range []template{dev, shopDev, open, watched} {
		want := map[string]string{
			topology.OutputHTTPURL:      "https://<" + tmpl.prefix() + "http>.execute-api.Region.URLSuffix/graphql",
			topology.OutputWSURL:        "wss://<" + tmpl.prefix() + "sockets>.execute-api.Region.URLSuffix/live",
			topology.OutputApp:          tmpl.app.Name,
			topology.OutputFanoutGroups: topology.FanoutGroups.Default,
		}
		if tmpl.app.Inputs {
			want[topology.OutputEventsURL] = "https://<" + tmpl.prefix() + "http>.execute-api.Region.URLSuffix/events"
		}
		if tmpl.app.CanaryEvery > 0 {
			want[topology.OutputCanary] = "5"
		}
		for name, key := range tmpl.app.TableOutputs() {
			want[key] = "<" + tmpl.prefix() + name + ">"
		}
		for _, q := range tmpl.app.Queues() {
			want[tmpl.app.QueueOutputs()[q.Name]] = "<" + tmpl.prefix() + q.Name + ">"
		}
		got := map[string]string{}
		for key, output := range tmpl.Outputs {
			got[key] = tmpl.text(output["Value"])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("outputs differ (-want +got):\n%s", diff)
		}
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

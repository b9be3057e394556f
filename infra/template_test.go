package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/chat/chattest"
	shopapp "subwire/shared/shop"
	"subwire/shared/topology"
)

type object = map[string]any

type template struct {
	app       topology.Product
	Resources map[string]resource
	Outputs   map[string]object

	environment string // where it may be deployed, as the CDK says it
	protected   bool   // from termination
}

type resource struct {
	Type                string
	Properties          object
	DependsOn           []any
	DeletionPolicy      string
	UpdateReplacePolicy string
	UpdatePolicy        object
}

// again is dev with what changes no function's code or settings. watched has a canary, whose
// switch parse reads. shopDev is of a product of the tests' own, with a table of each kind; published and open,
// which has all ways in, are of the shop that there is; the others are the chat's.
var dev, shopDev, published, open, everySwitch, small, alarmed, alarmedShop, guarded, watched, emulated, emulatedAlarms, again, otherProduction template

// fast announces what it writes. queueing delivers nothing without the queue.
var fast, queueing template

// hosted and hostedProd have a host; emptied had one, and its clients were moved away.
var hosted, hostedProd, emptied template

var shop = topology.Product{Name: "shop", Paths: []string{"/track/{order}"}, Tables: []topology.Table{
	{Name: "orders", Key: "id", Stream: true, OldImages: true, Kept: true, Indexes: []topology.Index{
		{Name: "byShop", Key: "shopId", Sort: "id"}, {Name: "byCourier", Key: "courierId"}}},
	{Name: "visits", Key: "shopId", Sort: "id", TTL: "expires", Stream: true, Events: []string{"INSERT", "REMOVE"}},
	{Name: "customers", Key: "id"},
}}

func TestMain(m *testing.M) {
	// Before the tests, as the CDK's runtime takes one call at a time.
	dev = synthesize(map[string]string{})
	shopDev = synthesizeApp(shop, map[string]string{})
	published = synthesizeApp(shopapp.New().Product(), map[string]string{"app": "shop", "maxReads": "2000", "maxWrites": "1000", "publishers": "arn:aws:iam::123456789012:role/tracker, arn:aws:iam::123456789012:role/of/couriers"})
	open = synthesizeApp(takesEvents(), map[string]string{"app": "shop", "inputs": "true", "publishers": "arn:aws:iam::123456789012:role/tracker",
		"eventPattern": `{"source":["com.example.couriers"],"detail-type":["courierMoved"]}`,
		"eventTopics":  "arn:aws:sns:eu-west-1:123456789012:couriers, arn:aws:sns:eu-west-1:210987654321:vans.fifo"})
	everySwitch = synthesize(map[string]string{"env": topology.Production, "arch": "amd64", "allowedOrigins": "https://A.example:443, https://b.example", "alarms": "ops@example.com", "accountConcurrency": "3000",
		"owner": "Team A", "budget": "200", "maxReads": "2000", "maxWrites": "1000", "tracing": "true", "platformLogs": "info",
		"logRetention": "90", "reserve": "false", "accessLogs": "true", "wsDomain": "ws.a.example", "httpDomain": "api.a.example",
		"certificate": "arn:aws:acm:eu-west-1:123456789012:certificate/1", "settings": "MAX_DEPTH=20;FANOUT_GROUPS=16;MAX_CONNECTIONS=20;AUTH=jwt;JWT_ISSUER=https://i.example;JWT_AUDIENCE=a;JWT_KEY=ssm:/aws/reference/secretsmanager/jwt", "trustedDocuments": "true"})
	small = synthesize(map[string]string{"small": "true"})
	alarmed = synthesize(map[string]string{"alarms": "arn:aws:sns:eu-west-1:123456789012:ops", "account": "123456789012", "region": "eu-west-1"})
	alarmedShop = synthesizeApp(shop, map[string]string{"app": "shop", "alarms": "ops@example.com", "dashboard": "false"})
	guarded = synthesize(map[string]string{"settings": "AUTH=jwt;JWT_ISSUER=i;JWT_AUDIENCE=a;JWT_KEY=ssm:/aws/reference/secretsmanager/jwt;HANDSHAKE_TOKEN=optional"})
	watched = synthesizeApp(withCanary(), map[string]string{"canaryEvery": "5", "alarms": "ops@example.com", "settings": "AUTH=jwt;JWT_ISSUER=i;JWT_AUDIENCE=a;JWT_KEY=ssm:key;CANARY_TOKEN=ssm:/canary/token;ALLOWED_ORIGINS=https://a.example"})
	emulated = synthesize(map[string]string{"local": "https://localhost:4566"})
	otherProduction = synthesize(map[string]string{"env": "live", "production": "true", "public": "true", "alarms": "off"})
	again = synthesize(map[string]string{"owner": "Team A", "reserve": "false", "logRetention": "90"})
	emulatedAlarms = synthesize(map[string]string{"local": "https://localhost:4566", "alarms": "ops@example.com"})
	hosted = synthesize(map[string]string{"host": "fargate"})
	hostedProd = synthesize(map[string]string{"env": topology.Production, "arch": "amd64", "public": "true", "alarms": "ops@example.com",
		"host": "fargate", "hostDomain": "sockets.a.example", "hostCertificate": hostCertificate, "clients": "host",
		"hostTasks": "3", "hostMostTasks": "30", "trustedDocuments": "true",
		"settings": "AUTH=jwt;JWT_ISSUER=i;JWT_AUDIENCE=a;JWT_KEY=ssm:/aws/reference/secretsmanager/jwt"})
	fast = synthesize(map[string]string{"settings": "FAST=true"})
	queueing = synthesizeApp(shop, map[string]string{"app": "shop", "settings": "DIRECT=0"})
	emptied = synthesize(map[string]string{"host": "fargate", "hostTasks": "0", "alarms": "ops@example.com"})
	jsii.Close()
	os.Exit(m.Run())
}

func withCanary() topology.Product {
	p := chattest.Product
	p.CanaryEvery = 5 * time.Minute
	return p
}

func takesEvents() topology.Product {
	p := shopapp.New().Product()
	p.Inputs = true
	return p
}

func synthesize(context map[string]string) template { return synthesizeApp(chattest.Product, context) }

// synthesizeApp makes the template of a stack with stand-in binaries. It panics, as it
// has no test to fail.
func synthesizeApp(app topology.Product, context map[string]string) template {
	assets, err := os.MkdirTemp("", "subwire-infra")
	must(err)
	defer os.RemoveAll(assets)
	for _, f := range append(app.Functions(), topology.Hosts()...) {
		must(os.Mkdir(filepath.Join(assets, f.Name), 0o755))
		must(os.WriteFile(filepath.Join(assets, f.Name, "bootstrap"), []byte(f.Name), 0o755))
		must(os.WriteFile(filepath.Join(assets, f.Name, trustedFile), []byte("{}"), 0o644))
	}
	context["assets"] = assets
	o, err := parse(context)
	must(err)
	app.Fargate, app.Fast, app.QueueOnly = o.app.Fargate, o.app.Fast, o.app.QueueOnly
	o.app = app
	stack := newStack(awscdk.NewApp(&awscdk.AppProps{Outdir: jsii.String(filepath.Join(assets, "out"))}), o)
	raw, err := json.Marshal(assertions.Template_FromStack(stack, nil).ToJSON())
	must(err)
	t := template{app: app, environment: *stack.Environment(), protected: *stack.TerminationProtection()}
	must(json.Unmarshal(raw, &t))
	return t
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// all returns the properties of all resources of a type by logical id.
func (t template) all(kind string) map[string]object {
	found := map[string]object{}
	for id, r := range t.Resources {
		if r.Type == kind {
			found[id] = r.Properties
		}
	}
	return found
}

// prefix begins the physical names of a dev stack.
func (t template) prefix() string { return t.app.Stack("dev") + "-" }

// named returns the properties of the resource of a type with the logical name in a dev
// stack, or an empty object.
func (t template) named(kind, name string) object {
	for _, p := range t.all(kind) {
		if p[nameProperty[kind]] == t.prefix()+name {
			return p
		}
	}
	return object{}
}

var nameProperty = map[string]string{
	"AWS::DynamoDB::Table": "TableName", "AWS::SQS::Queue": "QueueName", "AWS::Lambda::Function": "FunctionName",
	"AWS::Logs::LogGroup": "LogGroupName", "AWS::ApiGatewayV2::Api": "Name", "AWS::Events::Rule": "Name",
}

// text renders a value without intrinsic functions: references as <attribute of
// name>, pseudo parameters by their names.
func (t template) text(value any) string {
	o, ok := value.(object)
	if !ok {
		return fmt.Sprint(value)
	}
	if ref, ok := o["Ref"].(string); ok {
		if _, ours := t.Resources[ref]; !ours {
			return strings.TrimPrefix(ref, "AWS::")
		}
		return "<" + t.name(ref) + ">"
	}
	if pair, ok := o["Fn::GetAtt"].([]any); ok {
		return "<" + pair[1].(string) + " of " + t.name(pair[0].(string)) + ">"
	}
	if join, ok := o["Fn::Join"].([]any); ok {
		var parts []string
		for _, part := range join[1].([]any) {
			parts = append(parts, t.text(part))
		}
		return strings.Join(parts, join[0].(string))
	}
	if sub, ok := o["Fn::Sub"].(string); ok { // of pseudo parameters
		return strings.NewReplacer("${AWS::", "", "}", "").Replace(sub)
	}
	raw, _ := json.Marshal(o)
	return string(raw)
}

// name returns the physical name of a resource, FUNCTION:NAME of an alias, or its logical id.
func (t template) name(id string) string {
	r := t.Resources[id]
	if name, ok := r.Properties[nameProperty[r.Type]].(string); ok {
		return name
	}
	if r.Type == "AWS::Lambda::Alias" {
		return strings.Trim(t.text(r.Properties["FunctionName"]), "<>") + ":" + r.Properties["Name"].(string)
	}
	return id
}

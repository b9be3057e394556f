package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"

	"subwire/shared/chat"
	shopapp "subwire/shared/shop"
	"subwire/shared/topology"
)

type object = map[string]any

type template struct {
	app       topology.Product
	Resources map[string]resource
	Outputs   map[string]object
}

type resource struct {
	Type                string
	Properties          object
	DeletionPolicy      string
	UpdateReplacePolicy string
}

// shopDev is of a product of the tests' own, with a table of each kind; the others are the
// chat's.
var dev, shopDev, published, everySwitch, small, emulated template

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
	published = synthesizeApp(shopapp.New().Product(), map[string]string{"app": "shop", "publishers": "arn:aws:iam::123456789012:role/tracker, arn:aws:iam::123456789012:role/of/couriers"})
	everySwitch = synthesize(map[string]string{"env": topology.Production, "arch": "amd64", "allowedOrigins": "https://A.example:443, https://b.example",
		"logRetention": "90", "reserve": "false", "accessLogs": "true", "wsDomain": "ws.a.example", "httpDomain": "api.a.example",
		"certificate": "arn:aws:acm:eu-west-1:123456789012:certificate/1", "settings": "MAX_DEPTH=20;FANOUT_GROUPS=16;MAX_CONNECTIONS=20;AUTH=jwt;JWT_ISSUER=https://i.example;JWT_AUDIENCE=a;JWT_KEY=ssm:/aws/reference/secretsmanager/jwt", "trustedDocuments": "true"})
	small = synthesize(map[string]string{"small": "true"})
	emulated = synthesize(map[string]string{"local": "https://localhost:4566"})
	jsii.Close()
	os.Exit(m.Run())
}

func synthesize(context map[string]string) template { return synthesizeApp(chat.Product, context) }

// synthesizeApp makes the template of a stack with stand-in binaries. It panics, as it
// has no test to fail.
func synthesizeApp(app topology.Product, context map[string]string) template {
	assets, err := os.MkdirTemp("", "subwire-infra")
	must(err)
	defer os.RemoveAll(assets)
	for _, f := range topology.Functions() {
		must(os.Mkdir(filepath.Join(assets, f.Name), 0o755))
		must(os.WriteFile(filepath.Join(assets, f.Name, "bootstrap"), []byte(f.Name), 0o755))
	}
	context["assets"] = assets
	o, err := parse(context)
	must(err)
	o.app = app
	stack := newStack(awscdk.NewApp(&awscdk.AppProps{Outdir: jsii.String(filepath.Join(assets, "out"))}), o)
	raw, err := json.Marshal(assertions.Template_FromStack(stack, nil).ToJSON())
	must(err)
	t := template{app: app}
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
	"AWS::Logs::LogGroup": "LogGroupName", "AWS::ApiGatewayV2::Api": "Name",
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
	raw, _ := json.Marshal(o)
	return string(raw)
}

// name returns the physical name of a resource, or its logical id.
func (t template) name(id string) string {
	r := t.Resources[id]
	if name, ok := r.Properties[nameProperty[r.Type]].(string); ok {
		return name
	}
	return id
}

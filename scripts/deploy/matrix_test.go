package deploy

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/aws/aws-sdk-go-v2/aws"

	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

// probe is a call that a function may be allowed to make.
type probe struct {
	on     topology.Resource
	name   string // as in topology.Permission
	action string
}

// probes are all calls that any function may make, and some that none may. They leave
// out calls on one stream and on logs, for which MiniStack checks other resources
// than AWS: infra's tests compare those in the template.
func probes() []probe {
	var all []probe
	add := func(on topology.Resource, name string, actions ...string) {
		for _, action := range actions {
			if p := (probe{on, name, action}); !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	for _, f := range topology.Functions() {
		for _, p := range chattest.Product.Access()[f.Name] {
			if p.On != topology.OnStream {
				add(p.On, p.Name, p.Actions...)
			}
		}
	}
	for _, table := range chattest.Product.AllTables() {
		add(topology.OnTable, table.Name, "dynamodb:Scan", "dynamodb:DeleteItem", "dynamodb:DescribeTable")
	}
	for _, q := range topology.Queues() {
		add(topology.OnQueue, q.Name, "sqs:SendMessage", "sqs:ReceiveMessage", "sqs:PurgeQueue")
	}
	add(topology.OnSockets, http.MethodGet, "execute-api:ManageConnections")
	slices.SortStableFunc(all, func(a, b probe) int {
		return strings.Compare(string(a.on)+a.name, string(b.on)+b.name)
	})
	return all
}

// allowed reports whether topology lets the function make the call.
func (p probe) allowed(f topology.Function) bool {
	return slices.ContainsFunc(chattest.Product.Access()[f.Name], func(a topology.Permission) bool {
		return a.On == p.on && a.Name == p.name && slices.Contains(a.Actions, p.action)
	})
}

// testMatrix makes every call as every function and prints which were allowed. Only
// IAM's decision counts: most calls name nothing that exists, so they change nothing.
func testMatrix(t *testing.T, c *cloud) {
	roles := map[string]aws.Credentials{}
	for _, f := range topology.Functions() {
		roles[f.Name] = c.assume(t, f)
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "\nresource\taction")
	for _, f := range topology.Functions() {
		fmt.Fprint(w, "\t", f.Name)
	}
	calls, let := 0, 0
	for _, p := range probes() {
		fmt.Fprintf(w, "\n%s %s\t%s", p.on, p.name, p.action)
		r := c.probeRequest(t, p)
		for _, f := range topology.Functions() {
			status, body := c.call(t, roles[f.Name], r)
			through := !denied(status, body)
			calls++
			if through {
				let++
			}
			if through != p.allowed(f) {
				t.Errorf("%s: %s on %s %s: let through: %v, want %v: %d %s", f.Name, p.action, p.on, p.name, through, p.allowed(f), status, short(body))
			}
			fmt.Fprint(w, "\t", map[bool]string{true: "yes", false: "-"}[through])
		}
	}
	w.Flush()
	t.Logf("%d calls, %d let through, %d denied (-):%s", calls, let, calls-let, table.String())
}

func denied(status int, body []byte) bool {
	return status >= 400 && (bytes.Contains(body, []byte("AccessDenied")) || bytes.Contains(body, []byte("not authorized")))
}

type object = map[string]any

func (c *cloud) probeRequest(t *testing.T, p probe) request {
	t.Helper()
	_, operation, _ := strings.Cut(p.action, ":")
	switch p.on {
	case topology.OnTable:
		return request{service: "dynamodb", path: "/", target: "DynamoDB_20120810." + operation, json: c.tableBody(p.name, operation)}
	case topology.OnIndex:
		table, index, _ := strings.Cut(p.name, "/")
		return request{service: "dynamodb", path: "/", target: "DynamoDB_20120810." + operation, json: c.indexBody(table, index)}
	case topology.OnStreams:
		return request{service: "dynamodb", path: "/", target: "DynamoDBStreams_20120810." + operation, json: object{}}
	case topology.OnQueue:
		body := object{"QueueUrl": c.output[chattest.Product.QueueOutputs()[p.name]]}
		switch operation {
		case "SendMessage": // refused because of its delay
			body["MessageBody"], body["DelaySeconds"] = "probe", 100_000
		case "ReceiveMessage":
			body["VisibilityTimeout"] = 0
		case "DeleteMessage":
			body["ReceiptHandle"] = "probe"
		}
		return request{service: "sqs", path: "/", target: "AmazonSQS." + operation, json: body}
	case topology.OnSockets:
		_, path, _ := strings.Cut(strings.TrimPrefix(c.output[topology.OutputWSURL], "wss://"), "/")
		return request{service: "execute-api", method: p.name, path: "/" + path + "/@connections/probe", json: object{}}
	}
	t.Fatalf("no call is known for %v", p)
	return request{}
}

// indexBody is the input of a query of an index that finds nothing.
func (c *cloud) indexBody(name, index string) object {
	tables := chattest.Product.AllTables()
	table := tables[slices.IndexFunc(tables, func(t topology.Table) bool { return t.Name == name })]
	i := slices.IndexFunc(table.Indexes, func(i topology.Index) bool { return i.Name == index })
	body := c.tableBody(name, "Query")
	body["IndexName"], body["ExpressionAttributeNames"] = index, object{"#k": table.Indexes[i].Key}
	return body
}

// tableBody is the input of a table operation that finds or writes nothing.
func (c *cloud) tableBody(name, operation string) object {
	physical := c.output[chattest.Product.TableOutputs()[name]]
	tables := chattest.Product.AllTables()
	table := tables[slices.IndexFunc(tables, func(t topology.Table) bool { return t.Name == name })]
	key := object{table.Key: object{"S": "probe"}}
	if table.Sort != "" {
		key[table.Sort] = object{"S": "probe"}
	}
	body := object{"TableName": physical}
	switch operation {
	case "GetItem", "DeleteItem":
		body["Key"] = key
	case "UpdateItem":
		body["Key"], body["ConditionExpression"] = key, "attribute_exists(#k)"
		body["ExpressionAttributeNames"] = object{"#k": table.Key}
	case "PutItem":
		body["Item"], body["ConditionExpression"] = key, "attribute_exists(#k)"
		body["ExpressionAttributeNames"] = object{"#k": table.Key}
	case "Query":
		body["KeyConditionExpression"], body["ExpressionAttributeNames"] = "#k = :k", object{"#k": table.Key}
		body["ExpressionAttributeValues"] = object{":k": object{"S": "probe"}}
	case "BatchGetItem":
		return object{"RequestItems": object{physical: object{"Keys": []object{key}}}}
	case "BatchWriteItem":
		return object{"RequestItems": object{physical: []object{{"DeleteRequest": object{"Key": key}}}}}
	}
	return body
}

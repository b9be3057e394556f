package deploy

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"subwire/scripts/internal/wsclient"
	"subwire/shared/publish"
	"subwire/shared/shop"
)

// TestPublishers deploys the shop for a publisher with a role of its own. Another role
// may do nothing.
func TestPublishers(t *testing.T) {
	needs(t)
	c := startCloud(t)
	c.stack = "subwire-shop-test"
	c.takeAssets(t)
	for _, name := range []string{"tracker", "stranger"} {
		c.own(t, request{service: "iam", path: "/", form: url.Values{"Action": {"CreateRole"}, "Version": {"2010-05-08"}, "RoleName": {name},
			"AssumeRolePolicyDocument": {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::000000000000:root"}}]}`}}})
	}
	step(t, "Bootstrap", func(t *testing.T) { c.cdk(t, "bootstrap") })
	step(t, "Deploy", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "outputs.json")
		c.cdk(t, "deploy", "--require-approval", "never", "--outputs-file", file, "-c", "app=shop",
			"-c", "publishers=arn:aws:iam::000000000000:role/tracker")
		c.readOutputs(t, file)
	})
	tracker, stranger := c.assumeRole(t, "tracker"), c.assumeRole(t, "stranger")
	step(t, "TheirRoleMayPutRowsIntoTheInboxAlone", func(t *testing.T) {
		item := object{"group": object{"S": "g"}, "id": object{"S": "1"}}
		for _, tc := range []struct {
			as               aws.Credentials
			table, operation string
			body             object
			mayDoIt          bool
		}{
			{tracker, "TableInbox", "GetItem", object{"Key": item}, false},
			{tracker, "TableInbox", "DeleteItem", object{"Key": item}, false},
			{tracker, "TableInbox", "Scan", object{}, false},
			{tracker, "TableOrders", "PutItem", object{"Item": object{"id": object{"S": "1"}}}, false},
			{stranger, "TableInbox", "PutItem", object{"Item": item}, false},
			{tracker, "TableInbox", "PutItem", object{"Item": item, "ConditionExpression": "attribute_exists(id)"}, true},
		} {
			tc.body["TableName"] = c.output[tc.table]
			status, body := c.call(t, tc.as, request{service: "dynamodb", path: "/", target: "DynamoDB_20120810." + tc.operation, json: tc.body})
			if denied(status, body) == tc.mayDoIt {
				t.Errorf("%s of %s: %d %s", tc.operation, tc.table, status, short(body))
			}
		}
	})
	step(t, "WhatItPublishesArrivesOnce", func(t *testing.T) {
		client, err := wsclient.Dial(within(t), c.socketURL(t), wsclient.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		s, err := client.Subscribe(within(t), wsclient.Operation{Query: `subscription { courierMoved(courierId: "carl") { latitude } }`})
		if err != nil {
			t.Fatal(err)
		}
		c.awaitRows(t, "TableSubscriptions", 1)
		cfg := c.config()
		cfg.Credentials = credentials.StaticCredentialsProvider{Value: tracker}
		p, err := publish.New(cfg, shop.New().App, c.output["TableInbox"])
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []struct {
			id       string
			latitude float64
		}{{"1", 1}, {"1", 1}, {"2", 2}} {
			if err := p.Publish(within(t), "courierMoved", e.id, shop.Position{CourierID: "carl", Latitude: e.latitude}); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{`{"data":{"courierMoved":{"latitude":1}}}`, `{"data":{"courierMoved":{"latitude":2}}}`} {
			if got, err := s.Next(within(t)); err != nil || string(got) != want {
				t.Errorf("got %s, %v, want %s", got, err, want)
			}
		}
	})
	step(t, "Destroy", func(t *testing.T) { c.cdk(t, "destroy", "--force", "-c", "app=shop") })
	step(t, "NoProcessIsLeft", func(*testing.T) { c.kill() })
}

// awaitRows waits until the table has that many rows.
func (c *cloud) awaitRows(t *testing.T, output string, want int) {
	t.Helper()
	await(t, "rows of "+output, func() bool {
		var page struct{ Count int }
		body := c.own(t, request{service: "dynamodb", path: "/", target: "DynamoDB_20120810.Scan",
			json: object{"TableName": c.output[output], "ConsistentRead": true}})
		if err := json.Unmarshal(body, &page); err != nil {
			t.Fatal(err)
		}
		return page.Count == want
	})
}

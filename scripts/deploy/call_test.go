package deploy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"subwire/shared/topology"
)

// owner may do everything.
var owner = aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}

// request is an AWS call, to be signed.
type request struct {
	service string
	method  string // POST if empty
	path    string
	target  string     // X-Amz-Target of a service with the JSON protocol
	json    any        // its body
	form    url.Values // body for a service with the query protocol
}

// call signs and sends the request. The client bounds its time, as the test and its
// context may be over.
func (c *cloud) call(t *testing.T, as aws.Credentials, r request) (status int, body []byte) {
	t.Helper()
	raw, contentType := []byte(r.form.Encode()), "application/x-www-form-urlencoded"
	if r.json != nil {
		var err error
		if raw, err = json.Marshal(r.json); err != nil {
			t.Fatal(err)
		}
		contentType = "application/x-amz-json-1.0"
	}
	if r.method == "" {
		r.method = http.MethodPost
	}
	req, err := http.NewRequest(r.method, c.url+r.path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if r.target != "" {
		req.Header.Set("X-Amz-Target", r.target)
	}
	sum := sha256.Sum256(raw)
	if err := v4.NewSigner().SignHTTP(context.Background(), as, req, hex.EncodeToString(sum[:]), r.service, region, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// own calls as the owner and requires success.
func (c *cloud) own(t *testing.T, r request) []byte {
	t.Helper()
	status, body := c.call(t, owner, r)
	if status/100 != 2 {
		t.Fatalf("%s %s%s answered %d %s", r.service, r.target, r.form.Get("Action"), status, short(body))
	}
	return body
}

// role is the name of the role that the deployed function runs as.
func (c *cloud) role(t *testing.T, f topology.Function) string {
	t.Helper()
	var config struct{ Role string }
	body := c.own(t, request{service: "lambda", method: http.MethodGet, path: "/2015-03-31/functions/" + c.stack + "-" + f.Name + "/configuration"})
	if err := json.Unmarshal(body, &config); err != nil {
		t.Fatal(err)
	}
	return config.Role[strings.LastIndex(config.Role, "/")+1:]
}

// assume returns credentials of a function's role. The role trusts only Lambda, so
// the owner first makes it trust the account.
func (c *cloud) assume(t *testing.T, f topology.Function) aws.Credentials {
	t.Helper()
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",` +
		`"Principal":{"Service":"lambda.amazonaws.com","AWS":"arn:aws:iam::000000000000:root"}}]}`
	name := c.role(t, f)
	c.own(t, request{service: "iam", path: "/", form: url.Values{"Action": {"UpdateAssumeRolePolicy"}, "Version": {"2010-05-08"},
		"RoleName": {name}, "PolicyDocument": {trust}}})
	return c.assumeRole(t, name)
}

// assumeRole returns credentials of a role that trusts the account.
func (c *cloud) assumeRole(t *testing.T, name string) aws.Credentials {
	t.Helper()
	body := c.own(t, request{service: "sts", path: "/", form: url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"},
		"RoleArn": {"arn:aws:iam::000000000000:role/" + name}, "RoleSessionName": {"test"}}})
	var answer struct {
		AccessKeyID     string `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
		SecretAccessKey string `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
		SessionToken    string `xml:"AssumeRoleResult>Credentials>SessionToken"`
	}
	if err := xml.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: answer.AccessKeyID, SecretAccessKey: answer.SecretAccessKey, SessionToken: answer.SessionToken}
}

// deny adds a policy to the function's role that denies the action.
func (c *cloud) deny(t *testing.T, f topology.Function, action string) {
	t.Helper()
	c.own(t, request{service: "iam", path: "/", form: url.Values{"Action": {"PutRolePolicy"}, "Version": {"2010-05-08"},
		"RoleName": {c.role(t, f)}, "PolicyName": {"deny"},
		"PolicyDocument": {`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"` + action + `","Resource":"*"}]}`}}})
}

// allow reverts deny.
func (c *cloud) allow(t *testing.T, f topology.Function) {
	t.Helper()
	c.own(t, request{service: "iam", path: "/", form: url.Values{"Action": {"DeleteRolePolicy"}, "Version": {"2010-05-08"},
		"RoleName": {c.role(t, f)}, "PolicyName": {"deny"}}})
}

// logFunctions shows what the functions logged, to explain why a step failed.
func (c *cloud) logFunctions(t *testing.T) {
	for _, f := range topology.Functions() {
		_, body := c.call(t, owner, request{service: "logs", path: "/", target: "Logs_20140328.FilterLogEvents",
			json: object{"logGroupName": "/aws/lambda/" + c.stack + "-" + f.Name}})
		var found struct{ Events []struct{ Message string } }
		if err := json.Unmarshal(body, &found); err != nil {
			t.Logf("%s: %s", f.Name, short(body))
		}
		for _, e := range found.Events {
			t.Logf("%s: %s", f.Name, strings.TrimSpace(e.Message))
		}
	}
}

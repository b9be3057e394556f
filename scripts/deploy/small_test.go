package deploy

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"subwire/shared/topology"
)

// TestANewAccount deploys for production by scripts/deploy.sh, as a person does,
// to an account that may run ten functions at once, where the first try fails.
func TestANewAccount(t *testing.T) {
	needs(t)
	c := startCloud(t, "LAMBDA_ACCOUNT_CONCURRENCY=10")
	c.stack = "subwire-prod"
	messages := c.stack + "-" + topology.Messages.Name
	step(t, "Bootstrap", func(t *testing.T) { c.cdk(t, "bootstrap") })
	step(t, "WhatTheAccountCannotReserveIsSaidBefore", func(t *testing.T) {
		said, err := c.script(t, "deploy")
		const want = "subwire: this account may run 10 functions at once; reserving 180 needs 280: deploy with -c small=true, "
		if err == nil || !strings.Contains(said, want) {
			t.Errorf("%v\n%s", err, said)
		}
	})
	step(t, "AFirstDeploymentThatFailsLeavesNothing", func(t *testing.T) {
		c.addFunction(t, c.stack+"-"+topology.GraphQL.Name) // whose name is taken by that
		said, err := c.script(t, "deploy", "-c", "small=true")
		if err == nil || !strings.Contains(said, "already exists") {
			t.Errorf("%v\n%s", err, said)
		}
		if found, _ := c.table(t, messages); found {
			t.Errorf("%s is left", messages)
		}
	})
	step(t, "ItCanBeRepeated", func(t *testing.T) {
		c.own(t, request{service: "lambda", method: http.MethodDelete, path: "/2015-03-31/functions/" + c.stack + "-" + topology.GraphQL.Name})
		file := filepath.Join(t.TempDir(), "outputs.json")
		if said, err := c.script(t, "deploy", "-c", "small=true", "--outputs-file", file); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		c.readOutputs(t, file)
	})
	step(t, "AMessageReachesBothSubscribers", func(t *testing.T) { testChat(t, c) })
	step(t, "ItsMessagesAreProtectedAndOutliveIt", func(t *testing.T) {
		if said, err := c.script(t, "destroy", "-c", "small=true", "--force"); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		if found, protected := c.table(t, messages); !found || !protected {
			t.Errorf("%s is there: %v, protected: %v", messages, found, protected)
		}
	})
}

// script runs scripts/deploy.sh for production and returns what it said.
func (c *cloud) script(t *testing.T, args ...string) (string, error) {
	t.Helper()
	args = append(args, "-c", "env=prod", "-c", "local="+c.url)
	if args[0] == "deploy" {
		args = append(args, "--require-approval", "never")
	}
	cmd := exec.CommandContext(t.Context(), root+"/scripts/deploy.sh", args...)
	cmd.Env = append(os.Environ(), append(c.environ(), "ARCH="+runtime.GOARCH)...)
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// addFunction adds a function that is none of ours.
func (c *cloud) addFunction(t *testing.T, name string) {
	t.Helper()
	var code bytes.Buffer
	z := zip.NewWriter(&code)
	if _, err := z.Create("bootstrap"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	c.own(t, request{service: "lambda", path: "/2015-03-31/functions", json: object{"FunctionName": name, "Runtime": "provided.al2023",
		"Handler": "bootstrap", "Role": "arn:aws:iam::000000000000:role/none", "Code": object{"ZipFile": code.Bytes()}}})
}

// table reports whether the table is there and protected from deletion.
func (c *cloud) table(t *testing.T, name string) (found, protected bool) {
	t.Helper()
	status, body := c.call(t, owner, request{service: "dynamodb", path: "/", target: "DynamoDB_20120810.DescribeTable", json: object{"TableName": name}})
	var answer struct {
		Table struct{ DeletionProtectionEnabled bool }
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%v: %s", err, short(body))
	}
	return status == http.StatusOK, answer.Table.DeletionProtectionEnabled
}

package deploy

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"subwire/shared/chat"
)

const certificate = "arn:aws:acm:" + region + ":000000000000:certificate/1"

// TestANewAccount deploys for production by scripts/deploy.sh, as a person does, to
// an account limited to ten concurrent functions, where the first attempt fails. The
// emulator adds the domain, which is taken, before the tables. So the template's
// tests must show what is rolled back with a table.
func TestANewAccount(t *testing.T) {
	needs(t)
	c := startCloud(t, "LAMBDA_ACCOUNT_CONCURRENCY=10")
	c.stack = "subwire-prod"
	messages := c.stack + "-" + chat.Messages.Name
	step(t, "Bootstrap", func(t *testing.T) {
		if said, err := c.script(t, "bootstrap"); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
	})
	step(t, "WhatWouldBeOpenToAnybodyIsSaidBefore", func(t *testing.T) {
		said, err := c.script(t, "deploy", "-c", "small=true")
		if err == nil || !strings.HasSuffix(said, "subwire: -c env=prod is open to anybody: set AUTH=jwt, -c allowedOrigins, MAX_CONNECTIONS"+
			" (docs/settings.md), or say that it is meant with -c public=true\n") {
			t.Errorf("%v\n%s", err, said)
		}
	})
	step(t, "WhatTheAccountCannotReserveIsSaidBefore", func(t *testing.T) {
		said, err := c.script(t, "deploy", "-c", "public=true")
		const want = "subwire: this account may run 10 functions at once; reserving 180 needs 280: deploy with -c small=true, "
		if err == nil || !strings.Contains(said, want) {
			t.Errorf("%v\n%s", err, said)
		}
	})
	step(t, "AFirstDeploymentThatFailsLeavesNothing", func(t *testing.T) {
		const domain = "api.a.example" // already taken
		c.own(t, request{service: "apigateway", path: "/v2/domainnames", json: object{"domainName": domain,
			"domainNameConfigurations": []object{{"certificateArn": certificate, "endpointType": "REGIONAL"}}}})
		said, err := c.script(t, "deploy", "-c", "public=true", "-c", "small=true", "-c", "httpDomain="+domain, "-c", "certificate="+certificate)
		if err == nil || !strings.Contains(said, "ROLLBACK_COMPLETE") {
			t.Errorf("%v\n%s", err, said)
		}
		if found, _ := c.table(t, messages); found {
			t.Errorf("%s is left", messages)
		}
	})
	step(t, "ItCanBeRepeated", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "outputs.json")
		if said, err := c.script(t, "deploy", "-c", "public=true", "-c", "small=true", "--outputs-file", file); err != nil {
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

// script runs scripts/deploy.sh for production and returns its output.
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

// table reports whether the table exists and is protected from deletion.
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

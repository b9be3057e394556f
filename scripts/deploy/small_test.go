package deploy

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"subwire/shared/chat/chattest"
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
	messages := c.stack + "-" + chattest.Table.Name
	step(t, "TheDoctorSaysWhatIsInTheWay", func(t *testing.T) {
		said, err := c.doctor(t, "--env", "prod", "-c", "arch="+runtime.GOARCH, "-c", "assets="+root+"/bin/local")
		for _, want := range []string{"ok       binaries", "ok       credentials: account 000000000000", "error    bootstrap: the CDK was never set up",
			"error    concurrency: this account may run 10 functions at once", "ok       stack: subwire-prod is not deployed yet", "ok       leftovers"} {
			if !strings.Contains(said, want) {
				t.Errorf("it did not say %q", want)
			}
		}
		if err == nil || t.Failed() {
			t.Errorf("%v\n%s", err, said)
		}
	})
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
		const want = "subwire: this account may run 10 functions at once; reserving 200 needs 300: deploy with -c small=true, "
		if err == nil || !strings.Contains(said, want) {
			t.Errorf("%v\n%s", err, said)
		}
	})
	step(t, "AnotherAccountIsSaidBefore", func(t *testing.T) {
		said, err := c.script(t, "deploy", "-c", "public=true", "-c", "small=true", "-c", "account=111111111111", "-c", "region="+region)
		if err == nil || !strings.Contains(said, "is deployed to account 111111111111 (-c account), and these credentials are of 000000000000") {
			t.Errorf("%v\n%s", err, said)
		}
		if status, body := c.call(t, owner, c.stackRequest("DescribeStacks")); status == http.StatusOK {
			t.Errorf("something was made: %s", short(body))
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
		said, err := c.script(t, "deploy", "-c", "public=true", "-c", "small=true", "-c", "account=000000000000", "-c", "region="+region, "--outputs-file", file)
		if err != nil || !strings.Contains(said, "CREATE_COMPLETE") {
			t.Fatalf("%v\n%s", err, said)
		}
		c.readOutputs(t, file)
	})
	step(t, "AMessageReachesBothSubscribers", func(t *testing.T) { testChat(t, c) })
	step(t, "TheDoctorTriesIt", func(t *testing.T) {
		said, _ := c.doctor(t, "--stack", c.stack)
		for line := range strings.Lines(said) { // the emulator's CloudFormation does not set how rows expire
			if strings.HasPrefix(line, "error ") && !strings.Contains(line, `its rows expire by "", and should by "ttl"`) {
				t.Error(line)
			}
		}
		for _, want := range []string{"ok       canary: connected in ", "ok       mapping of stream of messages", "ok       function sender"} {
			if !strings.Contains(said, want) {
				t.Errorf("it did not say %q:\n%s", want, said)
			}
		}
	})
	step(t, "ItIsProtected", func(t *testing.T) {
		said, err := c.script(t, "destroy", "-c", "small=true", "--force")
		if err == nil || !strings.HasSuffix(said, `subwire: the stack is a production and protected; docs/operations.md, "Remove", says how to remove it`+"\n") {
			t.Errorf("%v\n%s", err, said)
		}
	})
	step(t, "ItsMessagesAreProtectedAndOutliveIt", func(t *testing.T) {
		unprotect := c.stackRequest("UpdateTerminationProtection")
		unprotect.form.Set("EnableTerminationProtection", "false")
		c.own(t, unprotect)
		if said, err := c.script(t, "destroy", "-c", "small=true", "--force"); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		if found, protected := c.table(t, messages); !found || !protected {
			t.Errorf("%s is there: %v, protected: %v", messages, found, protected)
		}
	})
}

// doctor runs subwire doctor and returns its output.
func (c *cloud) doctor(t *testing.T, args ...string) (string, error) {
	t.Helper()
	tool := filepath.Join(t.TempDir(), "subwire")
	if said, err := exec.CommandContext(t.Context(), "go", "build", "-o", tool, "../subwire").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	cmd := exec.CommandContext(t.Context(), tool, append([]string{"doctor"}, args...)...)
	cmd.Env = append(os.Environ(), append(c.environ(), "SSL_CERT_FILE="+c.cert)...)
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// script runs scripts/deploy.sh for production and returns its output.
func (c *cloud) script(t *testing.T, args ...string) (string, error) {
	t.Helper()
	args = append(args, "-c", "env=prod", "-c", "alarms=off", "-c", "local="+c.url)
	cmd := exec.CommandContext(t.Context(), root+"/scripts/deploy.sh", args...)
	cmd.Env = append(os.Environ(), append(c.environ(), "ARCH="+runtime.GOARCH)...)
	cmd.WaitDelay = time.Second
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// stackRequest is a call about the stack.
func (c *cloud) stackRequest(action string) request {
	return request{service: "cloudformation", path: "/",
		form: url.Values{"Action": {action}, "Version": {"2010-05-15"}, "StackName": {c.stack}}}
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

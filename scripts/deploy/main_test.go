// Package deploy tests the infrastructure: it deploys the CDK app to an emulator of
// AWS that enforces IAM, uses it, changes it and destroys it. It has only tests. make
// test-deploy runs them and prepares what they need.
package deploy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"subwire/shared/topology"
)

const (
	root   = "../.." // of the repository
	region = "us-east-1"

	// patience bounds every wait. It is not an expectation: the machine may be busy.
	patience = 60 * time.Second
)

// cloud is an emulated AWS account.
type cloud struct {
	url    string // of every service
	cert   string // file with the certificate to trust
	client *http.Client
	assets string            // folder with the functions to deploy
	stack  string            // the deployed stack
	output map[string]string // of the stack
	kill   func()            // ends the emulator and everything it started
}

// lifeline runs a command until its standard input ends, which happens when this
// process ends, in any way. Then it kills the process group: the command, and the
// functions that it runs.
const lifeline = `"$@" </dev/null & read -r never; kill -9 0`

// startCloud starts MiniStack on a free loopback port, with additional environment variables.
func startCloud(t *testing.T, more ...string) *cloud {
	t.Helper()
	dir := t.TempDir()
	port := freePort(t)
	c := &cloud{url: "https://localhost:" + port, cert: filepath.Join(dir, "ministack-tls", "server.crt"), assets: t.TempDir(), stack: "subwire-test"}
	ministack, err := filepath.Abs(root + "/.cache/venv/bin/ministack")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", lifeline, "sh", ministack)
	cmd.Env = append(c.environ(), "PATH="+os.Getenv("PATH"), "TMPDIR="+dir, "HOME="+dir, "GATEWAY_PORT="+port,
		"BIND_HOST=127.0.0.1", "USE_SSL=1", "AUTH=true", "LAMBDA_EXECUTOR=local", "LOG_LEVEL=WARNING")
	cmd.Env = append(cmd.Env, more...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	alive, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.kill = func() {
		alive.Close()
		_ = cmd.Wait() // it was killed; its children still have the group and the log
		await(t, "end of the emulator's processes", func() bool {
			return syscall.Kill(-cmd.Process.Pid, 0) == syscall.ESRCH
		})
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.logFunctions(t)
		}
		c.kill()
		if t.Failed() {
			t.Logf("the emulator wrote:\n%s", log.String())
		}
	})
	await(t, "the emulator", c.healthy)
	return c
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// healthy reports whether the emulator answers. It begins by making the certificate,
// which clients must know.
func (c *cloud) healthy() bool {
	pem, err := os.ReadFile(c.cert)
	if err != nil {
		return false
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	// An empty TLSNextProto restricts it to HTTP/1.1, which sockets need.
	c.client = &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trusted}, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}}
	resp, err := c.client.Get(c.url + "/health")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// environ makes programs use the emulator as AWS.
func (c *cloud) environ() []string {
	return []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=" + region,
		"AWS_ENDPOINT_URL=" + c.url, "AWS_CA_BUNDLE=" + c.cert, "NODE_EXTRA_CA_CERTS=" + c.cert}
}

// config is for SDK clients, with everything allowed.
func (c *cloud) config() aws.Config {
	return aws.Config{Region: region, BaseEndpoint: &c.url, HTTPClient: c.client,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return owner, nil })}
}

// cdk runs the CDK command line on the app and returns what it printed.
func (c *cloud) cdk(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../.cache/cdk/node_modules/.bin/cdk", append(args, "--app", "../bin/infra",
		"--output", filepath.Join(filepath.Dir(c.assets), "cdk.out"),
		"-c", "env=test", "-c", "local="+c.url, "-c", "assets="+c.assets, "-c", "arch="+runtime.GOARCH)...)
	cmd.Dir = root + "/infra"
	cmd.Env = append(os.Environ(), append(c.environ(), "CI=true")...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("cdk %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// deploy deploys the assets, and returns what the CDK said.
func (c *cloud) deploy(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "outputs.json")
	said := c.cdk(t, "deploy", "--require-approval", "never", "--outputs-file", file, "-c", "alarms=ops@example.com",
		"-c", "settings="+topology.LargeTopics.Env+"=true")
	c.readOutputs(t, file)
	return said
}

func (c *cloud) readOutputs(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var outputs map[string]map[string]string
	if err := json.Unmarshal(raw, &outputs); err != nil {
		t.Fatal(err)
	}
	c.output = outputs[c.stack]
}

// takeAssets copies the functions, so that one can be changed.
func (c *cloud) takeAssets(t *testing.T) {
	t.Helper()
	for _, f := range topology.EveryFunction() {
		from, to := filepath.Join(root, "bin", "local", f.Name), filepath.Join(c.assets, f.Name)
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// step runs a part of the test that the later parts need.
func step(t *testing.T, name string, run func(t *testing.T)) {
	t.Helper()
	if !t.Run(name, run) {
		t.FailNow()
	}
}

func needs(t *testing.T) {
	t.Helper()
	if os.Getenv("SUBWIRE_DEPLOY") == "" {
		t.Skip("SUBWIRE_DEPLOY is not set; run make test-deploy")
	}
}

var lines = strings.NewReplacer("\n", " ", "\t", "")

// short is the beginning of an answer, in one line.
func short(body []byte) string { return fmt.Sprintf("%.200s", lines.Replace(string(body))) }

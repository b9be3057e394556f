package deployment

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"subwire/scripts/internal/backend"
	"subwire/shared/chat/chattest"
	"subwire/shared/topology"
)

// choose parses a command line as if the process ran in the folder.
func choose(t *testing.T, folder string, args ...string) *Flags {
	t.Helper()
	set := flag.NewFlagSet("", flag.ContinueOnError)
	f := Register(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	f.folder = folder
	return f
}

// listen returns a URL at which something listens until the test ends.
func listen(t *testing.T, scheme string) (url string, l net.Listener) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return scheme + "://" + l.Addr().String(), l
}

// saved notes a local cloud in a new repository.
func saved(t *testing.T) (root string, d Deployment, forget func(), queues net.Listener) {
	t.Helper()
	database, _ := listen(t, "http")
	sqs, queues := listen(t, "http")
	web, _ := listen(t, "http")
	ws, _ := listen(t, "ws")
	root = t.TempDir()
	app := chattest.Product
	app.CanaryEvery = time.Minute
	d = Deployment{App: app, FanoutGroups: 8, HTTPURL: web + "/graphql", WSURL: ws + "/local", GatewayURL: ws + "/api", Tables: map[string]string{"messages": "x-messages"}, Queues: map[string]string{"retries": sqs + "/0/x-retries"}}
	b := &backend.Backend{DynamoDB: &backend.Server{Endpoint: database}, SQS: &backend.Server{Endpoint: sqs}}
	forget, err := Save(root, b, d)
	if err != nil {
		t.Fatal(err)
	}
	return root, d, forget, queues
}

func TestTheLocalCloudIsFoundFromAnyFolder(t *testing.T) {
	t.Parallel()
	root, want, _, queues := saved(t)
	below := filepath.Join(root, "scripts", "chat")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	f := choose(t, below, "-local")
	if !f.Given() || !f.Local() {
		t.Error("the flags say that nothing was chosen")
	}
	got, err := f.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	endpoint, _, err := got.AWS.ConfigSources[0].(interface {
		GetServiceBaseEndpoint(context.Context, string) (string, bool, error)
	}).GetServiceBaseEndpoint(t.Context(), "SQS")
	if err != nil || endpoint != "http://"+queues.Addr().String() || got.AWS.Region == "" {
		t.Errorf("SQS is at %q, %v", endpoint, err)
	}
	got.AWS = aws.Config{}
	if diff := cmp.Diff([]any{want.App, want.HTTPURL, want.WSURL, want.Tables, want.Queues, want.FanoutGroups}, []any{got.App, got.HTTPURL, got.WSURL, got.Tables, got.Queues, got.FanoutGroups}); diff != "" {
		t.Errorf("deployment (-want +got):\n%s", diff)
	}
}

func TestALocalCloudThatHasEndedIsNotFound(t *testing.T) {
	t.Parallel()
	t.Run("Forgotten", func(t *testing.T) {
		t.Parallel()
		root, _, forget, _ := saved(t)
		forget()
		if _, err := choose(t, root, "-local").Resolve(t.Context()); !errors.Is(err, errNoLocal) {
			t.Errorf("error is %v", err)
		}
		if left, _ := filepath.Glob(filepath.Join(root, ".cache", "*")); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
	t.Run("Killed", func(t *testing.T) {
		t.Parallel()
		root, _, _, queues := saved(t)
		queues.Close()
		if _, err := choose(t, root, "-local").Resolve(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("ReplacedByAnother", func(t *testing.T) {
		t.Parallel()
		root, d, forget, queues := saved(t)
		d.HTTPURL = "http://" + queues.Addr().String()
		address := "http://" + queues.Addr().String()
		b := &backend.Backend{DynamoDB: &backend.Server{Endpoint: address}, SQS: &backend.Server{Endpoint: address}}
		if _, err := Save(root, b, d); err != nil {
			t.Fatal(err)
		}
		forget() // of the first cloud
		if got, err := choose(t, root, "-local").Resolve(t.Context()); err != nil || got.HTTPURL != d.HTTPURL {
			t.Errorf("found %+v, %v", got, err)
		}
	})
	t.Run("OfAProductThatThisVersionHasNot", func(t *testing.T) {
		t.Parallel()
		root, d, _, _ := saved(t)
		d.App.Name = "nothing"
		b := &backend.Backend{DynamoDB: &backend.Server{Endpoint: d.HTTPURL}, SQS: &backend.Server{Endpoint: d.HTTPURL}}
		if _, err := Save(root, b, d); err != nil {
			t.Fatal(err)
		}
		if _, err := choose(t, root, "-local").Resolve(t.Context()); err == nil || !strings.Contains(err.Error(), "of another version") {
			t.Errorf("error is %v", err)
		}
	})
	t.Run("Unreadable", func(t *testing.T) {
		t.Parallel()
		root, _, _, _ := saved(t)
		if err := os.WriteFile(filepath.Join(root, stateFile), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := choose(t, root, "-local").Resolve(t.Context()); err == nil || !strings.Contains(err.Error(), "local.json") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestOneDeploymentMustBeChosen(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"None": nil, "Two": {"-local", "-stack", "a"}} {
		if _, err := choose(t, t.TempDir(), args...).Resolve(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// fakeStacks answers with one stack.
type fakeStacks struct {
	outputs map[string]string
	err     error
}

func (f fakeStacks) DescribeStacks(context.Context, *cloudformation.DescribeStacksInput, ...func(*cloudformation.Options)) (*cloudformation.DescribeStacksOutput, error) {
	if f.err != nil {
		return nil, f.err
	}
	var stack types.Stack
	for key, value := range f.outputs {
		stack.Outputs = append(stack.Outputs, types.Output{OutputKey: &key, OutputValue: &value})
	}
	return &cloudformation.DescribeStacksOutput{Stacks: []types.Stack{stack}}, nil
}

// outputs are those of a stack; each value is "the" and its key.
func outputs() map[string]string {
	all := map[string]string{"Other": "x"}
	for _, key := range []string{topology.OutputHTTPURL, topology.OutputWSURL} {
		all[key] = "the" + key
	}
	for _, keys := range []map[string]string{chattest.Product.TableOutputs(), chattest.Product.QueueOutputs()} {
		for _, key := range keys {
			all[key] = "the" + key
		}
	}
	all[topology.OutputFanoutGroups] = "16"
	return all
}

// Posts to API Gateway's sockets go there also where clients go to a host.
func TestTheWebSocketAPIOfAStack(t *testing.T) {
	t.Parallel()
	for other, want := range map[string]string{"": "theWsUrl", "theApiWsUrl": "theApiWsUrl"} {
		all := outputs()
		if other != "" {
			all[topology.OutputAPISocket] = other
		}
		d, err := fromStack(t.Context(), aws.Config{Region: "eu-west-1"}, fakeStacks{outputs: all}, "chat")
		if err != nil || d.GatewayURL != want || d.WSURL != "theWsUrl" {
			t.Errorf("with %q found %q and %q, %v", other, d.GatewayURL, d.WSURL, err)
		}
	}
}

func TestAStackIsFoundByItsOutputs(t *testing.T) {
	t.Parallel()
	d, err := fromStack(t.Context(), aws.Config{Region: "eu-west-1"}, fakeStacks{outputs: outputs()}, "chat")
	if err != nil {
		t.Fatal(err)
	}
	// A stack of an older release does not say what it runs.
	if d.App.Name != "chat" || d.HTTPURL != "theHttpUrl" || d.WSURL != "theWsUrl" || d.FanoutGroups != 16 || d.AWS.Region != "eu-west-1" {
		t.Errorf("found %+v", d)
	}
	for _, table := range chattest.Product.AllTables() {
		if d.Tables[table.Name] == "" {
			t.Errorf("no table %s", table.Name)
		}
	}
	for _, queue := range topology.Queues() {
		if d.Queues[queue.Name] == "" {
			t.Errorf("no queue %s", queue.Name)
		}
	}
}

// A stack without the ways in has none of their queues, and one with them has.
func TestAStackSaysWhetherItTakesEvents(t *testing.T) {
	t.Parallel()
	out := outputs()
	out[topology.OutputEventsURL], out["QueueEvents"] = "u", "q"
	const want = `stack "chat" is no stack of this version of Subwire: it has no output QueueEventsDead`
	if _, err := fromStack(t.Context(), aws.Config{}, fakeStacks{outputs: out}, "chat"); err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
	out["QueueEventsDead"] = "d"
	d, err := fromStack(t.Context(), aws.Config{}, fakeStacks{outputs: out}, "chat")
	if err != nil || !d.App.Inputs || d.Queues[topology.Events.Name] != "q" {
		t.Errorf("found %+v, %v", d, err)
	}
}

func TestAStackSaysWhetherItTriesItself(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{"": 0, "5": 5 * time.Minute} {
		out := outputs()
		if value != "" {
			out[topology.OutputCanary] = value
		}
		d, err := fromStack(t.Context(), aws.Config{}, fakeStacks{outputs: out}, "chat")
		if err != nil || d.App.CanaryEvery != want {
			t.Errorf("%q: every %s, %v", value, d.App.CanaryEvery, err)
		}
	}
	out := outputs()
	out[topology.OutputCanary] = "often"
	if _, err := fromStack(t.Context(), aws.Config{}, fakeStacks{outputs: out}, "chat"); err == nil {
		t.Error("no error for a canary that is tried often")
	}
}

func TestAStackThatCannotBeUsedIsExplainedInOneLine(t *testing.T) {
	t.Parallel()
	lacking := outputs()
	delete(lacking, "WsUrl")
	delete(lacking, "QueueRetries")
	for name, tt := range map[string]struct {
		client fakeStacks
		want   string
	}{
		"Unknown":        {fakeStacks{err: &smithy.GenericAPIError{Code: "ValidationError", Message: "Stack with id chat does not exist"}}, `there is no stack "chat" in eu-west-1`},
		"Forbidden":      {fakeStacks{err: &smithy.GenericAPIError{Code: "AccessDenied", Message: "no\npermission"}}, `describe stack "chat" in eu-west-1: api error AccessDenied: no permission`},
		"UnknownProduct": {fakeStacks{outputs: map[string]string{"App": "nothing"}}, `stack "chat" runs "nothing": it must be one of chat, shop`},
		"MissingOutputs": {fakeStacks{outputs: lacking}, `stack "chat" is no stack of this version of Subwire: it has no output QueueRetries, WsUrl`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := fromStack(t.Context(), aws.Config{Region: "eu-west-1"}, tt.client, "chat"); err == nil || err.Error() != tt.want {
				t.Errorf("error is %v, want %s", err, tt.want)
			}
		})
	}
}

func TestWithoutRegionOrCredentialsNothingIsAsked(t *testing.T) {
	t.Parallel()
	none := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no provider\nin chain")
	})
	for want, cfg := range map[string]aws.Config{"no AWS region; ": {}, "no AWS credentials; ": {Region: "eu-west-1", Credentials: none}} {
		if err := usable(t.Context(), cfg); err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// written is a template with the functions that reserve concurrency, in the CDK's form.
func written(t *testing.T, reserved string, mapped int) string {
	t.Helper()
	text := fmt.Sprintf(`{"Resources": {
		"sender": {"Type": "AWS::Lambda::Function", "Properties": {"FunctionName": "subwire-prod-sender" %s}},
		"connect": {"Type": "AWS::Lambda::Function", "Properties": {"FunctionName": "subwire-prod-connect"}},
		"queue": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {"FunctionName": {"Ref": "sender"}, "ScalingConfig": {"MaximumConcurrency": %d}}},
		"stream": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {"FunctionName": {"Ref": "connect"}}},
		"messages": {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "RetainExceptOnCreate", "Properties": {"TableName": "subwire-prod-messages"}},
		"connections": {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Delete", "Properties": {"TableName": "subwire-prod-connections"}},
		"role": {"Type": "AWS::IAM::Role"}}}`, reserved, mapped)
	path := filepath.Join(t.TempDir(), "subwire-prod.template.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// command runs a command against a server that stands in for AWS.
func command(t *testing.T, url string, args ...string) (status int, said string) {
	t.Helper()
	cfg := aws.Config{Region: "eu-west-1", BaseEndpoint: &url, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")}
	var out bytes.Buffer
	status = run(t.Context(), args, func() (aws.Config, error) { return cfg, nil }, &out)
	return status, out.String()
}

func refuse(w http.ResponseWriter, status int, kind string) {
	w.Header().Set("X-Amzn-ErrorType", kind)
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"message":"no","__type":%q}`, kind)
}

// lambdaOf answers as an account with the limit and the unreserved concurrency. held
// is what the sender already reserves, or -1 if it does not exist.
func lambdaOf(limit, unreserved, held int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/account-settings"), strings.HasSuffix(r.URL.Path, "/account-settings/"):
			fmt.Fprintf(w, `{"AccountLimit":{"ConcurrentExecutions":%d,"UnreservedConcurrentExecutions":%d}}`, limit, unreserved)
		case strings.Contains(r.URL.Path, "/functions/subwire-prod-sender/concurrency") && held > 0:
			fmt.Fprintf(w, `{"ReservedConcurrentExecutions":%d}`, held)
		case strings.Contains(r.URL.Path, "/functions/subwire-prod-sender/concurrency") && held == 0:
			fmt.Fprint(w, `{}`)
		default:
			refuse(w, http.StatusNotFound, "ResourceNotFoundException")
		}
	}
}

func TestWhetherTheAccountSuffices(t *testing.T) {
	t.Parallel()
	const reserves, nothing = `, "ReservedConcurrentExecutions": 180`, ""
	for name, test := range map[string]struct {
		answer   http.HandlerFunc
		reserved string
		mapped   int
		status   int
		said     string // all of it, without the name in front
	}{
		"the default quota": {lambdaOf(1000, 1000, -1), reserves, 120, 0, ""},
		"just enough":       {lambdaOf(280, 280, -1), reserves, 120, 0, ""},
		"a new account": {lambdaOf(10, 10, -1), reserves, 120, 1,
			"this account may run 10 functions at once; reserving 180 needs 280: deploy with -c small=true, or ask AWS for a higher quota of concurrent executions"},
		"one too few": {lambdaOf(279, 279, -1), reserves, 120, 1,
			"this account may run 279 functions at once; reserving 180 needs 280: deploy with -c reserve=false, or ask AWS for a higher quota of concurrent executions"},
		"others reserve": {lambdaOf(1000, 150, -1), reserves, 120, 1,
			"this account may run 1000 functions at once, of which others reserve 850; reserving 180 needs 280: deploy with -c small=true, or ask AWS for a higher quota of concurrent executions"},
		"it is deployed already":     {lambdaOf(280, 100, 180), reserves, 120, 0, ""},
		"deployed without reserving": {lambdaOf(280, 280, 0), reserves, 120, 0, ""},
		"a new account, small":       {lambdaOf(10, 10, -1), nothing, 6, 0, ""},
		"a new account that reserves nothing": {lambdaOf(10, 10, -1), nothing, 120, 0,
			"warning: this account may run 10 functions at once, and the queues alone may take 120: new sockets and messages would be refused under load; " +
				"deploy with -c small=true, or ask AWS for a higher quota of concurrent executions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(test.answer)
			defer server.Close()
			status, said := command(t, server.URL, "before", written(t, test.reserved, test.mapped))
			want := ""
			if test.said != "" {
				want = "subwire: " + test.said + "\n"
			}
			if status != test.status || said != want {
				t.Errorf("status %d, want %d\ngot  %swant %s", status, test.status, said, want)
			}
		})
	}
}

// Whoever deploys need not be allowed to ask, and an emulator need not answer.
func TestWithoutAnAnswerTheDeploymentGoesOn(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	may := lambdaOf(10, 10, -1)
	for name, answer := range map[string]http.HandlerFunc{
		"no permission": func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusForbidden, "AccessDeniedException") },
		"no permission for a function": func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/functions/") {
				refuse(w, http.StatusForbidden, "AccessDeniedException")
				return
			}
			may(w, r)
		},
		"an emulator without it": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
		"no network":             nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := gone.URL
			if answer != nil {
				server := httptest.NewServer(answer)
				defer server.Close()
				url = server.URL
			}
			status, said := command(t, url, "before", written(t, `, "ReservedConcurrentExecutions": 180`, 120))
			if status != 0 || !strings.HasPrefix(said, "subwire: warning: whether the account may run enough functions at once is not known: ") {
				t.Errorf("status %d: %s", status, said)
			}
		})
	}
	t.Run("no configuration", func(t *testing.T) {
		t.Parallel()
		unloaded := func() (aws.Config, error) { return aws.Config{}, errors.New("no such profile") }
		status := run(t.Context(), []string{"before", written(t, "", 120)}, unloaded, io.Discard)
		if status != 0 {
			t.Errorf("status %d", status)
		}
	})
}

// table answers as DynamoDB with one table. fault is what happens to the first update.
func table(protected *atomic.Bool, updates *atomic.Int32, fault string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			TableName                 string
			DeletionProtectionEnabled bool
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.TableName != "subwire-prod-messages" {
			refuse(w, http.StatusBadRequest, "ResourceNotFoundException")
			return
		}
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".UpdateTable") {
			first := updates.Add(1) == 1
			if !first || fault != "not applied" {
				protected.Store(in.DeletionProtectionEnabled)
			}
			if first && fault != "" {
				refuse(w, http.StatusBadRequest, "LimitExceededException")
				return
			}
		}
		fmt.Fprintf(w, `{"Table":{"DeletionProtectionEnabled":%v},"TableDescription":{}}`, protected.Load())
	}
}

func TestKeptTablesAreProtected(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before  bool
		fault   string
		status  []int // of each attempt
		updates int32
	}{
		"at once":                  {false, "", []int{0}, 1},
		"once for all":             {true, "", []int{0, 0}, 0},
		"not applied":              {false, "not applied", []int{1, 0}, 2},
		"applied, but not so said": {false, "applied", []int{1, 0}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var protected atomic.Bool
			var updates atomic.Int32
			protected.Store(test.before)
			server := httptest.NewServer(table(&protected, &updates, test.fault))
			defer server.Close()
			for i, want := range test.status {
				status, said := command(t, server.URL, "after", written(t, "", 0))
				if status != want || want != 0 && !strings.Contains(said, "its table subwire-prod-messages is not protected from deletion") {
					t.Errorf("try %d: status %d, want %d: %s", i, status, want, said)
				}
			}
			if !protected.Load() || updates.Load() != test.updates {
				t.Errorf("protected: %v, after %d updates, want %d", protected.Load(), updates.Load(), test.updates)
			}
		})
	}
}

// operations answers a scan of the deployed table with two operations of the shop, which
// are in use; fault fails it.
func operations(fault string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in struct{ TableName string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.TableName != "subwire-shop-prod-operations" {
			fault = "ValidationException"
		}
		if fault != "" {
			refuse(w, http.StatusBadRequest, fault)
			return
		}
		const item = `{"key":{"S":"%s"},"document":{"S":"subscription { %s }"},"variables":{"S":"{\"id\":\"secret\"}"},"ttl":{"N":"%d"}}`
		used := time.Now().Add(24 * time.Hour).Unix()
		fmt.Fprintf(w, `{"Items":[`+item+","+item+`]}`, "one", "myOrders { id }", used, "two", "myOrders { colour }", used)
	}
}

func TestWhatAReleaseDoesToStoredSubscriptions(t *testing.T) {
	t.Parallel()
	const consequence = "their subscriptions end with an error at the next event, and cannot begin again"
	for name, test := range map[string]struct {
		fault, sender string
		status        int
		said          []string // parts
	}{
		"one does not run": {"", `"APP": "shop"`, 1, []string{"subscription { myOrders { colour } }\n  two\n",
			`Cannot query field "colour" on type "Order".`, "no longer runs 1 of 2 operations in use: " + consequence}},
		"by a limit of the release": {"", `"APP": "shop", "MAX_SUBSCRIPTION_FIELDS": "1"`, 1,
			[]string{"LIMIT_EXCEEDED", "no longer runs 2 of 2 operations"}},
		"not deployed yet": {"ResourceNotFoundException", `"APP": "shop"`, 0, nil},
		"no permission":    {"AccessDeniedException", `"APP": "shop"`, 1, []string{"is not known", "AccessDenied"}},
		"another product":  {"", `"APP": "nothing"`, 1, []string{"is not known", "it must be one of chat, shop"}},
		"a setting is odd": {"", `"APP": "shop", "MAX_FIELDS": "x"`, 1, []string{"is not known", "MAX_FIELDS"}},
		"no such function": {"", ``, 1, []string{"is not known", "the template has no sender"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(deployed(`{}`, false, operations(test.fault)))
			defer server.Close()
			function := ""
			if test.sender != "" {
				function = `"sender": {"Type": "AWS::Lambda::Function", "Properties": {"FunctionName": "subwire-shop-prod-sender",
					"Environment": {"Variables": {"OPERATIONS_TABLE": {"Ref": "operations"}, ` + test.sender + `}}}},`
			}
			path := filepath.Join(t.TempDir(), "template.json")
			text := `{"Resources": {` + function + `"operations": {"Type": "AWS::DynamoDB::Table",
				"Properties": {"TableName": "subwire-shop-prod-operations"}}}}`
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			status, said := command(t, server.URL, "stored", path)
			if status != test.status || (said == "") != (test.said == nil) || strings.Contains(said, "secret") {
				t.Errorf("status %d, want %d: %s", status, test.status, said)
			}
			for _, want := range test.said {
				if !strings.Contains(said, want) {
					t.Errorf("said %s, want %s", said, want)
				}
			}
		})
	}
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("no template"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args   []string
		status int
	}{
		"nothing":              {nil, 2},
		"an unknown command":   {[]string{"during", broken}, 2},
		"no template":          {[]string{"before", broken + ".not"}, 1},
		"something else":       {[]string{"after", broken}, 1},
		"more than a template": {[]string{"after", broken, broken}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, said := command(t, "http://127.0.0.1:0", test.args...)
			if status != test.status || strings.Count(said, "\n") != 1 {
				t.Errorf("status %d: %s", status, said)
			}
		})
	}
}

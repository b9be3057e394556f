package boot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"subwire/shared/products"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// functionEnv makes the test binary the process of a function. Its run fails if the
// variable's value ends in "!".
const functionEnv = "BOOT_TEST_FUNCTION"

func TestMain(m *testing.M) {
	name, fails := strings.CutSuffix(os.Getenv(functionEnv), "!")
	for _, f := range topology.EveryFunction() {
		if f.Name != name {
			continue
		}
		run := func(Process) error {
			if fails {
				return errors.New("the key is\nnone")
			}
			return nil
		}
		if finder(f) == nil {
			Main(f, run)
		} else {
			MainOf(f, products.App, func(p Process, _ *subwire.App) error { return run(p) })
		}
		return
	}
	m.Run()
}

// finder is what Load needs for the function.
func finder(f topology.Function) func(string) (topology.Product, error) {
	if slices.Contains(topology.App.ReadBy(), f.Name) {
		return products.Named
	}
	return nil
}

// full is an environment with all that any function needs.
func full() map[string]string {
	p, err := products.Named(topology.App.Default)
	if err != nil {
		panic(err) // TestMain has no test to fail
	}
	return environment(p)
}

func environment(p topology.Product) map[string]string {
	env := map[string]string{topology.CallbackEnv: "https://api/stage", topology.WebSocketEnv: "wss://api/stage",
		topology.HTTPEnv: "https://api/graphql"}
	for _, t := range p.AllTables() {
		env[t.Env()] = "dev-" + t.Name
	}
	for _, q := range (topology.Product{Inputs: true}).Queues() {
		env[q.Env] = "https://sqs/" + q.Name
	}
	return env
}

func TestEveryFunctionStartsWithItsDefaults(t *testing.T) {
	t.Parallel()
	for _, f := range append(topology.EveryFunction(), topology.Hosts()...) {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			env := full()
			c, err := Load(f, finder(f), func(name string) string { return env[name] })
			if err != nil {
				t.Fatal(err)
			}
			for _, table := range c.product.Function(f.Name).Tables {
				if got := fmt.Sprint(c.Tables()); !strings.Contains(got, "dev-"+table.Name) {
					t.Errorf("tables are %s, without %s", got, table.Name)
				}
			}
			for _, q := range f.Queues {
				if got := c.Queue(q); got != "https://sqs/"+q.Name {
					t.Errorf("queue %s is %q", q.Name, got)
				}
			}
		})
	}
}

// shop is a product of the tests' own.
var shop = topology.Product{Name: "shop", Tables: []topology.Table{{Name: "orders", Key: "id", Stream: true},
	{Name: "customers", Key: "id"}}}

func TestRowsOfAProduct(t *testing.T) {
	t.Parallel()
	env := environment(shop)
	want := map[string]string{"orders": "dev-orders", "customers": "dev-customers"}
	for _, f := range []topology.Function{topology.Message, topology.GraphQL, topology.Stream, topology.Sender} {
		c, errs := load(shop, f.Name, func(name string) string { return env[name] })
		if got := c.Tables().Products; errs != nil || !maps.Equal(got, want) {
			t.Errorf("%s has %v, %v", f.Name, got, errs)
		}
		_, errs = load(shop, f.Name, func(string) string { return "" })
		if err := errors.Join(errs...); err == nil || !strings.Contains(err.Error(), "CUSTOMERS_TABLE is not set") {
			t.Errorf("%s without its tables: %v", f.Name, err)
		}
	}
	if c, errs := load(shop, topology.Connect.Name, func(name string) string { return env[name] }); errs != nil ||
		strings.Contains(fmt.Sprint(c.Tables()), "dev-orders") {
		t.Errorf("connect has %v, %v", c.Tables(), errs)
	}
}

func TestEveryProblemIsNamed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		function topology.Function
		env      map[string]string
		want     []string
	}{
		"NothingIsSet":        {topology.Stream, nil, []string{"SUBSCRIPTIONS_TABLE is not set", "FANOUT_QUEUE is not set"}},
		"NoCallback":          {topology.Sender, map[string]string{topology.CallbackEnv: ""}, []string{"CALLBACK_URL is not set"}},
		"GroupsNoPowerOfTwo":  {topology.Stream, map[string]string{"FANOUT_GROUPS": "3"}, []string{`FANOUT_GROUPS is "3"`, "power of two"}},
		"WorkersNotANumber":   {topology.Sender, map[string]string{"SENDER_WORKERS": "many"}, []string{"SENDER_WORKERS", "1 to 450"}},
		"InitTimeoutTooLong":  {topology.Connect, map[string]string{"INIT_TIMEOUT": "1h"}, []string{"INIT_TIMEOUT", "14m0s"}},
		"UnknownLogLevel":     {topology.Connect, map[string]string{"LOG_LEVEL": "loud"}, []string{"LOG_LEVEL"}},
		"NoWebSocket":         {topology.GraphQL, map[string]string{topology.WebSocketEnv: ""}, []string{"WEBSOCKET_URL is not set"}},
		"GraphiQLNoBool":      {topology.GraphQL, map[string]string{"GRAPHIQL": "maybe"}, []string{"GRAPHIQL"}},
		"UnknownAuth":         {topology.Sender, map[string]string{"AUTH": "none"}, []string{"AUTH", "anonymous, jwt"}},
		"ASecretForItsDigest": {topology.Connect, map[string]string{"EDGE_SECRET_SHA256": "secret"}, []string{"EDGE_SECRET_SHA256", "SHA-256"}},
		"StoredTokens":        {topology.Message, map[string]string{"INIT_MEMBERS": "client, X-Auth-Token"}, []string{"INIT_MEMBERS", "X-Auth-Token would store a secret"}},
		"TooManyConnections":  {topology.Connect, map[string]string{"MAX_CONNECTIONS": "9999"}, []string{"MAX_CONNECTIONS", "0 to 1000"}},
		"LeewayTooLong":       {topology.GraphQL, map[string]string{"JWT_LEEWAY": "1h"}, []string{"JWT_LEEWAY", "5m0s"}},
		"LimitNegative":       {topology.Sender, map[string]string{"MAX_COMPLEXITY": "-1"}, []string{"MAX_COMPLEXITY", "1 to 10000000"}},
		"NoneOfATopic":        {topology.Stream, map[string]string{"MAX_OPERATIONS_PER_TOPIC": "0"}, []string{"MAX_OPERATIONS_PER_TOPIC", "1 to 1000"}},
		"ReplayTooSmall":      {topology.Message, map[string]string{"MAX_REPLAY_BYTES": "1000"}, []string{"MAX_REPLAY_BYTES", "131072 to"}},
		"ResultTooLarge":      {topology.GraphQL, map[string]string{"MAX_RESULT_BYTES": "1000001"}, []string{"MAX_RESULT_BYTES", "1000 to 1000000"}},
		"ReadsTooLittle":      {topology.Message, map[string]string{"MAX_READ_BYTES": "1"}, []string{"MAX_READ_BYTES", "16384 to"}},
		"NoMutations":         {topology.GraphQL, map[string]string{"MAX_MUTATIONS": "0"}, []string{"MAX_MUTATIONS", "1 to 100"}},
		"OperationIDTooLong":  {topology.Message, map[string]string{"MAX_OPERATION_ID_BYTES": "2000"}, []string{"MAX_OPERATION_ID_BYTES", "1 to 1024"}},
		"FramesNotANumber":    {topology.Message, map[string]string{"MAX_FRAMES_PER_SECOND": "", "MAX_INIT_BYTES": "x"}, []string{"MAX_INIT_BYTES"}},
		"CostNegative":        {topology.Connect, map[string]string{"MAX_COST_PER_MINUTE": "-1"}, []string{"MAX_COST_PER_MINUTE", "0 to 1000000000"}},
		"OriginWithAPath":     {topology.GraphQL, map[string]string{"ALLOWED_ORIGINS": "https://a.example/"}, []string{"ALLOWED_ORIGINS", "without a slash"}},
		"NoSuchProduct":       {topology.Stream, map[string]string{"APP": "nothing"}, []string{`APP is "nothing": it must be one of chat`}},
		"IntrospectionNoBool": {topology.Message, map[string]string{"INTROSPECTION": "maybe"}, []string{"INTROSPECTION"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := map[string]string{}
			if tc.env != nil {
				env = full()
			}
			for k, v := range tc.env {
				env[k] = v
			}
			_, err := Load(tc.function, finder(tc.function), func(name string) string { return env[name] })
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

// outside are values that the setting refuses; none if it accepts any text.
func outside(t *testing.T, s *topology.Setting) []string {
	t.Helper()
	least, most, _ := strings.Cut(s.Bounds, " to ")
	bad := []string{"maybe", "1e1"}
	switch _, err := strconv.Atoi(least); {
	case s.Bounds == "":
		return map[*topology.Setting][]string{
			topology.App.Setting:            {"nothing", "Chat", " chat"},
			topology.Auth.Setting:           {"none", "JWT", " jwt"},
			topology.JWTAlgorithm.Setting:   {"RS512", "none", "hs256"},
			topology.JWTKeysURL.Setting:     {"i.example/keys", "file:///keys", "https:///keys", "https://:443/keys"},
			topology.AllowedOrigins.Setting: {"null", "https://a.example/", "*,https://a.example", ","},
			topology.InitMembers.Setting:    {"client, X-Auth-Token"},
			topology.Claims.Setting:         {strings.Repeat("x", 65)},
			topology.HostURL.Setting:        {"host:80", "ftp://host", "http://", "http://host?a=b", "http://me@host"},
			topology.HandshakeToken.Setting: {"on", "Required", "true"},
			topology.EdgeSecret.Setting:     {"secret", strings.Repeat("a", 63), strings.Repeat("a", 65)},
			topology.RequireOrigin.Setting:  {"maybe", "2"},
			topology.Introspection.Setting:  {"maybe", "2"},
			topology.GraphiQL.Setting:       {"maybe", "2"},
			topology.LogLevel.Setting:       {"loud", "1"},
			topology.Metrics.Setting:        {"maybe", "2"},
			topology.Fast.Setting:           {"maybe", "2"},
			topology.LargeTopics.Setting:    {"maybe", "2"},
		}[s]
	case err == nil:
		return append(bad, beyond(t, least, -1), beyond(t, most, 1))
	}
	low, err := time.ParseDuration(least)
	high, err2 := time.ParseDuration(most)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return append(bad, (low - 1).String(), (high + 1).String(), "10")
}

func beyond(t *testing.T, number string, by int) string {
	t.Helper()
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(n + by)
}

// Whatever is wrong with a setting, each function that reads it says so in one line
// that names it, and ends. Text that boot accepts unchecked is refused by its user: see
// the tests of the functions message and graphql.
func TestEveryBadValueIsOneLogLine(t *testing.T) {
	t.Parallel()
	anyText := map[*topology.Setting]bool{topology.JWTIssuer.Setting: true, topology.JWTAudience.Setting: true,
		topology.JWTKey.Setting: true, topology.HostKey.Setting: true, topology.TrustedDocuments.Setting: true, topology.CanaryToken.Setting: true}
	for _, s := range topology.Settings() {
		t.Run(s.Env, func(t *testing.T) {
			t.Parallel()
			values := outside(t, s)
			if anyText[s] != (len(values) == 0) {
				t.Fatalf("%d bad values are known", len(values))
			}
			for _, value := range values {
				for _, f := range topology.EveryFunction() {
					env := full()
					env[s.Env] = value
					_, err := Load(f, finder(f), func(name string) string { return env[name] })
					switch reads := slices.Contains(s.ReadBy(), f.Name); {
					case !reads && err != nil:
						t.Errorf("%s with %q: %v", f.Name, value, err)
					case reads && (err == nil || !strings.HasPrefix(err.Error(), s.Env) || strings.Contains(err.Error(), "\n")):
						t.Errorf("%s with %q: %v", f.Name, value, err)
					}
				}
			}
			if len(values) > 0 {
				name := s.ReadBy()[0]
				if line := process(t, name, s.Env+"="+values[0]); !strings.HasPrefix(line.Error, s.Env) || line.Function != name {
					t.Errorf("the process of %s says %+v", name, line)
				}
			}
			for _, value := range strings.Split(s.Bounds, " to ") {
				if _, errs := topology.Read([]*topology.Setting{s}, func(string) string { return value }); errs != nil {
					t.Errorf("at its bound: %v", errs)
				}
			}
		})
	}
}

func TestAFunctionThatCannotRunIsOneLogLine(t *testing.T) {
	t.Parallel()
	if line := process(t, topology.Message.Name+"!"); line.Error != "the key is\nnone" {
		t.Errorf("it says %+v", line)
	}
	line := process(t, topology.Sender.Name, "SENDER_WORKERS=0", "MAX_DEPTH=0", topology.CallbackEnv+"=")
	if strings.Count(line.Error, "\n") != 2 {
		t.Errorf("it says %+v", line)
	}
}

// said is one line of a function's log.
type said struct{ Timestamp, Level, Msg, Error, Function string }

// process runs the function's process until it ends, and returns its only line.
func process(t *testing.T, function string, env ...string) (line said) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	for name, value := range full() {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(append(cmd.Env, functionEnv+"="+function), env...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	err := cmd.Run()
	var status *exec.ExitError
	if !errors.As(err, &status) || status.ExitCode() != 1 {
		t.Errorf("%s %v ended with %v", function, env, err)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%s %v said %d lines: %s", function, env, n, &log)
	}
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Level != "ERROR" || line.Msg != "cannot start" {
		t.Errorf("%s %v said %s", function, env, &log)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", line.Timestamp); err != nil { // as Lambda wants it
		t.Errorf("%s %v said it at %v", function, env, err)
	}
	return line
}

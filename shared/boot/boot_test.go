package boot

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"subwire/shared/topology"
)

// full is an environment with everything that any function needs.
func full() map[string]string {
	env := map[string]string{topology.CallbackEnv: "https://api/stage", topology.WebSocketEnv: "wss://api/stage"}
	for _, t := range topology.Tables() {
		env[t.Env] = "dev-" + t.Name
	}
	for _, q := range topology.Queues() {
		env[q.Env] = "https://sqs/" + q.Name
	}
	return env
}

func TestEveryFunctionStartsWithItsDefaults(t *testing.T) {
	t.Parallel()
	for _, f := range topology.Functions() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			env := full()
			c, err := Load(f, func(name string) string { return env[name] })
			if err != nil {
				t.Fatal(err)
			}
			for _, table := range f.Tables {
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

func TestSettings(t *testing.T) {
	t.Parallel()
	env := full()
	env[topology.InitTimeout.Env] = "3s"
	env[topology.AllowedOrigins.Env] = "https://a.example, https://B.example:443"
	c, err := Load(topology.Connect, func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if c.InitTimeout != 3*time.Second || len(c.AllowedOrigins) != 2 || c.AllowedOrigins[1] != "https://b.example" {
		t.Errorf("got %+v", c)
	}
}

func TestLimitsAreThoseOfTopologyUnlessSet(t *testing.T) {
	t.Parallel()
	for _, f := range []topology.Function{topology.Message, topology.GraphQL, topology.Sender} {
		env := full()
		c, err := Load(f, func(name string) string { return env[name] })
		if err != nil || c.Limits != topology.DefaultLimits {
			t.Errorf("%s: got %+v, %v", f.Name, c.Limits, err)
		}
		env["MAX_DEPTH"], env["MAX_ALIASES"] = "7", "0"
		want := topology.DefaultLimits
		want.Depth, want.Aliases = 7, 0
		if c, err = Load(f, func(name string) string { return env[name] }); err != nil || c.Limits != want {
			t.Errorf("%s: got %+v, %v", f.Name, c.Limits, err)
		}
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
			_, err := Load(tc.function, func(name string) string { return env[name] })
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

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"subwire/shared/chat"
	"subwire/shared/topology"
)

func TestTheCanaryIsInvokedByItsRule(t *testing.T) {
	t.Parallel()
	function := watched.named("AWS::Lambda::Function", topology.Canary.Name)
	env := environment(watched, function).(object)
	for name, want := range map[string]string{
		topology.WebSocketEnv:       "wss://<subwire-dev-sockets>.execute-api.Region.URLSuffix/live",
		topology.HTTPEnv:            "https://<subwire-dev-http>.execute-api.Region.URLSuffix/graphql",
		topology.CanaryToken.Env:    "ssm:/canary/token",
		topology.AllowedOrigins.Env: "https://a.example",
	} {
		check(t, name, env[name], want)
	}
	for _, p := range watched.all("AWS::Events::Rule") {
		check(t, "name", p["Name"], "subwire-dev-canary")
		check(t, "schedule", p["ScheduleExpression"], "rate(5 minutes)")
		target := p["Targets"].([]any)[0].(object)
		check(t, "target", watched.text(target["Arn"]), "<subwire-dev-canary:live>")
	}
	invoked := 0.0
	for _, p := range watched.all("AWS::Lambda::Permission") {
		if p["Principal"] == "events.amazonaws.com" {
			invoked++
			check(t, "function", watched.text(p["FunctionName"]), "<subwire-dev-canary:live>")
			check(t, "source", watched.text(p["SourceArn"]), "arn:Partition:events:Region:AccountId:rule/subwire-dev-canary")
		}
	}
	check(t, "rules that may invoke", invoked, 1)
	for _, p := range watched.all("AWS::Lambda::EventInvokeConfig") {
		check(t, "tries", p["MaximumRetryAttempts"], 0)
	}
}

// It is a client: it may read its token, and nothing else.
func TestTheCanaryMayReadItsTokenOnly(t *testing.T) {
	t.Parallel()
	for id, r := range watched.Resources {
		if r.Type != "AWS::IAM::Role" || !strings.HasPrefix(id, "rolecanary") {
			continue
		}
		got := granted(t, watched, r.Properties)
		want := []string{"logs:CreateLogStream on <Arn of /aws/lambda/subwire-dev-canary>", "logs:PutLogEvents on <Arn of /aws/lambda/subwire-dev-canary>",
			"ssm:GetParameter on arn:Partition:ssm:Region:AccountId:parameter/canary/token"}
		if !slices.Equal(got, want) {
			t.Errorf("it may %q", got)
		}
		return
	}
	t.Error("the canary has no role")
}

func TestTheCanaryHasAnAlarm(t *testing.T) {
	t.Parallel()
	p := alarmsOf(watched, "subwire-dev-")["canary"]
	check(t, "alarm", object{"metric": p["MetricName"], "bad": p["DatapointsToAlarm"], "minutes": p["EvaluationPeriods"]},
		object{"metric": "Errors", "bad": 2, "minutes": 11})
}

func TestARateIsReadByEventBridge(t *testing.T) {
	t.Parallel()
	for every, want := range map[time.Duration]string{time.Minute: "rate(1 minute)", time.Hour: "rate(60 minutes)"} {
		check(t, every.String(), rate(every), want)
	}
}

func TestACanaryThatCannotSingIsRefused(t *testing.T) {
	t.Parallel()
	const jwt = "AUTH=jwt;JWT_ISSUER=i;JWT_AUDIENCE=a;JWT_KEY=ssm:key"
	for name, tc := range map[string]struct{ settings, want string }{
		"without tokens":     {"", ""},
		"with its token":     {jwt + ";CANARY_TOKEN=ssm:t", ""},
		"without its token":  {jwt, "set CANARY_TOKEN=ssm:NAME to a parameter with one, with the claims chats_read=canary, chats_write=canary"},
		"a token in sight":   {jwt + ";CANARY_TOKEN=eyJ", "CANARY_TOKEN must be ssm:NAME of a parameter"},
		"behind CloudFront":  {"EDGE_SECRET_SHA256=" + strings.Repeat("a", 64), "the canary does not come through CloudFront"},
		"an unknown setting": {"CANARY=1", "entry 1 must be one of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(map[string]string{"canaryEvery": "5", "settings": tc.settings})
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "eyJ") {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
	o := options{app: topology.Product{Name: "nothing", CanaryEvery: time.Minute}, values: topology.Defaults()}
	if err := o.checkCanary(); err == nil {
		t.Error("a product that there is not was not refused")
	}
}

func TestTheDocumentsOfTheCanaryMustBeTrusted(t *testing.T) {
	t.Parallel()
	o := options{app: withCanary()}
	canary := chat.New().Canary
	for name, tc := range map[string]struct {
		documents map[string]string
		want      bool
	}{
		"both": {map[string]string{"a": canary.Post, "b": canary.Subscribe}, true},
		"one":  {map[string]string{"a": canary.Post}, false},
		"none": {nil, false},
	} {
		raw, err := json.Marshal(tc.documents)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "operations.json")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := o.trustsCanary(path); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	o.app.CanaryEvery = 0
	if !o.trustsCanary("") {
		t.Error("a deployment without a canary needs its documents")
	}
}

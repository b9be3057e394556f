package main

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"subwire/shared/topology"
)

// granted returns what a role allows, as "action on resource", sorted.
func granted(t *testing.T, tmpl template, role object) []string {
	t.Helper()
	if role["ManagedPolicyArns"] != nil {
		t.Errorf("a function's role has managed policies: %v", role["ManagedPolicyArns"])
	}
	var all []string
	for _, policy := range role["Policies"].([]any) {
		for _, s := range policy.(object)["PolicyDocument"].(object)["Statement"].([]any) {
			s := s.(object)
			if s["Effect"] != "Allow" || s["NotAction"] != nil || s["NotResource"] != nil {
				t.Errorf("statement %v does more than to allow", s)
			}
			for _, action := range list(s["Action"]) {
				for _, resource := range list(s["Resource"]) {
					all = append(all, action.(string)+" on "+tmpl.text(resource))
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// list returns a policy's value, one or many, as a list.
func list(v any) []any {
	if many, ok := v.([]any); ok {
		return many
	}
	return []any{v}
}

// roles returns the roles of the functions by the function's logical name.
func roles(tmpl template) map[string]object {
	found := map[string]object{}
	for _, f := range tmpl.app.Functions() {
		id := strings.TrimSuffix(strings.TrimPrefix(tmpl.text(tmpl.named("AWS::Lambda::Function", f.Name)["Role"]), "<Arn of "), ">")
		found[f.Name] = tmpl.Resources[id].Properties
	}
	return found
}

func TestRolesAllowWhatTopologySaysAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, tmpl := range []template{dev, shopDev, open, fast, queueing} {
		for name, role := range roles(tmpl) {
			log := " on <Arn of /aws/lambda/" + tmpl.prefix() + name + ">"
			want := []string{"logs:CreateLogStream" + log, "logs:PutLogEvents" + log}
			for _, p := range tmpl.app.Access()[name] {
				table, index, _ := strings.Cut(p.Name, "/")
				resource := map[topology.Resource]string{
					topology.OnTable:   "<Arn of " + tmpl.prefix() + p.Name + ">",
					topology.OnIndex:   "<Arn of " + tmpl.prefix() + table + ">/index/" + index,
					topology.OnQueue:   "<Arn of " + tmpl.prefix() + p.Name + ">",
					topology.OnStream:  "<StreamArn of " + tmpl.prefix() + p.Name + ">",
					topology.OnStreams: "*",
					topology.OnSockets: "arn:Partition:execute-api:Region:AccountId:<" + tmpl.prefix() + "sockets>/live/" + p.Name + "/@connections/*",
				}[p.On]
				for _, action := range p.Actions {
					want = append(want, action+" on "+resource)
				}
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, granted(t, tmpl, role)); diff != "" {
				t.Errorf("%s of %s may do otherwise (-topology +template):\n%s", name, tmpl.app.Name, diff)
			}
		}
	}
}

// Only functions that check tokens may read the key, and no other key: connect if it looks
// at tokens.
func TestTheKeyOfTokens(t *testing.T) {
	t.Parallel()
	const where = " on arn:Partition:"
	want := []string{"secretsmanager:GetSecretValue" + where + "secretsmanager:Region:AccountId:secret:jwt-??????",
		"ssm:GetParameter" + where + "ssm:Region:AccountId:parameter/aws/reference/secretsmanager/jwt"}
	for prefix, tmpl := range map[string]template{"subwire-prod-": everySwitch, "subwire-dev-": guarded} {
		names := map[any]topology.Function{}
		for _, f := range topology.Functions() {
			names[prefix+f.Name] = f
		}
		for id, p := range tmpl.all("AWS::Lambda::Function") {
			f, ours := names[p["FunctionName"]]
			if !ours {
				t.Errorf("%s is called %v", id, p["FunctionName"])
				continue
			}
			role := strings.TrimSuffix(strings.TrimPrefix(tmpl.text(p["Role"]), "<Arn of "), ">")
			var got []string
			for _, permission := range granted(t, tmpl, tmpl.Resources[role].Properties) {
				if strings.HasPrefix(permission, "ssm:") || strings.HasPrefix(permission, "secretsmanager:") {
					got = append(got, permission)
				}
			}
			checks := slices.Contains(f.Settings(), topology.JWTKey.Setting)
			if f.Name == topology.Connect.Name {
				checks = prefix == "subwire-dev-" // with HANDSHAKE_TOKEN
			}
			if checks != (len(got) > 0) || checks && !slices.Equal(got, want) {
				t.Errorf("%s%s may %v", prefix, f.Name, got)
			}
		}
	}
}

func TestWildcardsAreKnown(t *testing.T) {
	t.Parallel()
	sockets := "execute-api:ManageConnections on arn:Partition:execute-api:Region:AccountId:<subwire-shop-dev-sockets>/live/"
	known := []string{ // a connection's id is not known beforehand, and IAM has nothing narrower for listing streams
		sockets + "POST/@connections/*", sockets + "DELETE/@connections/*", "dynamodb:ListStreams on *",
	}
	for name, role := range roles(shopDev) {
		for _, permission := range granted(t, shopDev, role) {
			if strings.ContainsAny(permission, "*?") && !slices.Contains(known, permission) {
				t.Errorf("%s: %s", name, permission)
			}
		}
		trust := role["AssumeRolePolicyDocument"].(object)["Statement"].([]any)
		check(t, name+" is assumed by", trust, []object{{"Action": "sts:AssumeRole", "Effect": "Allow",
			"Principal": object{"Service": "lambda.amazonaws.com"}}})
	}
}

// A publisher may put rows into the inbox and nothing else. Without publishers there is
// no policy: TestEverythingIsThereOnce.
func TestPublishersMayPublish(t *testing.T) {
	t.Parallel()
	policies := slices.Collect(maps.Values(published.all("AWS::IAM::ManagedPolicy")))
	if len(policies) != 1 {
		t.Fatalf("there are %d policies", len(policies))
	}
	statements := policies[0]["PolicyDocument"].(object)["Statement"].([]any)
	s := statements[0].(object)
	check(t, "table", published.text(s["Resource"]), "<Arn of subwire-shop-dev-inbox>")
	delete(s, "Resource")
	check(t, "statements", statements, []object{{"Effect": "Allow", "Action": "dynamodb:PutItem",
		"Condition": object{"StringEquals": object{"aws:PrincipalAccount": "123456789012"}}}})
	check(t, "roles", policies[0]["Roles"], []string{"tracker", "couriers"})
	check(t, "table's name", published.text(published.Outputs["TableInbox"]["Value"]), "<subwire-shop-dev-inbox>")
}

func TestOnlyOurAPIsInvokeFunctions(t *testing.T) {
	t.Parallel()
	for id, p := range dev.all("AWS::Lambda::Permission") {
		check(t, id+" principal", p["Principal"], "apigateway.amazonaws.com")
		source := dev.text(p["SourceArn"])
		if !strings.Contains(source, ":<subwire-dev-sockets>/*$") && !strings.Contains(source, ":<subwire-dev-http>/*/*/") {
			t.Errorf("%s may be invoked by %s", id, source)
		}
	}
}

// A function has access to exactly the resources in its environment.
func TestAccessFitsTheFunctions(t *testing.T) {
	t.Parallel()
	access := open.app.Access()
	for _, f := range open.app.Functions() {
		allowed := map[string][]string{}
		for _, p := range access[f.Name] {
			if p.On == topology.OnTable || p.On == topology.OnQueue {
				allowed[p.Name] = p.Actions
			}
			if p.On == topology.OnSockets && !f.Callback {
				t.Errorf("%s may call the management API and is not given its URL", f.Name)
			}
			known := slices.ContainsFunc(f.Tables, func(t topology.Table) bool { return t.Name == p.Name })
			if p.On == topology.OnTable && !known {
				t.Errorf("%s may use table %s and is not given its name", f.Name, p.Name)
			}
		}
		for _, q := range f.Queues {
			if !slices.Contains(allowed[q.Name], "sqs:SendMessage") {
				t.Errorf("%s is given queue %s and may not send to it", f.Name, q.Name)
			}
		}
	}
	for _, m := range open.app.QueueMappings() {
		may := slices.ContainsFunc(access[m.Function.Name], func(p topology.Permission) bool {
			return p.On == topology.OnQueue && p.Name == m.Queue.Name && slices.Contains(p.Actions, "sqs:ReceiveMessage")
		})
		if !may {
			t.Errorf("%s is fed by %s and may not receive from it", m.Function.Name, m.Queue.Name)
		}
	}
}

// accessTable is what functions may do, in the form of ARCHITECTURE.md.
func accessTable() string {
	product := topology.Product{Tables: []topology.Table{{Name: "of the product", Stream: true}}}
	var b strings.Builder
	b.WriteString("| function | may |\n|---|---|\n")
	for _, f := range topology.EveryFunction() {
		b.WriteString(accessRow(f.Name, product.Access()[f.Name]))
		if f.Name == topology.Stream.Name {
			product := product
			product.QueueOnly = true
			b.WriteString(accessRow(f.Name+", with `DIRECT=0` or `FAST`", product.Access()[f.Name]))
		}
	}
	return b.String()
}

func accessRow(who string, access []topology.Permission) string {
	var may []string
	for _, p := range access {
		var actions []string
		for _, action := range p.Actions {
			_, operation, _ := strings.Cut(action, ":")
			actions = append(actions, operation)
		}
		what := strings.TrimSpace(string(p.On) + " " + p.Name)
		if p.On == topology.OnSockets {
			may = append(may, p.Name+" @connections")
		} else {
			may = append(may, what+": "+strings.Join(actions, ", "))
		}
	}
	if may == nil {
		may = []string{"nothing: it is a client"}
	}
	return "| " + who + " | " + strings.Join(may, " · ") + " |\n"
}

// What stream delivers events with, it gets only if it delivers some.
func TestWhoDeliversKnowsTheSockets(t *testing.T) {
	t.Parallel()
	for _, tmpl := range []template{dev, shopDev, fast, queueing} {
		env := environment(tmpl, tmpl.named("AWS::Lambda::Function", topology.Stream.Name)).(object)
		for _, name := range []string{topology.CallbackEnv, topology.Retries.Env, topology.RetriesDead.Env, topology.Operations.Env(),
			topology.HostKey.Env, topology.SenderWorkers.Env} {
			if _, told := env[name]; told == tmpl.app.QueueOnly {
				t.Errorf("with QueueOnly %v, stream of %s gets %s: %v", tmpl.app.QueueOnly, tmpl.app.Name, name, told)
			}
		}
	}
	if dev.app.QueueOnly || !fast.app.QueueOnly || !queueing.app.QueueOnly {
		t.Error("the settings do not decide")
	}
}

func TestArchitectureShowsTheAccess(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	if table := accessTable(); !strings.Contains(string(text), table) {
		t.Errorf("ARCHITECTURE.md must have this table:\n%s", table)
	}
}

// Only functions that announce their writes get the queue and the table for it.
func TestWhoAnnouncesKnowsTheQueue(t *testing.T) {
	t.Parallel()
	for _, tmpl := range []template{dev, fast} {
		for _, f := range tmpl.app.Functions() {
			env := tmpl.named("AWS::Lambda::Function", f.Name)["Environment"].(object)["Variables"].(object)
			_, knows := env[topology.Fanout.Env]
			writes := f.Name == topology.Message.Name || f.Name == topology.GraphQL.Name
			if want := f.Name == topology.Stream.Name || tmpl.app.Fast && writes; knows != want {
				t.Errorf("with FAST %v, %s knows the queue: %v", tmpl.app.Fast, f.Name, knows)
			}
		}
	}
	if _, err := parse(map[string]string{"app": "shop", "settings": "FAST=true"}); err == nil || !strings.Contains(err.Error(), "App.Fast") {
		t.Errorf("a product that is not fast: %v", err)
	}
}

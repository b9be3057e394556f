package main

import (
	"maps"
	"os"
	"strings"
	"testing"

	"subwire/shared/topology"
)

func TestSwitchesOfNoMeaningAreRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		key, value string
		want       string // part of the error; "" if it is valid
	}{
		"TheFastWay":                {"settings", "FAST=true", ""},
		"AnUnknownProduct":          {"app", "nothing", "-c app=nothing: it must be one of chat"},
		"AProductAmongSettings":     {"settings", "APP=chat", "-c settings: APP is set with -c app=NAME"},
		"DefaultsAreGood":           {"env", "dev", ""},
		"AnyName":                   {"env", "feature42", ""},
		"ANameWithADash":            {"env", "shop-dev", "-c env=shop-dev: it must be a small letter, and small letters and digits"},
		"AnUpperCaseName":           {"env", "Dev", "it must be a small letter"},
		"NoName":                    {"env", "", "-c env=: it must be a small letter"},
		"TheLongestName":            {"env", strings.Repeat("a", 64-len("subwire--disconnect")), ""},
		"ATooLongName":              {"env", strings.Repeat("a", 66-len("subwire--disconnect")), "it is 2 characters too long: a function would be called subwire-aaa"},
		"ProductionNoBoolean":       {"production", "prod", "-c production=prod: it must be one of false, true"},
		"AnAccountAlone":            {"account", "123456789012", "it must be given together with region"},
		"ARegionAlone":              {"region", "eu-west-1", "-c account=: it must be given together with region"},
		"AnAccountByName":           {"account", "prod", "it must be an account's id, 12 digits"},
		"ARegionByName":             {"region", "Ireland", "it must be a region such as eu-west-1"},
		"AnOwnerWithAComma":         {"owner", "a,b", "it must be letters, digits, spaces and"},
		"ABudgetForNobody":          {"budget", "100", "-c budget=100: it must be 0, or alarms must say whom to tell"},
		"ABudgetInCents":            {"budget", "1.5", "it must be whole US dollars a month"},
		"ANegativeCeiling":          {"maxWrites", "-1", "-c maxWrites=-1: it must be units a second, or 0 for no ceiling"},
		"ACeilingOfNoNumber":        {"maxReads", "many", "-c maxReads=many: it must be units a second"},
		"AShiftWithoutAlarms":       {"shift", "Canary10Percent10Minutes", "off, or alarms must be there: without them nothing takes a release back"},
		"AnUnknownShift":            {"shift", "10%", "-c shift=10%: it must be one of off, Canary10Percent10Minutes,"},
		"AnUnknownProcessor":        {"arch", "arm", "-c arch=arm: it must be one of amd64, arm64"},
		"AnOddRetention":            {"logRetention", "31", "it must be one of 1, 3, 5, 7, 14, 30, 60, 90, 180, 365"},
		"ABoolean":                  {"reserve", "no", "-c reserve=no: it must be one of false, true"},
		"ASmallNumber":              {"small", "10", "-c small=10: it must be one of false, true"},
		"ATypo":                     {"allowedOrigin", "https://a.example", `there is no switch "allowedOrigin"; there are accessLogs, account, accountConcurrency, alarms, allowedOrigins,`},
		"KeysOfTheCDKArePassedOver": {"aws:cdk:enable-asset-metadata", "true", ""},
		"ManyOrigins":               {"allowedOrigins", "https://a.example, http://localhost:3000", ""},
		"AnOriginWithAPath":         {"allowedOrigins", "https://a.example/", "it must be * or origins such as https://example.com"},
		"AnOriginOfAnApp":           {"allowedOrigins", "capacitor://localhost", ""},
		"TheOriginNull":             {"allowedOrigins", "null", "any page can take the origin null"},
		"OriginsAmongSettings":      {"settings", "ALLOWED_ORIGINS=https://a.example/", `-c settings: ALLOWED_ORIGINS is "https://a.example/": "https://a.example/" can never match`},
		"AnOriginWithoutAScheme":    {"allowedOrigins", "a.example", "it must be * or origins"},
		"AStarAmongOrigins":         {"allowedOrigins", "*,https://a.example", "it must be * or origins"},
		"ADomainWithoutCertificate": {"wsDomain", "ws.a.example", "-c certificate=: it must be the ARN of a certificate"},
		"ACertificateForNothing":    {"certificate", "arn:aws:acm:eu-west-1:1:certificate/1", "with wsDomain or httpDomain"},
		"ADomainThatIsAURL":         {"httpDomain", "https://a.example", "it must be a domain name such as api.example.com"},
		"SettingsOfTopology":        {"settings", "MAX_DEPTH=20; MAX_FIELDS=900", ""},
		"AnUnknownSetting":          {"settings", "MAX_DEPTH=20;MAX_DEPHT=2", "entry 2 must be one of ALLOWED_ORIGINS"},
		"TokensByAKeySet":           {"settings", "AUTH=jwt;JWT_ISSUER=https://i.example;JWT_AUDIENCE=a;JWT_JWKS_URL=https://i.example/jwks", ""},
		"TokensOfAnyAudience":       {"settings", "AUTH=jwt;JWT_ISSUER=i;JWT_JWKS_URL=https://i.example/jwks", "needs JWT_ISSUER and JWT_AUDIENCE"},
		"TokensWithoutAKey":         {"settings", "AUTH=jwt;JWT_ISSUER=i;JWT_AUDIENCE=a", "either JWT_JWKS_URL or JWT_KEY"},
		"ASecretAmongSettings":      {"settings", "AUTH=jwt;JWT_ISSUER=i;JWT_AUDIENCE=a;JWT_KEY=secret", "JWT_KEY must be ssm:NAME"},
		"ATokenOfNobody":            {"settings", "HANDSHAKE_TOKEN=required", "HANDSHAKE_TOKEN needs AUTH=jwt"},
		"MoreClaims":                {"settings", "CLAIMS=tenant,role;MAX_DEPTH=20", ""},
		"TooManyClaims":             {"settings", "CLAIMS=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r", "-c settings: with those of product chat, CLAIMS is"},
		"ASettingWithoutAValue":     {"settings", "MAX_DEPTH", "entry 1 must be one of"},
		"AnAlgorithmOfNoFunction":   {"settings", "JWT_ALGORITHM=RS512", `JWT_ALGORITHM is "RS512": it must be one of RS256, PS256, ES256, EdDSA, HS256`},
		"NoAlgorithm":               {"settings", "JWT_ALGORITHM=none", `JWT_ALGORITHM is "none"`},
		"KeysWithoutAScheme":        {"settings", "AUTH=jwt;JWT_ISSUER=i;JWT_AUDIENCE=a;JWT_JWKS_URL=i.example/keys", `-c settings: JWT_JWKS_URL is "i.example/keys": it must be an http or https URL with a host`},
		"APublishedSecret":          {"settings", "AUTH=jwt;JWT_ISSUER=i;JWT_AUDIENCE=a;JWT_ALGORITHM=HS256;JWT_JWKS_URL=https://i.example/keys", "JWT_ALGORITHM=HS256 needs JWT_KEY"},
		"ASecretInAParameter":       {"settings", "AUTH=jwt;JWT_ISSUER=i;JWT_AUDIENCE=a;JWT_ALGORITHM=HS256;JWT_KEY=ssm:/key", ""},
		"AnotherFileOfDocuments":    {"settings", "TRUSTED_DOCUMENTS=nofile.json", "TRUSTED_DOCUMENTS is set with -c trustedDocuments=true"},
		"NoFileOfDocuments":         {"settings", "TRUSTED_DOCUMENTS=", "TRUSTED_DOCUMENTS is set with -c trustedDocuments=true"},
		"ASecretThatIsStored":       {"settings", "INIT_MEMBERS=client-name,Api-Key", "Api-Key would store a secret"},
		"ASettingOutOfItsBounds":    {"settings", "MAX_DEPTH=101;AUTH=yes", `-c settings: AUTH is "yes": it must be one of anonymous, jwt; -c settings: MAX_DEPTH is "101": it must be a number from 1 to 100`},
		"PublicNoBoolean":           {"public", "yes", "-c public=yes: it must be one of false, true"},
		"TrustedDocumentsNoBoolean": {"trustedDocuments", "operations.json", "it must be one of false, true"},
		"APublisherByName":          {"publishers", "tracker", "it must be ARNs of roles of one account, such as arn:aws:iam::123456789012:role/tracker, separated by commas"},
		"AUserAsPublisher":          {"publishers", "arn:aws:iam::123456789012:role/a,arn:aws:iam::123456789012:user/b", "it must be ARNs of roles"},
		"ASessionAsPublisher":       {"publishers", "arn:aws:sts::123456789012:assumed-role/a/b", "it must be ARNs of roles"},
		"PublishersOfTwoAccounts":   {"publishers", "arn:aws:iam::123456789012:role/a,arn:aws:iam::123456789013:role/a", "it must be ARNs of roles of one account"},
		"AnyRoleAsPublisher":        {"publishers", "arn:aws:iam::123456789012:role/*", "it must be ARNs of roles"},
		"AlarmsByMail":              {"alarms", "ops@example.com", ""},
		"AlarmsToATopic":            {"alarms", "arn:aws:sns:eu-west-1:123456789012:ops", ""},
		"AlarmsToNobody":            {"alarms", "me", "-c alarms=me: it must be an e-mail address, the ARN of an SNS topic, or off"},
		"AlarmsToAQueue":            {"alarms", "arn:aws:sqs:eu-west-1:123456789012:ops", "it must be an e-mail address"},
		"ADashboard":                {"dashboard", "true", ""},
		"ADashboardOfMine":          {"dashboard", "mine", "-c dashboard=mine: it must be true or false"},
		"AnAccountOfNothing":        {"accountConcurrency", "0", "it must be a number of invocations"},
		"ACanary":                   {"canaryEvery", "5", ""},
		"ACanaryOfSeconds":          {"canaryEvery", "30s", "-c canaryEvery=30s: it must be minutes, 60 at most, or 0 for no canary"},
		"ASeldomCanary":             {"canaryEvery", "61", "it must be minutes, 60 at most"},
		"ACanaryOfAges":             {"canaryEvery", "9223372036854775807", "it must be minutes, 60 at most"},
		"WaysInNoBoolean":           {"inputs", "sqs", "-c inputs=sqs: it must be one of false, true"},
		"APatternWithoutWaysIn":     {"eventPattern", `{"source":["a"]}`, "it must be empty, or inputs must be true"},
		"NoPattern":                 {"eventPattern", "com.example.couriers", `it must be an event pattern as JSON, such as {"source":["com.example.couriers"]}`},
		"APatternOfEverything":      {"eventPattern", "{}", "it must be an event pattern as JSON"},
		"APatternOfText":            {"eventPattern", `{"source":"a"}`, "it must be an event pattern as JSON"},
		"TopicsWithoutWaysIn":       {"eventTopics", "arn:aws:sns:eu-west-1:123456789012:a", "it must be empty, or inputs must be true"},
		"ATopicByName":              {"eventTopics", "couriers", "it must be different ARNs of topics, such as arn:aws:sns:eu-west-1:123456789012:couriers, separated by commas"},
		"ATopicTwice":               {"eventTopics", "arn:aws:sns:eu-west-1:123456789012:a,arn:aws:sns:eu-west-1:123456789012:a", "it must be different ARNs of topics"},
		"AnyTopic":                  {"eventTopics", "arn:aws:sns:eu-west-1:123456789012:*", "it must be different ARNs of topics"},
		"AQueueAsTopic":             {"eventTopics", "arn:aws:sqs:eu-west-1:123456789012:a", "it must be different ARNs of topics"},
		"AnEmulatorWithoutTLS":      {"local", "http://localhost:4566", "it must be the URL of an emulator, such as https://localhost:4566"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(map[string]string{tc.key: tc.value})
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			case err != nil && strings.Contains(err.Error(), "\n"):
				t.Errorf("more than one line: %v", err)
			}
		})
	}
}

// A secret with a semicolon is taken for two entries.
func TestTheRestOfASecretIsNotPrinted(t *testing.T) {
	t.Parallel()
	for _, rest := range []string{"hunter2", "hunter2=", " hunter2=="} {
		_, err := parse(map[string]string{"settings": "AUTH=jwt;JWT_KEY=first;" + rest})
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "entry 3 must be") {
			t.Errorf("%q: %v", rest, err)
		}
	}
}

func TestATopicForAlarmsIsInTheirRegion(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]string{"eu-west-1": "", "us-east-1": "it must be a topic in us-east-1"} {
		_, err := parse(map[string]string{"alarms": "arn:aws:sns:eu-west-1:123456789012:ops", "account": "123456789012", "region": region})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", region, err)
		}
	}
}

func TestProductionHasAlarmsOrSaysThatItHasNone(t *testing.T) {
	t.Parallel()
	for alarms, fine := range map[string]bool{"": false, "off": true, "ops@example.com": true} {
		_, err := parse(map[string]string{"env": topology.Production, "public": "true", "alarms": alarms})
		if (err == nil) != fine || err != nil && !strings.Contains(err.Error(), "set -c alarms") {
			t.Errorf("alarms %q: %v", alarms, err)
		}
	}
	if _, err := parse(map[string]string{}); err != nil {
		t.Errorf("a development needs alarms: %v", err)
	}
}

func TestProductionIsNotOpenBySilence(t *testing.T) {
	t.Parallel()
	const jwt, bound = "AUTH=jwt;JWT_ISSUER=i;JWT_AUDIENCE=a;JWT_JWKS_URL=https://i.example/jwks", "MAX_CONNECTIONS=20"
	for name, tc := range map[string]struct {
		context map[string]string // in addition to env=prod
		missing string            // "" if it is valid
	}{
		"Nothing":               {nil, "AUTH=jwt, -c allowedOrigins, MAX_CONNECTIONS"},
		"All":                   {map[string]string{"allowedOrigins": "https://a.example", "settings": jwt + ";" + bound}, ""},
		"OriginsAmongSettings":  {map[string]string{"settings": jwt + ";" + bound + ";ALLOWED_ORIGINS=https://a.example"}, ""},
		"NoToken":               {map[string]string{"allowedOrigins": "https://a.example", "settings": bound}, "AUTH=jwt"},
		"AnonymousBySetting":    {map[string]string{"allowedOrigins": "https://a.example", "settings": "AUTH=anonymous;" + bound}, "AUTH=jwt"},
		"AnyOrigin":             {map[string]string{"settings": jwt + ";" + bound}, "-c allowedOrigins"},
		"AnyOriginBySetting":    {map[string]string{"allowedOrigins": "https://a.example", "settings": jwt + ";" + bound + ";ALLOWED_ORIGINS=*"}, "-c allowedOrigins"},
		"AnyNumber":             {map[string]string{"allowedOrigins": "https://a.example", "settings": jwt}, "MAX_CONNECTIONS"},
		"AnyNumberBySetting":    {map[string]string{"allowedOrigins": "https://a.example", "settings": jwt + ";MAX_CONNECTIONS=0"}, "MAX_CONNECTIONS"},
		"AnyNumberInOtherWords": {map[string]string{"allowedOrigins": "https://a.example", "settings": jwt + ";MAX_CONNECTIONS=00"}, "MAX_CONNECTIONS"},
		"AnyOriginInOtherWords": {map[string]string{"settings": jwt + ";" + bound + ";ALLOWED_ORIGINS= *"}, "-c allowedOrigins"},
		"Public":                {map[string]string{"public": "true"}, ""},
		"NotPublic":             {map[string]string{"public": "false"}, "AUTH=jwt, -c allowedOrigins, MAX_CONNECTIONS"},
		"AProductionOfAnyName":  {map[string]string{"env": "live", "production": "true"}, "AUTH=jwt, -c allowedOrigins, MAX_CONNECTIONS"},
		"NoProduction":          {map[string]string{"env": "test"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			context := map[string]string{"env": topology.Production, "alarms": "off"}
			maps.Copy(context, tc.context)
			_, err := parse(context)
			want := "-c env=" + context["env"] + " is open to anybody: set " + tc.missing + " (docs/settings.md), or say that it is meant with -c public=true"
			if tc.missing == "" && err != nil || tc.missing != "" && (err == nil || err.Error() != want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A setting without a value takes nothing away from what the switches say.
func TestAnEmptySettingOverridesNothing(t *testing.T) {
	t.Parallel()
	o, err := parse(map[string]string{"env": topology.Production, "public": "true", "alarms": "off",
		"allowedOrigins": "https://a.example", "settings": "INTROSPECTION=;GRAPHIQL=;ALLOWED_ORIGINS="})
	if err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[*topology.Setting]string{topology.Introspection.Setting: "false",
		topology.GraphiQL.Setting: "false", topology.AllowedOrigins.Setting: "https://a.example"} {
		if got := o.value(setting); got != want {
			t.Errorf("%s is %q, want %q", setting.Env, got, want)
		}
	}
}

func TestEverySwitch(t *testing.T) {
	t.Parallel()
	tmpl := everySwitch
	for id, p := range tmpl.all("AWS::Lambda::Function") {
		check(t, id+" architecture", p["Architectures"], []string{"x86_64"})
		check(t, id+" concurrency", p["ReservedConcurrentExecutions"], nil)
		check(t, id+" tracing", p["TracingConfig"], object{"Mode": "Active"})
		check(t, id+" platform's least level", p["LoggingConfig"].(object)["SystemLogLevel"], "INFO")
		env := p["Environment"].(object)["Variables"].(object)
		if origins, told := env[topology.AllowedOrigins.Env]; told {
			check(t, id+" origins", origins, "https://a.example,https://b.example")
		}
		for _, setting := range []topology.SettingOf[bool]{topology.Introspection, topology.GraphiQL} {
			if value, told := env[setting.Env]; told {
				check(t, id+" "+setting.Env, value, "false")
			}
		}
		if value, told := env[topology.MaxDepth.Env]; told {
			check(t, id+" depth", value, "20")
		}
		if value, told := env[topology.TrustedDocuments.Env]; told {
			check(t, id+" trusted documents", value, "operations.json")
		}
		if url, told := env[topology.WebSocketEnv]; told {
			check(t, id+" WebSocket URL", url, "wss://ws.a.example")
		}
	}
	traced := 0.0 // roles that may write X-Ray's segments
	for _, p := range tmpl.all("AWS::IAM::Policy") {
		if text := tmpl.text(p["PolicyDocument"]); strings.Contains(text, "xray:PutTraceSegments") && strings.Contains(text, "xray:PutTelemetryRecords") {
			traced++
		}
	}
	check(t, "traced roles", traced, len(tmpl.all("AWS::Lambda::Function")))
	for id, p := range tmpl.all("AWS::Logs::LogGroup") {
		check(t, id, p["RetentionInDays"], 90)
	}
	for id, p := range tmpl.all("AWS::ApiGatewayV2::Stage") {
		if settings, _ := p["AccessLogSettings"].(object); settings == nil || strings.Contains(tmpl.text(settings["Format"]), "$context.path") {
			t.Errorf("%s: access log is %v", id, settings)
		}
	}
	check(t, "account's logging roles", float64(len(tmpl.all("AWS::ApiGateway::Account"))), 1)
	check(t, "fan-out groups", tmpl.Outputs[topology.OutputFanoutGroups]["Value"], "16")
	check(t, "WebSocket URL", tmpl.Outputs[topology.OutputWSURL]["Value"], "wss://ws.a.example")
	check(t, "HTTP URL", tmpl.Outputs[topology.OutputHTTPURL]["Value"], "https://api.a.example/graphql")
	check(t, "domains", float64(len(tmpl.all("AWS::ApiGatewayV2::DomainName"))), 2)
	check(t, "mapped domains", float64(len(tmpl.all("AWS::ApiGatewayV2::ApiMapping"))), 2)
}

// An account limited to ten concurrent functions can reserve none of them, and its
// queues must not take all ten.
func TestASmallAccount(t *testing.T) {
	t.Parallel()
	for id, p := range small.all("AWS::Lambda::Function") {
		check(t, id+" concurrency", p["ReservedConcurrentExecutions"], nil)
	}
	sum := 0.0
	for _, p := range small.all("AWS::Lambda::EventSourceMapping") {
		if scaling, ofQueue := p["ScalingConfig"].(object); ofQueue {
			sum += scaling["MaximumConcurrency"].(float64)
		}
	}
	check(t, "invocations by the queues", sum, 6)
	for id, r := range small.Resources {
		if r.Type != "AWS::Lambda::Function" && r.Type != "AWS::Lambda::EventSourceMapping" {
			check(t, id, map[string]any(r.Properties), dev.Resources[id].Properties)
		}
	}
}

func TestInAnEmulatorOnlyTheAddressesDiffer(t *testing.T) {
	t.Parallel()
	deployed := maps.Clone(dev.all("AWS::ApiGatewayV2::Stage")["socketsstage"])
	delete(deployed, "RouteSettings") // its routes are all of functions
	check(t, "stage", emulated.all("AWS::ApiGatewayV2::Stage")["socketsstage"], deployed)
	for id := range emulated.Resources {
		if strings.HasPrefix(id, "mock") {
			t.Errorf("it has %s, whose answer it cannot have", id)
		}
	}
	check(t, "WebSocket URL", emulated.text(emulated.Outputs[topology.OutputWSURL]["Value"]),
		"wss://localhost:4566/_aws/execute-api/<subwire-dev-sockets>/live")
	for id, r := range emulated.Resources {
		// For roles see stack.role. A version's id is made of its function's settings.
		if r.Type != "AWS::Lambda::Function" && r.Type != "AWS::IAM::Role" && r.Type != "AWS::Lambda::Version" && r.Type != "AWS::Lambda::Alias" && id != "socketsstage" {
			check(t, id, map[string]any(r.Properties), dev.Resources[id].Properties)
		}
	}
}

// operations returns a section of docs/operations.md.
func operations(t *testing.T, heading string) string {
	t.Helper()
	raw, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(raw), "\n### "+heading+"\n")
	if !found {
		t.Fatalf("docs/operations.md has no section %s", heading)
	}
	section, _, _ = strings.Cut(section, "\n#")
	return section
}

func TestEverySwitchIsDocumented(t *testing.T) {
	t.Parallel()
	var rows []string // first columns
	for _, line := range strings.Split(operations(t, "Switches"), "\n") {
		if column, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok && strings.HasPrefix(line, "| `") {
			rows = append(rows, column)
		}
	}
	all := strings.Join(rows, ", ")
	for key := range defaults {
		internal := key == "assets" || key == "local" // for scripts
		if strings.Contains(all, "`"+key+"`") == internal {
			t.Errorf("%s in the table of switches: %v", key, !internal)
		}
	}
	if named := strings.Count(all, "`") / 2; named != len(defaults)-2 {
		t.Errorf("the table has %d switches, there are %d", named, len(defaults)-2)
	}
}

// What the checklist says is refused is refused, and nothing else is.
func TestTheChecklistOfAProductionIsEnforced(t *testing.T) {
	t.Parallel()
	_, open := parse(map[string]string{"env": topology.Production})
	_, deaf := parse(map[string]string{"env": topology.Production, "public": "true"})
	if open == nil || deaf == nil {
		t.Fatalf("an open production: %v; one without alarms: %v", open, deaf)
	}
	said := open.Error() + deaf.Error()
	byDeploycheck := "Service Quotas" // see TestWhetherTheAccountSuffices of scripts/deploycheck
	for _, line := range strings.Split(operations(t, "Production"), "\n") {
		columns := strings.Split(line, " | ")
		if len(columns) != 3 || !strings.Contains(line, "`") || strings.Contains(line, byDeploycheck) {
			continue
		}
		what := strings.Trim(strings.SplitN(columns[1], "`", 3)[1], "`")
		if refused := strings.HasPrefix(columns[2], "refused"); refused != strings.Contains(said, what) {
			t.Errorf("without %s it is refused: %v in the checklist, but not in fact", what, refused)
		}
	}
}

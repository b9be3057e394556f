package main

import (
	"maps"
	"os"
	"path/filepath"
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
		"AnUnknownProduct":          {"app", "nothing", "-c app=nothing: it must be one of chat"},
		"AProductAmongSettings":     {"settings", "APP=chat", "-c settings: APP is set with -c app=NAME"},
		"DefaultsAreGood":           {"env", "dev", ""},
		"AnUnknownDeployment":       {"env", "production", "-c env=production: it must be one of dev, test, prod"},
		"AnUnknownProcessor":        {"arch", "arm", "-c arch=arm: it must be one of amd64, arm64"},
		"AnOddRetention":            {"logRetention", "31", "it must be one of 1, 3, 5, 7, 14, 30, 60, 90, 180, 365"},
		"ABoolean":                  {"reserve", "no", "-c reserve=no: it must be one of false, true"},
		"ASmallNumber":              {"small", "10", "-c small=10: it must be one of false, true"},
		"ATypo":                     {"allowedOrigin", "https://a.example", `there is no switch "allowedOrigin"; there are accessLogs, allowedOrigins,`},
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
		"PublishersOfNoEvents":      {"publishers", "arn:aws:iam::123456789012:role/tracker", "it must be empty, as product chat takes no events"},
		"APublisherByName":          {"publishers", "tracker", "it must be ARNs of roles such as arn:aws:iam::123456789012:role/tracker, separated by commas"},
		"AUserAsPublisher":          {"publishers", "arn:aws:iam::123456789012:role/a,arn:aws:iam::123456789012:user/b", "it must be ARNs of roles"},
		"ASessionAsPublisher":       {"publishers", "arn:aws:sts::123456789012:assumed-role/a/b", "it must be ARNs of roles"},
		"AnyRoleAsPublisher":        {"publishers", "arn:aws:iam::123456789012:role/*", "it must be ARNs of roles"},
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
		"NoProduction":          {map[string]string{"env": "test"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			context := map[string]string{"env": topology.Production}
			maps.Copy(context, tc.context)
			_, err := parse(context)
			want := "-c env=prod is open to anybody: set " + tc.missing + " (docs/settings.md), or say that it is meant with -c public=true"
			if tc.missing == "" && err != nil || tc.missing != "" && (err == nil || err.Error() != want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A setting without a value takes nothing away from what the switches say.
func TestAnEmptySettingOverridesNothing(t *testing.T) {
	t.Parallel()
	o, err := parse(map[string]string{"env": topology.Production, "public": "true",
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

func TestABinaryOfAnotherProcessorIsRefused(t *testing.T) {
	t.Parallel()
	self, err := os.Executable() // built for this machine, whose architecture is one of the two
	if err != nil {
		t.Fatal(err)
	}
	arm, amd := checkBinary(self, "arm64"), checkBinary(self, "amd64")
	if (arm == nil) == (amd == nil) {
		t.Errorf("arm64: %v; amd64: %v", arm, amd)
	}
	missing := checkBinary(filepath.Join(t.TempDir(), "bootstrap"), "arm64")
	if missing == nil || !strings.Contains(missing.Error(), "run ARCH=arm64 make build") {
		t.Errorf("a missing binary: %v", missing)
	}
}

func TestEverySwitch(t *testing.T) {
	t.Parallel()
	tmpl := everySwitch
	for id, p := range tmpl.all("AWS::Lambda::Function") {
		check(t, id+" architecture", p["Architectures"], []string{"x86_64"})
		check(t, id+" concurrency", p["ReservedConcurrentExecutions"], nil)
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
	check(t, "WebSocket URL", emulated.text(emulated.Outputs[topology.OutputWSURL]["Value"]),
		"wss://localhost:4566/_aws/execute-api/<subwire-dev-sockets>/live")
	for id, r := range emulated.Resources {
		if r.Type != "AWS::Lambda::Function" && r.Type != "AWS::IAM::Role" { // see stack.role
			check(t, id, map[string]any(r.Properties), dev.Resources[id].Properties)
		}
	}
}

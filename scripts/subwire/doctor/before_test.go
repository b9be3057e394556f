package doctor

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"subwire/scripts/internal/account"
	"subwire/shared/topology"
)

// healthy is an account in which everything can be deployed for the first time.
func healthy() accountAPI {
	none := func(context.Context, string) (bool, error) { return false, nil }
	return accountAPI{
		region: "eu-west-1",
		identity: func(context.Context) (string, string, error) {
			return "123456789012", "arn:aws:iam::123456789012:user/a", nil
		},
		parameter: func(context.Context, string) (string, error) { return "28", nil },
		room: func(context.Context, account.Needs) (account.Room, error) {
			return account.Room{Limit: 1000, Free: 1000}, nil
		},
		rate:        func(context.Context) (float64, error) { return 10_000, nil },
		vcpus:       func(context.Context) (float64, error) { return 6, nil },
		stack:       func(context.Context, string) (string, error) { return "", nil },
		table:       none,
		queue:       none,
		logGroup:    none,
		loggingRole: func(context.Context) (string, error) { return "", nil },
		keys:        func(context.Context, string, string) (int, error) { return 2, nil },
	}
}

var errForbidden = errors.New("AccessDenied")

// lines are the results as text.
func lines(all []result) string {
	var text []string
	for _, r := range all {
		text = append(text, r.State+" "+r.Check+": "+r.Says)
	}
	return strings.Join(text, "\n")
}

func only(name string) func(context.Context, string) (bool, error) {
	return func(_ context.Context, asked string) (bool, error) { return asked == name, nil }
}

func stackIs(status string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) { return status, nil }
}

func TestWhatIsInTheWayOfADeployment(t *testing.T) {
	t.Parallel()
	const jwt = "settings=AUTH=jwt;JWT_ISSUER=i;JWT_AUDIENCE=a;"
	parameter := func(text string, err error) func(*accountAPI) {
		return func(a *accountAPI) {
			a.parameter = func(_ context.Context, name string) (string, error) {
				if name == bootstrapParameter {
					return "6", nil
				}
				return text, err
			}
		}
	}
	for name, tc := range map[string]struct {
		switches []string
		change   func(*accountAPI)
		want     string // a line; "" for nothing but ok
	}{
		"nothing": {nil, nil, ""},
		"no credentials": {nil, func(a *accountAPI) {
			a.identity = func(context.Context) (string, string, error) { return "", "", errForbidden }
		}, "error credentials: none that AWS takes; set AWS_PROFILE, or log in: AccessDenied"},
		"no region":       {nil, func(a *accountAPI) { a.region = "" }, "error credentials: no AWS region"},
		"another account": {[]string{"account=210987654321"}, nil, "error credentials: they are of account 123456789012, and -c account=210987654321"},
		"the account":     {[]string{"account=123456789012", "region=eu-west-1"}, nil, ""},
		"another region":  {[]string{"region=us-east-1"}, nil, "error credentials: the region is eu-west-1, and -c region=us-east-1"},
		"no bootstrap": {nil, func(a *accountAPI) {
			a.parameter = func(context.Context, string) (string, error) { return "", errMissing }
		}, "error bootstrap: the CDK was never set up in this account and region; run scripts/deploy.sh bootstrap once"},
		"an old bootstrap": {nil, func(a *accountAPI) { a.parameter = func(context.Context, string) (string, error) { return "5", nil } }, "error bootstrap: version 5 is too old, the CDK wants 6"},
		"an odd bootstrap": {nil, func(a *accountAPI) { a.parameter = func(context.Context, string) (string, error) { return "x", nil } }, "error bootstrap: version x is too old"},
		"a bootstrap nobody shows": {nil, func(a *accountAPI) {
			a.parameter = func(context.Context, string) (string, error) { return "", errForbidden }
		}, "warning bootstrap: not known: AccessDenied"},
		"a new account": {nil, func(a *accountAPI) {
			a.room = func(context.Context, account.Needs) (account.Room, error) {
				return account.Room{Limit: 10, Free: 10}, nil
			}
		}, "error concurrency: this account may run 10 functions at once; reserving 200 needs 300: deploy with -c small=true"},
		"a new account, small": {[]string{"small=true"}, func(a *accountAPI) {
			a.room = func(context.Context, account.Needs) (account.Room, error) {
				return account.Room{Limit: 10, Free: 10}, nil
			}
		}, ""},
		"a new account, nothing reserved": {[]string{"reserve=false"}, func(a *accountAPI) {
			a.room = func(context.Context, account.Needs) (account.Room, error) {
				return account.Room{Limit: 10, Free: 10}, nil
			}
		}, "warning concurrency: this account may run 10 functions at once, and the queues alone may take 120"},
		"a quiet region":    {nil, func(a *accountAPI) { a.rate = func(context.Context) (float64, error) { return 2500, nil } }, "warning API Gateway: 2500 requests a second for the account; clients may take 3500 of them"},
		"an unknown quota":  {nil, func(a *accountAPI) { a.rate = func(context.Context) (float64, error) { return 0, errForbidden } }, "warning API Gateway: not known: AccessDenied"},
		"an upgrade":        {nil, func(a *accountAPI) { a.stack, a.table = stackIs("UPDATE_COMPLETE"), only("subwire-test-messages") }, ""},
		"a rolled back one": {nil, func(a *accountAPI) { a.stack = stackIs("UPDATE_ROLLBACK_COMPLETE") }, ""},
		"a busy stack":      {nil, func(a *accountAPI) { a.stack = stackIs("UPDATE_IN_PROGRESS") }, "error stack: subwire-test is UPDATE_IN_PROGRESS: wait"},
		"a broken stack":    {nil, func(a *accountAPI) { a.stack = stackIs("UPDATE_ROLLBACK_FAILED") }, "error stack: subwire-test is UPDATE_ROLLBACK_FAILED: look at its events"},
		"a left table":      {nil, func(a *accountAPI) { a.table = only("subwire-test-messages") }, "error leftovers: these have names that the stack needs: table subwire-test-messages; delete them"},
		"a left queue":      {nil, func(a *accountAPI) { a.stack, a.queue = stackIs("ROLLBACK_COMPLETE"), only("subwire-test-fanout.fifo") }, "error leftovers: these have names that the stack needs: queue subwire-test-fanout.fifo"},
		"a left log":        {nil, func(a *accountAPI) { a.logGroup = only("/aws/lambda/subwire-test-sender") }, "error leftovers: these have names that the stack needs: log group /aws/lambda/subwire-test-sender"},
		"unseen leftovers": {nil, func(a *accountAPI) {
			a.queue = func(context.Context, string) (bool, error) { return false, errForbidden }
		}, "warning leftovers: not known"},
		"logs by a role": {[]string{"accessLogs=true"}, func(a *accountAPI) {
			a.loggingRole = func(context.Context) (string, error) { return "arn:aws:iam::1:role/others", nil }
		}, "warning access logs: all APIs of the account log by the role arn:aws:iam::1:role/others, which the deployment replaces"},
		"logs by our role": {[]string{"accessLogs=true"}, func(a *accountAPI) {
			a.loggingRole = func(context.Context) (string, error) { return "arn:aws:iam::1:role/subwire-test-rolelogging", nil }
		}, ""},
		"a key":              {[]string{jwt + "JWT_KEY=ssm:/key"}, parameter("key", nil), ""},
		"no key":             {[]string{jwt + "JWT_KEY=ssm:/key"}, parameter("", errMissing), "error JWT_KEY: there is no parameter /key in eu-west-1"},
		"an empty key":       {[]string{jwt + "JWT_KEY=ssm:/key"}, parameter(" \n", nil), "error JWT_KEY: the parameter /key is empty"},
		"a key nobody shows": {[]string{jwt + "JWT_KEY=ssm:/key"}, parameter("", errForbidden), "warning JWT_KEY: not known"},
		"no token":           {[]string{jwt + "CANARY_TOKEN=ssm:/token"}, parameter("", errMissing), "error CANARY_TOKEN: there is no parameter /token"},
		"keys":               {[]string{jwt + "JWT_JWKS_URL=https://i.example/keys"}, nil, ""},
		"no keys": {[]string{jwt + "JWT_JWKS_URL=https://i.example/keys"}, func(a *accountAPI) {
			a.keys = func(context.Context, string, string) (int, error) { return 0, errForbidden }
		}, "error JWT_JWKS_URL: no token can be checked: AccessDenied"},
		"a certificate":             {[]string{"certificate=arn:aws:acm:eu-west-1:1:certificate/1"}, nil, ""},
		"a certificate elsewhere":   {[]string{"certificate=arn:aws:acm:us-east-1:1:certificate/1"}, nil, "error certificate: arn:aws:acm:us-east-1:1:certificate/1 is no certificate in eu-west-1"},
		"a host":                    {[]string{"host=fargate"}, nil, ""},
		"a large host":              {[]string{"host=fargate", "hostMostTasks=30"}, nil, "warning Fargate: 6 vCPUs for the account, and 30 tasks (-c hostMostTasks) need 15 during a deployment: ask AWS for more"},
		"a large host, quota":       {[]string{"host=fargate", "hostMostTasks=30"}, func(a *accountAPI) { a.vcpus = func(context.Context) (float64, error) { return 15, nil } }, ""},
		"a host, unknown quota":     {[]string{"host=fargate"}, func(a *accountAPI) { a.vcpus = func(context.Context) (float64, error) { return 0, errForbidden } }, "warning Fargate: not known: AccessDenied"},
		"no host, no quota":         {nil, func(a *accountAPI) { a.vcpus = func(context.Context) (float64, error) { return 0, nil } }, ""},
		"a host's left log":         {[]string{"host=fargate"}, func(a *accountAPI) { a.logGroup = only("/subwire/subwire-test-host") }, "error leftovers: these have names that the stack needs: log group /subwire/subwire-test-host"},
		"its certificate elsewhere": {[]string{"host=fargate", "hostCertificate=arn:aws:acm:us-east-1:1:certificate/1"}, nil, "error hostCertificate: arn:aws:acm:us-east-1:1:certificate/1 is no certificate in eu-west-1"},
		"a certificate of no sense": {[]string{"certificate=mine"}, nil, "error certificate: mine is no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := healthy()
			if tc.change != nil {
				tc.change(&a)
			}
			p, err := read("test", tc.switches)
			if err != nil {
				t.Fatal(err)
			}
			var bad []result
			for _, r := range p.checkAccount(t.Context(), a) {
				if r.State != ok {
					bad = append(bad, r)
				}
			}
			if got := lines(bad); !strings.HasPrefix(got, tc.want) || (got == "") != (tc.want == "") || len(bad) > 1 {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// The algorithm of the keys is the setting's, or its default.
func TestKeysAreThoseOfTheAlgorithm(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{"JWT_JWKS_URL=u": "RS256", "JWT_JWKS_URL=u;JWT_ALGORITHM=ES256": "ES256"} {
		a := healthy()
		a.keys = func(_ context.Context, url, algorithm string) (int, error) {
			if url != "u" || algorithm != want {
				t.Errorf("asked for %s at %s, want %s", algorithm, url, want)
			}
			return 1, nil
		}
		p, err := read("", []string{"settings=" + settings})
		if err != nil {
			t.Fatal(err)
		}
		p.checkKeys(t.Context(), a)
	}
}

// What the doctor thinks is reserved is what the topology says.
func TestNeedsFollowTheSwitches(t *testing.T) {
	t.Parallel()
	for switches, want := range map[string]struct{ functions, reserved, mapped int }{
		"":              {3, 200, 120},
		"reserve=false": {0, 0, 120},
		"small=true":    {0, 0, 6},
	} {
		p, err := read("dev", strings.Fields(switches))
		if err != nil {
			t.Fatal(err)
		}
		n, sum := p.needs(), 0
		for name, reserved := range n.Reserved {
			sum += reserved
			if !strings.HasPrefix(name, "subwire-dev-") {
				t.Errorf("a function is called %s", name)
			}
		}
		if len(n.Reserved) != want.functions || sum != want.reserved || n.Mapped != want.mapped {
			t.Errorf("%q: %+v, want %+v", switches, n, want)
		}
	}
}

func TestNamesAreThoseOfTheSwitches(t *testing.T) {
	t.Parallel()
	for want, switches := range map[string][]string{"subwire-dev": nil, "subwire-shop-qa": {"app=shop", "env=qa"}} {
		if p, err := read("", switches); err != nil || p.stack != want {
			t.Errorf("%v: %s, %v", switches, p.stack, err)
		}
	}
	if p, err := read("prod", []string{"env=dev", "inputs=true", "app=shop"}); err != nil || p.stack != "subwire-shop-prod" ||
		!slices.ContainsFunc(p.app.Queues(), func(q topology.Queue) bool { return q.Name == topology.Events.Name }) {
		t.Errorf("%+v, %v", p, err)
	}
	p, err := read("", []string{"canaryEvery=5"})
	if err != nil || !slices.ContainsFunc(p.app.Functions(), func(f topology.Function) bool { return f.Name == topology.Canary.Name }) {
		t.Errorf("no function is the canary: %+v, %v", p, err)
	}
}

func TestBinaries(t *testing.T) {
	t.Parallel()
	if got := lines(plan{arch: "arm"}.checkBinaries()); got != "error binaries: -c arch=arm: it must be one of amd64, arm64" {
		t.Error(got)
	}
	self, err := os.Executable() // for one of both
	if err != nil {
		t.Fatal(err)
	}
	assets := t.TempDir()
	states := map[string]int{}
	for _, arch := range []string{"arm64", "amd64"} {
		p, err := read("", []string{"arch=" + arch, "assets=" + assets})
		if err != nil {
			t.Fatal(err)
		}
		if got := lines(p.checkBinaries()); !strings.HasSuffix(got, "is not a Linux executable: run ARCH="+arch+" make build; make deploy does it") {
			t.Error(got)
		}
	}
	for _, f := range topology.Functions() {
		if err := os.Mkdir(filepath.Join(assets, f.Name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, filepath.Join(assets, f.Name, "bootstrap")); err != nil {
			t.Fatal(err)
		}
	}
	for _, arch := range []string{"arm64", "amd64"} {
		p, err := read("", []string{"arch=" + arch, "assets=" + assets})
		if err != nil {
			t.Fatal(err)
		}
		states[p.checkBinaries()[0].State]++
	}
	if states[ok] != 1 || states[warning] != 1 {
		t.Errorf("of two processors %v", states)
	}
	for _, arch := range []string{"arm64", "amd64"} { // the host's is missing
		p, err := read("", []string{"arch=" + arch, "assets=" + assets, "host=fargate"})
		if got := p.checkBinaries()[0]; err != nil || got.State != warning {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

func TestTools(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		printed map[string]string
		want    string
	}{
		"all": {map[string]string{"go": "go version go1.26.0 linux/arm64\n", "node": "v22.1.0\n", "npm": "11.1.0\n"},
			"ok go: go version go1.26.0 linux/arm64\nok node: v22.1.0\nok npm: 11.1.0"},
		"none": {nil, "error go: it is not installed; install Go 1.26 or newer\n" +
			"error node: it is not installed; install Node.js 20.19 or newer\nerror npm: it is not installed; install npm (it comes with Node.js)"},
		"old": {map[string]string{"go": "go version go1.25.9 linux/arm64", "node": "v18.20.1", "npm": "none"},
			"error go: go version go1.25.9 linux/arm64 is too old; install Go 1.26 or newer\n" +
				"error node: v18.20.1 is too old; install Node.js 20.19 or newer\nwarning npm: its version is not known: none"},
		"newer by a major one": {map[string]string{"go": "go version go2.0 x", "node": "v30.0.0", "npm": "1.0"},
			"ok go: go version go2.0 x\nok node: v30.0.0\nok npm: 1.0"},
	} {
		got := lines(checkTools(t.Context(), func(_ context.Context, name string, _ ...string) (string, error) {
			printed, there := tc.printed[name]
			if !there {
				return "", os.ErrNotExist
			}
			return printed, nil
		}))
		if got != tc.want {
			t.Errorf("%s\ngot  %s\nwant %s", name, got, tc.want)
		}
	}
}

// The scripts say the same.
func TestTheScriptsNeedTheSameTools(t *testing.T) {
	t.Parallel()
	for _, tool := range tools {
		sh := exec.Command("/bin/sh", "-c", `. ../../need.sh; look "$1"; echo "$what${oldest:+ $oldest or newer}"`, "sh", tool.name)
		sh.Env = []string{"PATH="} // the versions here do not matter
		text, err := sh.Output()
		if got := strings.TrimSpace(string(text)); err != nil || got != tool.install {
			t.Errorf("need.sh asks for %q, the doctor for %q, error %v", got, tool.install, err)
		}
	}
}

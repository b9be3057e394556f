package compat

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"subwire/scripts/internal/cloud"
	"subwire/scripts/internal/wsclient"
	"subwire/shared/pubsub"
	"subwire/shared/subwire"
	"subwire/shared/topology"
)

// changes make the schema of testdata/jobs.go another one.
var changes = []string{
	"	Title string `json:\"title\"`\n", "	Extra *string `json:\"extra,omitempty\"`\n", // a field is gone, another is new
	"Size *int ", "Size int ", // an argument is required
	`"State", Open, Late)`, `"State", Open)`, // an enum has lost a value
	"Number *string", "Number *int", // an argument has another type
}

// affected are subscriptions that the change ends, and what their clients hear.
var affected = map[string]struct {
	operation    wsclient.Operation
	code, reason string
}{
	"AFieldIsGone": {wsclient.Operation{Query: `subscription { jobs(team: "a") { id title } }`},
		"GRAPHQL_VALIDATION_FAILED", `Cannot query field "title" on type "Job".`},
	"AnArgumentIsRequired": {wsclient.Operation{Query: `subscription { sized(team: "a") { id } }`},
		"GRAPHQL_VALIDATION_FAILED", `"size"`},
	"AValueIsGone": {wsclient.Operation{Query: `subscription ($state: State) { stated(team: "a", state: $state) { id } }`,
		Variables: map[string]any{"state": "LATE"}}, "BAD_USER_INPUT", `Variable "$state" of type "State" got an invalid value`},
	"ATypeIsAnother": {wsclient.Operation{Query: `subscription ($n: String) { numbered(team: "a", number: $n) { id } }`,
		Variables: map[string]any{"n": "secret"}}, "GRAPHQL_VALIDATION_FAILED",
		`Variable "$n" of type "String" used in position expecting type "Int".`},
}

const changed = "The schema has changed, and this subscription has ended. "

// A release with another schema over live subscriptions. subwire check names those that no
// longer run, before. At the next event each of their clients hears why, once, and none
// tries again; the others go on.
func TestASchemaThatChangesUnderLiveSubscriptions(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two releases of a product")
	}
	t.Parallel()
	if _, err := os.Stat(filepath.Join(root, "scripts", "clients", "node_modules", "graphql-ws")); err != nil {
		t.Fatal("the clients are not installed; run scripts/clients.sh")
	}
	s := &site{logs: &lockedBuffer{}, installed: installed{root: t.TempDir(), releases: map[string]string{
		before: release(t), now: release(t, changes...)}}}
	for _, f := range topology.Functions() {
		if err := s.install(f.Name, before); err != nil {
			t.Fatal(err)
		}
	}
	app := subwire.New("jobs")
	subwire.NewTable(app, subwire.TableSpec{Name: "jobs", Key: "team", Sort: "id", OnlyInserts: true},
		func(subwire.Change[struct {
			Team string `json:"team"`
			ID   string `json:"id"`
		}], subwire.Emit) {
		})
	jars, err := filepath.Abs(filepath.Join(root, ".cache", "jars"))
	if err == nil {
		err = errors.Join(os.MkdirAll(jars, 0o755), os.Mkdir(filepath.Join(s.root, ".cache"), 0o755),
			os.Symlink(jars, filepath.Join(s.root, ".cache", "jars")))
	}
	if err == nil {
		s.Cloud, err = cloud.Start(t.Context(), cloud.Config{Root: s.root, App: app.Product(), Output: s.logs, Replaces: true,
			Redelivery: time.Second, Settings: map[string]string{topology.InitTimeout.Env: "5m"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	forget, err := s.Announce(s.root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(forget)

	c, err := wsclient.Dial(within(t), s.WSURL, wsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ending := map[string]*wsclient.Subscription{}
	for name, a := range affected {
		if ending[name], err = c.Subscribe(within(t), a.operation); err != nil {
			t.Fatal(err)
		}
	}
	staying, err := c.Subscribe(within(t), wsclient.Operation{Query: `subscription { jobs(team: "a") { id } }`})
	if err != nil {
		t.Fatal(err)
	}
	page := follow(t, s.WSURL, `subscription ($after: ID) { jobs(team: "a", after: $after) { id title } }`,
		`{"after":"`+strings.Repeat("0", 26)+`"}`)
	const all = 6 // subscriptions
	await(t, s, "all subscriptions", func() bool { return s.listed(t) == all })
	add(t, c)
	for _, sub := range ending {
		next(t, s, sub)
	}
	next(t, s, staying)
	if got := page.line(t); !strings.Contains(got, `"next"`) {
		t.Fatalf("the page got %s", got)
	}

	said, code := s.check(t, before)
	if code != 0 || said != "all 6 operations in use run\n" {
		t.Errorf("the release that runs: %d, %s", code, said)
	}
	said, code = s.check(t, now)
	if code != 1 || !strings.Contains(said, "of 6 operations in use, 5 no longer run") ||
		strings.Contains(said, "secret") || strings.Contains(said, "LATE") {
		t.Errorf("the release to come: %d, %s", code, said)
	}
	for name, a := range affected {
		if !strings.Contains(said, a.code+": ") || !strings.Contains(said, a.reason) || !strings.Contains(said, a.operation.Query+"\n") {
			t.Errorf("%s is not told: %s", name, said)
		}
	}

	s.deploy(t, now, topology.Functions()...)
	add(t, c)
	for name, sub := range ending {
		_, err := sub.Next(within(t))
		var refused *wsclient.OperationError
		if !errors.As(err, &refused) {
			t.Fatalf("%s: %v\n%s", name, err, s.logs)
		}
		var told pubsub.Errors
		if err := json.Unmarshal(refused.Errors, &told); err != nil || !strings.HasPrefix(told[0].Message, changed) ||
			!strings.Contains(told[0].Message, affected[name].reason) || told[0].Extensions["code"] != affected[name].code {
			t.Errorf("%s: told %s", name, refused.Errors)
		}
	}
	next(t, s, staying)
	if got := page.line(t); !strings.HasPrefix(got, `{"error":[{"message":"`+changed+`Cannot query field \"title\"`) {
		t.Errorf("the page got %s", got)
	}
	await(t, s, "one subscription left", func() bool { return s.listed(t) == 1 })
	add(t, c)
	next(t, s, staying)
	page.stdin.Close()
	if got := page.line(t); got != `{"subscribes":1}` {
		t.Errorf("the page goes on: %s", got)
	}
	if said, code := s.check(t, now); code != 1 { // operations stay until their connections' time is up
		t.Errorf("after the release: %d, %s", code, said)
	}
}

// release returns a folder with the functions and the tool, built with testdata/jobs.go
// after these replacements (what, by what, …).
func release(t *testing.T, replaced ...string) string {
	t.Helper()
	source, err := os.ReadFile("testdata/jobs.go")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replaced); i += 2 {
		if !strings.Contains(string(source), replaced[i]) {
			t.Fatalf("jobs.go has no %s", replaced[i])
		}
	}
	folder := filepath.Join(t.TempDir(), "jobs")
	built := filepath.Join(folder, "release")
	do := func(name string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOWORK=", "GOBIN="+built, "PRODUCT="+folder)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, args, err, out)
		}
	}
	do("scripts/new.sh", "jobs", folder)
	product := strings.NewReplacer(replaced...).Replace(string(source))
	if err := os.WriteFile(filepath.Join(folder, "jobs.go"), []byte(product), 0o600); err != nil {
		t.Fatal(err)
	}
	do("make", "tools")
	do("scripts/build.sh", "local")
	for _, f := range topology.Functions() { // as install wants them
		err = errors.Join(err, os.MkdirAll(built, 0o755),
			os.Rename(filepath.Join(folder, "bin", "local", f.Name, "bootstrap"), filepath.Join(built, f.Name)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// check runs subwire check of a release on the cloud.
func (s *site) check(t *testing.T, release string) (said string, code int) {
	t.Helper()
	cmd := exec.CommandContext(within(t), filepath.Join(s.releases[release], "subwire"), "check", "--local")
	cmd.Dir = s.root
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	} else if ok {
		code = exit.ExitCode()
	}
	return string(out), code
}

// listed counts the subscriptions of the topic.
func (s *site) listed(t *testing.T) (n int) {
	t.Helper()
	for _, err := range s.store().Subscriptions(t.Context(), "a", time.Now()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func add(t *testing.T, c *wsclient.Client) {
	t.Helper()
	if _, err := c.Query(within(t), wsclient.Operation{Query: `mutation { add(team: "a") { id } }`}); err != nil {
		t.Fatal(err)
	}
}

func next(t *testing.T, s *site, sub *wsclient.Subscription) {
	t.Helper()
	if raw, err := sub.Next(within(t)); err != nil || !json.Valid(raw) || strings.Contains(string(raw), "errors") {
		t.Fatalf("got %s, %v\n%s", raw, err, s.logs)
	}
}

// program is scripts/clients/follow.mjs while it runs.
type program struct {
	stdin io.Closer
	lines chan string
}

func follow(t *testing.T, args ...string) program {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"follow.mjs"}, args...)...)
	cmd.Dir = filepath.Join(root, "scripts", "clients")
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := program{stdin, make(chan string, 100)}
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		stdin.Close()
		for range p.lines {
		}
		_ = cmd.Wait()
	})
	return p
}

func (p program) line(t *testing.T) string {
	t.Helper()
	select {
	case line := <-p.lines:
		return line
	case <-within(t).Done():
		t.Fatal("the program prints nothing")
		return ""
	}
}

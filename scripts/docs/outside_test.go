package docs

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"subwire/scripts/internal/wsclient"
)

// A product in a repository of its own takes no change here: it is made, tested, built,
// run, described and synthesized from its folder.
func TestAProductHasARepositoryOfItsOwn(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds and runs the new product")
	}
	before := must(t, root, "git", "status", "--porcelain")
	folder := filepath.Join(t.TempDir(), "jobs")
	must(t, root, "make", "new", "NAME=jobs", "DIR="+folder)
	must(t, folder, "env", "GOWORK=off", "go", "test", "./...")
	if out := must(t, folder, "gofmt", "-l", "."); out != "" {
		t.Errorf("not formatted: %s", out)
	}

	runs(t, folder)
	tool := filepath.Join(folder, "bin", "local", "subwire")
	if sdl := must(t, folder, tool, "schema"); !strings.Contains(sdl, "itemChanged(id: ID!): Item!") ||
		strings.Contains(sdl, "newMessage") {
		t.Errorf("the schema is\n%s", sdl)
	}
	out, err := command(t, folder, tool, "schema", "--app", "chat").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "it must be one of jobs\n") {
		t.Errorf("the tool knows others: %v, %s", err, out)
	}
	if template := synthesized(t, folder); !strings.Contains(template, `"TableName": "subwire-jobs-dev-items"`) ||
		!strings.Contains(template, `"APP": "jobs"`) {
		t.Error("the template is not the product's")
	}
	if after := must(t, root, "git", "status", "--porcelain"); after != before {
		t.Errorf("the checkout has changed:\n%swas\n%s", after, before)
	}
}

// patience bounds every wait. It is not an expectation: the machine may be busy.
const patience = 5 * time.Minute

var socketURL = regexp.MustCompile(`ws://\S+`)

// runs starts the local cloud with the product, and follows a change of a row.
func runs(t *testing.T, folder string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cloud := command(t, root, "make", "run", "PRODUCT="+folder, "ARGS=--http 127.0.0.1:0 --ws 127.0.0.1:0")
	cloud.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // make does not pass on a signal
	var errs strings.Builder
	cloud.Stderr = &errs
	out, err := cloud.StdoutPipe()
	if err == nil {
		err = cloud.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	stop := func() { _ = syscall.Kill(-cloud.Process.Pid, syscall.SIGINT) }
	context.AfterFunc(ctx, stop)
	url := ""
	lines := bufio.NewScanner(out)
	for url == "" && lines.Scan() {
		url = socketURL.FindString(lines.Text())
	}
	if url == "" {
		t.Fatalf("the local cloud does not start: %v\n%s", cloud.Wait(), errs.String())
	}
	defer func() {
		stop()
		_, _ = io.Copy(io.Discard, out)
		_ = cloud.Wait() // make calls it an error to be interrupted
	}()

	c, err := wsclient.Dial(ctx, url, wsclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sub, err := c.Subscribe(ctx, wsclient.Operation{Query: `subscription { itemChanged(id: "1") { text } }`})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first", "second"} {
		put := wsclient.Operation{Query: `mutation { putItem(id: "1", text: "` + text + `") { id } }`}
		if _, err := c.Query(ctx, put); err != nil {
			t.Fatal(err)
		}
		for got := ""; !strings.Contains(got, text); { // the first may come twice: as the state, and as a change
			raw, err := sub.Next(ctx)
			if err != nil {
				t.Fatalf("%s: %v\n%s", text, err, errs.String())
			}
			got = string(raw)
		}
	}
}

// synthesized is the template of the product, for the functions that run here.
func synthesized(t *testing.T, folder string) string {
	t.Helper()
	out := t.TempDir()
	script := `. scripts/product.sh && cd infra && eval "$(sed -n 's/.*"app": "\(.*\)",/\1/p' cdk.json)"`
	cdk := command(t, root, "sh", "-ec", script)
	cdk.Env = append(cdk.Env, "PRODUCT="+folder, "CDK_OUTDIR="+out,
		`CDK_CONTEXT_JSON={"arch":"`+runtime.GOARCH+`","assets":"`+filepath.Join(folder, "bin", "local")+`"}`)
	if said, err := cdk.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	template, err := os.ReadFile(filepath.Join(out, "subwire-jobs-dev.template.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(template)
}

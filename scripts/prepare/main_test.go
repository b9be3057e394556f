package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"subwire/scripts/internal/faketools"
)

func TestStepsAreShown(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	waited := make(chan struct{})
	steps := []*step{
		{name: "quick", do: func(context.Context, io.Writer) error { return nil }},
		{name: "slow", do: func(context.Context, io.Writer) error { <-waited; return nil }},
	}
	seen := watch{&out, func(line string) {
		if strings.HasSuffix(line, "waiting for slow\n") {
			select {
			case <-waited:
			default:
				close(waited)
			}
		}
	}}
	if err := together(t.Context(), seen, steps, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1/3 quick: ready\n", "2/3 slow: ready\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it says %q", &out)
		}
	}
}

// watch calls a function with each line.
type watch struct {
	io.Writer
	line func(string)
}

func (w watch) Write(p []byte) (int, error) {
	w.line(string(p))
	return w.Writer.Write(p)
}

func TestOneFailureEndsAll(t *testing.T) {
	t.Parallel()
	err := together(t.Context(), io.Discard, []*step{
		{name: "bad", do: func(context.Context, io.Writer) error { return errors.New("no luck") }},
		{name: "patient", do: func(ctx context.Context, _ io.Writer) error { <-ctx.Done(); return ctx.Err() }},
	}, time.Hour)
	if err == nil || err.Error() != "bad: no luck" {
		t.Errorf("got %v", err)
	}
}

// A command that is interrupted leaves none of its children, not even those that ignore it.
func TestNoChildIsLeft(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	alive := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(alive, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		done <- command(ctx, io.Discard, "/bin/sh", "-c", `exec >"$0"; (trap '' TERM; sleep 600) & wait`, alive)
	}()
	r, err := os.Open(alive) // once the shell has opened it as well
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if err := <-done; err == nil {
		t.Error("it has not ended by a signal")
	}
	if _, err := io.ReadAll(r); err != nil { // the end comes when no process has it open
		t.Error(err)
	}
}

// With a proxy that refuses, Go says what this looks for.
func TestWithoutANetwork(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module m\n\ngo 1.26\n\nrequire example.com/a v1.0.0\n")
	write("m.go", "package m\n\nimport _ \"example.com/a\"\n")
	cmd := exec.Command("go", "build", "-mod=mod", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "GOPROXY=http://127.0.0.1:1", "GONOSUMDB=*", "GOMODCACHE="+filepath.Join(dir, "cache"))
	out, err := cmd.CombinedOutput()
	if err == nil || !offline(string(out)) {
		t.Errorf("%v: it is not seen in %s", err, out)
	}
	if offline("functions/connect/main.go:3:1: syntax error") {
		t.Error("a syntax error is taken for the network's")
	}
}

func TestDownloadsAreNotListed(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if _, err := io.WriteString(downloads{&out}, "go: downloading a v1\nx.go:1: wrong\n"); err != nil || out.String() != "x.go:1: wrong\n" {
		t.Errorf("%q, %v", &out, err)
	}
}

// tools returns a PATH with tools that print their versions, and the shell's own.
func tools(t *testing.T, says map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"sh", "sed", "expr"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	scripts := map[string]string{}
	for name, version := range says {
		scripts[name] = "echo '" + version + "'"
	}
	faketools.Write(t, dir, scripts)
	return dir
}

func TestMissingAndOldToolsAreNamedTogether(t *testing.T) {
	t.Parallel()
	good := map[string]string{"go": "go version go1.26.0 linux/amd64", "java": `openjdk version "17" 2021-09-14`, "mvn": "Apache Maven 3.6.3",
		"node": "v20.19.0", "npm": "10.8.2", "python3": "Python 3.11.0"}
	for name, tt := range map[string]struct {
		says map[string]string // in place of good; "" for a tool that is missing
		want string
	}{
		"All":     {nil, ""},
		"Newer":   {map[string]string{"go": "go version go2.0 linux/arm64", "java": `java version "24-ea"`, "mvn": "Apache Maven 4.0.0", "node": "v24.1.0"}, ""},
		"Missing": {map[string]string{"java": "", "mvn": "", "npm": ""}, "install Java 17 or newer, Apache Maven 3.6 or newer, npm (it comes with Node.js); then try again"},
		"NoneIsThere": {map[string]string{"go": "", "java": "", "mvn": "", "node": "", "npm": "", "python3": ""}, "install Go 1.26 or newer, Java 17 or newer, " +
			"Apache Maven 3.6 or newer, Node.js 20.19 or newer, npm (it comes with Node.js), Python 3.11 or newer; then try again"},
		"Old": {map[string]string{"go": "go version go1.25.4 linux/amd64", "java": `java version "1.8.0_402"`, "python3": "Python 3.9.1"},
			"install Go 1.26 or newer (here is 1.25), Java 17 or newer (here is 1.8), Python 3.11 or newer (here is 3.9); then try again"},
		"OldMaven":   {map[string]string{"mvn": "Apache Maven 3.5.4"}, "Apache Maven 3.6 or newer (here is 3.5)"},
		"Node 20.18": {map[string]string{"node": "v20.18.3"}, "Node.js 20.19 or newer (here is 20.18)"},
		"Node 21":    {map[string]string{"node": "v21.7.3"}, "Node.js 22.12 or newer (here is 21.7)"},
		"Node 22.11": {map[string]string{"node": "v22.11.0"}, "Node.js 22.12 or newer (here is 22.11)"},
		"Node 22.12": {map[string]string{"node": "v22.12.0"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			says := map[string]string{}
			for tool, version := range good {
				says[tool] = version
			}
			for tool, version := range tt.says {
				if says[tool] = version; version == "" {
					delete(says, tool)
				}
			}
			cmd := exec.Command("/bin/sh", "-euc", ". ../need.sh; need go java mvn node npm python3")
			cmd.Env = []string{"PATH=" + tools(t, says)}
			out, err := cmd.CombinedOutput()
			if (err == nil) != (tt.want == "") || !strings.Contains(string(out), tt.want) || strings.Count(string(out), "\n") > 1 {
				t.Errorf("%v: it says %s", err, out)
			}
		})
	}
}

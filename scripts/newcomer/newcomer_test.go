// Package newcomer tests the first five minutes: a fresh clone, make run with empty caches of Go
// and npm, the README's example, Ctrl-C and a second start. It has only tests.
// scripts/newcomer.sh runs them.
package newcomer

import (
	"bufio"
	"bytes"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	root = "../.." // of the repository

	// patience bounds every wait. It is not an expectation: the machine may be busy.
	patience = 30 * time.Minute
)

// nextShare is the part of the first start's CPU time, children included, that the next one may
// take. The goals are 120 s and 10 s, which the log shows; a busy machine may take twice as long for
// either.
const nextShare = 4

func TestNewcomer(t *testing.T) {
	if os.Getenv("SUBWIRE_NEWCOMER") == "" {
		t.Skip("SUBWIRE_NEWCOMER is not set; scripts/newcomer.sh sets it")
	}
	dir := t.TempDir()
	clone := filepath.Join(dir, "subwire")
	if out, err := exec.Command("git", "clone", "--quiet", root, clone).CombinedOutput(); err != nil {
		t.Fatalf("clone: %v\n%s", err, out)
	}
	env := append(os.Environ(), "GOCACHE="+filepath.Join(dir, "go"), "npm_config_cache="+filepath.Join(dir, "npm"), "GOWORK=")
	var first time.Duration
	for _, name := range []string{"first", "next"} {
		begin := time.Now()
		c := start(t, clone, env)
		t.Logf("%s start: %s until clients can connect; it said:\n%s", name, time.Since(begin).Round(100*time.Millisecond), c.said)
		for _, step := range []string{"1/4", "2/4", "3/4", "4/4"} {
			if !strings.Contains(c.said, step) {
				t.Errorf("step %s is not shown", step)
			}
		}
		c.tryExample(t, dir)
		cpu := c.stop(t)
		t.Logf("%s start: %s of CPU time", name, cpu.Round(100*time.Millisecond))
		if first == 0 {
			first = cpu
		} else if cpu > first/nextShare {
			t.Errorf("the next start took %s of CPU time after %s for the first; it should find almost all ready", cpu, first)
		}
	}
}

// cloud is a running make run.
type cloud struct {
	cmd  *exec.Cmd
	said string        // until it ran
	rest chan []string // what it said later, once it has ended
	errs *bytes.Buffer
}

// start runs make run, on free ports, until it shows what to try.
func start(t *testing.T, clone string, env []string) *cloud {
	t.Helper()
	c := &cloud{cmd: exec.Command("make", "run", "ARGS=--http 127.0.0.1:0 --ws 127.0.0.1:0"), rest: make(chan []string, 1), errs: &bytes.Buffer{}}
	c.cmd.Dir, c.cmd.Env, c.cmd.Stderr = clone, env, c.errs
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a terminal's foreground
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) }) // it has ended, unless the test failed
	limit := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	defer limit.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		c.said += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "  curl ") {
			go func() {
				var rest []string
				for lines.Scan() {
					rest = append(rest, lines.Text())
				}
				c.rest <- rest
			}()
			return c
		}
	}
	t.Fatalf("it ended before it ran; it said:\n%s%s", c.said, c.errs)
	return nil
}

var (
	example = regexp.MustCompile("(?s)```js\n(import \\{ createClient \\}.*?)```")
	sockets = regexp.MustCompile(`ws://\S+`)
)

// tryExample runs the README's client until it gets what the curl that was shown posts.
func (c *cloud) tryExample(t *testing.T, dir string) {
	t.Helper()
	readme, err := os.ReadFile(root + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	code := example.FindSubmatch(readme)
	if code == nil {
		t.Fatal("the README has no example")
	}
	script := strings.Replace(string(code[1]), "ws://127.0.0.1:4001/local", sockets.FindString(c.said), 1)
	modules, err := filepath.Abs(root + "/scripts/clients/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "listen.mjs"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	node := exec.Command("node", "listen.mjs")
	node.Dir, node.Stderr = dir, os.Stderr
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = node.Process.Kill()
		_ = node.Wait() // it was killed
	}()
	got := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		lines.Scan()
		got <- lines.Text()
	}()
	_, curl, _ := strings.Cut(c.said, "  curl ")
	tick := time.NewTicker(time.Second) // a subscribe is not acknowledged, so an earlier post may not arrive
	defer tick.Stop()
	for limit := time.After(patience); ; {
		if answer, err := exec.Command("sh", "-c", "curl -s "+curl).Output(); err != nil || !bytes.Contains(answer, []byte(`"postMessage"`)) {
			t.Fatalf("curl: %v, %s", err, answer)
		}
		select {
		case line := <-got:
			if !strings.Contains(line, "newMessage") && !strings.Contains(line, "data") {
				t.Errorf("the README's client prints %q", line)
			}
			return
		case <-tick.C:
		case <-limit:
			t.Fatal("the README's client gets nothing")
		}
	}
}

// stop presses Ctrl-C, and returns the CPU time of the whole run.
func (c *cloud) stop(t *testing.T) time.Duration {
	t.Helper()
	if err := syscall.Kill(-c.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	rest := <-c.rest
	err := c.cmd.Wait()
	interrupted := err != nil && c.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGINT // which make calls itself
	if err != nil && !interrupted || !slices.Contains(rest, "stopping") || strings.Contains(c.errs.String(), "make: ***") {
		t.Errorf("it ended with %v; it said %q, and as errors:\n%s", err, rest, c.errs)
	}
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}

// The endpoint that the example names is the one that make run has by default.
func TestTheREADMENamesTheDefaultAddress(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(root + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	code := example.FindSubmatch(readme)
	if code == nil {
		t.Fatal("the README has no example")
	}
	u, err := url.Parse(strings.Trim(sockets.FindString(string(code[1])), "',"))
	if err != nil || u.Host != "127.0.0.1:4001" || u.Path != "/local" {
		t.Errorf("it connects to %s, %v", u, err)
	}
}

package backend

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// holdEnv makes the test binary play a process that starts children, prints what it
// started, one word per line, and waits to be killed.
const holdEnv = "BACKEND_TEST_HOLD"

func TestMain(m *testing.M) {
	if what := os.Getenv(holdEnv); what != "" {
		if err := hold(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		select {}
	}
	goleak.VerifyTestMain(m)
}

func hold(what string) error {
	if what == "child" {
		// A command with a child process: both must go.
		_, err := startChild(func(line string) { fmt.Println(line) }, "/bin/sh", "-c", "sleep 60 & echo $! $$; wait")
		return err
	}
	b, err := Start(context.Background(), Config{Cache: cache})
	if err == nil {
		fmt.Println(b.DynamoDB.Endpoint, b.SQS.Endpoint)
	}
	return err
}

// killHolder starts a holder, reads the words of its first line, and kills it in a
// way it cannot prevent.
func killHolder(t *testing.T, what string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdEnv+"="+what)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Errorf("holder tells nothing: %v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	return strings.Fields(line)
}

func TestChildEndsWithItsKilledParent(t *testing.T) {
	t.Parallel()
	for _, pid := range killHolder(t, "child") {
		await(t, "end of process "+pid, func() bool { return !runs(pid) })
	}
}

func TestBackendEndsWithItsKilledParent(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts servers")
	}
	for _, endpoint := range killHolder(t, "backend") {
		await(t, "end of "+endpoint, func() bool { return !listens(endpoint) })
	}
}

func TestChildStops(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		stop func(*child)
	}{
		{"when asked", (*child).stop},
		{"when killed", (*child).kill},
		{"again", func(c *child) { c.stop(); c.stop(); c.kill() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pid := make(chan string, 1)
			c, err := startChild(func(line string) { pid <- line }, "/bin/sh", "-c", "echo $$; exec sleep 60")
			if err != nil {
				t.Fatal(err)
			}
			id := <-pid
			tt.stop(c)
			if runs(id) {
				t.Error("it still runs")
			}
		})
	}
}

func TestChildMayFinishItsWork(t *testing.T) {
	t.Parallel()
	ready := make(chan string, 2)
	c, err := startChild(func(line string) { ready <- line }, "/bin/sh", "-c",
		"trap 'echo finished; exit' TERM; echo ready; while :; do sleep 0.05; done")
	if err != nil {
		t.Fatal(err)
	}
	<-ready
	c.stop()
	if got := c.lastWords(); got != "ready\nfinished" {
		t.Errorf("its output is %q", got)
	}
}

func TestChildsOwnEnd(t *testing.T) {
	t.Parallel()
	c, err := startChild(nil, "/bin/sh", "-c", "i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); done; printf end")
	if err != nil {
		t.Fatal(err)
	}
	<-c.done
	words := strings.Split(c.lastWords(), "\n")
	if len(words) != tailLines || words[0] != "line 19" || words[tailLines-1] != "end" {
		t.Errorf("its last words are %q", words)
	}
}

// await polls for what another process does.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// runs reports whether a process exists and is not a zombie; an orphan remains one
// where nobody reaps it.
func runs(pid string) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", pid).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}

func listens(endpoint string) bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "http://"))
	if err == nil {
		conn.Close()
	}
	return err == nil
}

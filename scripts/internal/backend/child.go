package backend

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// watcher is the shell script that runs a command for as long as this process lives.
// It waits on a pipe that only we hold. A line asks the command to end. The end of
// the pipe, which comes with our own, kills the command, then everything it started
// and the watcher itself, which are one process group (0). The watcher keeps no
// output open, so that the output ends when the command does.
const watcher = `"$@" </dev/null & exec >/dev/null 2>&1
read -r line && kill $!
read -r line
kill -9 $!
wait
kill -9 0`

// stopGrace is how long a child may take to end when asked to. ElasticMQ closes its
// files at once, but then waits ten seconds for long polls, even those of clients
// that have gone.
const stopGrace = 3 * time.Second

// tailLines is how many lines of output a child's error shows.
const tailLines = 12

// child is a command that cannot outlive this process.
type child struct {
	stdin io.WriteCloser
	done  chan struct{} // closed when the command and its watcher are gone

	mu   sync.Mutex
	tail []string // the last lines of output
}

// startChild starts a command and calls line, which may be nil, with each line that
// it prints.
func startChild(line func(string), command ...string) (*child, error) {
	output, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	defer w.Close()
	cmd := exec.Command("/bin/sh", append([]string{"-c", watcher, "sh"}, command...)...)
	cmd.Stdout, cmd.Stderr = w, w
	// A separate group: Ctrl-C in a terminal is for us to handle, in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		output.Close()
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	if err := cmd.Start(); err != nil {
		output.Close()
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	c := &child{stdin: stdin, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.read(output, line)
		output.Close()
		stdin.Close()
		_ = cmd.Wait() // the watcher kills itself: the error says nothing
	}()
	return c, nil
}

// read takes the output line by line until its end.
func (c *child) read(output io.Reader, line func(string)) {
	lines := bufio.NewReader(output)
	for {
		text, err := lines.ReadString('\n')
		if text = strings.TrimRight(text, "\r\n"); text != "" {
			c.mu.Lock()
			c.tail = append(c.tail[max(0, len(c.tail)-tailLines+1):], text)
			c.mu.Unlock()
			if line != nil {
				line(text)
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *child) lastWords() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.tail, "\n")
}

// stop asks the command to end, kills it if it does not, and returns when it is gone.
func (c *child) stop() {
	// A write fails only if the command is already gone.
	_, _ = io.WriteString(c.stdin, "stop\n")
	select {
	case <-c.done:
	case <-time.After(stopGrace):
		c.kill()
	}
}

// kill ends the command at once and returns when it is gone.
func (c *child) kill() {
	c.stdin.Close()
	<-c.done
}

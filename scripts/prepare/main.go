// Prepare makes ready what make run needs, side by side: the local servers, which Maven
// fetches, the pages, which npm builds, and the programs. It says what it waits for. It is
// compiled first, and so imports only the standard library.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"subwire/scripts/internal/jars"
)

const (
	patience  = 15 * time.Second // between two lines that say what is waited for
	stopGrace = 3 * time.Second  // for a command to end after Ctrl-C
)

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	if ctx.Err() != nil {
		os.Exit(130) // as of a command that Ctrl-C ended; it was meant, so nothing is said
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "subwire:", err)
		os.Exit(1)
	}
}

// run prepares all in the repository that is the working folder.
func run(ctx context.Context, out io.Writer) error {
	functions, err := filepath.Glob("functions/*/main.go")
	if err != nil {
		return err
	}
	for i, main := range functions {
		functions[i] = filepath.Base(filepath.Dir(main))
	}
	// The graphql function has the pages in it.
	others := slices.DeleteFunc(functions, func(name string) bool { return name == "graphql" })
	programs := append(others, "localcloud")
	if os.Getenv("PRODUCT") != "" {
		programs = append(programs, "subwire") // in the product's folder, as the tool knows its products
	}
	cache := filepath.Join(".cache", "jars")
	pages := make(chan struct{})
	steps := []*step{
		{name: "DynamoDB Local and ElasticMQ (Maven)", do: func(ctx context.Context, _ io.Writer) error {
			_, err := jars.Fetch(ctx, cache, nil)
			return err
		}},
		{name: "the pages (npm)", do: func(ctx context.Context, out io.Writer) error {
			defer close(pages)
			return command(ctx, out, "scripts/buildweb.sh")
		}},
		{name: "the programs (Go)", do: func(ctx context.Context, out io.Writer) error {
			if err := compile(ctx, out, programs...); err != nil {
				return err
			}
			select {
			case <-pages:
			case <-ctx.Done():
				return ctx.Err()
			}
			return compile(ctx, out, "graphql")
		}},
	}
	return together(ctx, out, steps, patience)
}

func compile(ctx context.Context, out io.Writer, programs ...string) error {
	var said bytes.Buffer
	args := append([]string{"local"}, programs...)
	err := command(ctx, io.MultiWriter(downloads{out}, &said), "scripts/build.sh", args...)
	if err == nil {
		return nil
	}
	if offline(said.String()) {
		return errors.New("the modules cannot be downloaded; is there a network, and does GOPROXY name a proxy that answers?")
	}
	return errors.New("they do not compile")
}

// offline reports whether what Go printed is about the network. Its words are those of package
// net and of the module proxy's client.
func offline(printed string) bool {
	for _, sign := range []string{"dial tcp", "proxyconnect", "no such host", "i/o timeout", "TLS handshake",
		"connection refused", "module lookup disabled"} {
		if strings.Contains(printed, sign) {
			return true
		}
	}
	return false
}

// downloads drops the line that Go prints for each module.
type downloads struct{ io.Writer }

func (d downloads) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if !bytes.HasPrefix(line, []byte("go: downloading ")) {
			if _, err := d.Writer.Write(line); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

// command runs a command until it ends or ctx does. None of its children is left.
func command(ctx context.Context, out io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	err := cmd.Run()
	if cmd.Process != nil && ctx.Err() != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whoever did not end in time
	}
	return err
}

// step is one thing to prepare. What it prints is for people.
type step struct {
	name string
	do   func(ctx context.Context, out io.Writer) error
	done bool
}

// together does the steps side by side, and tells when each is done and, now and then, what is
// waited for. The first error ends them all.
func together(ctx context.Context, out io.Writer, steps []*step, patience time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex // guards out and the steps
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, format, args...)
	}
	ended := make(chan struct{}, len(steps))
	for i, s := range steps {
		go func() {
			defer func() { ended <- struct{}{} }()
			if err := s.do(ctx, writer(say)); err != nil {
				cancel(fmt.Errorf("%s: %w", s.name, err))
				return
			}
			say("%d/%d %s: ready\n", i+1, len(steps)+1, s.name)
			mu.Lock()
			s.done = true
			mu.Unlock()
		}()
	}
	begin, tick := time.Now(), time.NewTicker(patience)
	defer tick.Stop()
	for left := len(steps); left > 0; {
		select {
		case <-ended:
			left--
		case <-tick.C:
			if ctx.Err() == nil {
				say("    %s: waiting for %s\n", time.Since(begin).Round(time.Second), waiting(&mu, steps))
			}
		}
	}
	return context.Cause(ctx)
}

// waiting names the steps that are not done.
func waiting(mu *sync.Mutex, steps []*step) string {
	mu.Lock()
	defer mu.Unlock()
	var names []string
	for _, s := range steps {
		if !s.done {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, ", ")
}

// writer writes by a function.
type writer func(format string, args ...any)

func (w writer) Write(p []byte) (int, error) {
	w("%s", p)
	return len(p), nil
}

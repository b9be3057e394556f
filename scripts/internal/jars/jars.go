// Package jars fetches the servers of the local backend, DynamoDB Local and ElasticMQ,
// with Maven. It imports only the standard library, as it is compiled before all else:
// the fetch then runs beside the compiler.
package jars

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"subwire/scripts/internal/lockfile"
)

//go:embed pom.xml
var pom []byte

//go:embed dynamodb.xml
var dynamoDBSettings []byte // copied beside its jars

const (
	lockPause     = 200 * time.Millisecond
	progressEvery = 3 * time.Second
	stopGrace     = 3 * time.Second // for Maven to end
	tailLines     = 12              // of its output, that an error shows
)

// Fetch returns the folder with the jars of both servers, below the cache. A folder
// is complete or absent, and its name depends on its content. So an interrupted fetch
// or a newer pom.xml leads to a new fetch. Processes that fetch at the same time wait
// for each other.
func Fetch(ctx context.Context, cache string, progress io.Writer) (string, error) {
	cache, err := filepath.Abs(cache)
	if err != nil {
		return "", fmt.Errorf("find jar folder: %w", err)
	}
	complete := filepath.Join(cache, fmt.Sprintf("%x", sha256.Sum256(slices.Concat(pom, dynamoDBSettings)))[:12])
	if _, err := os.Stat(complete); err == nil {
		return complete, nil
	}
	unlock, err := lock(ctx, cache)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(complete); err == nil {
		return complete, nil // another process was faster
	}
	if progress == nil {
		progress = io.Discard
	}
	fmt.Fprintln(progress, "fetching DynamoDB Local and ElasticMQ (first start only) ...")
	partial := filepath.Join(cache, "partial")
	err = errors.Join(os.RemoveAll(partial), os.MkdirAll(partial, 0o755),
		os.WriteFile(filepath.Join(partial, "pom.xml"), pom, 0o644))
	if err != nil {
		return "", fmt.Errorf("make jar folder: %w", err)
	}
	for _, profile := range []string{"dynamodb", "elasticmq"} {
		if err := maven(ctx, partial, profile, progress); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(filepath.Join(partial, "dynamodb", "dynamodb.xml"), dynamoDBSettings, 0o644); err != nil {
		return "", fmt.Errorf("complete jar folder: %w", err)
	}
	if err := os.Rename(partial, complete); err != nil {
		return "", fmt.Errorf("complete jar folder: %w", err)
	}
	return complete, nil
}

// maven copies the jars of a profile of the pom.xml in dir to a folder beside it,
// named after the profile.
func maven(ctx context.Context, dir, profile string, progress io.Writer) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return errors.New("no mvn command found: install Apache Maven, which fetches DynamoDB Local and ElasticMQ")
	}
	cmd := exec.CommandContext(ctx, mvn, "-B", "-f", filepath.Join(dir, "pom.xml"), "-P", profile,
		"dependency:copy-dependencies", "-DoutputDirectory="+filepath.Join(dir, profile))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	// Its JVM lives for seconds, which a thorough compiler does not pay.
	cmd.Env = append(os.Environ(), "MAVEN_OPTS=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC "+os.Getenv("MAVEN_OPTS"))
	said := &watched{profile: profile, progress: progress, last: time.Now()}
	cmd.Stdout, cmd.Stderr = said, said
	switch err := cmd.Run(); {
	case ctx.Err() != nil:
		return fmt.Errorf("fetch %s: %w", profile, ctx.Err())
	case err == nil:
		return nil
	case offline(said.all.String()):
		return fmt.Errorf("fetch %s: Maven cannot reach its repository; is there a network, and does Maven know its proxy? It printed:\n%s",
			profile, said.tail())
	default:
		return fmt.Errorf("fetch %s: Maven failed; it printed:\n%s", profile, said.tail())
	}
}

// offline reports whether what Maven printed is about the network. The words are those of Maven
// 3.8 behind a proxy that refuses, and of Java's sockets.
func offline(printed string) bool {
	for _, sign := range []string{"Unknown host", "UnknownHostException", "Connection refused", "Connect timed out", "Connection timed out",
		"Connect to ", "Network is unreachable", "Temporary failure in name resolution", "No route to host", "No plugin found for prefix"} {
		if strings.Contains(printed, sign) {
			return true
		}
	}
	return false
}

// watched collects what Maven prints and tells how many files came.
type watched struct {
	all      bytes.Buffer
	profile  string
	progress io.Writer
	last     time.Time
}

func (w *watched) Write(p []byte) (int, error) {
	w.all.Write(p)
	if time.Since(w.last) > progressEvery {
		w.last = time.Now()
		fmt.Fprintf(w.progress, "  %s: %d files so far\n", w.profile, bytes.Count(w.all.Bytes(), []byte("Downloaded from ")))
	}
	return len(p), nil
}

// tail returns the last lines.
func (w *watched) tail() string {
	lines := strings.Split(strings.TrimSpace(w.all.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// lock waits until this process alone has the folder, and creates it if needed.
func lock(ctx context.Context, dir string) (unlock func(), err error) {
	for {
		unlock, err := lockfile.Try(filepath.Join(dir, "lock"))
		if !errors.Is(err, lockfile.ErrHeld) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock jar folder: %w", ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

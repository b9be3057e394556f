package backend

import (
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
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed pom.xml
var pom []byte

//go:embed dynamodb.xml
var dynamoDBSettings []byte // copied beside its jars

const (
	oldestJava    = 17 // DynamoDB Local 3 needs it
	lockPause     = 200 * time.Millisecond
	progressEvery = 3 * time.Second
)

// findJava returns the java command, or an error that says what to install.
func findJava(ctx context.Context) (string, error) {
	path, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("no java command found: install a Java runtime, version %d or newer", oldestJava)
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("run java -version: %w", err)
	}
	version, err := javaVersion(string(out))
	switch {
	case err != nil:
		return "", err
	case version < oldestJava:
		return "", fmt.Errorf("the java command is version %d: install a Java runtime, version %d or newer", version, oldestJava)
	}
	return path, nil
}

// javaVersion finds the major version in what java -version prints, such as
// `openjdk version "17.0.15" 2025-04-15` or `java version "1.8.0_402"`.
func javaVersion(printed string) (int, error) {
	_, quoted, _ := strings.Cut(printed, `version "`)
	quoted = strings.TrimPrefix(quoted, "1.") // up to Java 8
	digits := quoted[:len(quoted)-len(strings.TrimLeft(quoted, "0123456789"))]
	version, err := strconv.Atoi(digits)
	if err != nil {
		return 0, errors.New("java -version names no version")
	}
	return version, nil
}

// fetch returns the folder with the jars of both servers, below the cache. A folder
// is complete or absent, and its name depends on its content. So an interrupted fetch
// or a newer pom.xml leads to a new fetch. Processes that fetch at the same time wait
// for each other.
func fetch(ctx context.Context, cache string, progress io.Writer) (string, error) {
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
	files, last, success := 0, time.Now(), false
	c, err := startChild(func(line string) {
		switch {
		case strings.Contains(line, "BUILD SUCCESS"):
			success = true
		case strings.Contains(line, "Downloaded from "):
			if files++; time.Since(last) > progressEvery {
				last = time.Now()
				fmt.Fprintf(progress, "  %s: %d files so far\n", profile, files)
			}
		}
	}, mvn, "-B", "-f", filepath.Join(dir, "pom.xml"), "-P", profile,
		"dependency:copy-dependencies", "-DoutputDirectory="+filepath.Join(dir, profile))
	if err != nil {
		return err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		c.kill()
		return fmt.Errorf("fetch %s: %w", profile, ctx.Err())
	}
	if !success { // the watcher hides Maven's exit code
		return fmt.Errorf("fetch %s: Maven failed; it printed:\n%s", profile, c.lastWords())
	}
	return nil
}

// lock takes the lock of a folder, creating the folder if needed. If unlock is never
// called, the lock ends with this process.
func lock(ctx context.Context, dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make jar folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock jar folder: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock jar folder: %w", err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("lock jar folder: %w", ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

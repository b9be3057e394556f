package backend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// fakeMaven puts one jar where it is told to, writes a log, and fails as long as
// there is a file named fail.
const fakeMaven = `PATH=/usr/bin:/bin
for arg; do case $arg in -DoutputDirectory=*) dir=${arg#*=} ;; esac; done
here=${0%/*}
echo "$@" >>"$here/log"
mkdir "$dir" && echo jar >"$dir/server.jar"
echo Downloaded from somewhere: a.jar
[ ! -e "$here/fail" ] && echo BUILD SUCCESS`

// writeCommands returns a folder, for PATH, with executable scripts by name.
func writeCommands(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mavenRuns(t *testing.T, dir string) int {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(log), "\n")
}

func checkComplete(t *testing.T, jars string) {
	t.Helper()
	for _, server := range []string{"dynamodb", "elasticmq"} {
		if _, err := os.Stat(filepath.Join(jars, server, "server.jar")); err != nil {
			t.Error(err)
		}
	}
}

func TestFetchByManyAtOnce(t *testing.T) {
	commands := writeCommands(t, map[string]string{"mvn": fakeMaven})
	t.Setenv("PATH", commands)
	cache := filepath.Join(t.TempDir(), "not", "there")
	var all errgroup.Group
	for range 5 {
		all.Go(func() error {
			jars, err := fetch(t.Context(), cache, nil)
			if err == nil {
				checkComplete(t, jars)
			}
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := mavenRuns(t, commands); n != 2 {
		t.Errorf("Maven ran %d times, want once per server", n)
	}
}

func TestFetchRepairs(t *testing.T) {
	commands := writeCommands(t, map[string]string{"mvn": fakeMaven, "fail": ""})
	t.Setenv("PATH", commands)
	cache := t.TempDir()
	if jars, err := fetch(t.Context(), cache, nil); err == nil {
		t.Fatalf("failed fetch returns %s", jars)
	}
	if err := os.Remove(filepath.Join(commands, "fail")); err != nil {
		t.Fatal(err)
	}
	var progress strings.Builder
	jars, err := fetch(t.Context(), cache, &progress)
	if err != nil {
		t.Fatal(err)
	}
	checkComplete(t, jars)
	if got := strings.Count(progress.String(), "(first start only)"); got != 1 {
		t.Errorf("progress is %q", progress.String())
	}
}

func TestJavaVersion(t *testing.T) {
	t.Parallel()
	for printed, want := range map[string]int{
		`openjdk version "17.0.15" 2025-04-15`:                                       17,
		`openjdk version "21" 2023-09-19`:                                            21,
		`java version "1.8.0_402"`:                                                   8,
		`openjdk version "24-ea" 2025-03-18`:                                         24,
		"Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"25.0.1\" 2025-10-21": 25,
		"": 0, `version "x"`: 0,
	} {
		got, err := javaVersion(printed)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: got %d, error %v, want %d", printed, got, err, want)
		}
	}
}

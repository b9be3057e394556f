package jars

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"subwire/scripts/internal/faketools"
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
	commands := faketools.Path(t, map[string]string{"mvn": fakeMaven})
	t.Setenv("PATH", commands)
	cache := filepath.Join(t.TempDir(), "not", "there")
	var all errgroup.Group
	for range 5 {
		all.Go(func() error {
			jars, err := Fetch(t.Context(), cache, nil)
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
	commands := faketools.Path(t, map[string]string{"mvn": fakeMaven, "fail": ""})
	t.Setenv("PATH", commands)
	cache := t.TempDir()
	if jars, err := Fetch(t.Context(), cache, nil); err == nil {
		t.Fatalf("failed fetch returns %s", jars)
	}
	if err := os.Remove(filepath.Join(commands, "fail")); err != nil {
		t.Fatal(err)
	}
	var progress strings.Builder
	jars, err := Fetch(t.Context(), cache, &progress)
	if err != nil {
		t.Fatal(err)
	}
	checkComplete(t, jars)
	if got := strings.Count(progress.String(), "(first start only)"); got != 1 {
		t.Errorf("progress is %q", progress.String())
	}
}

func TestWithoutANetwork(t *testing.T) {
	for name, printed := range map[string]string{
		"Host":   "[ERROR] Could not transfer artifact: repo.example: Unknown host",
		"Plugin": "[ERROR] No plugin found for prefix 'dependency' in the current project",
		"Proxy":  "[WARNING] Connect to 127.0.0.1:1 failed: Connection refused",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", faketools.Path(t, map[string]string{"mvn": "echo \"" + printed + "\"; exit 1"}))
			_, err := Fetch(t.Context(), t.TempDir(), nil)
			if err == nil || !strings.Contains(err.Error(), "is there a network") || !strings.HasSuffix(err.Error(), printed) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Package compat tests that this release and the one before run side by side, during
// a function-by-function deployment and after a rollback. It has only tests, which
// build the functions and hosts of both.
package compat

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"subwire/shared/topology"
)

// previous is the commit of the previous release. It moves on when a release is out
// everywhere; see the versions in shared/fanout.
const previous = "79baae9895fbda0bbd12cdd5d9f4319edafe8384"

// first is the commit with which the history begins.
const first = "4e781ca79519dcf1bdab4fa1083ab8935efeb990"

const root = "../.."

// needHistory skips the test in a shallow clone that lacks the previous release. A clone
// that has the very first commit has the whole history: if the previous release is not in
// it, no clone can test with it.
func needHistory(t *testing.T) {
	t.Helper()
	has := func(commit string) bool {
		return exec.Command("git", "-C", root, "merge-base", "--is-ancestor", commit, "HEAD").Run() == nil
	}
	switch {
	case has(previous):
	case has(first):
		t.Fatalf("commit %s of the previous release is not in this history", previous)
	default:
		t.Skipf("this clone lacks commit %s of the previous release; fetch the whole history to test with it", previous)
	}
}

// programs are what a release consists of: its functions and the other host.
func programs() []topology.Function { return append(topology.Functions(), topology.Host) }

// buildPrevious returns a folder with the previous release's programs. It stays in
// .cache, as its content cannot change.
func buildPrevious(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join(root, ".cache", "compat", previous))
	if err != nil {
		t.Fatal(err)
	}
	last := programs()[len(programs())-1] // to be put there: then all are
	if _, err := os.Stat(filepath.Join(folder, last.Name)); err == nil {
		return folder
	} else if !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	source, archive := t.TempDir(), filepath.Join(t.TempDir(), "source.tar")
	run(t, root, "git", "archive", "--output", archive, previous, "shared", "functions")
	run(t, source, "tar", "-xf", archive)
	unfinished, err := os.MkdirTemp(filepath.Dir(folder), "unfinished-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(unfinished)
	build(t, source, unfinished)
	for _, p := range programs() { // another test may put the same there
		if err := os.Rename(filepath.Join(unfinished, p.Name), filepath.Join(folder, p.Name)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// build builds the programs of a source tree into the folder, like scripts/build.sh.
func build(t *testing.T, source, folder string) {
	t.Helper()
	for _, p := range programs() {
		run(t, filepath.Join(source, "functions"), "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc",
			"-gcflags", "all=-dwarf=false", "-ldflags", "-s -w",
			"-o", filepath.Join(folder, p.Name), "./"+p.Name)
	}
}

func run(t *testing.T, folder, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// installed is a root for a local cloud with replaceable programs.
type installed struct {
	root     string
	releases map[string]string // folder by release
}

// install puts a release of the program in place, for processes that start from now on.
func (i installed) install(program, release string) error {
	at := filepath.Join(i.root, "bin", "local", program, "bootstrap")
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := os.Symlink(filepath.Join(i.releases[release], program), at+".new"); err != nil {
		return err
	}
	if err := os.Rename(at+".new", at); err != nil {
		return fmt.Errorf("install %s: %w", program, err)
	}
	return nil
}

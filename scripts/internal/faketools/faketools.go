// Package faketools replaces the commands that a test's subject runs.
package faketools

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Write puts executable shell scripts, by name, into the folder, for PATH.
//
// A process that another test starts meanwhile would hold a file open for writing, and then
// nobody can run it (go.dev/issue/22315).
func Write(t *testing.T, dir string, scripts map[string]string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// Path is Write into a new folder, which it returns.
func Path(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	Write(t, dir, scripts)
	return dir
}

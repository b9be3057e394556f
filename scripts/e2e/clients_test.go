package e2e

import (
	"os/exec"
	"testing"
)

// What pages and programs share for resuming has tests of its own.
func TestTheResumeHelper(t *testing.T) {
	t.Parallel()
	needClients(t)
	cmd := exec.CommandContext(within(t), "node", "--test")
	cmd.Dir = "../clients"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

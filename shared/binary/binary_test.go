package binary

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestABinaryOfAnotherProcessorIsRefused(t *testing.T) {
	t.Parallel()
	self, err := os.Executable() // built for this machine, whose architecture is one of the two
	if err != nil {
		t.Fatal(err)
	}
	arm, amd := Check(self, "arm64"), Check(self, "amd64")
	if (arm == nil) == (amd == nil) {
		t.Errorf("arm64: %v; amd64: %v", arm, amd)
	}
	missing := Check(filepath.Join(t.TempDir(), "bootstrap"), "arm64")
	if missing == nil || !strings.Contains(missing.Error(), "run ARCH=arm64 make build") {
		t.Errorf("a missing binary: %v", missing)
	}
}

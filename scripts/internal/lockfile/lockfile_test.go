package lockfile

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "not", "there", "lock")
	release, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Try(path); !errors.Is(err, ErrHeld) {
		t.Errorf("a second one gets %v", err)
	}
	release()
	again, err := Try(path)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	again()
}

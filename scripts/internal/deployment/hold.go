package deployment

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"subwire/scripts/internal/lockfile"
)

// Hold makes this the only local cloud of the repository at root, so that --local means it. The
// error says where another one runs. The hold ends with the process, or by release.
func Hold(root string) (release func(), err error) {
	release, err = lockfile.Try(filepath.Join(root, ".cache", "local.lock"))
	if !errors.Is(err, lockfile.ErrHeld) {
		return release, err
	}
	var s state
	data, err := os.ReadFile(filepath.Join(root, stateFile))
	if err != nil || json.Unmarshal(data, &s) != nil {
		return nil, errors.New("a local cloud is starting in this repository already")
	}
	return nil, fmt.Errorf("a local cloud runs in this repository already, at %s; stop it first", s.HTTPURL)
}

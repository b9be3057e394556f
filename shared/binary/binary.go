// Package binary checks what was built for Lambda.
package binary

import (
	"debug/elf"
	"fmt"
	"maps"
	"slices"
)

var machines = map[string]elf.Machine{"arm64": elf.EM_AARCH64, "amd64": elf.EM_X86_64}

// Archs are the processors that there are, as Go names them.
func Archs() []string { return slices.Sorted(maps.Keys(machines)) }

// Check returns an error that says what to do, unless the file is an executable for one
// of the processors.
func Check(path, arch string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is not a Linux executable: run ARCH=%s make build", path, arch)
	}
	defer f.Close()
	if f.Machine != machines[arch] {
		return fmt.Errorf("%s is not built for %s: run ARCH=%s make build", path, arch, arch)
	}
	return nil
}

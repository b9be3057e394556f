package boot

import (
	"math"
	"runtime/debug"
	"testing"

	"subwire/shared/topology"
)

// Not parallel: the collector is the process's.
func TestTheHeapStaysBelowTheFunctionsMemory(t *testing.T) {
	growth := debug.SetGCPercent(100)
	defer debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetGCPercent(growth)
	for _, f := range topology.Functions() {
		UseMemory(f.MemoryMB)
		if limit := debug.SetMemoryLimit(-1); limit < int64(f.MemoryMB)<<19 || limit > int64(f.MemoryMB)*900_000 {
			t.Errorf("%s: limit of %d bytes, of %d MB", f.Name, limit, f.MemoryMB)
		}
	}
}

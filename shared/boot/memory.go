package boot

import "runtime/debug"

// heapGrowth is how far the heap may grow beyond what is alive before it is collected, in
// percent of that (GOGC). By default a sender, of which little is alive at any time,
// collects every 4 MB, and that is a tenth of its CPU.
const heapGrowth = 400

// UseMemory makes the collector use the memory of a function, in MB, to save CPU: the more
// a heap may grow, the more seldom it is collected. Well before the memory is full, it is
// collected as often as needed ("A Guide to the Go Garbage Collector").
func UseMemory(mb int) {
	debug.SetGCPercent(heapGrowth)
	debug.SetMemoryLimit(int64(mb) << 20 / 5 * 4)
}

package command

import (
	"os"
	"runtime/debug"

	"multiserver/internal/memory"
)

// plentyBytes is from where on the runtime needs no limit.
const plentyBytes = 256 << 20

// limitMemory has the runtime collect garbage earlier where memory is little, unless GOMEMLIMIT
// says otherwise.
func limitMemory() {
	if limit := memoryLimit(memory.Available()); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}

// memoryLimit is half of what is available, for buffers of a quarter of it; 0 if none is needed.
// With all of it a machine of 96 MiB was out of memory.
func memoryLimit(available uint64) int64 {
	if available >= plentyBytes {
		return 0
	}
	return int64(available / 2)
}

package command

import (
	"os"
	"runtime/debug"

	"multiserver/internal/memory"
)

// limitMemory has the runtime collect garbage earlier where memory is little, unless GOMEMLIMIT
// says otherwise: half of what is available, for buffers of a quarter of it.
func limitMemory() {
	const most = 256 << 20
	if available := memory.Available(); available < most && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(available/4*3 + 8<<20))
	}
}

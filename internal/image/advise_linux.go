package image

import (
	"os"

	"golang.org/x/sys/unix"
)

// adviseSequential doubles the read-ahead. Where it cannot, reading is only slower.
func adviseSequential(file *os.File) {
	unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_SEQUENTIAL)
}

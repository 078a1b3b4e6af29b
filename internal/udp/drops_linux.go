package udp

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// drops counts what the kernel dropped for lack of room in a socket's receive buffer.
//
// Unlike SO_RXQ_OVFL, which tells it with the next datagram, SO_MEMINFO (Linux 4.12)
// tells it at once, and costs nothing while receiving.
type drops struct {
	mu    sync.Mutex // guards the rest
	last  uint32     // the kernel's count, which wraps
	total uint64
}

// read is the count. After the socket was closed it is the last that was read.
func (d *drops) read(raw syscall.RawConn) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	// An error is that of a closed socket, or of an older kernel, which has no count.
	_ = control(raw, func(fd int) error {
		var info [unix.SK_MEMINFO_DROPS + 1]uint32
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 {
			now := info[unix.SK_MEMINFO_DROPS]
			d.total += uint64(now - d.last)
			d.last = now
		}
		return nil
	})
	return d.total
}

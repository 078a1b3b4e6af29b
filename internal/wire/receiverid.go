package wire

import (
	"crypto/rand"
	"encoding/binary"
)

// NewReceiverID returns a number for a receiver that starts. It comes from the kernel: a machine
// that is copied while it runs has the state of every other generator in common with its copy.
func NewReceiverID() ReceiverID {
	var b [8]byte
	for {
		rand.Read(b[:]) // it never fails
		if id := ReceiverID(binary.BigEndian.Uint64(b[:])); id != 0 {
			return id
		}
	}
}

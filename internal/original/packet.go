// Package original models the client and the server of 2012 that speak MXB 1,
// with their faults and habits, so that tests can put our own programs against
// them.
//
// It is written from the description of the protocol alone and shares nothing
// with our own implementation: where the two disagree, one of them has misread
// the description. A quoted sentence in a comment is the description's own.
// Where a fault of the original would corrupt memory or somebody's root folder,
// the model returns an error instead ([ErrPastMap], [ErrRootFolder]).
//
// The real server keeps what it was asked in a linked list. Once several entries
// wait and are freed, that list can turn into a cycle, since the nodes are not
// cleared: the server then burns a core and answers nobody, for good. It survived
// some 45 of 128 requests that one client sent at once. Whether a second request
// does it depends on its memory, so the model takes the worst case, and a test
// cannot pass by luck. It hangs at once and for good
//
//   - when a client asks again before the last block of what it asked for was sent,
//   - and when a request comes while another one waits behind the one that is served,
//     whoever sent them.
//
// A client of 2012 does the first only if the server is held up for a quiet time.
// Three of them can do the second. In place of a core that burns the model
// sends and answers nothing, and prints a line that begins with "wedged".
//
// Use: [NewServer] or [NewClient] opens the sockets, Run works until its end.
// The command in cmd/original starts either of them as a process.
package original

import "encoding/binary"

// The protocol's figures. They are spelled out here and nowhere imported.
const (
	// "magic, 0x4D584250 (MXBP)"
	magic = 0x4D584250

	opMapRequest   = 1
	opDescription  = 2
	opBlockRequest = 3
	opBlock        = 4

	headerSize       = 12
	blockSize        = 1024
	descriptionFixed = 8 + 4 + 4 // bytes in front of the name
)

// The defaults: "GROUP 225.0.20.10, PORT 16000, server's control port 7500".
const (
	DefaultGroup       = "225.0.20.10"
	DefaultPort        = 16000
	DefaultControlPort = 7500
)

// header is the 12 bytes in front of every packet.
type header struct {
	op      uint16
	size    uint16 // bytes of payload, as the sender claims
	blockID uint32
}

// packet returns a datagram: the header, then payload, whose length is the
// header's size.
func packet(op uint16, blockID uint32, payload []byte) []byte {
	b := make([]byte, headerSize+len(payload))
	binary.BigEndian.PutUint32(b[0:], magic)
	binary.BigEndian.PutUint16(b[4:], op)
	binary.BigEndian.PutUint16(b[6:], uint16(len(payload)))
	binary.BigEndian.PutUint32(b[8:], blockID)
	copy(b[headerSize:], payload)
	return b
}

// readHeader reads the header of datagram b; ok is false where b is too short
// for one, or of another protocol.
func readHeader(b []byte) (h header, ok bool) {
	if len(b) < headerSize || binary.BigEndian.Uint32(b[0:]) != magic {
		return header{}, false
	}
	return header{
		op:      binary.BigEndian.Uint16(b[4:]),
		size:    binary.BigEndian.Uint16(b[6:]),
		blockID: binary.BigEndian.Uint32(b[8:]),
	}, true
}

// description is op 2's payload.
type description struct {
	fileSize   uint64 // bytes
	blockSize  uint32 // bytes
	blockCount uint32
	name       string
}

func (d description) packet() []byte {
	p := make([]byte, descriptionFixed+len(d.name)+1) // closing NUL
	binary.BigEndian.PutUint64(p[0:], d.fileSize)
	binary.BigEndian.PutUint32(p[8:], d.blockSize)
	binary.BigEndian.PutUint32(p[12:], d.blockCount)
	copy(p[descriptionFixed:], d.name)
	return packet(opDescription, 0, p)
}

// readDescription reads op 2's payload; ok is false where p is too short. The
// name ends at the first NUL, as a C string does.
func readDescription(p []byte) (d description, ok bool) {
	if len(p) < descriptionFixed {
		return description{}, false
	}
	name := p[descriptionFixed:]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	return description{
		fileSize:   binary.BigEndian.Uint64(p[0:]),
		blockSize:  binary.BigEndian.Uint32(p[8:]),
		blockCount: binary.BigEndian.Uint32(p[12:]),
		name:       string(name),
	}, true
}

func blockRequest(first, last uint32) []byte {
	p := make([]byte, 8)
	binary.BigEndian.PutUint32(p[0:], first)
	binary.BigEndian.PutUint32(p[4:], last)
	return packet(opBlockRequest, 0, p)
}

// readBlockRequest reads op 3's payload; ok is false where p is too short.
func readBlockRequest(p []byte) (first, last uint32, ok bool) {
	if len(p) < 8 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(p[0:]), binary.BigEndian.Uint32(p[4:]), true
}

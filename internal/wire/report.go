package wire

import (
	"encoding/binary"
	"time"
)

// Report is a receiver's state and its NACKs, to the sender: every report
// interval, and between when it has NACKs to tell that no repair advertisement covers. Counts
// are since the receiver joined the session, so that a lost report loses nothing.
//
//	+---------------------------------------------------------------+
//	|       header (type 0x81), its two bytes: count of NACKs       |
//	+---------------------------------------------------------------+ 16
//	|                       receiver (8 bytes)                      |
//	+---------------------------------------------------------------+ 24
//	|                   highest sequence (8 bytes)                  |
//	+---------------------------------------------------------------+ 32
//	|                            number                             |
//	+---------------------------------------------------------------+ 36
//	|                             clock                             |
//	+---------------------------------------------------------------+ 40
//	|                   clock held, microseconds                    |
//	+---------------------------------------------------------------+ 44
//	|                          blocks done                          |
//	+---------------------------------------------------------------+ 48
//	|                packets received (8 bytes)                     |
//	+---------------------------------------------------------------+ 56
//	|                packets lost (8 bytes)                         |
//	+---------------------------------------------------------------+ 64
//	|                packets dropped (8 bytes)                      |
//	+---------------------------------------------------------------+ 72
//	|                        backlog, blocks                        |
//	+---------------------------------------------------------------+ 76
//	|                          room, blocks                         |
//	+---------------+---------------+---------------+---------------+ 80
//	|     phase     |     limit     |     flags     |   reserved    |
//	+---------------+---------------+---------------+---------------+ 84
//	|  NACKs of 6 bytes: SymbolCount ...
//	+-------------------------
//
// Flags: bit 0, an Arrival follows the NACKs; the others are reserved. A sender that does
// not know it reads what it knows.
//
//	+---------------------------------------------------------------+
//	|              highest sequence less the newest's               |
//	+---------------------------------------------------------------+ 4
//	|              receiver's clock when the newest came            |
//	+---------------------------------------------------------------+ 8
//	|              time since then, microseconds                    |
//	+---------------------------------------------------------------+ 12
type Report struct {
	Session  SessionID
	Receiver ReceiverID
	Highest  Sequence // seen, by which the sender judges the NACKs
	Number   uint32   // of this report, from 1 on: an older one is no news
	// Clock is the latest that a Heartbeat or Probe brought, and ClockHeld the time
	// since, up to 71 minutes; both 0 if there was none.
	Clock      Clock
	ClockHeld  time.Duration
	BlocksDone uint32 // of the image: verified and written
	Counts     PacketCounts
	Backlog    uint32 // blocks in memory: incomplete, or not yet written
	Room       uint32 // blocks that the window can still take
	Phase      Phase
	Limit      Limit
	// NACKs are at most MaxNACKs, and MaxTimedNACKs with an Arrival, in any order.
	NACKs   List[SymbolCount]
	Timed   bool // there is an Arrival
	Arrival Arrival
}

// Arrival is when the newest packet of the stream came to a receiver: the one with the
// highest sequence. Report.Highest may be of a later one, which a heartbeat told.
type Arrival struct {
	Behind uint32 // Report.Highest less the newest's sequence
	// Clock is the receiver's in microseconds, without an origin, when it came.
	Clock Clock
	Age   time.Duration // since then, up to 71 minutes
}

// PacketCounts is what became of the stream's packets at one receiver.
type PacketCounts struct {
	Received uint64
	Lost     uint64 // on the wire: missing in the sequence, and not Dropped
	Dropped  uint64 // by the receiver's own socket, for lack of room
}

const packetCountsSize = 24

func (c PacketCounts) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, c.Received)
	dst = binary.BigEndian.AppendUint64(dst, c.Lost)
	return binary.BigEndian.AppendUint64(dst, c.Dropped)
}

func parsePacketCounts(b []byte) PacketCounts {
	_ = b[packetCountsSize-1]
	return PacketCounts{
		Received: binary.BigEndian.Uint64(b),
		Lost:     binary.BigEndian.Uint64(b[8:]),
		Dropped:  binary.BigEndian.Uint64(b[16:]),
	}
}

// Phase is what a receiver is busy with. A sender takes one that it does not know
// for PhaseReceiving.
type Phase uint8

// The phases of a receiver.
const (
	PhaseReceiving Phase = 0
	PhaseChecking  Phase = 1 // reading what the target already holds, to ask for the rest
	PhaseFinishing Phase = 2 // all blocks are in; syncing, verifying
)

// Limit is what keeps a receiver from being faster. A sender takes one that it
// does not know for LimitNone.
type Limit uint8

// The limits of a receiver.
const (
	LimitNone   Limit = 0
	LimitWire   Limit = 1 // packets are lost on their way
	LimitSocket Limit = 2 // packets are dropped for lack of room in the socket
	LimitCPU    Limit = 3
	LimitDisk   Limit = 4
)

const (
	reportSize  = 84 // without the NACKs
	arrivalSize = 12

	flagTimed = 1
)

// AppendTo appends the packet to dst.
func (r Report) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeReport, uint16(r.NACKs.Len()), r.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Receiver))
	dst = appendSequence(dst, r.Highest)
	dst = binary.BigEndian.AppendUint32(dst, r.Number)
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Clock))
	dst = appendMicros(dst, r.ClockHeld)
	dst = binary.BigEndian.AppendUint32(dst, r.BlocksDone)
	dst = r.Counts.appendTo(dst)
	dst = binary.BigEndian.AppendUint32(dst, r.Backlog)
	dst = binary.BigEndian.AppendUint32(dst, r.Room)
	flags, limit := byte(0), MaxNACKs
	if r.Timed {
		flags, limit = flagTimed, MaxTimedNACKs
	}
	dst = append(dst, byte(r.Phase), byte(r.Limit), flags, 0)
	dst = appendList(dst, r.NACKs, limit)
	if r.Timed {
		dst = binary.BigEndian.AppendUint32(dst, r.Arrival.Behind)
		dst = binary.BigEndian.AppendUint32(dst, uint32(r.Arrival.Clock))
		dst = appendMicros(dst, r.Arrival.Age)
	}
	return seal(dst, start)
}

// ParseReport reads a packet of TypeReport.
func ParseReport(b []byte) (Report, error) {
	if err := checkPacket(b, TypeReport, reportSize, MaxControlSize); err != nil {
		return Report{}, err
	}
	nacks, err := parseList[SymbolCount](b[reportSize:], binary.BigEndian.Uint16(b[2:]), MaxNACKs)
	if err != nil {
		return Report{}, err
	}
	r := Report{
		Session:    SessionID(binary.BigEndian.Uint64(b[8:])),
		Receiver:   ReceiverID(binary.BigEndian.Uint64(b[16:])),
		Highest:    Sequence(binary.BigEndian.Uint64(b[24:])),
		Number:     binary.BigEndian.Uint32(b[32:]),
		Clock:      Clock(binary.BigEndian.Uint32(b[36:])),
		ClockHeld:  micros(b[40:]),
		BlocksDone: binary.BigEndian.Uint32(b[44:]),
		Counts:     parsePacketCounts(b[48:]),
		Backlog:    binary.BigEndian.Uint32(b[72:]),
		Room:       binary.BigEndian.Uint32(b[76:]),
		Phase:      Phase(b[80]),
		Limit:      Limit(b[81]),
		NACKs:      nacks,
	}
	if r.Highest > MaxSequence {
		return Report{}, ErrBounds
	}
	if b[82]&flagTimed != 0 {
		b = b[reportSize+nacks.Len()*symbolCountSize:]
		if len(b) < arrivalSize {
			return Report{}, ErrLength
		}
		r.Timed = true
		r.Arrival = Arrival{
			Behind: binary.BigEndian.Uint32(b),
			Clock:  Clock(binary.BigEndian.Uint32(b[4:])),
			Age:    micros(b[8:]),
		}
		if Sequence(r.Arrival.Behind) > r.Highest {
			return Report{}, ErrBounds
		}
	}
	return r, nil
}

package wire

import "encoding/binary"

// Goodbye is a receiver's last word, with its outcome, to the sender: again and
// again, ever less often, until a GoodbyeAck names it or it gives that up.
//
//	+---------------------------------------------------------------+
//	|   header (type 0x85), its two bytes: outcome, reason length   |
//	+---------------------------------------------------------------+ 16
//	|                       receiver (8 bytes)                      |
//	+---------------------------------------------------------------+ 24
//	|                   packets received (8 bytes)                  |
//	+---------------------------------------------------------------+ 32
//	|                     packets lost (8 bytes)                    |
//	+---------------------------------------------------------------+ 40
//	|                   packets dropped (8 bytes)                   |
//	+---------------------------------------------------------------+ 48
//	|                          blocks done                          |
//	+---------------------------------------------------------------+ 52
//	|  reason ...
//	+-------------------------
//	|     flags     |
//	+---------------+
type Goodbye struct {
	Session    SessionID
	Receiver   ReceiverID
	Outcome    Outcome
	Counts     PacketCounts // as in Report
	BlocksDone uint32       // of the image: verified and written
	Reason     []byte       // Text for a person, why it failed; may be empty
	// Again: the receiver's program tries again of itself, as another receiver. The flags are
	// not sent without it: the packet ends with the reason then, as those of earlier versions do.
	Again bool
}

// Outcome is what became of a receiver. A sender takes one that it does not know
// for OutcomeFailed.
type Outcome uint8

// The outcomes of a receiver.
const (
	OutcomeFailed        Outcome = 0
	OutcomeDone          Outcome = 1 // every byte verified, written and synced
	OutcomeTimeLimit     Outcome = 2
	OutcomeIntegrity     Outcome = 3 // what arrived, or was read back, is not the image
	OutcomeTargetRefused Outcome = 4 // before anything was written
	OutcomeTargetIO      Outcome = 5
	OutcomeInterrupted   Outcome = 6 // by its user or a signal
	OutcomePath          Outcome = 7 // the path does not carry packets of the session's size
	OutcomeRefused       Outcome = 8 // for another reason than its target, before anything was written
)

const goodbyeSize = 52 // without the reason

// goodbyeAgain is the flag of Goodbye.Again.
const goodbyeAgain = 1

// Refuses reports whether a receiver with that outcome ended of its own accord before anything was
// written.
func (o Outcome) Refuses() bool {
	return o == OutcomeTargetRefused || o == OutcomePath || o == OutcomeRefused
}

// AppendTo appends the packet to dst.
func (g Goodbye) AppendTo(dst []byte) []byte {
	must(validText(g.Reason), "reason is no Text")
	start := len(dst)
	dst = appendHeader(dst, TypeGoodbye, uint16(g.Outcome)<<8|uint16(len(g.Reason)), g.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(g.Receiver))
	dst = g.Counts.appendTo(dst)
	dst = binary.BigEndian.AppendUint32(dst, g.BlocksDone)
	dst = append(dst, g.Reason...)
	if g.Again {
		dst = append(dst, goodbyeAgain)
	}
	return seal(dst, start)
}

// ParseGoodbye reads a packet of TypeGoodbye.
func ParseGoodbye(b []byte) (Goodbye, error) {
	if err := checkPacket(b, TypeGoodbye, goodbyeSize, MaxControlSize); err != nil {
		return Goodbye{}, err
	}
	end := goodbyeSize + int(b[3])
	if len(b) < end {
		return Goodbye{}, ErrLength
	}
	g := Goodbye{
		Session:    SessionID(binary.BigEndian.Uint64(b[8:])),
		Receiver:   ReceiverID(binary.BigEndian.Uint64(b[16:])),
		Outcome:    Outcome(b[2]),
		Counts:     parsePacketCounts(b[24:]),
		BlocksDone: binary.BigEndian.Uint32(b[48:]),
		Reason:     b[goodbyeSize:end:end],
		Again:      len(b) > end && b[end]&goodbyeAgain != 0,
	}
	if !validText(g.Reason) {
		return Goodbye{}, ErrBounds
	}
	return g, nil
}

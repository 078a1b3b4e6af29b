package wire

import (
	"encoding/binary"
	"time"

	"multiserver/internal/block"
)

// Heartbeat tells how far the stream is and what the sender is busy with. It goes to
// the data group and to receivers served by unicast: every 250 ms, when a pass begins
// or ends, when the state changes, and after 1, 2, 4 … 250 ms while nothing is pending.
//
//	+---------------------------------------------------------------+
//	|         header (type 4), its two bytes: state, flags          |
//	+---------------------------------------------------------------+ 16
//	|                      sequence (8 bytes)                       |
//	+---------------------------------------------------------------+ 24
//	|                             pass                              |
//	+---------------------------------------------------------------+ 28
//	|                           receivers                           |
//	+---------------------------------------------------------------+ 32
//	|                 report interval, microseconds                 |
//	+---------------------------------------------------------------+ 36
//	|                   round trip, microseconds                    |
//	+---------------------------------------------------------------+ 40
//	|                             clock                             |
//	+---------------------------------------------------------------+ 44
//	|                 manifest size (8 bytes), bytes                |
//	+---------------------------------------------------------------+ 52
//	|                    image digest (32 bytes)                    |
//	+---------------------------------------------------------------+ 84
//	|                            carousel                           |
//	+---------------------------------------------------------------+ 88
//
// Flags: bit 0, the pass has ended with Sequence; bit 1, a Sample follows; the others are
// reserved. A receiver that does not know it reports each report interval.
//
//	+---------------------------------------------------------------+
//	|          report interval of the sample, microseconds          |
//	+-------------------------------+-------------------------------+ 4
//	|      count of receivers       |           reserved            |
//	+-------------------------------+-------------------------------+ 8
//	|  receivers of 8 bytes ...
//	+-------------------------
type Heartbeat struct {
	Session SessionID
	// Sequence is the last one sent in the stream that the packet goes along with.
	Sequence       Sequence
	State          SenderState
	Pass           uint32 // passes begun
	PassEnded      bool
	Receivers      uint32        // unfinished ones, for the back-off
	ReportInterval time.Duration // how often a receiver reports, MinInterval to MaxInterval
	RoundTrip      time.Duration // the largest measured, 0 to MaxInterval
	Clock          Clock
	Completion     Completion
	// CarouselBlock is where the pass is: of the image's blocks before it, those that the sender
	// knew to be wanted have been sent in this pass.
	CarouselBlock block.ID
	Sample        Sample
}

// Sample is the receivers that report in time, for the sender's rate, and how often. Each
// heartbeat names all of them; the zero Sample names none.
type Sample struct {
	Interval  time.Duration    // MinSampleInterval to MaxInterval; 0 if there is no sample
	Receivers List[ReceiverID] // at most MaxSample, in any order
}

// Has reports whether a receiver is in the sample.
func (s *Sample) Has(id ReceiverID) bool {
	for r := range s.Receivers.All() {
		if r == id {
			return true
		}
	}
	return false
}

// Clock is the sender's time in microseconds, without an origin. 0 says none: a
// sender whose clock is at 0 sends 1. A receiver only returns it, with the time that it
// held it, so that the sender learns the round trip.
type Clock uint32

// SenderState is what a sender is busy with. A receiver takes one that it does
// not know for SenderStreaming.
type SenderState uint8

// The states of a sender. The last three are the session's end: no more is sent.
const (
	SenderStreaming    SenderState = 0
	SenderWaiting      SenderState = 1 // for receivers, or probing
	SenderStalled      SenderState = 2 // the image's disk gives nothing
	SenderImageChanged SenderState = 3
	SenderImageFailed  SenderState = 4 // reading the image failed
	SenderStopped      SenderState = 5 // by its user
)

const (
	heartbeatSize = 88
	flagPassEnded = 1
	flagSample    = 2
	sampleSize    = 8 // without the receivers
)

// AppendTo appends the packet to dst.
func (h Heartbeat) AppendTo(dst []byte) []byte {
	must(h.bounded(), "heartbeat out of bounds")
	start := len(dst)
	two := uint16(h.State) << 8
	if h.PassEnded {
		two |= flagPassEnded
	}
	if h.Sample.Interval != 0 {
		two |= flagSample
	}
	dst = appendHeader(dst, TypeHeartbeat, two, h.Session)
	dst = appendSequence(dst, h.Sequence)
	dst = binary.BigEndian.AppendUint32(dst, h.Pass)
	dst = binary.BigEndian.AppendUint32(dst, h.Receivers)
	dst = appendMicros(dst, h.ReportInterval)
	dst = appendMicros(dst, h.RoundTrip)
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.Clock))
	dst = h.Completion.appendTo(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.CarouselBlock))
	if h.Sample.Interval != 0 {
		dst = appendMicros(dst, h.Sample.Interval)
		dst = binary.BigEndian.AppendUint16(dst, uint16(h.Sample.Receivers.Len()))
		dst = append(dst, 0, 0)
		dst = appendList(dst, h.Sample.Receivers, MaxSample)
	}
	return seal(dst, start)
}

// ParseHeartbeat reads a packet of TypeHeartbeat.
func ParseHeartbeat(b []byte) (Heartbeat, error) {
	if err := checkPacket(b, TypeHeartbeat, heartbeatSize, MaxControlSize); err != nil {
		return Heartbeat{}, err
	}
	h := Heartbeat{
		Session:        SessionID(binary.BigEndian.Uint64(b[8:])),
		Sequence:       Sequence(binary.BigEndian.Uint64(b[16:])),
		State:          SenderState(b[2]),
		Pass:           binary.BigEndian.Uint32(b[24:]),
		PassEnded:      b[3]&flagPassEnded != 0,
		Receivers:      binary.BigEndian.Uint32(b[28:]),
		ReportInterval: micros(b[32:]),
		RoundTrip:      micros(b[36:]),
		Clock:          Clock(binary.BigEndian.Uint32(b[40:])),
		Completion:     parseCompletion(b[44:]),
		CarouselBlock:  block.ID(binary.BigEndian.Uint32(b[84:])),
	}
	if b[3]&flagSample != 0 {
		if b = b[heartbeatSize:]; len(b) < sampleSize {
			return Heartbeat{}, ErrLength
		}
		receivers, err := parseList[ReceiverID](b[sampleSize:], binary.BigEndian.Uint16(b[4:]), MaxSample)
		if err != nil {
			return Heartbeat{}, err
		}
		if h.Sample = (Sample{Interval: micros(b), Receivers: receivers}); h.Sample.Interval == 0 {
			return Heartbeat{}, ErrBounds
		}
	}
	if !h.bounded() {
		return Heartbeat{}, ErrBounds
	}
	return h, nil
}

func (h *Heartbeat) bounded() bool {
	return h.Sequence <= MaxSequence && boundedInterval(h.ReportInterval, MinInterval) &&
		(h.Sample.Interval == 0 || boundedInterval(h.Sample.Interval, MinSampleInterval)) && h.RoundTrip >= 0 && h.RoundTrip <= MaxInterval &&
		h.Completion.ManifestSize <= maxManifestOfAll && h.CarouselBlock < block.MaxBlockCount
}

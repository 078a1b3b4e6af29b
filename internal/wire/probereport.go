package wire

import (
	"encoding/binary"
	"time"
)

// ProbeReport tells the sender what a receiver has heard of a train of probes so far.
//
//	+---------------------------------------------------------------+
//	|       header (type 0x84), its two bytes: count of steps       |
//	+---------------------------------------------------------------+ 16
//	|                       receiver (8 bytes)                      |
//	+---------------------------------------------------------------+ 24
//	|                             train                             |
//	+---------------------------------------------------------------+ 28
//	|                             clock                             |
//	+---------------------------------------------------------------+ 32
//	|                   clock held, microseconds                    |
//	+---------------------------------------------------------------+ 36
//	|  steps of 12 bytes: ProbeStep ...
//	+-------------------------
type ProbeReport struct {
	Session  SessionID
	Receiver ReceiverID
	Train    uint32
	// Clock is that of the latest probe, and ClockHeld the time since.
	Clock     Clock
	ClockHeld time.Duration
	// Steps are those of which anything was heard, ascending. None if nothing was.
	Steps List[ProbeStep]
}

// ProbeStep is what was heard of one step.
//
//	+-------------------------------+-------------------------------+
//	|             step              |     largest packet, bytes     |
//	+-------------------------------+-------------------------------+
//	|                           received                            |
//	+---------------------------------------------------------------+
//	|                      span, microseconds                       |
//	+---------------------------------------------------------------+
type ProbeStep struct {
	Step          uint16 // below MaxProbeSteps
	LargestPacket uint16
	Received      uint32        // packets, each counted once
	Span          time.Duration // from the first heard to the last
}

const probeStepSize = 12

func (ProbeStep) size() int { return probeStepSize }

func (s ProbeStep) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, s.Step)
	dst = binary.BigEndian.AppendUint16(dst, s.LargestPacket)
	dst = binary.BigEndian.AppendUint32(dst, s.Received)
	return appendMicros(dst, s.Span)
}

func (ProbeStep) parse(b []byte) ProbeStep {
	return ProbeStep{
		Step:          binary.BigEndian.Uint16(b),
		LargestPacket: binary.BigEndian.Uint16(b[2:]),
		Received:      binary.BigEndian.Uint32(b[4:]),
		Span:          micros(b[8:]),
	}
}

func (s ProbeStep) valid() bool {
	return s.Step < MaxProbeSteps && s.LargestPacket >= probeSize && s.LargestPacket <= MaxPacketSize && s.Received > 0
}

func (s ProbeStep) follows(p ProbeStep) bool { return s.Step > p.Step }

const probeReportSize = 36 // without the steps

// AppendTo appends the packet to dst.
func (r ProbeReport) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, TypeProbeReport, uint16(r.Steps.Len()), r.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Receiver))
	dst = binary.BigEndian.AppendUint32(dst, r.Train)
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.Clock))
	dst = appendMicros(dst, r.ClockHeld)
	dst = appendList(dst, r.Steps, MaxProbeSteps)
	return seal(dst, start)
}

// ParseProbeReport reads a packet of TypeProbeReport.
func ParseProbeReport(b []byte) (ProbeReport, error) {
	if err := checkPacket(b, TypeProbeReport, probeReportSize, MaxControlSize); err != nil {
		return ProbeReport{}, err
	}
	steps, err := parseList[ProbeStep](b[probeReportSize:], binary.BigEndian.Uint16(b[2:]), MaxProbeSteps)
	if err != nil {
		return ProbeReport{}, err
	}
	return ProbeReport{
		Session:   SessionID(binary.BigEndian.Uint64(b[8:])),
		Receiver:  ReceiverID(binary.BigEndian.Uint64(b[16:])),
		Train:     binary.BigEndian.Uint32(b[24:]),
		Clock:     Clock(binary.BigEndian.Uint32(b[28:])),
		ClockHeld: micros(b[32:]),
		Steps:     steps,
	}, nil
}

package wire

import "encoding/binary"

// Probe is sent to the data group before the stream, in trains of steps, each step
// at a rate and a size of its own: it shows who hears the group, which size passes
// and at which rate. What follows its fields is padding of zeros; the datagram's
// length is the size that is tried.
//
//	+---------------------------------------------------------------+
//	|             header (type 5), its two bytes: step              |
//	+---------------------------------------------------------------+ 16
//	|                             train                             |
//	+---------------------------------------------------------------+ 20
//	|                             index                             |
//	+---------------------------------------------------------------+ 24
//	|                             clock                             |
//	+---------------------------------------------------------------+ 28
//	|  padding, to the end of the datagram ...
//	+-------------------------
type Probe struct {
	Session SessionID
	Train   uint32
	Step    uint16 // of the train, below MaxProbeSteps
	Index   uint32 // of the packet in its step: a doubled packet counts once
	Clock   Clock
	Size    uint16 // of the whole packet in bytes, 28 to MaxPacketSize
}

const probeSize = 28

// AppendTo appends the packet, Size bytes, to dst.
func (p Probe) AppendTo(dst []byte) []byte {
	must(p.Step < MaxProbeSteps && p.Size >= probeSize && p.Size <= MaxPacketSize, "probe out of bounds")
	start := len(dst)
	dst = appendHeader(dst, TypeProbe, p.Step, p.Session)
	dst = binary.BigEndian.AppendUint32(dst, p.Train)
	dst = binary.BigEndian.AppendUint32(dst, p.Index)
	dst = binary.BigEndian.AppendUint32(dst, uint32(p.Clock))
	dst = append(dst, make([]byte, int(p.Size)-probeSize)...)
	return seal(dst, start)
}

// ParseProbe reads a packet of TypeProbe.
func ParseProbe(b []byte) (Probe, error) {
	if err := checkPacket(b, TypeProbe, probeSize, MaxPacketSize); err != nil {
		return Probe{}, err
	}
	p := Probe{
		Session: SessionID(binary.BigEndian.Uint64(b[8:])),
		Train:   binary.BigEndian.Uint32(b[16:]),
		Step:    binary.BigEndian.Uint16(b[2:]),
		Index:   binary.BigEndian.Uint32(b[20:]),
		Clock:   Clock(binary.BigEndian.Uint32(b[24:])),
		Size:    uint16(len(b)),
	}
	if p.Step >= MaxProbeSteps {
		return Probe{}, ErrBounds
	}
	return p, nil
}

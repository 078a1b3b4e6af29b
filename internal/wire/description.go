package wire

import (
	"encoding/binary"
	"net/netip"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/format"
)

// Description is all that a receiver has to know of a session. The sender answers
// an Offer with it. Unasked, as an announcement, with Receiver and Token 0, it goes
// to the data group when a session begins:
// to the receivers of an earlier session it is a reason to send an Offer (rule J4), and
// nothing more: its sender does not know their number, so anybody may have sent it.
//
//	+---------------------------------------------------------------+
//	|                        header (type 7)                        |
//	|      its two bytes: codecs that the session's blocks use      |
//	+---------------------------------------------------------------+ 16
//	|                       receiver (8 bytes)                      |
//	+---------------------------------------------------------------+ 24
//	|                        token (8 bytes)                        |
//	+---------------------------------------------------------------+ 32
//	|                  image size (8 bytes), bytes                  |
//	+---------------------------------------------------------------+ 40
//	|                   image identity (16 bytes)                   |
//	+---------------------------------------------------------------+ 56
//	|             data group (16 bytes), IPv6 or mapped             |
//	+-------------------------------+-------------------------------+ 72
//	|           data port           |      symbol size, bytes       |
//	+-------------------------------+-------------------------------+ 76
//	|                       block size, bytes                       |
//	+---------------------------------------------------------------+ 80
//	|                 manifest size (8 bytes), bytes                |
//	+---------------------------------------------------------------+ 88
//	|                    image digest (32 bytes)                    |
//	+---------------------------------------------------------------+ 120
//	|                 report interval, microseconds                 |
//	+---------------------------------------------------------------+ 124
//	|                           receivers                           |
//	+---------------+---------------+-------------------------------+ 128
//	|  sector size  |  name length  |  image's name ...
//	+---------------+---------------+---------
//	|     format    |  least disk size (8 bytes), bytes
//	+---------------+---------------------
//
// An answer to an offer goes on behind that, which is 0 then if it is unknown, as the format is of
// a plain disk:
//
//	+---------------+
//	|     state     |
//	+---------------+-----------------------------------------------+ +1
//	|                       sequence (8 bytes)                      |
//	+---------------------------------------------------------------+ +9
//	|                    private number (8 bytes)                   |
//	+---------------------------------------------------------------+ +17
//	|             source of the stream (16 bytes)                   |
//	+---------------------------------------------------------------+ +33
//	|     notice    |  name length  |  other machine's name ...
//	+---------------+---------------+---------
//	|                        proof (8 bytes)
//	+-----------------------------------------
type Description struct {
	Session SessionID
	// Receiver is that of the offer: whoever did not hear the offer cannot forge the
	// answer. 0 in an announcement.
	Receiver ReceiverID
	// Token is the sender's proof, for an UnicastRequest, that the receiver has the
	// address that it asked from. 0 in an announcement.
	Token    Token
	Codecs   Codecs         // those that the session's blocks may use
	Geometry block.Geometry // the image's; the manifest has the same block size
	Identity Identity
	// Data is the multicast group and port of the stream; not valid if all is sent
	// by unicast.
	Data       netip.AddrPort
	SymbolSize uint16 // bytes in each symbol but perhaps the last of a block
	Completion Completion
	// ReportInterval is how often a receiver reports, MinInterval to MaxInterval.
	ReportInterval time.Duration
	Receivers      uint32 // unfinished ones, for the back-off
	// SectorSize is that of the disks that the image's partition table is written
	// for, 512 or 4096 bytes, and travels as its logarithm. 0: no table, or unknown.
	SectorSize uint32
	FileName   []byte // Text without '/', not "." or ".."; may be empty
	// Format is what the image is if it is no plain disk. Raw is sent only if something follows:
	// otherwise the packet ends with the name, as those of earlier versions do.
	Format format.Format
	// LeastDiskSize is how many bytes a disk must have that holds every partition of the image,
	// and the backup of a GPT behind them: at most the image's. 0, unknown, is not sent.
	LeastDiskSize uint64
	// Answer is what only an answer to an offer has, and none of an earlier version's.
	Answer Answer
}

// Answer is the part of a description that goes to one receiver alone.
type Answer struct {
	Given    bool // there is one
	State    SenderState
	Sequence Sequence // the last one sent in the receiver's stream
	// Private is a number that the session has for this receiver, at whatever address it is.
	// The sender tells it by unicast only, so that an answer that repeats it is the sender's.
	Private PrivateNumber
	// Source is where the group's stream comes from on the receiver's network, with the port
	// that the description came from. If it is not valid, the address that the description
	// came from.
	Source netip.Addr
	// Notice is what the sender has noticed of the receiver. NoNotice is not sent.
	Notice Notice
	// OtherName is the host's name, Text, of the machine that Notice is about; it may be empty.
	OtherName []byte
	// Proof is what the receiver proves its address by, with an AddressProof. 0 asks for none.
	Proof Token
}

// PrivateNumber is what a receiver and its sender share, and nobody else.
type PrivateNumber uint64

// Notice is what a sender tells one receiver, for its user.
type Notice uint8

// The notices. A number that is not known counts as none.
const (
	NoNotice      Notice = iota
	SharedAddress        // another machine has the receiver's address too
	NumberTaken          // the receiver's number is another address's: it takes a new one
)

// Identity tells, across restarts of the sender, whether an image is the same one:
// a digest of size, times, inode and geometry, opaque to receivers.
type Identity [16]byte

// Token is a number that the sender can tell to be its own for one address.
type Token uint64

// Completion is what the sender knows once it has read the whole image. Until then
// it is zero.
type Completion struct {
	ManifestSize uint64   // bytes of the manifest
	ImageDigest  [32]byte // over the block digests, which the manifest holds
}

const completionSize = 40

func (c Completion) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, c.ManifestSize)
	return append(dst, c.ImageDigest[:]...)
}

func parseCompletion(b []byte) Completion {
	return Completion{binary.BigEndian.Uint64(b), [32]byte(b[8:completionSize])}
}

const (
	descriptionSize   = 130 // without the name
	maxManifestOfAll  = MaxManifestPerBlock * (block.MaxBlockCount + 1)
	symbolSizeAt      = 74
	completionAt      = 80
	reportIntervalAt  = 120
	sectorSizeAt      = 128
	descriptionNameAt = 129
	answerSize        = 33 // behind the least disk size
)

// AppendTo appends the packet to dst.
func (d Description) AppendTo(dst []byte) []byte {
	must(d.bounded(), "description out of bounds")
	start := len(dst)
	dst = appendHeader(dst, TypeDescription, uint16(d.Codecs), d.Session)
	dst = binary.BigEndian.AppendUint64(dst, uint64(d.Receiver))
	dst = binary.BigEndian.AppendUint64(dst, uint64(d.Token))
	dst = binary.BigEndian.AppendUint64(dst, d.Geometry.ImageSize)
	dst = append(dst, d.Identity[:]...)
	var group [16]byte
	if d.Data.IsValid() {
		group = d.Data.Addr().As16()
	}
	dst = append(dst, group[:]...)
	dst = binary.BigEndian.AppendUint16(dst, d.Data.Port())
	dst = binary.BigEndian.AppendUint16(dst, d.SymbolSize)
	dst = binary.BigEndian.AppendUint32(dst, d.Geometry.BlockSize)
	dst = d.Completion.appendTo(dst)
	dst = appendMicros(dst, d.ReportInterval)
	dst = binary.BigEndian.AppendUint32(dst, d.Receivers)
	dst = append(dst, sectorSizeLog(d.SectorSize), byte(len(d.FileName)))
	dst = append(dst, d.FileName...)
	if d.Format != format.Raw || d.LeastDiskSize != 0 || d.Answer.Given {
		dst = append(dst, byte(d.Format))
	}
	if d.LeastDiskSize != 0 || d.Answer.Given {
		dst = binary.BigEndian.AppendUint64(dst, d.LeastDiskSize)
	}
	if d.Answer.Given {
		dst = d.Answer.appendTo(dst)
	}
	return seal(dst, start)
}

func (a *Answer) appendTo(dst []byte) []byte {
	dst = append(dst, byte(a.State))
	dst = appendSequence(dst, a.Sequence)
	dst = binary.BigEndian.AppendUint64(dst, uint64(a.Private))
	var source [16]byte
	if a.Source.IsValid() {
		source = a.Source.As16()
	}
	dst = append(dst, source[:]...)
	if a.Notice != NoNotice || a.Proof != 0 {
		dst = append(dst, byte(a.Notice), byte(len(a.OtherName)))
		dst = append(dst, a.OtherName...)
	}
	if a.Proof != 0 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(a.Proof))
	}
	return dst
}

func parseAnswer(b []byte) Answer {
	a := Answer{
		Given: true, State: SenderState(b[0]), Sequence: Sequence(binary.BigEndian.Uint64(b[1:])),
		Private: PrivateNumber(binary.BigEndian.Uint64(b[9:])),
	}
	if source := [16]byte(b[17:answerSize]); source != [16]byte{} {
		a.Source = netip.AddrFrom16(source).Unmap()
	}
	a.parseNotice(b[answerSize:])
	return a
}

// ParseDescription reads a packet of TypeDescription.
func ParseDescription(b []byte) (Description, error) {
	if err := checkPacket(b, TypeDescription, descriptionSize, MaxControlSize); err != nil {
		return Description{}, err
	}
	end := descriptionSize + int(b[descriptionNameAt])
	if len(b) < end {
		return Description{}, ErrLength
	}
	d := Description{
		Session:  SessionID(binary.BigEndian.Uint64(b[8:])),
		Receiver: ReceiverID(binary.BigEndian.Uint64(b[16:])),
		Token:    Token(binary.BigEndian.Uint64(b[24:])),
		Codecs:   Codecs(binary.BigEndian.Uint16(b[2:])),
		Geometry: block.Geometry{
			ImageSize: binary.BigEndian.Uint64(b[32:]),
			BlockSize: binary.BigEndian.Uint32(b[76:]),
		},
		Identity:       Identity(b[40:56]),
		SymbolSize:     binary.BigEndian.Uint16(b[symbolSizeAt:]),
		Completion:     parseCompletion(b[completionAt:]),
		ReportInterval: micros(b[reportIntervalAt:]),
		Receivers:      binary.BigEndian.Uint32(b[124:]),
		SectorSize:     sectorSize(b[sectorSizeAt]),
		FileName:       b[descriptionSize:end:end],
	}
	if len(b) > end {
		d.Format = format.Numbered(b[end])
	}
	if behind := b[min(end+1, len(b)):]; len(behind) >= 8 {
		if least := binary.BigEndian.Uint64(behind); least <= d.Geometry.ImageSize {
			d.LeastDiskSize = least
		}
		if behind = behind[8:]; len(behind) >= answerSize {
			d.Answer = parseAnswer(behind)
		}
	}
	if group, port := [16]byte(b[56:72]), binary.BigEndian.Uint16(b[72:]); group != [16]byte{} || port != 0 {
		d.Data = netip.AddrPortFrom(netip.AddrFrom16(group).Unmap(), port)
	}
	if !d.bounded() {
		return Description{}, ErrBounds
	}
	return d, nil
}

// parseNotice reads what is behind the source of the stream. A notice that is cut short, or not
// known, is none.
func (a *Answer) parseNotice(b []byte) {
	if len(b) < 2 || len(b) < 2+int(b[1]) {
		return
	}
	end := 2 + int(b[1])
	if notice := Notice(b[0]); notice == SharedAddress || notice == NumberTaken {
		a.Notice, a.OtherName = notice, b[2:end:end]
	}
	if b = b[end:]; len(b) >= 8 {
		a.Proof = Token(binary.BigEndian.Uint64(b))
	}
}

func (d *Description) bounded() bool {
	if d.Data != (netip.AddrPort{}) && !(d.Data.Addr().IsMulticast() && d.Data.Port() != 0) {
		return false
	}
	if d.Geometry.Validate() != nil || d.Geometry.ValidateSymbolSize(d.SymbolSize) != nil {
		return false
	}
	if d.SectorSize != 0 && sectorSizeLog(d.SectorSize) == 0 {
		return false
	}
	if format.Numbered(uint8(d.Format)) != d.Format || d.LeastDiskSize > d.Geometry.ImageSize {
		return false
	}
	if !d.Answer.bounded() {
		return false
	}
	return d.Completion.ManifestSize <= MaxManifestPerBlock*(uint64(d.Geometry.BlockCount())+1) &&
		boundedInterval(d.ReportInterval, MinInterval) && validFileName(d.FileName)
}

func (a *Answer) bounded() bool {
	if a.Source.IsValid() && (a.Source.IsMulticast() || a.Source.Zone() != "") {
		return false
	}
	return a.Sequence <= MaxSequence && a.Notice <= NumberTaken && (a.Notice != NoNotice || len(a.OtherName) == 0) && validText(a.OtherName)
}

// sectorSizeLog is 0 for sizes that a packet cannot tell.
func sectorSizeLog(size uint32) byte {
	switch size {
	case 512:
		return 9
	case 4096:
		return 12
	}
	return 0
}

// sectorSize is 0, unknown, for what a later version may mean.
func sectorSize(log byte) uint32 {
	switch log {
	case 9, 12:
		return 1 << log
	}
	return 0
}

func boundedInterval(d, least time.Duration) bool { return d >= least && d <= MaxInterval }

package discover

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"time"

	"multiserver/internal/codec"
	"multiserver/internal/failure"
	"multiserver/internal/format"
	"multiserver/internal/mxb1"
	"multiserver/internal/quote"
	"multiserver/internal/twins"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// Offer is a server and what it serves.
type Offer struct {
	Name      string
	SizeBytes uint64
	Identity  uint64 // of the image's version; 0 from an original server
	// HasTrailer: it is one of our servers.
	HasTrailer bool
	Session    *wire.Description // of MXB 2; nil if the server speaks MXB 1

	// Private: it answers an offer that went to the server's own address, with a number that
	// nobody else knows.
	Private bool

	Server  netip.AddrPort
	IfIndex int // of the interface that the answer came in on
	AskFrom int // of the interface to ask by; 0 leaves it to the routing table

	// standsAt is when other servers have had their time to answer. It is zero once they have,
	// and if a host was named.
	standsAt time.Time
}

// Stands reports whether no other server may answer any more that would make the offer one of two.
func (o *Offer) Stands() bool { return o.standsAt.IsZero() }

// Same reports whether other is of the same image.
func (o *Offer) Same(other *Offer) bool {
	return other.SizeBytes == o.SizeBytes && other.Name == o.Name && other.Identity == o.Identity && other.HasTrailer == o.HasTrailer
}

// Source is where the group's stream of a session comes from: a packet from elsewhere is a
// stranger's.
func (o *Offer) Source() netip.AddrPort {
	source := o.Session.Answer.Source
	if !source.IsValid() {
		return o.Server
	}
	if source.Is6() && source.IsLinkLocalUnicast() {
		source = source.WithZone(udp.InterfaceName(o.IfIndex))
	}
	return netip.AddrPortFrom(source, o.Server.Port())
}

// IsOfSameServer reports whether other is of the server that described this session, at whatever
// address that is now: it repeats the session's private number. Sessions of earlier versions have
// none.
func (o *Offer) IsOfSameServer(other *Offer) bool {
	if o.Session == nil || other.Session == nil {
		return false
	}
	ours, theirs := &o.Session.Answer, &other.Session.Answer
	return ours.Private != 0 && ours.Private == theirs.Private && o.Session.Session == other.Session.Session
}

// Protocol is its name in figures.
func (o *Offer) Protocol() string {
	if o.Session != nil {
		return "mxb2"
	}
	return "mxb1"
}

// SectorSize is the sector size of the disks that the image is made for. It is 0 if that is not
// known: an original server does not send it.
func (o *Offer) SectorSize() uint32 {
	if o.Session == nil {
		return 0
	}
	return o.Session.SectorSize
}

// LeastDiskSize is how many bytes a disk must have that holds every partition of the image. It is 0
// if that is not known: an original server does not send it.
func (o *Offer) LeastDiskSize() uint64 {
	if o.Session == nil {
		return 0
	}
	return o.Session.LeastDiskSize
}

// Format is what the image is if it is no plain disk. An original server does not tell.
func (o *Offer) Format() format.Format {
	if o.Session == nil {
		return format.Raw
	}
	return o.Session.Format
}

// rivals is the error for two servers that offer different images.
func (o *Offer) rivals(other *Offer) error {
	return failure.New(failure.ErrIntegrity, "two servers answer: %s serves %s (%d bytes), %s serves %s (%d bytes): choose one with ClientConfig.ControlHost",
		o.Server, quote.Name(o.Name), o.SizeBytes, other.Server, quote.Name(other.Name), other.SizeBytes)
}

// errNotAsked: a description is of a protocol that was not asked for.
var errNotAsked = errors.New("an answer over MXB 1, which is not wanted")

// errNotOurs: a description answers another client's question.
var errNotOurs = errors.New("the answer is to somebody else")

// parse reads the answer to a map request: a description of either protocol. One of MXB 2 must be
// for the question's number or the private one.
func (q *Question) parse(b []byte, number wire.ReceiverID) (Offer, error) {
	if h, payload, err := mxb1.Parse(b); err == nil {
		if h.Op != mxb1.OpDescription {
			return Offer{}, mxb1.ErrSize
		}
		if q.MXB1 == MXB1Never {
			return Offer{}, errNotAsked
		}
		d, err := mxb1.ParseDescription(payload)
		return Offer{Name: d.Name, SizeBytes: d.SizeBytes, Identity: d.Identity, HasTrailer: d.HasTrailer}, err
	}
	d, err := wire.ParseDescription(b)
	if err != nil {
		return Offer{}, err
	}
	private := d.Receiver == number && number != 0
	if d.Receiver != q.Receiver && !private {
		return Offer{}, errNotOurs
	}
	d.FileName, d.Answer.OtherName = bytes.Clone(d.FileName), bytes.Clone(d.Answer.OtherName)
	return Offer{
		Name: string(d.FileName), SizeBytes: d.Geometry.ImageSize,
		Identity: binary.BigEndian.Uint64(d.Identity[:]), HasTrailer: true, Session: &d, Private: private,
	}, nil
}

// MXB1 says what a client does about the original's protocol.
type MXB1 int

// The modes.
const (
	MXB1Auto  MXB1 = iota // only if nobody answers over MXB 2
	MXB1Never             // nothing but MXB 2
	MXB1Only              // nothing but MXB 1, with our servers too
)

// offerBytes is the size of an offer: as large as most answers, and no larger than any path takes
// (576 bytes, less IPv6, UDP and the header of the map request).
const offerBytes = 500

// Question is the map request by which a client asks for a description.
type Question struct {
	// Receiver is the number that everybody hears, in questions that go to all. It is for the
	// search alone: the session gets a number of its own.
	Receiver wire.ReceiverID
	Group    netip.Addr // for its family
	MXB1     MXB1
}

// AppendTo appends the request that goes to all, for an interface of that MTU. Unless it keeps to
// MXB 1, it offers MXB 2.
func (q *Question) AppendTo(dst []byte, mtu int) []byte {
	return q.appendOffer(dst, mtu, q.Receiver, 0, false, twins.Machine{})
}

// AppendPrivate appends the request that goes to the address of one server, with a number that nobody
// else hears, and with this machine as the server sees it. private is the private number that the
// client has of the session; 0 if it has none yet.
func (q *Question) AppendPrivate(dst []byte, mtu int, id wire.ReceiverID, private wire.PrivateNumber, server netip.Addr) []byte {
	return q.appendOffer(dst, mtu, id, private.Digest(id), true, twins.Toward(server))
}

func (q *Question) appendOffer(dst []byte, mtu int, id wire.ReceiverID, digest wire.PrivateDigest, private bool, from twins.Machine) []byte {
	if q.MXB1 == MXB1Only {
		return mxb1.AppendMapRequest(dst, mxb1.Offer())
	}
	offer := wire.Offer{
		Version:       wire.Version,
		Private:       private,
		Receiver:      id,
		Codecs:        codec.Decodable,
		LargestPacket: uint16(min(mtu-udp.HeaderBytes(q.Group), wire.MaxPacketSize)),
		HostName:      []byte(HostName()),
		Machine:       from.Digest,
		Source:        from.Addr,
		Digest:        digest,
		Size:          offerBytes,
	}
	return mxb1.AppendMapRequest(dst, offer.AppendTo(nil))
}

// HostName is this machine's name in its offers, or "" if it is unknown.
func HostName() string {
	host, _ := os.Hostname() // empty if unknown
	return string(wire.Text(host))
}

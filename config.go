package multiserver

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"multiserver/internal/roster"
	"multiserver/internal/session"
)

// Defaults of both programs, those of the original pair.
const (
	DefaultPort        = 16000
	DefaultControlPort = 7500
	DefaultQuietTime   = time.Second
	// DefaultTTL keeps the stream on the local network.
	DefaultTTL = 1
	// DefaultMTU fits every path.
	DefaultMTU = session.DefaultMTU
	// FreePort as a ServerConfig.ControlPort asks for any free port: Server.Addr reports which.
	FreePort = -1
	// MaxReceivers is how many clients a server keeps a row of, for each protocol.
	MaxReceivers = roster.MaxRows
	// DefaultInterfaceTimeout ends a server that has no network.
	DefaultInterfaceTimeout = 60 * time.Second
	// DefaultStartTimeout and DefaultReceiveTimeout end a client that is not served.
	DefaultStartTimeout   = 60 * time.Second
	DefaultReceiveTimeout = 60 * time.Second
	// DefaultClientTimeout is how long a server waits for a client that is silent.
	DefaultClientTimeout = session.DefaultClientTimeout
	// NoTimeout as a time limit waits for ever.
	NoTimeout = time.Duration(-1)
)

// DefaultGroup is the multicast group of the original pair.
var DefaultGroup = netip.AddrFrom4([4]byte{225, 0, 20, 10})

// ServerConfig says what to serve and where. One of File and Source has no default.
type ServerConfig struct {
	// File is the path of a regular file or a block device of 1 byte to 4 TiB.
	File string
	// SkipUnused says what becomes of the parts of File that no file system uses. They are zeros
	// to all clients, and not read, where that is certain: SkipUnusedAuto.
	SkipUnused SkipUnusedMode
	// Compress says whether MXB 2 carries the image compressed, if it is not packed: CompressAuto. A
	// client of an earlier version gets it as it is.
	Compress CompressMode
	// Source is served in the place of File, called Name. If it is an io.Closer, Run closes it.
	Source Source
	Name   string
	// Group is where clients look for a server, and where the blocks of MXB 1 go; those of
	// MXB 2 go to DataGroup. Port is the port of both streams. They are DefaultGroup and
	// DefaultPort. With a group of IPv6 everything goes over IPv6.
	Group netip.Addr
	Port  uint16
	// ControlHost and ControlPort are the address that requests come to, and the source of every
	// packet: all addresses, and DefaultControlPort.
	ControlHost netip.Addr
	ControlPort int // 1 to 65535, or FreePort
	// Signature is the file with what multiserver sign has signed of the image, its signature beside
	// it. If empty, that is File with ".mxs", if there is such a file, or inside a packed image.
	Signature string
	// Interface is the name of the only interface to use. If empty, requests may come in on every
	// one that is up and multicast-capable. MXB 2 is served on all interfaces that clients use,
	// MXB 1 on the one where the first client asked.
	Interface string
	// InterfaceTimeout is how long Run waits at its start for the interface to exist and to have
	// an address, or for any if none is named: DefaultInterfaceTimeout; NoTimeout waits.
	InterfaceTimeout time.Duration
	// TTL is how many routers the blocks may pass, plus one: DefaultTTL.
	TTL int
	// RateBitsPerSec bounds the stream, counted as on the wire of an Ethernet,
	// preamble and gap included. If 0, the queue of the interface sets the pace.
	RateBitsPerSec uint64
	// Delay is a pause after each packet, as the original's DELAY.
	Delay time.Duration
	// DataGroup is where the stream of MXB 2 goes, at Port: if not valid, a group that
	// is the image's own, of 239.192.0.0/14, or of IPv6 with Group's scope.
	DataGroup netip.Addr
	// MTU is the size that the packets of MXB 2 fill: 1500, or less if the interface has less.
	MTU int
	// The stream of MXB 2 starts once MinReceivers clients have joined and MinWait has
	// passed since the first; MaxWait, if not 0, caps the wait. Zero values: start at once.
	MinReceivers     int
	MinWait, MaxWait time.Duration
	// ExitAfterDone ends the server when every client that came is done or gone. A client that
	// refused its target has come. If nobody else has, and MinReceivers is 0, the server waits
	// ClientTimeout for others.
	ExitAfterDone bool
	// ClientTimeout is after how long a client that is silent counts as lost. It may still come
	// back. As long the server waits for one that refused and tries again: DefaultClientTimeout.
	ClientTimeout time.Duration
	// MaxTime ends the server that long after its start, whoever is not done: with an *Error of kind
	// ErrReceiversFailed, of kind ErrTimeLimit if no client came, or with nil. 0: never. Who receives
	// over MXB 1 does not tell when it is done, and does not count.
	MaxTime time.Duration
	// MXB1 says whether clients are served over MXB 1. While MXB 2 has something to send, MXB 1 has
	// an eighth of the wire at most, and each client one pass over the image.
	MXB1 MXB1Mode
	// Unicast reports whether clients that hear nothing of the group are served one by one.
	Unicast UnicastMode
	// OnEvent is called when clients join and end, and when the rate changes. A goroutine of Run
	// calls it and waits for it: it must not block, nor call Run.
	OnEvent func(ServerEvent)
	// Log takes warnings and what a person may want to know: slog.Default().
	Log *slog.Logger
}

// CompressMode says whether an image that is not packed is compressed while it is sent.
type CompressMode int

// The modes.
const (
	CompressAuto   CompressMode = iota // by cores to spare; what is not ready in time goes as it is
	CompressNever                      // as it is
	CompressAlways                     // whatever compresses, even if the stream waits for it
)

// SkipUnusedMode says whether an image is served without what its file systems do not use.
type SkipUnusedMode int

// The modes.
const (
	SkipUnusedAuto  SkipUnusedMode = iota // where it is certain that nobody uses it
	SkipUnusedNever                       // every byte as it is
)

// UnicastMode reports whether a stream of MXB 2 goes by unicast.
type UnicastMode int

// The modes.
const (
	UnicastAuto   UnicastMode = iota // where multicast does not arrive
	UnicastAlways                    // and never by multicast
	UnicastNever                     // multicast or nothing
)

// MXB1Mode says what is done about MXB 1, the original's protocol, which knows no digests.
type MXB1Mode int

// The modes.
const (
	MXB1Auto  MXB1Mode = iota // where MXB 2 is not spoken
	MXB1Never                 // MXB 2 or nothing
	MXB1Only                  // even where MXB 2 is spoken
)

// ClientConfig says what to receive and where to put it. The zero value receives
// from whichever server answers into a file of the served name.
type ClientConfig struct {
	// Where the image goes: one of Output, Disk, Target and Stream at most. If there is none
	// of them, it goes to a file in the current folder, of the base name that the server
	// describes.

	// Output is the path of a file or a block device.
	Output string
	// Disk means one disk of this machine by conditions that must all hold, with commas
	// between: "size>=100G,rotational=0". The keys are serial, wwn, path, model, name,
	// transport (shell globs, without case), size (=, >=, <=, >, <; 100G are GiB, 100GB 10^9
	// bytes each), rotational and removable (0 or 1). It is refused unless exactly one disk
	// meets them. On Linux.
	Disk string
	// Target takes the image at offsets. Its owner closes it.
	Target Target
	// Stream takes the image in order. Its owner closes it.
	Stream io.Writer

	// Group and Port are the server's: DefaultGroup and DefaultPort. With a group of IPv6
	// everything goes over IPv6.
	Group netip.Addr
	Port  uint16
	// ControlHost and ControlPort are the server to ask. An empty host is searched:
	// by multicast to Group and, over IPv4, by broadcast and at 192.168.1.1.
	ControlHost string
	ControlPort uint16
	// FromPort is the port to ask from. If 0, a free one from 32767 to 65533.
	FromPort uint16
	// Interface is the name of the only interface to use. If empty, every one that
	// is up and multicast-capable is tried, and the first one to answer is used.
	Interface string
	// QuietTime is the silence over MXB 1 after which missing blocks are requested. MXB 2 does not
	// use it.
	QuietTime time.Duration
	// StartTimeout ends the search for a server, the wait for an interface and its address
	// included, ReceiveTimeout the silence of the server that was found:
	// DefaultStartTimeout, DefaultReceiveTimeout; NoTimeout waits. Over
	// MXB 2 each packet of the server breaks its silence, heartbeats too: while it waits for
	// clients, or its disk stalls, the client waits as long as the server lives, and
	// Stats.WaitingFor says so. Over MXB 1 only blocks do.
	StartTimeout   time.Duration
	ReceiveTimeout time.Duration
	// Allocate takes all of the target file's space first and leaves no holes.
	Allocate bool
	// Force writes to a target that is mounted or in use, and writes an image that is no disk as
	// it is. It makes a regular file of a path below /dev that does not exist.
	Force bool
	// Update compares the whole target before anything is requested. Without it that happens only
	// if a sample shows that the target holds some of the image.
	Update bool
	// Fresh writes everything, whatever the target's old content.
	Fresh bool
	// Verify reads everything back from the target after the last byte was synced.
	Verify bool
	// WipeRest clears what earlier uses left behind the image on a larger device, so that
	// nothing takes the disk for them: a backup GPT, RAID superblocks, labels of LVM, ZFS and
	// btrfs. Without it they are only named.
	WipeRest bool
	// FitGPT moves the image's backup GPT to the end of a larger device, after the image
	// was verified.
	FitGPT bool
	// TruncateUnused writes to a device that is smaller than the image, if every partition of the
	// image has its place on it: what does not fit is received and verified, and not written, and
	// the backup GPT is moved to the end of the device. Over MXB 2.
	TruncateUnused bool
	// BeforeWrite, if not nil, is called once in each Run that writes to a block device, with what
	// will be written where, when every check has passed. Nothing on the device changes before it
	// returns. If it returns an error, Run ends with that. Over MXB 2 the image is received into
	// memory meanwhile. ctx ends with the session.
	BeforeWrite func(ctx context.Context, p Plan) error
	// Unicast reports whether to ask the server for unicast.
	Unicast UnicastMode
	// TriesAgain tells whether the caller will Run again of itself after that error. A client that
	// ends before it joins tells so to the server, which then waits for it. nil: it will not.
	TriesAgain func(error) bool
	// Trust is whom to believe: a file with public keys of minisign, or such keys, separated by
	// commas. If not empty, nothing is written that one of them has not signed, and nothing is
	// received over MXB 1.
	Trust string
	// Image is the name that the image must be signed by; empty: any.
	Image string
	// MinSerial is the lowest serial number that it may be signed with.
	MinSerial uint64
	// TrustState is a file in which the highest serial number of each image is kept: lower ones are
	// refused. Empty: none are kept.
	TrustState string
	// MXB1 says whether an original server may answer.
	MXB1 MXB1Mode
	// OnPhase is called each time that Stats.Phase changes, in the phases' order. A goroutine of
	// Run calls it and waits for it: it must not block, nor call Run.
	OnPhase func(ClientStats)
	// Log takes warnings and what a person may want to know: slog.Default().
	Log *slog.Logger
}

package multiserver

import (
	"net/netip"
	"time"
)

// ServerStats is the state of a Server at one moment.
type ServerStats struct {
	Name      string `json:"name"`       // as described to clients
	SizeBytes uint64 `json:"size_bytes"` // of the image
	// Group is where clients look for the server, and where the blocks of MXB 1 go. The stream
	// of MXB 2 goes to ServerConfig.DataGroup, or to a group that is the image's own.
	Group   netip.AddrPort `json:"group"`
	Control netip.AddrPort `json:"control"`
	// Interfaces are the names of the interfaces that are served. There are none before the first
	// request if none is configured.
	Interfaces []string      `json:"interfaces"`
	Elapsed    time.Duration `json:"elapsed_ns"` // since Run began

	// ImageBytesSent counts the image's bytes each time that they are sent, repair symbols
	// included. WireBytesSent is the same on the wire, with all headers.
	ImageBytesSent uint64 `json:"image_bytes_sent"`
	WireBytesSent  uint64 `json:"wire_bytes_sent"`
	PacketsSent    uint64 `json:"packets_sent"`
	// ImageBytesPending are asked for over MXB 1 and not yet sent, and Requests are MXB 1's
	// requests for blocks. MXB 2 counts in neither. The key image_bytes_owed keeps the older
	// name: scripts read it.
	ImageBytesPending uint64 `json:"image_bytes_owed"`
	Requests          uint64 `json:"requests"`
	// BadPackets are packets of another program, or requests for blocks that do not exist.
	BadPackets uint64 `json:"bad_packets"`
	// SendMethod is how packets reach the kernel: "gso", "sendmmsg" or "write".
	SendMethod string `json:"send_method"`
	// RateLimit is what MXB 2's stream keeps to, in bits a second, and RateReason what sets
	// that, in words: 0 and "" if it is the interface's pace. 0 with a reason: nothing is sent.
	RateLimit  uint64 `json:"rate_limit_bits_per_sec"`
	RateReason string `json:"rate_reason"`
	// Waiting: the stream of MXB 2 has not begun; it waits for clients.
	Waiting bool `json:"waiting"`
	// Receivers are the clients of MXB 2, in the order in which they joined: 4096 at most.
	Receivers []Receiver `json:"receivers"`
	// Clients are the clients of MXB 1, by first request: 4096 at most. Clients that are silent for
	// ten minutes make room for others.
	Clients []ServedClient `json:"clients"`
}

// ServedClient is a client of MXB 1. The server knows only what it has asked for.
type ServedClient struct {
	Addr      netip.AddrPort `json:"addr"`
	FirstSeen time.Time      `json:"first_seen"`
	LastSeen  time.Time      `json:"last_seen"`
	Requests  uint64         `json:"requests"` // for blocks
	// AskedBytes counts the image's bytes that it has asked for, each time that it has.
	AskedBytes uint64 `json:"asked_bytes"`
}

// Receiver is a client of MXB 2, as it last reported.
type Receiver struct {
	Name       string         `json:"name"` // its host's
	Addr       netip.AddrPort `json:"addr"`
	FirstSeen  time.Time      `json:"first_seen"`
	LastSeen   time.Time      `json:"last_seen"`
	BytesDone  uint64         `json:"bytes_done"` // of the image, verified and written
	Received   uint64         `json:"received"`   // packets of the stream
	LostOnWire uint64         `json:"lost_on_wire"`
	// Dropped are packets that its own socket had no room for.
	Dropped uint64 `json:"dropped"`
	// Limit is what slows it down: "", "wire", "socket", "cpu" or "disk".
	Limit   string  `json:"limit"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"` // of a failure or refusal, in its own words
	// SilentFor is how long it has sent nothing, if that is longer than it should be and it has no
	// outcome; else 0. It counts as lost after ServerConfig.ClientTimeout.
	SilentFor time.Duration `json:"silent_ns"`
	// SharesAddress: another machine has its address too, so that unicast often does not arrive.
	SharesAddress bool `json:"shares_address"`
}

// Outcome is how a Receiver ended.
type Outcome int

// The outcomes.
const (
	OutcomePending     Outcome = iota // not yet known
	OutcomeDone                       // every byte is verified, written and synced
	OutcomeFailed                     // it reported a failure
	OutcomeInterrupted                // ended by its user; Reason has the cause of its context
	OutcomeLost                       // it went silent
	OutcomeRestarted                  // it ended without the image, and its machine joined again
	OutcomeRefused                    // it did not take the image: nothing was written
)

// MarshalText is String, for JSON.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

func (o Outcome) String() string {
	return [...]string{"pending", "done", "failed", "interrupted", "lost", "restarted", "refused"}[o]
}

// ClientPhase is what a Client is busy with.
type ClientPhase int

// The phases of a client, in their order.
const (
	PhaseFinding   ClientPhase = iota // looking for a server
	PhaseReceiving                    // blocks are still missing
	PhaseSyncing                      // all blocks are in; waiting for the disk
	PhaseVerifying                    // the target is read back
	PhaseDone                         // everything is on the target
)

// MarshalText is String, for JSON.
func (p ClientPhase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

func (p ClientPhase) String() string {
	return [...]string{"finding", "receiving", "syncing", "verifying", "done"}[p]
}

// ClientStats is the state of a Client at one moment.
type ClientStats struct {
	Phase     ClientPhase    `json:"phase"`
	Name      string         `json:"name"`       // as the server describes it; empty until it is found
	Output    string         `json:"output"`     // where the image goes
	SizeBytes uint64         `json:"size_bytes"` // of the image; 0 until the server is found
	Server    netip.AddrPort `json:"server"`
	// Protocol is "mxb1" or "mxb2"; empty until the server is found.
	Protocol  string        `json:"protocol"`
	Interface string        `json:"interface"`
	Elapsed   time.Duration `json:"elapsed_ns"` // since Run began
	// Streaming is the time from the first block that arrived until now, or until
	// the last one was in.
	Streaming time.Duration `json:"streaming_ns"`

	BytesDone uint64 `json:"bytes_done"` // of the image: received, or held already
	// BytesKept are the bytes of the image that the target held already.
	BytesKept uint64 `json:"bytes_kept"`
	// BytesVerified counts the bytes read back. Verified says that the whole image was read back and
	// is right.
	BytesVerified uint64 `json:"bytes_verified"`
	Verified      bool   `json:"verified"`
	// AlteredBytes are those of the target that ClientConfig.WipeRest, FitGPT and TruncateUnused
	// altered, in the image's range and behind it, after the image was verified; also those that an
	// earlier run altered and that were kept.
	AlteredBytes uint64 `json:"altered_bytes"`
	// CutBytes are those of the image's end, in no partition, that ClientConfig.TruncateUnused left
	// out because the target is smaller. They were received and verified.
	CutBytes uint64 `json:"cut_bytes"`
	// Discarded: the target is the null device. The image is received and verified, and not kept.
	Discarded bool `json:"discarded"`
	// AskedAgainBytes counts the image's bytes that were requested after the first request, each
	// time that they were.
	AskedAgainBytes uint64 `json:"asked_again_bytes"`

	PacketsReceived uint64 `json:"packets_received"` // blocks of our server, duplicates included
	Duplicates      uint64 `json:"duplicates"`       // blocks that were in already
	Strangers       uint64 `json:"strangers"`        // packets from another sender than our server
	BadPackets      uint64 `json:"bad_packets"`      // no valid packet, or a block of the wrong size
	// SocketDrops is how often the kernel dropped a datagram for lack of room in our socket's
	// receive buffer. It may have joined several packets to one.
	SocketDrops uint64 `json:"socket_drops"`
	// MemoryDrops are blocks that arrived while the target was too slow. They are requested again.
	MemoryDrops uint64 `json:"memory_drops"`
	// WaitingFor says what has not come for a while and the likely cause; empty
	// while all is well.
	WaitingFor string `json:"waiting_for"`
}

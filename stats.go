package multiserver

import (
	"net/netip"
	"time"
)

// ServerStats is the state of a Server at one moment.
type ServerStats struct {
	Name      string         `json:"name"`       // as described to clients
	SizeBytes uint64         `json:"size_bytes"` // of the image
	Group     netip.AddrPort `json:"group"`
	Control   netip.AddrPort `json:"control"`
	// Interfaces are the names of those that are served; none before the first request if
	// none was configured.
	Interfaces []string      `json:"interfaces"`
	Elapsed    time.Duration `json:"elapsed_ns"` // since Run began

	// ImageBytesSent counts the image's bytes in all that is sent, each time that it
	// is, repair symbols included; WireBytesSent is the same on the wire, with all
	// headers.
	ImageBytesSent uint64 `json:"image_bytes_sent"`
	WireBytesSent  uint64 `json:"wire_bytes_sent"`
	PacketsSent    uint64 `json:"packets_sent"`
	// ImageBytesOwed are asked for and not yet sent.
	ImageBytesOwed uint64 `json:"image_bytes_owed"`
	Requests       uint64 `json:"requests"` // requests for blocks
	// BadPackets were no packet of ours or asked for what there is not.
	BadPackets uint64 `json:"bad_packets"`
	// SendMethod is how packets reach the kernel: "gso", "sendmmsg" or "write".
	SendMethod string `json:"send_method"`
	// RateLimit is what MXB 2's stream keeps to, in bits a second, and RateReason what sets
	// that, in words: 0 and "" if it is the interface's pace. 0 with a reason: nothing is sent.
	RateLimit  uint64 `json:"rate_limit_bits_per_sec"`
	RateReason string `json:"rate_reason"`
	// Waiting: the stream of MXB 2 is held until those are there that it waits for.
	Waiting bool `json:"waiting"`
	// Receivers are the clients of MXB 2, as they joined: 4096 at most.
	Receivers []Receiver `json:"receivers"`
	// Clients are those of MXB 1 that asked, by first request: 4096 at most, of which the
	// silent make room for others after ten minutes.
	Clients []ServedClient `json:"clients"`
}

// ServedClient is a client as an MXB 1 server sees it: it knows of one only what
// it asked for last.
type ServedClient struct {
	Addr      netip.AddrPort `json:"addr"`
	FirstSeen time.Time      `json:"first_seen"`
	LastSeen  time.Time      `json:"last_seen"`
	Requests  uint64         `json:"requests"` // for blocks
	// AskedBytes is the sum of the image's bytes that it asked for, each time.
	AskedBytes uint64 `json:"asked_bytes"`
}

// Receiver is a client of MXB 2, by what it said last.
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
	// Limit is what holds it back: "", "wire", "socket", "cpu" or "disk".
	Limit   string  `json:"limit"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"` // of a failure, in its own words
}

// Outcome is what became of a Receiver.
type Outcome int

// The outcomes.
const (
	OutcomePending     Outcome = iota // not yet known
	OutcomeDone                       // every byte is verified, written and synced
	OutcomeFailed                     // it said so
	OutcomeInterrupted                // ended by its user
	OutcomeLost                       // it went silent
	OutcomeRestarted                  // it ended without the image, and its machine came again
)

// MarshalText is String, for JSON.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

func (o Outcome) String() string {
	return [...]string{"pending", "done", "failed", "interrupted", "lost", "restarted"}[o]
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
	// BytesKept are those of the image that the target held already.
	BytesKept uint64 `json:"bytes_kept"`
	// BytesVerified are those that were read back, and Verified tells that all were,
	// and are the image's.
	BytesVerified uint64 `json:"bytes_verified"`
	Verified      bool   `json:"verified"`
	// AskedAgainBytes is the sum of the image's bytes that were asked for after
	// the first request, each time.
	AskedAgainBytes uint64 `json:"asked_again_bytes"`

	PacketsReceived uint64 `json:"packets_received"` // blocks of our server, duplicates included
	Duplicates      uint64 `json:"duplicates"`       // blocks that were in already
	Strangers       uint64 `json:"strangers"`        // packets from somebody else than our server
	BadPackets      uint64 `json:"bad_packets"`      // no valid packet, or a block of the wrong size
	// SocketDrops is how often the kernel dropped what arrived for lack of room in
	// our socket's receive buffer: datagrams, or bursts that it had joined.
	SocketDrops uint64 `json:"socket_drops"`
	// MemoryDrops are blocks that arrived while the target was too slow to take
	// them, and that are asked for again.
	MemoryDrops uint64 `json:"memory_drops"`
	// WaitingFor says what has not come for a while and the likely cause; empty
	// while all is well.
	WaitingFor string `json:"waiting_for"`
}

package progress

import (
	"encoding/json"
	"io"
	"math"
	"net/netip"
	"strings"
	"time"
)

// An Event is the kind of an object.
type Event string

// The kinds of objects. An EventLog object has "time", "level" ("debug", "info",
// "warn", "error"), "msg" and the attributes of its log record; the others are a
// ClientRecord or a ServerRecord. The last object is EventDone or EventFailed.
const (
	EventLog      Event = "log"
	EventProgress Event = "progress"
	EventDone     Event = "done"
	EventFailed   Event = "failed"
)

// RecordHead begins a ClientRecord and a ServerRecord. It is all of an EventFailed
// object if the program failed before there was anything to follow.
type RecordHead struct {
	Event Event     `json:"event"`
	Time  time.Time `json:"time"`            // when it was written
	Error string    `json:"error,omitempty"` // EventFailed: what, where, what to do
	Exit  *int      `json:"exit,omitempty"`  // EventDone and EventFailed: the exit status
}

// ClientRecord is the state of multiclient at one moment.
type ClientRecord struct {
	RecordHead
	Phase            string   `json:"phase"`                 // "finding", "receiving", "syncing", "verifying", "done"
	Name             string   `json:"name"`                  // of the image; "" until a server is found
	Output           string   `json:"output"`                // where the image goes
	Server           string   `json:"server"`                // ADDRESS:PORT that answered; "" until then
	Protocol         string   `json:"protocol"`              // "mxb1" or "mxb2"; "" until a server is found
	Interface        string   `json:"interface"`             // in use
	SizeBytes        uint64   `json:"size_bytes"`            // of the image; 0 until a server is found
	BytesDone        uint64   `json:"bytes_done"`            // of the image, received or held already
	BytesKept        uint64   `json:"bytes_kept"`            // of them, held already
	BytesVerified    uint64   `json:"bytes_verified"`        // read back from the target
	Verified         bool     `json:"verified"`              // all was read back, and is the image's
	BytesPerSecond   uint64   `json:"bytes_per_second"`      // over the last seconds; in EventDone and EventFailed the mean of what was received
	ETASeconds       *float64 `json:"eta_seconds"`           // null if nobody can tell, and at the end
	ElapsedSeconds   float64  `json:"elapsed_seconds"`       // since the start
	StreamingSeconds float64  `json:"streaming_seconds"`     // since the first block, until the last one was in
	AlteredBytes     uint64   `json:"altered_bytes"`         // of the target by --wipe-rest, --fit-gpt and --truncate-unused, after it was verified
	CutBytes         uint64   `json:"cut_bytes"`             // of the image's end, left out by --truncate-unused
	Discarded        bool     `json:"discarded"`             // the target is the null device: verified, and nothing is kept
	AskedAgainBytes  uint64   `json:"asked_again_bytes"`     // of the image, after the first request, each time; 0 with MXB 2
	PacketsReceived  uint64   `json:"packets_received"`      // of our server's stream, duplicates included
	Duplicates       uint64   `json:"duplicates"`            // of them, those that told nothing new
	Strangers        uint64   `json:"strangers"`             // packets from somebody else than our server
	BadPackets       uint64   `json:"bad_packets"`           // no valid packets
	SocketDrops      uint64   `json:"socket_drops"`          // at our socket's receive buffer
	MemoryDrops      uint64   `json:"memory_drops"`          // blocks refused because the target was too slow
	WaitingFor       string   `json:"waiting_for,omitempty"` // what has not come for a while, and the likely cause
}

// ServerRecord is the state of multiserver at one moment.
type ServerRecord struct {
	RecordHead
	Name              string               `json:"name"`              // as described to clients
	SizeBytes         uint64               `json:"size_bytes"`        // of the image
	Group             string               `json:"group"`             // ADDRESS:PORT where clients look for the server, and the blocks of MXB 1 go to
	Control           string               `json:"control"`           // ADDRESS:PORT where requests are heard
	Interface         string               `json:"interface"`         // that is served; "" until the first request if none was named
	ElapsedSeconds    float64              `json:"elapsed_seconds"`   // since the start
	ImageBytesSent    uint64               `json:"image_bytes_sent"`  // of the image, each time that they were sent
	ImageRatio        float64              `json:"image_ratio"`       // the same, over the image's size
	WireBytesSent     uint64               `json:"wire_bytes_sent"`   // the same, with all headers
	PacketsSent       uint64               `json:"packets_sent"`      //
	BytesPerSecond    uint64               `json:"bytes_per_second"`  // of the image, over the last seconds
	RateLimit         uint64               `json:"rate_limit"`        // bits a second that MXB 2's stream keeps to; 0: the interface's pace, or a pause with a reason
	RateReason        string               `json:"rate_reason"`       // what sets that, in words; "" if nothing holds it back
	Waiting           bool                 `json:"waiting"`           // for clients, before MXB 2's stream begins
	ImageBytesPending uint64               `json:"image_bytes_owed"`  // asked for over MXB 1 and not yet sent
	ETASeconds        *float64             `json:"eta_seconds"`       // until nothing is pending; null if nobody can tell
	Requests          uint64               `json:"requests"`          // for blocks, over MXB 1
	BadPackets        uint64               `json:"bad_packets"`       // no packets of ours, or for what there is not
	SendMethod        string               `json:"send_method"`       // "gso", "sendmmsg" or "write"
	ClientsSeen       int                  `json:"clients_seen"`      // of MXB 1, since the start
	Clients           []ServedClientRecord `json:"clients,omitempty"` // of MXB 1; EventDone and EventFailed only

	// The clients of MXB 2:
	ReceiversSeen      int              `json:"receivers_seen"`        // since the start: the sum of the next four, and those that were restarted
	ReceiversReceiving int              `json:"receivers_receiving"`   // that have not ended
	ReceiversDone      int              `json:"receivers_done"`        // that have the image, written and synced
	ReceiversRefused   int              `json:"receivers_refused"`     // that did not take it: nothing was written
	ReceiversFailed    int              `json:"receivers_failed"`      // that ended without it, or went silent
	WaitingFor         string           `json:"waiting_for,omitempty"` // those that are silent, by name
	Receivers          []ReceiverRecord `json:"receivers,omitempty"`   // by first offer; in EventProgress if they are 64 at most
}

// maxReceiversInProgress keeps an object that comes each second to a few kilobytes.
const maxReceiversInProgress = 64

// ReceiverRecord is one client of MXB 2 in a ServerRecord, by what it said last.
type ReceiverRecord struct {
	Name            string    `json:"name"`                     // its host's
	Addr            string    `json:"addr"`                     // ADDRESS:PORT that it reports from
	Outcome         string    `json:"outcome"`                  // "pending", "done", "failed", "interrupted", "lost", "restarted", "refused"
	Reason          string    `json:"reason,omitempty"`         // of a failure or refusal, in its own words
	SilentSeconds   float64   `json:"silent_seconds,omitempty"` // for so long it has sent nothing, and is waited for
	SharesAddress   bool      `json:"shares_address,omitempty"` // another machine has its address too
	FirstSeen       time.Time `json:"first_seen"`               //
	LastSeen        time.Time `json:"last_seen"`                //
	BytesDone       uint64    `json:"bytes_done"`               // of the image, verified and written
	PacketsReceived uint64    `json:"packets_received"`         // of the stream
	PacketsLost     uint64    `json:"packets_lost"`             // on the wire
	SocketDrops     uint64    `json:"socket_drops"`             // packets that its socket had no room for
	Limit           string    `json:"limit"`                    // what holds it back: "wire", "socket", "cpu" or "disk"; "" if nothing
}

// ServedClientRecord is one client of a ServerRecord.
type ServedClientRecord struct {
	Addr       string    `json:"addr"`        // ADDRESS:PORT that it asked from
	FirstSeen  time.Time `json:"first_seen"`  //
	LastSeen   time.Time `json:"last_seen"`   //
	Requests   uint64    `json:"requests"`    // for blocks
	AskedBytes uint64    `json:"asked_bytes"` // of the image, each time
}

func (c client) record(h RecordHead) ClientRecord {
	rate, eta := c.bytesPerSec, c.etaSeconds()
	if h.Event != EventProgress {
		rate, eta = meanRate(c.received(), c.Streaming), nil
	}
	return ClientRecord{
		RecordHead: h,
		Phase:      c.Phase.String(), Name: c.Name, Output: c.Output,
		Server: addrText(c.Server), Protocol: c.Protocol, Interface: c.Interface,
		SizeBytes: c.SizeBytes, BytesDone: c.BytesDone,
		BytesKept: c.BytesKept, BytesVerified: c.BytesVerified, Verified: c.Verified, AlteredBytes: c.AlteredBytes, CutBytes: c.CutBytes, Discarded: c.Discarded,
		BytesPerSecond: uint64(rate), ETASeconds: eta,
		ElapsedSeconds: seconds(c.Elapsed), StreamingSeconds: seconds(c.Streaming),
		AskedAgainBytes: c.AskedAgainBytes, PacketsReceived: c.PacketsReceived, Duplicates: c.Duplicates,
		Strangers: c.Strangers, BadPackets: c.BadPackets,
		SocketDrops: c.SocketDrops, MemoryDrops: c.MemoryDrops,
		WaitingFor: c.WaitingFor,
	}
}

// etaSeconds is nil before the size is known, when the rest is not known to be 0.
func (c client) etaSeconds() *float64 {
	if c.SizeBytes == 0 {
		return nil
	}
	return etaSeconds(c.restBytes(), c.bytesPerSec)
}

func (v server) record(h RecordHead) ServerRecord {
	r := ServerRecord{
		RecordHead: h,
		Name:       v.Name, SizeBytes: v.SizeBytes,
		Group: addrText(v.Group), Control: addrText(v.Control), Interface: strings.Join(v.Interfaces, ", "),
		ElapsedSeconds: seconds(v.Elapsed),
		ImageBytesSent: v.ImageBytesSent, ImageRatio: math.Round(v.ratio()*1000) / 1000,
		WireBytesSent: v.WireBytesSent, PacketsSent: v.PacketsSent,
		BytesPerSecond: uint64(v.bytesPerSec), ImageBytesPending: v.ImageBytesPending,
		RateLimit: v.RateLimit, RateReason: v.RateReason, Waiting: v.Waiting,
		ETASeconds: etaSeconds(v.ImageBytesPending, v.bytesPerSec),
		Requests:   v.Requests, BadPackets: v.BadPackets,
		SendMethod: v.SendMethod, ClientsSeen: len(v.Clients),
	}
	r.ReceiversSeen = len(v.Receivers)
	r.ReceiversReceiving, r.ReceiversDone, r.ReceiversRefused, r.ReceiversFailed = receivers(v.Receivers).count()
	r.WaitingFor = receivers(v.Receivers).silent()
	if h.Event != EventProgress || len(v.Receivers) <= maxReceiversInProgress {
		r.Receivers = receivers(v.Receivers).records()
	}
	if h.Event != EventProgress {
		r.ETASeconds = nil
		for _, c := range v.Clients {
			r.Clients = append(r.Clients, ServedClientRecord{addrText(c.Addr), c.FirstSeen, c.LastSeen, c.Requests, c.AskedBytes})
		}
	}
	return r
}

func (rs receivers) records() []ReceiverRecord {
	var records []ReceiverRecord
	for _, r := range rs {
		records = append(records, ReceiverRecord{
			Name: r.Name, Addr: addrText(r.Addr),
			Outcome: r.Outcome.String(), Reason: r.Reason,
			SilentSeconds: seconds(r.SilentFor), SharesAddress: r.SharesAddress, FirstSeen: r.FirstSeen, LastSeen: r.LastSeen,
			BytesDone: r.BytesDone, PacketsReceived: r.Received, PacketsLost: r.LostOnWire,
			SocketDrops: r.Dropped, Limit: r.Limit,
		})
	}
	return records
}

func etaSeconds(restBytes uint64, bytesPerSec float64) *float64 {
	left, ok := timeLeft(restBytes, bytesPerSec)
	if !ok {
		return nil
	}
	s := seconds(left)
	return &s
}

// seconds is rounded to a millisecond.
func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond).Milliseconds()) / 1000
}

func addrText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// writeRecord writes one object and a newline in one call.
func writeRecord(w io.Writer, record any) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(record) // nobody is left to tell that the reader is gone
}

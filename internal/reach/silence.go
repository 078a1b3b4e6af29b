package reach

import (
	"time"

	"multiserver/internal/wire"
)

// Cause is the likely cause of a stream that does not arrive.
type Cause int

// The causes.
const (
	// SocketFull: the receive buffer is full, and all that arrives is dropped.
	SocketFull Cause = iota
	// Damaged: packets come, and are not what was sent.
	Damaged
	// UnicastBlocked: the server answers, but its unicast stream does not arrive.
	UnicastBlocked
	// GroupLost: the server answers. The group arrived before, and is now silent.
	GroupLost
	// GroupBlocked: the server answers, but nothing of its group has ever arrived.
	GroupBlocked
	// ServerGone: neither stream nor answer come any more.
	ServerGone
	// ServerNeverSent: the same, and no symbol has ever arrived.
	ServerNeverSent
)

// Silence is what the user is told.
type Silence struct {
	Kind  SilenceKind
	For   time.Duration
	Cause Cause // of Nothing
}

// SilenceKind is what the client waits for.
type SilenceKind int

// The kinds.
const (
	None          SilenceKind = iota // all is well
	Nothing                          // no packet at all
	ReadingFirst                     // the client waits for the manifest, and the server still reads
	ServerWaits                      // for more clients
	ServerStalled                    // its disk does not answer
	Unserved                         // the server lives and sends, but nothing that this client misses
)

// Silence returns what has not come for a while, and why. needsManifest says that the client
// requests nothing before it has the manifest.
func (e *Engine) Silence(now time.Duration, needsManifest bool) Silence {
	quiet, dry := now-e.lastPacket, now-e.streamed
	switch {
	case quiet > silentAfter:
		return Silence{Kind: Nothing, For: quiet, Cause: e.Cause(now)}
	case dry <= silentAfter:
	case needsManifest:
		return Silence{Kind: ReadingFirst, For: dry}
	case e.state == wire.SenderWaiting:
		return Silence{Kind: ServerWaits, For: dry}
	case e.state == wire.SenderStalled:
		return Silence{Kind: ServerStalled, For: dry}
	case e.Unserved(now) > unservedAfter:
		return Silence{Kind: Unserved, For: e.Unserved(now)}
	}
	return Silence{}
}

// Unserved is how long a server that lives has sent nothing of the image, while the client
// missed it.
func (e *Engine) Unserved(now time.Duration) time.Duration {
	if now-e.lastPacket > askAfter {
		return 0 // not even heartbeats come
	}
	return now - max(e.streamed, e.busy)
}

// Cause is the likely cause of a stream that stays away.
func (e *Engine) Cause(now time.Duration) Cause {
	switch answers := e.serverAnswers(); {
	case now-e.dropped < silentAfter:
		return SocketFull
	case now-e.damaged < silentAfter:
		return Damaged
	case answers && e.unicast:
		return UnicastBlocked
	case answers && e.symbols:
		return GroupLost
	case answers:
		return GroupBlocked
	case e.symbols:
		return ServerGone
	}
	return ServerNeverSent
}

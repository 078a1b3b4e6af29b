package reach

import (
	"time"

	"multiserver/internal/wire"
)

// Cause is the likely cause of a stream that stays away.
type Cause int

// The causes.
const (
	// SocketFull: all that arrives is dropped for lack of room in the receive buffer.
	SocketFull Cause = iota
	// Damaged: packets come, and are not what was sent.
	Damaged
	// UnicastBlocked: the server answers, but its unicast stream does not arrive.
	UnicastBlocked
	// GroupLost: the server answers, but the group, which was heard before, is silent.
	GroupLost
	// GroupBlocked: the server answers, but nothing was ever heard of its group.
	GroupBlocked
	// ServerGone: neither stream nor answer come any more.
	ServerGone
	// ServerUnheard: the same, and no symbol ever came.
	ServerUnheard
)

// Silence is what a person is to be told.
type Silence struct {
	Kind  SilenceKind
	For   time.Duration
	Cause Cause // of Nothing
}

// SilenceKind is what stays away.
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

// Silence tells what has not come for a while, and why. needsManifest says that the client
// asks for nothing before it has the manifest.
func (e *Engine) Silence(now time.Duration, needsManifest bool) Silence {
	quiet, dry := now-e.heard, now-e.streamed
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
	if now-e.heard > silentAfter {
		return 0 // that is another silence
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
	return ServerUnheard
}

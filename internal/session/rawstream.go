package session

import (
	"fmt"
	"maps"
	"time"

	"multiserver/internal/codec"
	"multiserver/internal/sender"
	"multiserver/internal/transmit"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

const (
	// joinTime is how long a receiver may take from its offer to its first packet.
	joinTime = 3 * time.Second
	// maxLacking bounds what is kept of offers.
	maxLacking = 1 << 16
)

// rawPlace: while the group's stream has something to send, the raw stream gets one byte in four.
var rawPlace = transmit.Place{Rank: 1, OneIn: 4}

// lacking are the receivers that cannot decode all codecs, and when each sent its last offer.
type lacking map[wire.ReceiverID]time.Duration

// record takes note of an offer.
func (l lacking) record(now time.Duration, o *wire.Offer, knows func(wire.ReceiverID) bool) {
	if o.Codecs&codec.Decodable == codec.Decodable {
		return
	}
	if len(l) >= maxLacking {
		maps.DeleteFunc(l, func(id wire.ReceiverID, at time.Duration) bool { return now-at > joinTime && !knows(id) })
	}
	if len(l) < maxLacking {
		l[o.Receiver] = now
	}
}

func (l lacking) has(id wire.ReceiverID) bool {
	_, ok := l[id]
	return ok
}

// present reports whether one of them is in the session, or about to join it.
func (l lacking) present(now time.Duration, knows func(wire.ReceiverID) bool) bool {
	for id, at := range l {
		if now-at <= joinTime || knows(id) {
			return true
		}
	}
	return false
}

// beginEncoding decides how the image is sent, when the stream is about to begin: raw, if a receiver
// is there that can do no better.
func (l *live) beginEncoding(now time.Duration) {
	if !l.store.Coded() {
		return
	}
	if !l.streams.lacking.present(now, l.streams.knows) {
		l.streams.setCoded(uint16(l.compose.symbolSize))
		return
	}
	l.store.SendRaw()
	for _, st := range l.streams.all {
		st.engine.Unready()
	}
	l.cfg.Log.Info("a client of an earlier version is there, which cannot decode zstd: the image is sent uncompressed")
}

// admitLacking serves a receiver without codecs that comes when the stream has begun with them.
func (l *live) admitLacking(now time.Duration) error {
	s := l.streams
	if s.raw != nil || l.pace.closed || !l.store.Coded() {
		return nil
	}
	st := &stream{
		raw:     true,
		engine:  sender.New(now, sender.Config{Session: l.id, Image: l.geometry}),
		queue:   l.cfg.Transmitter.NewQueue(transmit.FirstInFlight, rawPlace),
		control: newControl(now, s.rates, false),
	}
	ways := map[int]transmit.Sender{}
	for _, each := range s.networks.Indices(nil) {
		way, err := l.cfg.Conn.NewSender(s.rawData, each, udp.MethodAuto)
		if err != nil {
			return fmt.Errorf("send uncompressed to %s: %w", s.rawData, err)
		}
		ways[each] = way
	}
	st.engine.SetInterleave(s.interleave)
	st.engine.SetCompletion(now, l.store.Completion())
	s.raw, s.rawWays, s.all = st, ways, append(s.all, st)
	s.redirectGroup()
	l.cfg.Log.Info("a client of an earlier version has come, which cannot decode zstd: it gets a stream of its own", "group", s.rawData)
	return nil
}

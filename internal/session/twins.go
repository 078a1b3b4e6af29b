package session

import (
	"time"

	"multiserver/internal/roster"
	"multiserver/internal/twins"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// noticeInterval is how often receivers are told that another machine has their address. What is sent
// there reaches one of the two, and now the one, now the other.
const noticeInterval = time.Second

// warnOfTwins warns of each address that turns out to be that of two machines, and tells both.
func (l *live) warnOfTwins(now time.Duration) {
	if now-l.noticedAt < noticeInterval {
		return
	}
	l.noticedAt = now
	for _, each := range l.board.twins() {
		if each.New {
			l.cfg.Log.Warn(twins.Text(each.Addr.Addr(), each.Name, each.OtherName))
		}
		notice := l.describe(each.Receiver, each.Addr, each.Link, true)
		if err := l.cfg.Conn.Reply(notice, udp.Arrival{From: each.Addr, IfIndex: each.Link}); err != nil {
			l.cfg.Log.Debug("tell a client that another machine has its address", "client", each.Addr, "err", err)
		}
	}
}

// twins are the unfinished receivers whose address is another machine's too.
func (b *board) twins() []roster.Twin {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.table.Twins(nil)
}

// notice puts into a receiver's description what it should know.
func (b *board) notice(id wire.ReceiverID, d *wire.Description) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if name, ok := b.table.TwinOf(id); ok {
		d.Answer.Notice, d.Answer.OtherName = wire.SharedAddress, []byte(name)
	}
}

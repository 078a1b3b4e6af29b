package session

import (
	"cmp"
	"net/netip"
	"sync"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/roster"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// board is the visible state of a session: its figures, the table of receivers, and the
// configuration's callbacks, which loop calls. The session uses it only to decide its end.
type board struct {
	clientTimeout time.Duration

	onReceiver func(roster.Row)
	onRate     func(limit uint64, reason string)
	onNetworks func(interfaces []int)

	mu      sync.Mutex // guards table and figures
	table   *roster.Table
	figures Figures // without Receivers

	told    uint64       // the last limit of the rate that was told
	changes []roster.Row // scratch
}

func newBoard(cfg *Config, g block.Geometry) *board {
	return &board{clientTimeout: cmp.Or(cfg.ClientTimeout, DefaultClientTimeout), onReceiver: cfg.OnReceiver, onRate: cfg.OnRate, onNetworks: cfg.OnNetworks, table: roster.New(g)}
}

func (b *board) show() Figures {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.figures
	f.Receivers = b.table.Rows()
	return f
}

func (b *board) countBad() {
	b.mu.Lock()
	b.figures.BadPackets++
	b.mu.Unlock()
}

// setNetworks shows which interfaces the stream goes out on.
func (b *board) setNetworks(interfaces []int) {
	names := make([]string, len(interfaces))
	for i, each := range interfaces {
		names[i] = udp.InterfaceName(each)
	}
	b.mu.Lock()
	b.figures.Networks = names
	b.mu.Unlock()
	if b.onNetworks != nil {
		b.onNetworks(interfaces)
	}
}

// setRate shows what the stream keeps to, and whether it still waits. It tells of a limit that
// comes or goes, or changes by a quarter.
func (b *board) setRate(waiting bool, limit uint64, reason string) {
	b.mu.Lock()
	changed := (limit == 0) != (b.told == 0) || 4*limit > 5*b.told || 5*limit < 4*b.told
	b.figures.Waiting, b.figures.RateLimit, b.figures.RateReason = waiting, limit, reason
	b.mu.Unlock()
	if changed {
		b.told = limit
	}
	if changed && b.onRate != nil {
		b.onRate(limit, reason)
	}
}

// offer keeps the name in an offer and its machine, and reports whether that receiver has sent one
// before.
func (b *board) offer(o wire.Offer, in packet) (again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table.OfferMachine(o, in.From.Addr(), in.IfIndex)
	return b.table.Offer(o.Receiver, string(o.HostName))
}

// record updates the row of a receiver that has sent a packet in the session.
func (b *board) record(id wire.ReceiverID, from netip.AddrPort, change func(*roster.Table)) {
	b.mu.Lock()
	b.table.RecordPacket(time.Now(), id, from)
	if change != nil {
		change(b.table)
	}
	b.mu.Unlock()
	b.reportChanges()
}

// displace gives the row of a receiver to the one whose number it is.
func (b *board) displace(id wire.ReceiverID, to netip.AddrPort) {
	b.mu.Lock()
	b.table.Displace(time.Now(), id, to)
	b.mu.Unlock()
	b.reportChanges()
}

// goodbye records how a receiver ended.
func (b *board) goodbye(p wire.Goodbye, from netip.AddrPort) {
	b.mu.Lock()
	b.table.Goodbye(time.Now(), p, from)
	b.mu.Unlock()
	b.reportChanges()
}

// endSilent marks the receivers that are silent, and those that are gone.
func (b *board) endSilent(knows func(wire.ReceiverID) bool) {
	b.mu.Lock()
	b.table.EndSilent(time.Now(), b.clientTimeout, knows)
	b.mu.Unlock()
	b.reportChanges()
}

// refused is how many have come, and refused.
func (b *board) refused() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.table.Refused(time.Now(), b.clientTimeout)
}

// giveUp is how many unfinished receivers nobody waits for. on says that the stream goes on.
func (b *board) giveUp(on bool, stuck func(wire.ReceiverID) bool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !on {
		b.table.Progress(time.Now())
	}
	return b.table.GiveUp(time.Now(), b.clientTimeout, stuck)
}

// waits reports whether anybody may still get the image, or nobody has come. enough: it does not
// matter that those who came have refused.
func (b *board) waits(enough bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.table.Len() == 0 || b.table.Waits(time.Now(), b.clientTimeout, enough)
}

// verdict ends all rows, and counts the receivers and those without the image.
func (b *board) verdict() (failed, all int) {
	b.mu.Lock()
	failed, all = b.table.Verdict()
	b.mu.Unlock()
	b.reportChanges()
	return failed, all
}

// reportChanges calls back for receivers that have joined or ended.
func (b *board) reportChanges() {
	b.mu.Lock()
	b.changes = b.table.Changes(b.changes[:0])
	b.mu.Unlock()
	if b.onReceiver != nil {
		for _, r := range b.changes {
			b.onReceiver(r)
		}
	}
}

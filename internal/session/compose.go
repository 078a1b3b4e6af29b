package session

import (
	"net/netip"
	"time"

	"multiserver/internal/blockstore"
	"multiserver/internal/sender"
	"multiserver/internal/transmit"
	"multiserver/internal/wire"
)

// composer fills batches with what the engines want sent.
type composer struct {
	session    wire.SessionID
	symbolSize int
	group      netip.Addr
	store      *blockstore.Store
	streams    *streams
	idle       bool // there was nothing to send
}

// next hands one batch of each stream that has something to send to the transmitter, and
// tells whether there was any.
func (c *composer) next(now time.Duration) (filled bool, err error) {
	c.idle = true
	for _, st := range c.streams.all {
		b := st.queue.Take()
		if b == nil {
			c.idle = false
			continue
		}
		some, err := c.fill(now, b, st)
		if err != nil || !some {
			st.queue.Recycle(b)
			if err != nil {
				return false, err
			}
			continue
		}
		c.idle, filled = false, true
		st.control.composed(float64(8 * b.WireBytes(c.group)))
		st.queue.Submit(b)
	}
	return filled, nil
}

// fill fills b with the packets of a stream that are next, and tells whether there are any:
// one control packet or run of zeros, the digests of a block's sub-blocks, or symbols, all
// of one size. Control packets go out whatever the rate is.
func (c *composer) fill(now time.Duration, b *transmit.Batch, st *stream) (filled bool, err error) {
	b.Reset(st.to, st.unicast)
	if st.held.Kind == sender.Nothing {
		if packet, ok := st.engine.Poll(now, b.Buf[:0]); ok {
			b.Packets, b.Bytes, b.PacketSize = 1, len(packet), len(packet)
			return true, nil
		}
	}
	burst := st.control.burst(now)
	if burst == 0 {
		return false, nil
	}
	b.To = st.data
	b.PacketSize = wire.SymbolHeaderSize + c.symbolSize
	for most := min(burst, st.queue.BurstPackets(b.PacketSize)); b.Packets < most; {
		next := st.held
		st.held = sender.Send{}
		if next.Kind == sender.Nothing {
			next = st.engine.Next(now)
		}
		switch {
		case next.Kind == sender.Nothing:
			st.rested = true
			st.control.rested(now)
			return b.Packets > 0, nil
		case next.Kind != sender.Symbol && b.Packets > 0: // of another size
			st.held = next
			return true, nil
		case next.Kind == sender.ZeroRun:
			packet := next.Zeros.AppendTo(b.Buf[:0])
			b.Sequence, st.sequence = uint64(next.Zeros.Sequence), next.Zeros.Sequence
			b.Packets, b.Bytes, b.PacketSize = 1, len(packet), len(packet)
			return true, nil
		case next.Kind == sender.Subblocks:
			return true, c.putSubblocks(b, st.stored(next.Subblocks))
		}
		slot := b.Buf[b.Bytes : b.Bytes+b.PacketSize]
		if err := c.store.PutSymbol(slot[wire.SymbolHeaderSize:], st.stored(sender.Ref{Object: next.Symbol.Object, Block: next.Symbol.Block}), &next.Symbol); err != nil {
			return false, err
		}
		next.Symbol.PutHeader(slot)
		b.Sequence, st.sequence = uint64(next.Symbol.Sequence), next.Symbol.Sequence
		b.Bytes += b.PacketSize
		b.Packets++
		b.ImageBytes += c.symbolSize
	}
	return true, nil
}

// putSubblocks fills an empty batch with the digests of a block's sub-blocks: packets of one
// size, the last of which may be shorter.
func (c *composer) putSubblocks(b *transmit.Batch, r sender.Ref) error {
	all, k, sent, err := c.store.SubblockDigests(r)
	if err != nil {
		return err
	}
	n := len(all)
	most := wire.MaxSubblocks
	if sent != 0 { // it stands behind the digests
		most--
	}
	packets := (n + most - 1) / most
	each := (n + packets - 1) / packets
	out := b.Buf[:0]
	for first := 0; first < n; first += each {
		var digests wire.List[wire.SubblockDigest]
		for _, d := range all[first:min(first+each, n)] {
			digests = digests.Append(wire.SubblockDigest(d))
		}
		out = wire.SubblockDigests{Session: c.session, Block: r.Block, K: k, SentK: sent, First: uint16(first), Digests: digests}.AppendTo(out)
		b.Packets++
		if first == 0 {
			b.PacketSize = len(out)
		}
	}
	b.Bytes = len(out)
	return nil
}

package session

import (
	"net/netip"
	"time"

	"multiserver/internal/blockstore"
	"multiserver/internal/routes"
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
	queue      *transmit.Queue
	streams    *streams
	share      routes.Share
	idle       bool // there was nothing to send
}

// next fills b from the stream whose turn it is. It reports whether there is anything to send.
func (c *composer) next(now time.Duration, b *transmit.Batch) (filled bool, err error) {
	c.idle = false
	all := c.streams.all
	unicastFirst := c.streams.unicast != nil && c.share.UnicastFirst()
	for n := range all {
		if unicastFirst {
			n = len(all) - 1 - n
		}
		st := all[n]
		if filled, err = c.fill(now, b, st); err != nil {
			return false, err
		}
		if !filled {
			st.rested = true
			continue
		}
		if !st.unicast {
			c.share.SentMulticast(b.WireBytes(c.group))
		} else if unicastFirst && c.streams.group.engine.Receivers() > 0 {
			c.share.SentUnicast(b.WireBytes(c.group) * len(b.To))
		}
		return true, nil
	}
	c.idle = true
	return false, nil
}

// fill fills b with a stream's next packets, and reports whether there are any: one control
// packet or run of zeros, the digests of a block's sub-blocks, or symbols of one size.
func (c *composer) fill(now time.Duration, b *transmit.Batch, st *stream) (filled bool, err error) {
	b.Reset(st.to, st.unicast)
	if st.putBack.Kind == sender.Nothing {
		if packet, ok := st.engine.Poll(now, b.Buf[:0]); ok {
			b.Packets, b.Bytes, b.PacketSize = 1, len(packet), len(packet)
			return true, nil
		}
	}
	b.PacketSize = wire.SymbolHeaderSize + c.symbolSize
	for most := c.queue.BurstPackets(b.PacketSize); b.Packets < most; {
		next := st.putBack
		st.putBack = sender.Send{}
		if next.Kind == sender.Nothing {
			next = st.engine.Next(now)
		}
		switch {
		case next.Kind == sender.Nothing:
			return b.Packets > 0, nil
		case next.Kind != sender.Symbol && b.Packets > 0: // of another size
			st.putBack = next
			return true, nil
		case next.Kind == sender.ZeroRun:
			packet := next.Zeros.AppendTo(b.Buf[:0])
			b.Packets, b.Bytes, b.PacketSize = 1, len(packet), len(packet)
			return true, nil
		case next.Kind == sender.Subblocks:
			return true, c.putSubblocks(b, next.Subblocks)
		}
		slot := b.Buf[b.Bytes : b.Bytes+b.PacketSize]
		if err := c.store.PutSymbol(slot[wire.SymbolHeaderSize:], &next.Symbol); err != nil {
			return false, err
		}
		next.Symbol.PutHeader(slot)
		b.Bytes += b.PacketSize
		b.Packets++
		b.ImageBytes += c.symbolSize
	}
	return true, nil
}

// putSubblocks fills an empty batch with the digests of a block's sub-blocks: packets of one
// size, the last of which may be shorter.
func (c *composer) putSubblocks(b *transmit.Batch, r sender.Ref) error {
	all, k, err := c.store.SubblockDigests(r)
	if err != nil {
		return err
	}
	n := len(all)
	packets := (n + wire.MaxSubblocks - 1) / wire.MaxSubblocks
	each := (n + packets - 1) / packets
	out := b.Buf[:0]
	for first := 0; first < n; first += each {
		var digests wire.List[wire.SubblockDigest]
		for _, d := range all[first:min(first+each, n)] {
			digests = digests.Append(wire.SubblockDigest(d))
		}
		out = wire.SubblockDigests{Session: c.session, Block: r.Block, K: k, First: uint16(first), Digests: digests}.AppendTo(out)
		b.Packets++
		if first == 0 {
			b.PacketSize = len(out)
		}
	}
	b.Bytes = len(out)
	return nil
}

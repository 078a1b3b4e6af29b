package multiserver

import (
	"multiserver/internal/codec"
	"multiserver/internal/sender"
	"multiserver/internal/wire"
)

// putPieces fills an empty batch with the digests of a block's pieces: packets of one
// size, the last of which may be shorter.
func (s *symbolServer) putPieces(b *batch, r sender.Ref) error {
	e, err := s.encoded(r)
	if err != nil {
		return err
	}
	plain := e.buf[codec.HeaderSize:][:s.geometry.Size(r.Block)]
	s.digests = codec.AppendSubblockDigests(s.digests[:0], plain)
	n := len(s.digests)
	packets := (n + wire.MaxSubblocks - 1) / wire.MaxSubblocks
	each := (n + packets - 1) / packets
	out := b.buf[:0]
	for first := 0; first < n; first += each {
		var digests wire.List[wire.SubblockDigest]
		for _, d := range s.digests[first:min(first+each, n)] {
			digests = digests.Append(wire.SubblockDigest(d))
		}
		out = wire.SubblockDigests{
			Session: s.session, Block: r.Block, K: uint16(len(e.buf) / int(s.symbolSize)), First: uint16(first), Digests: digests,
		}.AppendTo(out)
		b.packets++
		if first == 0 {
			b.size = len(out)
		}
	}
	b.bytes = len(out)
	return nil
}

package rooms

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/lab"
	"multiserver/internal/wire"
)

// falseSymbols are for all blocks of the image and of the manifest, with the server's address: source
// symbols, and repair symbols, one a block and so many rounds.
func (h *hostile) falseSymbols(rounds int) (packets [][]byte) {
	size := int(h.session.SymbolSize)
	k := (codec.HeaderSize + blockBytes + size - 1) / size
	data := bytes.Repeat([]byte{0xAA}, size)
	for i := range rounds {
		for id := range block.ID(h.session.Geometry.BlockCount() - 1) {
			symbol := block.SymbolID((int(id)*131 + i*37) % k)
			if i%4 == 3 {
				symbol = block.MaxSymbolID - block.SymbolID(i)
			}
			packets = append(packets, wire.Symbol{
				Session: h.session.Session, Sequence: wire.Sequence(5 + i), K: uint16(k), Block: id, Symbol: symbol, Data: data,
			}.AppendTo(nil))
		}
		_, c := h.manifest(h.content(h.image))
		mk := (codec.HeaderSize + int(c.ManifestSize) + size - 1) / size
		packets = append(packets, wire.Symbol{
			Session: h.session.Session, Sequence: wire.Sequence(5 + i), Object: wire.Manifest, K: uint16(mk), Data: data[:64],
		}.AppendTo(nil))
	}
	return packets
}

// TestPoisoned: somebody sends hundreds of false symbols a second with the server's address, as long
// as the session lasts. The clients end with the image.
func TestPoisoned(t *testing.T) {
	t.Parallel()
	const size = 32*mib - 333
	r := newRoom(t, lab.Config{Hosts: 4}, size)
	r.fill(size)
	s := r.serve(0, "--data-group", dataGroup, "--rate", "100M")
	h := r.newHostile(3)
	// Each packet by itself, 500 a second.
	sent := h.asServer(2*time.Millisecond, h.falseSymbols(40))
	finish(r.receive(1), r.receive(2, "--verify"))
	if n := sent(); n < 500 {
		t.Errorf("%d false symbols were sent", n)
	}
	end := s.stop()
	if got := outcomes(end); !slices.Equal(got, []string{"done", "done"}) {
		t.Errorf("the server tells of %v", got)
	}
	t.Logf("%.2f times the image was sent", r.times(end))
}

package session

import (
	"slices"
	"testing"
	"time"

	"multiserver/internal/codec"
	"multiserver/internal/wire"
)

// TestProofs: who knows its private number gets the proof of a block that was sent, and nobody else.
func TestProofs(t *testing.T) {
	d := newDisk(3 << 20)
	r := newRoom(t, d, Config{})
	p := r.join(7)
	p.requestAll()
	p.send(wire.Offer{Version: 1, Receiver: 7, Codecs: 1, LargestPacket: 1472, Private: true}.AppendTo(nil))
	answer, err := wire.ParseDescription(p.read())
	if err != nil || answer.Answer.Private == 0 {
		t.Fatalf("no private number: %+v, %v", answer.Answer, err)
	}
	for sent := false; !sent; { // all of the image
		var y wire.Symbol
		sent = wire.ParseSymbol(p.receive(), &y) == nil && y.Block == 2 && y.Object == wire.Image
	}
	before := r.Figures().BadPackets
	w := wire.WantedProof{Session: answer.Session, Receiver: 7, Private: answer.Answer.Private + 1}
	p.send(w.AppendTo(nil))
	w.Private--
	w.Block = 3 // there is none
	p.send(w.AppendTo(nil))
	w.Block = 0
	p.send(w.AppendTo(nil))
	got, err := wire.ParseBlockProof(p.read())
	if err != nil || got.Private != w.Private || got.Block != 0 || got.Object != wire.Image || got.First != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	encoded := make([]byte, codec.HeaderSize+1<<20, (1<<20)+4096)
	if _, err := d.Reader.ReadAt(encoded[codec.HeaderSize:], 0); err != nil {
		t.Fatal(err)
	}
	codec.EncodeHeaderInto(encoded[:codec.HeaderSize], encoded[codec.HeaderSize:])
	encoded = encoded[:int(got.K)*int(answer.SymbolSize)]
	var digests []codec.GroupDigest
	for v := range got.Digests.All() {
		digests = append(digests, codec.GroupDigest(v))
	}
	if want := codec.AppendGroupDigests(nil, encoded, answer.SymbolSize); !slices.Equal(digests, want) {
		t.Errorf("the proof of %d groups is of another block, which has %d", len(digests), len(want))
	}
	if bad := r.Figures().BadPackets - before; bad != 1 {
		t.Errorf("%d bad packets are counted", bad)
	}
}

// TestProofBudget: proofs cost no more than their rate, however often they are asked for.
func TestProofBudget(t *testing.T) {
	var b proofBudget
	spent := 0
	const each, asks = 2500, 100_000
	for i := range asks {
		if b.take(time.Duration(i)*10*time.Microsecond, each) {
			spent += each
		}
	}
	if most := proofBurst + proofRate; spent > most || spent < most-2*each {
		t.Errorf("%d bytes in a second, at most %d", spent, most)
	}
}

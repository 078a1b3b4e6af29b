package fetch

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/failure"
	"multiserver/internal/wire"
)

const blockSymbols = (codec.HeaderSize + blockBytes + symbolBytes - 1) / symbolBytes

// falseSymbol is somebody else's, sent with the server's address.
func (p *peer) falseSymbol(object wire.Object, id block.ID, symbol, k int) []byte {
	return wire.Symbol{
		Session: p.session, Sequence: p.next(), Object: object, Block: id, Symbol: block.SymbolID(symbol), K: uint16(k),
		Data: bytes.Repeat([]byte{0xAA}, symbolBytes),
	}.AppendTo(nil)
}

// TestSomebodyElsesSymbols: whatever somebody sends with the server's address, the client ends with
// the image, as long as the server proves its blocks.
func TestSomebodyElsesSymbols(t *testing.T) {
	const blocks = 24 // more than maxDigestFailures
	evil := bytes.Repeat([]byte("EVIL"), blockBytes/4)
	for _, c := range []struct {
		name   string
		before func(p *peer) // the image and its manifest are sent
		proofs int           // at least
	}{
		{"a source symbol of each block", func(p *peer) {
			for id := range block.ID(blocks) {
				p.send(p.falseSymbol(wire.Image, id, int(id)%blockSymbols, blockSymbols))
			}
		}, blocks - 4}, // the last ones find little room, and wait for their first symbols
		{"a repair symbol of each block", func(p *peer) {
			for id := range block.ID(blocks) {
				p.send(p.falseSymbol(wire.Image, id, 1<<24-1, blockSymbols))
			}
		}, blocks - 4}, // the last ones find little room, and wait for their first symbols
		{"symbols of a block that is zeros", func(p *peer) {
			p.send(p.falseSymbol(wire.Image, 3, 0, blockSymbols))
		}, 1},
		{"a K that is wrong", func(p *peer) {
			for id := range block.ID(blocks) {
				p.send(p.falseSymbol(wire.Image, id, 0, blockSymbols-1))
			}
		}, 0},
		{"whole blocks, before the manifest", func(p *peer) {
			for id := range block.ID(blocks) {
				p.sendBlock(wire.Image, id, evil)
			}
		}, 0},
		{"zeros, before the manifest", func(p *peer) {
			p.send(wire.ZeroRun{Session: p.session, Sequence: p.next(), Count: blocks}.AppendTo(nil))
		}, 0},
		{"another manifest", func(p *peer) {
			p.heartbeat()
			b := bytes.Clone(p.manifest.Bytes())
			b[len(b)/2] ^= 1
			p.told, p.bytes = p.completion(), nil
			p.sendBlock(wire.Manifest, 0, b)
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, blocks, 3)
			p.private = 4711
			p.answer = func() *wire.Answer {
				return &wire.Answer{Given: true, Private: p.private, Sequence: p.sequence}
			}
			_, err := p.run(func() {
				c.before(p)
				p.sendImage()
				p.sendManifest()
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p.target.image, p.image) {
				t.Error("the target does not hold the image")
			}
			if p.proofs < c.proofs {
				t.Errorf("%d proofs were asked for", p.proofs)
			}
		})
	}
}

// TestServersOwnWrongBlocks: a server whose own blocks are not what its manifest says ends the
// client, by what its proofs say. So does a server that knows no proofs, and one that has given no
// private number.
func TestServersOwnWrongBlocks(t *testing.T) {
	for _, c := range []struct {
		name    string
		private wire.PrivateNumber
		deaf    bool
		damaged bool
		want    string
	}{
		{"its proofs say so", 4711, false, true, "17 blocks of the server"},
		{"it knows no proofs", 4711, true, false, "17 blocks arrived"},
		{"it is of an earlier version", 0, false, false, "17 blocks arrived"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const blocks = 20
			p := newPeer(t, blocks)
			p.private, p.deaf, p.damaged = c.private, c.deaf, c.damaged
			poison := func() {
				for id := range block.ID(blocks) {
					p.send(p.falseSymbol(wire.Image, id, 1, blockSymbols))
				}
			}
			p.report = func(wire.Report) {
				poison()
				p.sendImage()
			}
			_, err := p.run(func() {
				p.sendManifest()
				poison()
				p.sendImage()
			}, nil)
			if !errors.Is(err, failure.ErrIntegrity) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the client ended with %v, want %q", err, c.want)
			}
		})
	}
}

// TestCheckGroups: of the symbols that are in, only those of whole groups that are wrong are.
func TestCheckGroups(t *testing.T) {
	const size, k = 1444, 50
	encoded := make([]byte, k*size)
	rand.NewChaCha8([32]byte{1}).Read(encoded)
	newSlot := func() *slot {
		p := &slot{buf: bytes.Clone(encoded), groups: codec.AppendGroupDigests(nil, encoded, size), have: block.NewBits(k)}
		for i := range uint32(k) {
			p.have.Add(i)
		}
		return p
	}
	if wrong, complete := newSlot().checkGroups(size); wrong.Count() != 0 || !complete {
		t.Errorf("%d symbols of a right block are wrong, complete: %v", wrong.Count(), complete)
	}
	n := uint32(block.ProofGroup(size))
	for at := 0; at < len(encoded); at += 1021 {
		p := newSlot()
		p.buf[at] ^= 1
		bad := uint32(at / size)
		want := min(n, k-bad/n*n)
		wrong, complete := p.checkGroups(size)
		if !wrong.Has(bad) || wrong.Count() != int(want) || complete {
			t.Fatalf("byte %d is wrong: symbol %d is: %v, of %d; complete: %v", at, bad, wrong.Has(bad), wrong.Count(), complete)
		}
		// Nothing is known of a group that is not whole.
		missing := bad/n*n + (bad+1-bad/n*n)%want
		p.have[missing/64] &^= 1 << (missing % 64)
		if wrong, complete := p.checkGroups(size); wrong.Count() != 0 || complete {
			t.Fatalf("byte %d is wrong: %d symbols are dropped before their group is whole; complete: %v", at, wrong.Count(), complete)
		}
	}
}

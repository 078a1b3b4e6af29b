package fetch

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/failure"
	"multiserver/internal/probe"
	"multiserver/internal/wire"
)

// TestReceives: whatever comes first, the target gets the image, is synced after the last
// write, and only then the server is told.
func TestReceives(t *testing.T) {
	for _, c := range []struct {
		name    string
		inOrder bool
		script  func(p *peer)
	}{
		{"the manifest last", false, func(p *peer) { p.sendImage(); p.sendManifest() }},
		{"the manifest first", false, func(p *peer) { p.sendManifest(); p.sendImage() }},
		{"in order, backwards", true, func(p *peer) {
			p.sendManifest()
			for id := p.g.BlockCount(); id > 0; id-- {
				if plain := p.plain(id - 1); codec.IsZero(plain) {
					p.sendZeros(id - 1)
				} else {
					p.sendBlock(wire.Image, block.ID(id-1), plain)
				}
			}
		}},
		{"with symbols lost", false, func(p *peer) {
			p.heartbeat()
			for _, id := range []uint32{0, 2, 3} {
				for i, packet := range p.symbols(wire.Image, block.ID(id), p.plain(id)) {
					if i != 2 {
						p.send(packet)
					}
				}
			}
			p.heartbeat()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, 5, 1, 4)
			p.target.inOrder = c.inOrder
			figures, err := p.run(func() { c.script(p) }, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p.target.image, p.image) {
				t.Error("the target holds something else")
			}
			if p.goodbye.Outcome != wire.OutcomeDone || len(p.atEnd) == 0 || p.atEnd[len(p.atEnd)-1] != "sync" {
				t.Errorf("it said goodbye with %v after %q", p.goodbye.Outcome, p.atEnd)
			}
			if at := slices.Index(p.target.done(), "sync"); at != len(p.target.done())-1 {
				t.Errorf("it did %q", p.target.done())
			}
			if figures.BytesDone != p.g.ImageSize || figures.PacketsReceived == 0 {
				t.Errorf("the figures are %+v", figures)
			}
		})
	}
}

// TestNotTheImage: what contradicts the manifest ends the client, and it says why.
// cramped has no room for the image.
type cramped struct {
	*memoryTarget
	dataBytes, restBytes uint64
}

var errCramped = errors.New("no room")

func (c *cramped) Lacks(dataBytes, restBytes uint64) error {
	c.dataBytes, c.restBytes = dataBytes, restBytes
	return errCramped
}

// TestNoRoom: the manifest tells how much room the image takes; zeros take none, and what came
// before the manifest is there already.
func TestNoRoom(t *testing.T) {
	for _, before := range []uint64{0, 2} {
		p := newPeer(t, 5, 1, 4)
		p.told = p.completion()
		out := &cramped{memoryTarget: p.target}
		_, err := p.run(func() {
			for _, id := range []uint32{0, 2}[:before] {
				p.sendBlock(wire.Image, block.ID(id), p.plain(id))
			}
			p.sendManifest()
		}, func(cfg *Config) { cfg.Target = out })
		if data := p.g.ImageSize - 2*blockBytes; !errors.Is(err, errCramped) || out.dataBytes != data || out.restBytes != data-before*blockBytes {
			t.Errorf("%d blocks before the manifest: %v, %d bytes of data, %d to come", before, err, out.dataBytes, out.restBytes)
		}
	}
}

func TestNotTheImage(t *testing.T) {
	for _, c := range []struct {
		name   string
		script func(p *peer)
	}{
		// The image that follows shows that the client goes on, if it does.
		{"zeros, then the manifest", func(p *peer) { p.sendZeros(1); p.sendImage(); p.sendManifest() }},
		{"a block, then the manifest", func(p *peer) {
			p.sendBlock(wire.Image, 1, bytes.Repeat([]byte{5}, blockBytes))
			p.sendImage()
			p.sendManifest()
		}},
		{"a manifest of another image", func(p *peer) {
			p.image[0] ^= 1
			p.sendImage()
			p.sendManifestOf(manifestOf(p.t, p.image).Bytes())
		}},
		{"a manifest that is none", func(p *peer) {
			p.sendImage()
			p.sendManifestOf(make([]byte, len(p.manifest.Bytes())))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, 4)
			_, err := p.run(func() { c.script(p) }, nil)
			if !errors.Is(err, failure.ErrIntegrity) {
				t.Fatalf("the client ended with %v", err)
			}
			if p.goodbye.Outcome != wire.OutcomeIntegrity || len(p.goodbye.Reason) == 0 {
				t.Errorf("it said goodbye with %v, %q", p.goodbye.Outcome, p.goodbye.Reason)
			}
		})
	}
}

// checked is a session, of which nothing runs, that has the peer's manifest.
func (p *peer) checked() *session {
	p.t.Helper()
	cfg := p.config()
	p.t.Cleanup(func() { cfg.Conn.Close(); p.conn.Close() })
	s, err := newSession(cfg, nil, nil, func(err error) { p.t.Errorf("it failed: %v", err) })
	if err != nil {
		p.t.Fatal(err)
	}
	b := p.manifest.Bytes()
	s.blocks.proof.expect(p.completion())
	for id := 0; id*blockBytes < len(b); id++ {
		s.blocks.proof.addManifest(block.ID(id), b[id*blockBytes:min((id+1)*blockBytes, len(b))])
	}
	if _, err := s.blocks.proof.check(); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// TestAgainstTheManifest: once the manifest is there, nothing that contradicts it is handed to
// the writer.
func TestAgainstTheManifest(t *testing.T) {
	p := newPeer(t, 4, 2)
	s := p.checked()
	s.handlePacket(0, wire.ZeroRun{Session: p.session, Sequence: p.next(), First: 1, Count: 2}.AppendTo(nil))
	if s.blocks.counts.BadPackets != 1 || s.blocks.disk.writer.Waiting() != 0 {
		t.Fatalf("%d bad packets, %d jobs for the writer", s.blocks.counts.BadPackets, s.blocks.disk.writer.Waiting())
	}
	s.handlePacket(0, wire.ZeroRun{Session: p.session, Sequence: p.next(), First: 2, Count: 1}.AppendTo(nil))
	if s.blocks.disk.writer.Waiting() != 1 {
		t.Error("zeros of the image are not written")
	}
	block := func(id block.ID, plain []byte) error {
		for _, packet := range p.symbols(wire.Image, id, plain) {
			s.handlePacket(0, packet)
		}
		return s.blocks.handle(0, s.blocks.slots.solveSlot(<-s.blocks.slots.toSolve))
	}
	if err := block(0, p.plain(0)); err != nil || s.blocks.disk.writer.Waiting() != 2 {
		t.Errorf("a block of the image: %v", err)
	}
	if err := block(1, p.plain(0)); !errors.Is(err, failure.ErrIntegrity) || s.blocks.disk.writer.Waiting() != 2 {
		t.Errorf("another block in its place: %v, %d jobs for the writer", err, s.blocks.disk.writer.Waiting())
	}
}

// TestSymbolsAllocateNothing: the way of a symbol into its slot is the hot path.
func TestSymbolsAllocateNothing(t *testing.T) {
	p := newPeer(t, 4)
	s := p.checked()
	for id := range block.ID(4) {
		packets := p.symbols(wire.Image, id, p.plain(uint32(id)))
		s.handlePacket(0, packets[0]) // opens the slot
		next := packets[1 : len(packets)-1]
		if n := testing.AllocsPerRun(len(next)-1, func() {
			s.handlePacket(0, next[0])
			next = next[1:]
		}); n > 0 {
			t.Errorf("a symbol of block %d allocates %v times", id, n)
		}
	}
	if s.blocks.counts.PacketsReceived != 4*8 || s.blocks.counts.Duplicates+s.blocks.counts.BadPackets+s.blocks.counts.MemoryDrops > 0 {
		t.Errorf("the counts are %+v", s.blocks.counts)
	}
}

// TestForgedPackets: packets of another session, and those that were damaged, count and change
// nothing.
func TestForgedPackets(t *testing.T) {
	p := newPeer(t, 3)
	var foreign, bad uint64
	figures, err := p.run(func() {
		other := bytes.Repeat([]byte{5}, blockBytes)
		p.session++
		p.heartbeat()
		p.sendBlock(wire.Image, 0, other)
		p.sendZeros(1)
		foreign = 1 + 1 + uint64(len(p.symbols(wire.Image, 0, other)))
		p.session--
		p.sequence = wire.UnicastSequence
		for _, packet := range p.symbols(wire.Image, 2, p.plain(2)) {
			packet[len(packet)-1] ^= 1
			p.send(packet)
			bad++
		}
		p.send([]byte("nothing of ours, but long enough to be something"))
		bad++
		for _, size := range []int{1, symbolBytes + 1} { // of a symbol that is not the last
			p.send(wire.Symbol{
				Session: p.session, Sequence: p.next(), Object: wire.Image, Block: 1, K: 9, Data: make([]byte, size),
			}.AppendTo(nil))
			bad++
		}
		p.sequence = wire.UnicastSequence
		p.sendImage()
		p.sendManifest()
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.target.image, p.image) || figures.Strangers != foreign || figures.BadPackets != bad {
		t.Errorf("%d strangers, want %d; %d bad packets, want %d", figures.Strangers, foreign, figures.BadPackets, bad)
	}
}

// TestAnotherImage: a server that describes another image now ends the client, and one that was
// started again with the same one does not.
func TestAnotherImage(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(d *wire.Description)
		fails  bool
	}{
		{"the same session", func(d *wire.Description) {}, false},
		{"started again", func(d *wire.Description) { d.Session++ }, false},
		{"another image", func(d *wire.Description) { d.Identity[0]++ }, true},
		{"another image, started again", func(d *wire.Description) { d.Session++; d.Identity[0]++ }, true},
		{"another size, started again", func(d *wire.Description) { d.Session++; d.Geometry.ImageSize-- }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, 3)
			_, err := p.run(func() {
				d := p.description()
				c.change(&d)
				p.send(d.AppendTo(nil))
				p.session = d.Session
				p.sendImage()
				p.sendManifest()
			}, nil)
			if c.fails != errors.Is(err, failure.ErrIntegrity) || !c.fails && err != nil {
				t.Fatalf("the client ended with %v", err)
			}
			if c.fails && !strings.Contains(err.Error(), "another image") {
				t.Errorf("it says %v", err)
			}
			if !c.fails && !bytes.Equal(p.target.image, p.image) {
				t.Error("the target holds something else")
			}
		})
	}
}

// TestTrainsAfterRestart: a server that is started again numbers its trains of probes anew, and
// they are reported.
func TestTrainsAfterRestart(t *testing.T) {
	p := newPeer(t, 1)
	train := func(number uint32) {
		p.send(wire.Probe{Session: p.session, Train: number, Step: probe.StepFirst, Size: probe.SmallBytes}.AppendTo(nil))
	}
	again := false
	p.holds = func() bool { // until the train is reported, or was not for two seconds
		in := 0
		for _, session := range p.requests {
			if session == p.session && again {
				in++
			}
		}
		reported := slices.ContainsFunc(p.reports, func(r wire.ProbeReport) bool { return r.Session == p.session })
		switch {
		case !again && reported:
			again = true
			p.session++
			d := p.description()
			p.send(d.AppendTo(nil))
		case in == 1 && !reported: // it has come to the new session
			train(1)
		}
		return again && !reported && in < 8 || !again
	}
	if _, err := p.run(func() { train(5) }, nil); err != nil {
		t.Fatal(err)
	}
	if last := p.reports[len(p.reports)-1]; last.Session != p.session || last.Train != 1 {
		t.Errorf("the last report is of train %d in session %d of %d", last.Train, last.Session, p.session)
	}
}

// TestOldContent: what the target holds already is not received, and nothing is written in its
// place.
func TestOldContent(t *testing.T) {
	for _, c := range []struct {
		name          string
		update, fresh bool
		kept          uint64
	}{
		{"update", true, false, 3 * blockBytes},
		{"fresh", false, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPeer(t, 4)
			p.target.content, p.told = true, p.completion()
			copy(p.target.image, p.image)
			p.target.image[2*blockBytes+100] ^= 1
			figures, err := p.run(func() {
				p.sendManifest()
			}, func(cfg *Config) { cfg.Update, cfg.Fresh = c.update, c.fresh })
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(p.target.image, p.image) || figures.BytesKept != c.kept {
				t.Errorf("%d bytes are kept, want %d", figures.BytesKept, c.kept)
			}
			for id := range 4 {
				if want := c.fresh || id == 2; p.target.wrote(id) != want {
					t.Errorf("block %d was written: %v", id, !want)
				}
			}
		})
	}
}

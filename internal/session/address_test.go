package session

import (
	"net"
	"slices"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/roster"
	"multiserver/internal/wire"
)

// TestAnotherAddress: a receiver that goes on from another address is the same one: one row, with
// its present address, which is done in the end.
func TestAnotherAddress(t *testing.T) {
	r := newRoom(t, newDisk(block.DefaultBlockSize), Config{ExitAfterDone: true})
	p := r.join(7)
	p.requestAll()
	r.until("it is a receiver", func(f Figures) bool { return len(f.Receivers) == 1 })
	first := p.privateOffer(0)
	p.prove(first, 0)
	before := p.addr()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	p.socket = socket
	if d := p.privateOffer(0); d.Answer.Notice != wire.NumberTaken || d.Answer.Private != 0 || d.Answer.Proof != 0 {
		t.Errorf("a stranger with its number is answered with %+v", d)
	}
	p.goodbye(wire.OutcomeFailed) // a stranger's
	digest := first.Answer.Private.Digest(7)
	d := p.privateOffer(digest)
	if d.Session != r.ID() || d.Token == p.description.Token || d.Answer.Proof == first.Answer.Proof || d.Answer.Private != first.Answer.Private {
		t.Errorf("from another address it is answered with %+v", d)
	}
	p.prove(d, digest)
	p.goodbye(wire.OutcomeDone)
	if err := r.end(); err != ErrAllDone {
		t.Errorf("the session ends with %v", err)
	}
	rows := r.Figures().Receivers
	if len(rows) != 1 || rows[0].Addr != p.addr() || rows[0].Addr == before || rows[0].Name != "pc" {
		t.Errorf("the receivers are %+v", rows)
	}
}

// privateOffer offers the peer's number by unicast, and returns the answer.
func (p *peer) privateOffer(digest wire.PrivateDigest) wire.Description {
	p.Helper()
	p.send(wire.Offer{Version: 1, Private: true, Receiver: p.id, Codecs: 1, LargestPacket: 1472, HostName: []byte("pc"), Digest: digest}.AppendTo(nil))
	for {
		b := p.read()
		if d, err := wire.ParseDescription(b); err == nil {
			return d
		}
		if a, err := wire.ParseGoodbyeAck(b); err != nil || !a.Refusal {
			p.Fatalf("the answer is %x, %v", b, err)
		}
	}
}

// prove proves the peer's address.
func (p *peer) prove(d wire.Description, digest wire.PrivateDigest) {
	p.send(wire.AddressProof{Session: d.Session, Receiver: p.id, Proof: d.Answer.Proof, Digest: digest}.AppendTo(nil))
}

// TestStrangerFirst: after a restart a stranger speaks first, with the receiver's number: a report
// that is newer than all that follow, and a goodbye. The receiver proves its address, and all of it
// counts from there.
func TestStrangerFirst(t *testing.T) {
	r := newRoom(t, newDisk(block.DefaultBlockSize), Config{ExitAfterDone: true})
	stranger := r.join(7)
	stranger.send(wire.Report{Session: r.ID(), Receiver: 7, Number: 1<<32 - 1}.AppendTo(nil))
	stranger.goodbye(wire.OutcomeDone)
	r.until("the stranger is done", func(f Figures) bool { return len(f.Receivers) == 1 && f.Receivers[0].Outcome == roster.Done })
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	p := *stranger
	p.socket = socket
	p.send(wire.Report{Session: r.ID(), Receiver: 7, Number: 1}.AppendTo(nil))
	if a, err := wire.ParseGoodbyeAck(p.read()); err != nil || !a.Refusal || !a.Names(7) {
		t.Errorf("a report that does not count is answered with %+v, %v", a, err)
	}
	p.prove(p.privateOffer(0), 0)
	p.send(wire.Report{Session: r.ID(), Receiver: 7, Number: 1}.AppendTo(nil))
	r.until("it is a receiver", func(f Figures) bool {
		return len(f.Receivers) == 1 && f.Receivers[0].Outcome == roster.Pending && f.Receivers[0].Addr == p.addr()
	})
	p.requestAll()
	for served := false; !served; {
		var y wire.Symbol
		served = wire.ParseSymbol(p.receive(), &y) == nil
	}
	stranger.goodbye(wire.OutcomeFailed)
	p.goodbye(wire.OutcomeDone)
	if err := r.end(); err != ErrAllDone {
		t.Errorf("the session ends with %v", err)
	}
	if rows := r.Figures().Receivers; len(rows) != 1 || rows[0].Addr != p.addr() || rows[0].Outcome != roster.Done {
		t.Errorf("the receivers are %+v", rows)
	}
}

// TestUseInterface: the configured interface comes back under another index.
func TestUseInterface(t *testing.T) {
	r := newRoom(t, newDisk(block.DefaultBlockSize), Config{})
	p := r.join(7)
	p.requestAll()
	other := r.lo + 1000
	r.UseInterface(other)
	r.UseInterface(other + 1) // the newest counts
	r.until("it sends there", func(Figures) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.networks) > 0 && slices.Equal(r.networks[len(r.networks)-1], []int{other + 1})
	})
	r.UseInterface(r.lo)
	for limit := time.Now().Add(testTimeout); ; {
		if _, err := wire.ParseHeartbeat(p.receive()); err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("nothing comes on the interface that is back")
		}
	}
}

package session

import (
	"net"
	"slices"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestAnotherAddress: a receiver that goes on from another address is the same one: one row, with
// its present address, which is done in the end.
func TestAnotherAddress(t *testing.T) {
	r := newRoom(t, newDisk(block.DefaultBlockSize), Config{ExitAfterDone: true})
	p := r.join(7)
	p.requestAll()
	r.until("it is a receiver", func(f Figures) bool { return len(f.Receivers) == 1 })
	before := p.addr()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	p.socket = socket
	p.send(wire.Offer{Version: 1, Receiver: 7, Codecs: 1, LargestPacket: 1472, HostName: []byte("pc")}.AppendTo(nil))
	if d, err := wire.ParseDescription(p.read()); err != nil || d.Session != r.ID() || d.Token == p.description.Token {
		t.Errorf("from another address it is answered with %+v, %v", d, err)
	}
	p.goodbye(wire.OutcomeDone)
	if err := r.end(); err != ErrAllDone {
		t.Errorf("the session ends with %v", err)
	}
	rows := r.Figures().Receivers
	if len(rows) != 1 || rows[0].Addr != p.addr() || rows[0].Addr == before || rows[0].Name != "pc" {
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

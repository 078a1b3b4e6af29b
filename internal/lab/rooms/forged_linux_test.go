package rooms

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"multiserver/internal/lab"
	"multiserver/internal/mxb1"
	"multiserver/internal/progress"
	"multiserver/internal/wire"
)

// forgedMemory is how much of the machine's memory a program may ever take while packets are forged.
const forgedMemory = 192 * mib

// endsTruly waits for a client's end: with status 0 it has the image, and else it has said why.
func (c client) endsTruly() {
	c.room.Helper()
	if status := c.exit(); status == 0 {
		c.room.same(c.room.image, c.out)
	} else if status != 4 || c.stderr.String()+c.stdout.String() == "" {
		c.room.Errorf("%s: status %d", c.title, status)
	}
}

// staysInMemory watches how much memory a program takes, until it ends. The largest resident set that
// the kernel tells at the end is no less than that of these tests.
func (p *process) staysInMemory() {
	path := fmt.Sprintf("/proc/%d/status", p.Process.Pid)
	var most, looks atomic.Int64
	go func() {
		for tick := time.NewTicker(20 * time.Millisecond); !p.hasEnded(); <-tick.C {
			status, err := os.ReadFile(path)
			if err != nil {
				continue
			}
			_, line, _ := strings.Cut(string(status), "VmHWM:")
			var kib int64
			if _, err := fmt.Sscan(line, &kib); err == nil && kib > 0 {
				most.Store(max(most.Load(), kib<<10))
				looks.Add(1)
			}
		}
	}()
	p.room.Cleanup(func() {
		if most.Load() > forgedMemory || looks.Load() == 0 {
			p.room.Errorf("%s took %d MiB, at %d looks", p.title, most.Load()/mib, looks.Load())
		}
	})
}

// TestForgedAsServer: with the server's address a host can end a client, or slow it, but not make it
// take a wrong byte for right, hang, or take memory without bound.
func TestForgedAsServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		packets func(h *hostile) [][]byte
	}{
		{"disk zeroed by three packets", (*hostile).zeroed},
		{"one block replaced", (*hostile).replaced},
		{"false manifest", (*hostile).falseManifest},
		{"poisoned blocks", (*hostile).poison},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 4}, imageBytes)
			r.fill(imageBytes)
			s := r.serve(0, "--data-group", dataGroup)
			h := r.newHostile(3)
			h.attack(true, c.packets(h)...)
			one, two := r.receive(1), r.receive(2)
			for _, p := range []*process{s.process, one.process, two.process} {
				p.staysInMemory()
			}
			one.endsTruly()
			two.endsTruly()
			s.stop()
		})
	}
}

// TestForgedAsClients: packets of a thousand addresses that are nobody's, and of the clients' own,
// with random numbers, slow a session down while they come. Once they have ended it goes on, the
// clients end well, the server knows it, and its memory was bounded.
func TestForgedAsClients(t *testing.T) {
	t.Parallel()
	const size, packets = 24 * mib, 5000
	r := newRoom(t, lab.Config{Hosts: 4}, size)
	r.fill(size)
	s := r.serve(0, "--rate", "100M")
	h := r.newHostile(3)
	rng := rand.New(rand.NewPCG(1, 2))
	server := netip.MustParseAddrPort(serverAddress)
	sent := r.inject(3, time.Millisecond, func(n int) forgedPacket {
		if n > packets {
			return forgedPacket{}
		}
		id := wire.ReceiverID(rng.Uint64())
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 77, byte(rng.IntN(4)), byte(1 + rng.IntN(250))}), uint16(1024+rng.IntN(60000)))
		var payload []byte
		switch n % 5 {
		case 0:
			payload = mxb1.AppendMapRequest(nil, wire.Offer{Version: wire.Version, Private: n%2 == 0, Receiver: id, Codecs: 3, LargestPacket: 1472, Size: 500}.AppendTo(nil))
		case 1:
			payload = wire.Report{Session: h.session.Session, Receiver: id, Number: 1, Limit: wire.LimitDisk, Counts: wire.PacketCounts{Lost: 1000}}.AppendTo(nil)
		case 2:
			w := wire.Wanted{Session: h.session.Session, Receiver: id, Generation: 1, Pages: 1}
			w.Ranges = w.Ranges.Append(wire.Range{Object: wire.Image, Count: h.session.Geometry.BlockCount()})
			payload = w.AppendTo(nil)
		case 3:
			payload = wire.Goodbye{Session: h.session.Session, Receiver: id, Outcome: wire.OutcomeFailed}.AppendTo(nil)
		case 4:
			payload = wire.UnicastRequest{Session: h.session.Session, Receiver: id, Token: wire.Token(rng.Uint64()), Wanted: true}.AppendTo(nil)
		}
		return forgedPacket{from, server, payload}
	})
	one, two := r.receive(1), r.receive(2)
	for _, p := range []*process{s.process, one.process, two.process} {
		p.staysInMemory()
	}
	finish(one, two)
	if n := sent(); n < packets/2 {
		t.Errorf("%d packets were forged", n)
	}
	end := s.stop()
	for _, address := range []string{"10.77.0.2:", "10.77.0.3:"} {
		if !slices.ContainsFunc(end.Receivers, func(each progress.ReceiverRecord) bool {
			return each.Outcome == "done" && strings.HasPrefix(each.Addr, address)
		}) {
			t.Errorf("the server does not know that %s is done", address)
		}
	}
}

// TestReplayedImage replays the stream of a session into a later one of another image, of the same
// name and size: with its session numbers, and with those of the later session in their place.
func TestReplayedImage(t *testing.T) {
	t.Parallel()
	for _, renumbered := range []bool{false, true} {
		r := newRoom(t, lab.Config{Hosts: 4}, imageBytes)
		r.fill(imageBytes)
		s := r.serve(0, "--data-group", dataGroup, "--compress", "never")
		var mu sync.Mutex
		var before [][]byte
		var now wire.SessionID
		r.meddle(3, dataGroup+":16000", func(n int, packet []byte) [][]byte {
			mu.Lock()
			defer mu.Unlock()
			if now == 0 {
				before = append(before, bytes.Clone(packet))
				return nil
			}
			p := bytes.Clone(before[n%len(before)])
			if renumbered {
				binary.BigEndian.PutUint64(p[8:], uint64(now))
				p = resealed(p)
			}
			return [][]byte{p}
		})
		finish(r.receive(1))
		s.stop()
		changed := r.content(r.image)
		for i := range changed {
			changed[i] ^= 0x5a
		}
		r.must(os.WriteFile(r.image, changed, 0o644))
		s = r.serve(0, "--data-group", dataGroup, "--compress", "never")
		h := r.newHostile(3)
		mu.Lock()
		now = h.session.Session
		mu.Unlock()
		finish(r.receive(2))
		if got := outcomes(s.stop()); !slices.Equal(got, []string{"done"}) {
			t.Errorf("the server tells of %v", got)
		}
	}
}

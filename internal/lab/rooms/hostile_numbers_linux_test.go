package rooms

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
	"multiserver/internal/mxb1"
	"multiserver/internal/progress"
	"multiserver/internal/wire"
)

// liarPause is between two packets of one invented receiver.
const liarPause = 20 * time.Millisecond

// invented is a receiver that there is not, at a port of its own. It learns what every client does.
type invented struct {
	id      wire.ReceiverID
	socket  *net.UDPConn
	session wire.Description // as it was described last
	number  uint32
}

// invent lets a host be so many receivers, with those numbers or random ones. Each proves its address,
// and says again and again what says makes up, until the test ends.
func (r *room) invent(host, count int, ids []wire.ReceiverID, says func(i *invented) [][]byte) {
	r.Helper()
	ctx, cancel := context.WithCancel(r.ctx)
	ended := make(chan struct{}, count)
	for n := range count {
		i := &invented{id: wire.ReceiverID(rand.Uint64())}
		if n < len(ids) {
			i.id = ids[n]
		}
		r.must(r.Hosts[host].Do(func() (err error) {
			i.socket, err = net.ListenUDP("udp4", nil)
			return err
		}))
		go func() {
			defer func() { ended <- struct{}{} }()
			for ctx.Err() == nil {
				i.speak(says)
			}
		}()
		r.Cleanup(func() { i.socket.Close() })
	}
	r.Cleanup(func() {
		cancel()
		for range count {
			<-ended
		}
	})
}

// speak asks for the session, and says what there is to say in it.
func (i *invented) speak(says func(*invented) [][]byte) {
	server := &net.UDPAddr{IP: net.IPv4(10, 77, 0, 1), Port: 7500}
	// Refused while no server listens.
	send := func(packet []byte) { _, _ = i.socket.WriteToUDP(packet, server) }
	offer := wire.Offer{Version: wire.Version, Private: true, Receiver: i.id, Codecs: 3, LargestPacket: 1472, HostName: []byte("evil"), Size: 500}
	send(mxb1.AppendMapRequest(nil, offer.AppendTo(nil)))
	buf := make([]byte, 2048)
	i.socket.SetReadDeadline(time.Now().Add(liarPause))
	for {
		n, err := i.socket.Read(buf)
		if err != nil {
			break
		}
		if d, err := wire.ParseDescription(buf[:n]); err == nil {
			i.session = d
			i.session.FileName = nil // of buf
		}
	}
	if i.session.Session == 0 {
		return
	}
	a := &i.session.Answer
	send(wire.AddressProof{Session: i.session.Session, Receiver: i.id, Proof: a.Proof, Digest: a.Private.Digest(i.id)}.AppendTo(nil))
	i.number++
	for _, packet := range says(i) {
		send(packet)
	}
}

// report is one that claims what change makes of it.
func (i *invented) report(change func(*wire.Report)) []byte {
	r := wire.Report{Session: i.session.Session, Receiver: i.id, Number: i.number, Highest: i.session.Answer.Sequence}
	change(&r)
	return r.AppendTo(nil)
}

// all asks for the whole image.
func (i *invented) all() []byte {
	w := wire.Wanted{Session: i.session.Session, Receiver: i.id, Highest: i.session.Answer.Sequence, Generation: i.number, Pages: 1}
	w.Ranges = w.Ranges.Append(wire.Range{Object: wire.Image, Count: i.session.Geometry.BlockCount()})
	return w.AppendTo(nil)
}

// goodbye is one of each kind.
func (i *invented) goodbyes() (packets [][]byte) {
	for _, o := range []wire.Outcome{wire.OutcomeDone, wire.OutcomeFailed, wire.OutcomeInterrupted} {
		packets = append(packets, wire.Goodbye{Session: i.session.Session, Receiver: i.id, Outcome: o, BlocksDone: i.session.Geometry.BlockCount()}.AppendTo(nil))
	}
	return packets
}

// lies claims loss, slowness and need that there is not.
func (i *invented) lies() [][]byte {
	highest := uint64(i.session.Answer.Sequence)
	return [][]byte{
		i.report(func(r *wire.Report) {
			r.Limit = wire.Limit(1 + i.number%4)
			r.Counts = wire.PacketCounts{Received: highest / 100, Lost: highest - highest/100}
			r.NACKs = r.NACKs.Append(wire.SymbolCount{Symbols: 1<<16 - 1})
		}),
	}
}

// numbers are those in the reports that come to a host, as only its network card can tell.
func (r *room) numbers(host int) (next func() wire.ReceiverID) {
	r.Helper()
	fd := -1
	r.must(r.Hosts[host].Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP))))
		return err
	}))
	r.must(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	r.Cleanup(func() { unix.Close(fd) })
	return func() (id wire.ReceiverID) {
		buf := make([]byte, 2048)
		r.await("a report", func() bool {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if err != nil || n < 28 {
				return false
			}
			p, err := wire.ParseReport(buf[28:n])
			id = p.Receiver
			return err == nil
		})
		return id
	}
}

// own are the rows of a server's table that are not the stranger's.
func own(end progress.ServerRecord, stranger string) (outcomes []string) {
	for _, each := range end.Receivers {
		if !strings.HasPrefix(each.Addr, stranger+":") {
			outcomes = append(outcomes, each.Outcome)
		}
	}
	slices.Sort(outcomes)
	return outcomes
}

// stranger is the address of host 3.
const stranger = "10.77.0.4"

// TestHostileToServer has a host invent receivers, with numbers of its own or with those of the
// clients, before or after these. The clients all end well, and the server knows it.
func TestHostileToServer(t *testing.T) {
	t.Parallel()
	const size = 24 * mib
	for _, c := range []struct {
		name    string
		count   int
		says    func(*invented) [][]byte
		numbers bool // the clients' own
	}{
		{"goodbyes in their names", 2, (*invented).goodbyes, true},
		{"lies in their names", 2, (*invented).lies, true},
		{"loss that is not there", 7, (*invented).lies, false},
		{"reports of nothing", 20, func(i *invented) [][]byte { return [][]byte{i.report(func(*wire.Report) {})} }, false},
		{"all of it again and again", 3, func(i *invented) [][]byte {
			return [][]byte{i.all(), i.report(func(*wire.Report) {})}
		}, false},
		{"a flood of numbers", 1, func(i *invented) (packets [][]byte) {
			for range 200 {
				i.id++
				packets = append(packets, i.report(func(*wire.Report) {}), i.all())
			}
			return append(packets, i.goodbyes()...)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 4}, size)
			r.fill(size)
			s := r.serve(0, "--min-receivers", "2", "--client-timeout", "2s", "--exit-after-done", "--data-group", dataGroup)
			next := r.numbers(0)
			clients := []client{r.receive(1), r.receive(2)}
			var ids []wire.ReceiverID
			for c.numbers && len(ids) < 2 {
				if id := next(); !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
			r.invent(3, c.count, ids, c.says)
			for _, each := range clients {
				each.finishes()
			}
			s.room.await("the server ends", s.hasEnded)
			end := records[progress.ServerRecord](s.process, progress.EventDone)
			if end = append(end, records[progress.ServerRecord](s.process, progress.EventFailed)...); len(end) != 1 {
				t.Fatalf("the server tells of %d ends", len(end))
			}
			if got := own(end[0], stranger); !slices.Equal(got, []string{"done", "done"}) {
				t.Errorf("the server tells of %v", got)
			}
			if made := len(end[0].Receivers) - 2; c.numbers && made > 0 || made > 64 {
				t.Errorf("%d invented receivers are in its table", made)
			} else if failed := end[0].ReceiversFailed; failed > 0 && !strings.HasSuffix(end[0].Error, fmt.Sprintf("%d of %d clients did not get the image", failed, 2+made)) {
				t.Errorf("%d failed, and it says %q", failed, end[0].Error)
			}
			if end[0].ImageRatio > 3 {
				t.Errorf("the server sends %.2f of the image", end[0].ImageRatio)
			}
		})
	}
}

// TestStrangerFirst: after the server was started again, a stranger proves its address first, with
// the number that a client has. The client goes on with another one.
func TestStrangerFirst(t *testing.T) {
	t.Parallel()
	const size = 16 * mib
	for name, says := range map[string]func(*invented) [][]byte{
		"reports": func(i *invented) [][]byte {
			return [][]byte{i.report(func(r *wire.Report) { r.Number = 1<<32 - 1 }), i.all()}
		},
		"goodbyes": (*invented).goodbyes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 4}, size)
			r.fill(size)
			s := r.serve(0)
			next := r.numbers(0)
			client := r.receive(1)
			id := next()
			client.reaches(0.2)
			s.kill()
			r.must(r.Hosts[1].Disconnect())
			s = r.serve(0)
			r.invent(3, 1, []wire.ReceiverID{id}, says)
			r.await("the stranger is known", func() bool { return s.now().ReceiversSeen > 0 })
			r.must(r.Hosts[1].Connect())
			client.finishes()
			s.signal(syscall.SIGINT)
			s.exits(130)
			end := last[progress.ServerRecord](s.process, progress.EventDone)
			if got := own(end, stranger); !slices.Equal(got, []string{"done"}) {
				t.Errorf("the server tells of %v", got)
			}
		})
	}
}

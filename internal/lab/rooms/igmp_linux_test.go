package rooms

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/net/ipv4"

	"multiserver/internal/lab"
)

// TestSwitchForgets: in the middle of a transfer a switch that snoops forgets that one
// of the clients wants the stream, which tells it again. If all went deaf at once, a
// server of MXB 2 would take that for a bottleneck and be slow for some seconds.
func TestSwitchForgets(t *testing.T) {
	t.Parallel()
	for p, group := range map[protocol]string{speaksMXB1: "225.0.20.10", speaksMXB2: dataGroup} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			r := newRoomOf(t, p, lab.Config{Hosts: 4}, imageBytes)
			r.must(r.Switch().SetMemory(giveUp, giveUp))
			r.askForGroups(3)
			s := r.serve(0, "--data-group", dataGroup, "--rate", "16M")
			a, b := r.receive(1, "-v"), r.receive(2, "-v")
			a.reaches(0.3)
			r.await("the client joins again", func() bool {
				r.must(r.Switch().Forget(r.Hosts[1].Interface, netip.MustParseAddr(group)))
				return a.hasLogged("nothing arrives; joined the group again")
			})
			finish(a, b)
			s.stop()
		})
	}
}

// TestServerListensForQueries: it holds a packet socket once it serves a network.
func TestServerListensForQueries(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, imageBytes)
	const header = 1 // line
	sockets := func() (lines int) {
		r.must(r.Hosts[0].Do(func() error {
			table, err := os.ReadFile("/proc/thread-self/net/packet")
			lines = bytes.Count(table, []byte("\n"))
			return err
		}))
		return lines
	}
	s := r.serve(0)
	if n := sockets(); n != header {
		t.Errorf("%d lines of packet sockets before anybody asked", n)
	}
	finish(r.receive(1))
	r.await("the server listens for queries", func() bool { return sockets() == header+1 })
	s.stop()
	r.await("the socket is closed", func() bool { return sockets() == header })
}

// askForGroups has a host send one query, and returns when the switch snoops.
func (r *room) askForGroups(host int) {
	r.Helper()
	query := []byte{0x11, 1, 0xEE, 0xFE, 0, 0, 0, 0} // of IGMPv2, to be answered within 0.1 s
	var router, sender *ipv4.PacketConn
	r.must(r.Hosts[host].Do(func() (err error) {
		if router, err = r.openPackets(host, "ip4:igmp", r.Hosts[host].Address.Addr().String()); err != nil {
			return err
		}
		sender, err = r.openPackets(host, "udp4", ":0")
		return err
	}))
	_, err := router.WriteTo(query, nil, &net.IPAddr{IP: net.IPv4allsys})
	r.must(err)

	const small, large = 500, 1000 // bytes
	group, all := &net.UDPAddr{IP: net.IPv4(239, 9, 9, 9), Port: 9}, &net.UDPAddr{IP: net.IPv4(10, 77, 0, 255), Port: 9}
	r.await("the switch snoops", func() bool {
		before := r.receivedBytes(0)
		_, err := sender.WriteTo(make([]byte, large), nil, group)
		r.must(err)
		_, err = sender.WriteTo(make([]byte, small), nil, all)
		r.must(err)
		r.await("the broadcast is there", func() bool { return r.receivedBytes(0) >= before+small })
		return r.receivedBytes(0) < before+large
	})
}

func (r *room) openPackets(host int, network, address string) (*ipv4.PacketConn, error) {
	c, err := net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	r.Cleanup(func() { c.Close() })
	p := ipv4.NewPacketConn(c)
	return p, p.SetMulticastInterface(&net.Interface{Index: r.Hosts[host].Index})
}

func (r *room) receivedBytes(host int) uint64 {
	r.Helper()
	c, err := r.Hosts[host].Counters()
	r.must(err)
	return c.ReceivedBytes
}

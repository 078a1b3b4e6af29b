package rooms

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// rawSocket sends packets from any address and port, by a host's interface (raw(7), IP_HDRINCL).
type rawSocket struct{ fd int }

func (r *room) rawSocket(host int) rawSocket {
	r.Helper()
	var s rawSocket
	r.must(r.Hosts[host].Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		s.fd = fd
		return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(r.Hosts[host].Index)})
	}))
	r.Cleanup(func() { unix.Close(s.fd) })
	return s
}

// send sends a UDP datagram without a checksum. A forger may fail.
func (s rawSocket) send(from, to netip.AddrPort, payload []byte) {
	const headers = 28
	b := make([]byte, headers, headers+len(payload))
	b[0], b[8], b[9] = 0x45, 1, unix.IPPROTO_UDP // the kernel fills in length, id and checksum
	copy(b[12:], from.Addr().AsSlice())
	copy(b[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[20:], from.Port())
	binary.BigEndian.PutUint16(b[22:], to.Port())
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(payload)))
	_ = unix.Sendto(s.fd, append(b, payload...), 0, &unix.SockaddrInet4{Addr: to.Addr().As4()})
}

// forgedPacket goes out with an address that is another host's.
type forgedPacket struct {
	from, to netip.AddrPort
	payload  []byte
}

// inject sends forged packets one after the other, one each so often, until the test ends. Those
// without a payload are left out. sent
// tells how many went out.
func (r *room) inject(host int, every time.Duration, next func(n int) forgedPacket) (sent func() int64) {
	r.Helper()
	socket := r.rawSocket(host)
	ctx, cancel := context.WithCancel(r.ctx)
	ended := make(chan struct{})
	var count atomic.Int64
	go func() {
		defer close(ended)
		began := time.Now()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; {
			for ; time.Duration(n)*every < time.Since(began); n++ { // a tick may be late
				if p := next(n); p.payload != nil {
					socket.send(p.from, p.to, p.payload)
					count.Add(1)
				}
			}
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}()
	r.Cleanup(func() { cancel(); <-ended })
	return count.Load
}

// asServer sends packets to the session's group by turns, from the server's address.
func (h *hostile) asServer(every time.Duration, packets [][]byte) (sent func() int64) {
	h.Helper()
	from := netip.MustParseAddrPort(serverAddress)
	return h.inject(h.host, every, func(n int) forgedPacket {
		return forgedPacket{from, h.session.Data, packets[n%len(packets)]}
	})
}

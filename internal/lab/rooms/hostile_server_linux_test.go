package rooms

import (
	"net"
	"slices"
	"testing"
	"time"

	"multiserver/internal/lab"
	"multiserver/internal/mxb1"
	"multiserver/internal/progress"
	"multiserver/internal/wire"
)

// arrivals counts what comes to a port of a host, until the test ends.
func (r *room) arrivals(host int, port int) (bytes func() int) {
	r.Helper()
	var conn *net.UDPConn
	r.must(r.Hosts[host].Do(func() (err error) {
		conn, err = net.ListenUDP("udp4", &net.UDPAddr{Port: port})
		return err
	}))
	r.Cleanup(func() { conn.Close() })
	return func() (all int) {
		buf := make([]byte, 2048)
		for {
			conn.SetReadDeadline(time.Now().Add(time.Second))
			n, err := conn.Read(buf)
			if err != nil {
				return all
			}
			all += n
		}
	}
}

// TestReflection: questions in another host's name bring it no more than was sent, and once a
// second if it is on the network; and nobody else.
func TestReflection(t *testing.T) {
	t.Parallel()
	offer := wire.Offer{Version: wire.Version, Receiver: 66, Codecs: 1, LargestPacket: 1472}
	small := mxb1.AppendMapRequest(nil, offer.AppendTo(nil))
	offer.Size = 500
	large := mxb1.AppendMapRequest(nil, offer.AppendTo(nil))
	for _, c := range []struct {
		name, as string
		question []byte
		most     func(sent int, seconds float64) float64 // bytes
	}{
		{"by an older client", "10.77.0.3:5000", small, func(_ int, seconds float64) float64 { return 300 * (seconds + 2) }},
		{"by an original client", "10.77.0.3:5000", mxb1.AppendMapRequest(nil, nil), func(_ int, seconds float64) float64 { return 100 * (seconds + 4) }},
		{"in full", "10.77.0.3:5000", large, func(sent int, _ float64) float64 { return float64(sent * len(large)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 5}, mib)
			r.serve(0)
			received, bystander := r.arrivals(2, 5000), r.arrivals(3, 5000)
			begun := time.Now()
			stop := r.floodAs(4, c.as, serverAddress, c.question)
			before := r.sentBytes(4)
			r.await("a thousand questions", func() bool { return r.sentBytes(4) >= before+1000*uint64(len(c.question)+42) })
			stop()
			sent := int(r.sentBytes(4)) / (len(c.question) + 42)
			r.newHostile(1) // it is answered behind all of them
			seconds := time.Since(begun).Seconds()
			if got, most := float64(received()), c.most(sent, seconds); got > most || got == 0 {
				t.Errorf("%d questions of %d bytes in %.1f s bring %v bytes, %v at most", sent, len(c.question), seconds, got, most)
			}
			if got, most := float64(bystander()), 300*(seconds+2); got > most {
				t.Errorf("another host gets %v bytes, %v at most", got, most)
			}
		})
	}
}

// TestHogOverMXB1: who asks for all of the image again and again, over MXB 1, gets one pass while
// others receive over MXB 2.
func TestHogOverMXB1(t *testing.T) {
	t.Parallel()
	const size = 16 * mib
	for _, c := range []struct {
		name   string
		flags  []string
		passes float64 // that the server sends in all, at most, when the others are done
	}{
		{"served", nil, 1.0 + 1.0/8 + 1.0/4},
		{"not served", []string{"--mxb1", "never"}, 1.0 + 1.0/8},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 4}, size)
			r.fill(size)
			s := r.serve(0, append(c.flags, "--min-receivers", "2", "--exit-after-done")...)
			r.flood(3, serverAddress, mxb1.BlockRequest{Last: size/mxb1.BlockSize - 1}.AppendTo(nil))
			finish(r.receive(1), r.receive(2))
			s.exits(0)
			end := last[progress.ServerRecord](s.process, progress.EventDone)
			if c.flags != nil && (end.ClientsSeen > 0 || end.ImageRatio > c.passes) {
				t.Errorf("%d clients of MXB 1 are served, and %.2f of the image is sent", end.ClientsSeen, end.ImageRatio)
			}
			if got := outcomes(end); !slices.Equal(got, []string{"done", "done"}) {
				t.Errorf("the server tells of %v", got)
			}
		})
	}
}

// TestMXB1Only: with --mxb1=only our clients receive over MXB 1 too.
func TestMXB1Only(t *testing.T) {
	t.Parallel()
	r := newRoomOf(t, speaksMXB1, lab.Config{Hosts: 2}, imageBytes)
	r.serve(0, "--mxb1", "only")
	r.protocol = speaksMXB2 // it would
	c := r.receive(1)
	c.protocol = speaksMXB1
	if end := c.finishes(); end.Protocol != "mxb1" {
		t.Errorf("received over %s", end.Protocol)
	}
}

// TestMaxTime: the server ends by itself, with the reason.
func TestMaxTime(t *testing.T) {
	t.Parallel()
	t.Run("nobody comes", func(t *testing.T) {
		t.Parallel()
		s := newRoom(t, lab.Config{Hosts: 2}, mib).serve(0, "--max-time", "1s")
		s.exits(3)
		if end := last[progress.ServerRecord](s.process, progress.EventFailed); end.Error != "--max-time of 1s has passed, and no client came" {
			t.Errorf("it says %q", end.Error)
		}
	})
	t.Run("one is not done", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t, lab.Config{Hosts: 2}, imageBytes)
		s := r.serve(0, "--max-time", "3s", "--rate", "2M", "--exit-after-done")
		c := r.receive(1)
		s.exits(7)
		if end := last[progress.ServerRecord](s.process, progress.EventFailed); end.Error != "--max-time of 3s has passed: 1 of 1 clients did not get the image" {
			t.Errorf("it says %q", end.Error)
		}
		c.exits(1)
	})
}

// TestAskedAtAnotherAddress: a server answers, and sends by unicast, from the address that it was
// asked at.
func TestAskedAtAnotherAddress(t *testing.T) {
	t.Parallel()
	const second = "10.77.0.200"
	for _, unicast := range []string{"auto", "always"} {
		t.Run(unicast, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 2}, imageBytes)
			r.give(0, "eth0", second+"/24")
			s := r.serve(0)
			if end := r.receive(1, "-s", second, "--unicast", unicast).finishes(); end.Server != second+":7500" || end.Strangers > 0 {
				t.Errorf("received from %s, with %d packets of strangers", end.Server, end.Strangers)
			}
			if got := outcomes(s.stop()); !slices.Equal(got, []string{"done"}) {
				t.Errorf("the server tells of %v", got)
			}
		})
	}
}

package udp

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func listenGroup(t testing.TB, config ReceiverConfig) *Receiver {
	t.Helper()
	r, err := ListenGroup(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// randomGroupPort returns a group and a port from below the ephemeral ones.
func randomGroupPort() netip.AddrPort {
	return netip.AddrPortFrom(randomGroup(), uint16(20000+rand.N(10000)))
}

// newPair returns a Sender and a Receiver of one group on the loopback.
func newPair(t testing.TB, best Method, bestReceive ReceiveMethod) (*Sender, *Receiver) {
	t.Helper()
	lo, group := loopback(t), randomGroupPort()
	r := listenGroup(t, ReceiverConfig{Group: group, Interfaces: []Interface{lo}, Best: bestReceive})
	s, err := listen(t, ConnConfig{}).NewSender(group, lo.Index, best)
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

// testData is n bytes of which no two segments are alike.
func testData(n int) []byte {
	data := make([]byte, n)
	for at := range data {
		data[at] = byte(at>>8 ^ at*7)
	}
	return data
}

// checkSegments receives data and fails unless it comes in segments of
// segmentSize, the last one shorter, and from the sender.
func checkSegments(t *testing.T, r *Receiver, batch *Batch, s *Sender, data []byte, segmentSize int) {
	t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil { // rather than hang if one is lost
		t.Fatal(err)
	}
	for len(data) > 0 {
		if err := r.Receive(batch); err != nil {
			t.Fatalf("%v, with %d bytes to come", err, len(data))
		}
		if len(batch.Datagrams()) == 0 {
			t.Fatal("a batch without a datagram")
		}
		for _, d := range batch.Datagrams() {
			want := data[:min(segmentSize, len(data))]
			if !bytes.Equal(d.Payload, want) {
				t.Fatalf("a datagram of %d bytes is wrong; want %d bytes, %d to come", len(d.Payload), len(want), len(data))
			}
			if d.IfIndex != s.ifIndex || d.Source.Port() != s.conn.LocalAddr().Port() {
				t.Fatalf("from %v by interface %d", d.Source, d.IfIndex)
			}
			data = data[len(want):]
		}
	}
}

func TestTransfer(t *testing.T) {
	sizes := []struct{ length, segmentSize int }{
		{1, 1472}, {1472, 1472}, {1473, 1472}, {2944, 1472}, {44 * 1472, 1472}, {44*1472 + 1, 1472},
		{70 * 200, 200}, {64*200 - 1, 200}, {2 * 8972, 8972}, {60000, 65507}, {65507, 65507},
	}
	batch := NewBatch()
	for method := MethodGSO; method <= MethodWrite; method++ {
		for receive := ReceiveGRO; receive <= ReceiveRead; receive++ {
			s, r := newPair(t, method, receive)
			for _, size := range sizes {
				t.Run(fmt.Sprintf("%v to %v/%d of %d", method, receive, size.length, size.segmentSize), func(t *testing.T) {
					data := testData(size.length)
					if err := s.Send(data, size.segmentSize); err != nil {
						t.Fatal(err)
					}
					checkSegments(t, r, batch, s, data, size.segmentSize)
				})
			}
			if runtime.GOOS == "linux" && (s.Method() != method || s.Fallback() != nil || r.Method() != receive) {
				t.Errorf("%v and %v became %v (%v) and %v", method, receive, s.Method(), s.Fallback(), r.Method())
			}
		}
	}
}

func TestSendErrors(t *testing.T) {
	s, _ := newPair(t, MethodAuto, ReceiveAuto)
	if err := s.Send(nil, 1472); err != nil {
		t.Errorf("sending nothing: %v", err)
	}
	for _, size := range []int{0, -1, MaxPayload + 1} {
		if err := s.Send([]byte("x"), size); err == nil {
			t.Errorf("segments of %d bytes are sent", size)
		}
	}
	if _, err := s.conn.NewSender(netip.AddrPort{}, 0, MethodAuto); err == nil {
		t.Error("a sender to nowhere")
	}
	for method := MethodGSO; method <= MethodWrite; method++ {
		gone, err := s.conn.NewSender(s.dst, 1<<30, method)
		if err != nil {
			t.Fatal(err)
		}
		if err := gone.Send(testData(3000), 1472); err == nil || !strings.Contains(err.Error(), "interface 1073741824") {
			t.Errorf("%v by an interface that is not there: %v", method, err)
		}
	}
}

func TestSendEnds(t *testing.T) {
	for method := MethodGSO; method <= MethodWrite; method++ {
		s, _ := newPair(t, method, ReceiveAuto)
		if err := s.conn.SetWriteDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if err := s.Send(testData(3000), 1472); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v past the deadline: %v", method, err)
		}
		s.conn.Close()
		if err := s.Send(testData(3000), 1472); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v after it closed: %v", method, err)
		}
		if s.Fallback() != nil {
			t.Errorf("%v ended and fell back: %v", method, s.Fallback())
		}
	}
}

func TestReceiveEnds(t *testing.T) {
	for method := ReceiveGRO; method <= ReceiveRead; method++ {
		_, r := newPair(t, MethodAuto, method)
		if err := r.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if err := r.Receive(NewBatch()); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v past the deadline: %v", method, err)
		}
		if err := r.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- r.Receive(NewBatch()) }()
		r.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v while it closes: %v", method, err)
		}
		if r.Drops() != 0 {
			t.Errorf("%d drops of nothing", r.Drops())
		}
	}
}

func TestListenGroupErrors(t *testing.T) {
	lo, group := loopback(t), randomGroupPort()
	on := []Interface{lo}
	tests := []struct {
		name   string
		config ReceiverConfig
		want   string
	}{
		{"nothing", ReceiverConfig{}, "multicast group"},
		{"unicast", ReceiverConfig{Group: netip.MustParseAddrPort("10.0.0.1:5"), Interfaces: on}, "10.0.0.1"},
		{"a zone", ReceiverConfig{Group: netip.MustParseAddrPort("[ff12::1%lo]:5"), Interfaces: on}, "ff12::1%lo"},
		{"IPv4 in IPv6", ReceiverConfig{Group: netip.MustParseAddrPort("[::ffff:239.1.2.3]:5"), Interfaces: on}, "239.1.2.3"},
		{"port", ReceiverConfig{Group: netip.AddrPortFrom(group.Addr(), 0), Interfaces: on}, "no port"},
		{"buffer", ReceiverConfig{Group: group, Interfaces: on, BufferBytes: -1}, "buffer of -1"},
		{"no interface", ReceiverConfig{Group: group}, "no network interface"},
		{"unknown interface", ReceiverConfig{Group: group, Interfaces: []Interface{{Index: 1 << 30, Name: "gone0"}}}, "gone0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := ListenGroup(test.config)
			if err == nil {
				r.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestReceiversShareAGroup(t *testing.T) {
	s, first := newPair(t, MethodAuto, ReceiveAuto)
	second := listenGroup(t, ReceiverConfig{Group: s.dst, Interfaces: []Interface{loopback(t)}})
	data := testData(20 * 1472)
	if err := s.Send(data, 1472); err != nil {
		t.Fatal(err)
	}
	checkSegments(t, first, NewBatch(), s, data, 1472)
	checkSegments(t, second, NewBatch(), s, data, 1472)
	if first.LocalAddr() != s.dst {
		t.Errorf("receives %v, want %v", first.LocalAddr(), s.dst)
	}
}

func TestReceiverDoesNotHearOthersGroups(t *testing.T) {
	lo := loopback(t)
	s, r := newPair(t, MethodAuto, ReceiveAuto)
	others := netip.AddrPortFrom(randomGroup(), s.dst.Port())
	listenGroup(t, ReceiverConfig{Group: others, Interfaces: []Interface{lo}}) // the host joins it
	for _, dst := range []netip.AddrPort{others, netip.AddrPortFrom(lo.Addrs[0].Addr(), s.dst.Port())} {
		if err := s.conn.WriteTo([]byte("not to be heard"), dst, lo.Index); err != nil {
			t.Fatal(err)
		}
	}
	data := testData(1000)
	if err := s.Send(data, 1472); err != nil {
		t.Fatal(err)
	}
	checkSegments(t, r, NewBatch(), s, data, 1472)
}

func TestJoinAndLeave(t *testing.T) {
	lo := loopback(t)
	s, r := newPair(t, MethodAuto, ReceiveAuto)
	for _, step := range []struct {
		name string
		do   func(Interface) error
	}{
		{"leave", r.Leave}, {"leave again", r.Leave},
	} {
		if err := step.do(lo); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	if err := s.Send([]byte("while nobody listens"), 1472); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"join", "join again"} {
		if err := r.Join(lo); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	data := testData(5000)
	if err := s.Send(data, 1472); err != nil {
		t.Fatal(err)
	}
	checkSegments(t, r, NewBatch(), s, data, 1472)
	if err := r.Join(Interface{Index: 1 << 30, Name: "gone0"}); err == nil || !strings.Contains(err.Error(), "gone0") {
		t.Errorf("joining on an interface that is not there: %v", err)
	}
}

// TestLeftIsNotHeard: who has left a group hears nothing of it, though another program on
// this host keeps it joined: a client that takes an image by one interface must not get it
// by another one as well.
func TestLeftIsNotHeard(t *testing.T) {
	lo := loopback(t)
	s, r := newPair(t, MethodAuto, ReceiveAuto)
	stays := listenGroup(t, ReceiverConfig{Group: s.dst, Interfaces: []Interface{lo}})
	if err := r.Leave(lo); err != nil {
		t.Fatal(err)
	}
	data := testData(100)
	if err := s.Send(data, 1472); err != nil {
		t.Fatal(err)
	}
	checkSegments(t, stays, NewBatch(), s, data, 1472) // the host has it
	if err := r.Join(lo); err != nil {
		t.Fatal(err)
	}
	data = testData(5000)
	if err := s.Send(data, 1472); err != nil {
		t.Fatal(err)
	}
	checkSegments(t, r, NewBatch(), s, data, 1472)
}

func TestReceiverWarnsOfASmallBuffer(t *testing.T) {
	lo, group := loopback(t), randomGroupPort()
	small := listenGroup(t, ReceiverConfig{Group: group, Interfaces: []Interface{lo}, BufferBytes: 64 << 10})
	if got, asked := small.BufferBytes(); got != asked || len(small.Warnings()) > 0 && runtime.GOOS == "linux" {
		t.Errorf("got %d of %d bytes; warnings: %v", got, asked, small.Warnings())
	}
	large := listenGroup(t, ReceiverConfig{Group: group, Interfaces: []Interface{lo}})
	if got, asked := large.BufferBytes(); asked != defaultBufferBytes || (got < asked) != strings.Contains(fmt.Sprint(large.Warnings()), "receive buffer") {
		t.Errorf("got %d of %d bytes; warnings: %v", got, asked, large.Warnings())
	}
}

func TestSplit(t *testing.T) {
	tests := []struct {
		name        string
		length      int
		segmentSize int
		want        []int
	}{
		{"not joined", 100, 0, []int{100}},
		{"empty", 0, 0, []int{0}},
		{"empty, joined", 0, 10, []int{0}},
		{"one", 10, 10, []int{10}},
		{"smaller than one", 9, 10, []int{9}},
		{"even", 30, 10, []int{10, 10, 10}},
		{"a short last one", 31, 10, []int{10, 10, 10, 1}},
		{"a size that cannot be", 30, -1, []int{30}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []int
			for _, d := range split(nil, Datagram{Payload: make([]byte, test.length)}, test.segmentSize) {
				got = append(got, len(d.Payload))
			}
			if fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// What is split is what was joined, in order, and appending to a payload does not
// write over the next.
func TestSplitKeepsEveryByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := Datagram{Payload: testData(rapid.IntRange(0, 3000).Draw(t, "length")), IfIndex: 3}
		size := rapid.IntRange(-1, 1500).Draw(t, "size")
		before := []Datagram{{IfIndex: 9}}
		datagrams := split(before, whole, size)
		if datagrams[0].IfIndex != 9 {
			t.Fatal("dst's own are gone")
		}
		var joined []byte
		for n, d := range datagrams[1:] {
			if last := n == len(datagrams)-2; size > 0 && (len(d.Payload) > size || !last && len(d.Payload) < size) || d.IfIndex != 3 {
				t.Fatalf("datagram %d has %d bytes of interface %d", n, len(d.Payload), d.IfIndex)
			}
			joined = append(joined, d.Payload...)
			if n < len(datagrams)-2 {
				_ = append(d.Payload, 0xee)
			}
		}
		if !bytes.Equal(joined, testData(len(whole.Payload))) {
			t.Fatal("bytes differ")
		}
	})
}

func BenchmarkSend(b *testing.B) {
	lo := loopback(b)
	for method := MethodGSO; method <= MethodWrite; method++ {
		b.Run(method.String(), func(b *testing.B) {
			s, err := listen(b, ConnConfig{}).NewSender(randomGroupPort(), lo.Index, method) // nobody listens
			if err != nil {
				b.Fatal(err)
			}
			data := testData(44 * 1472)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Send(data, 1472); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTransfer sends and receives by turns on one core.
// receiveBytes returns once so many bytes of payload have come. It allocates nothing.
func receiveBytes(t testing.TB, r *Receiver, batch *Batch, want int) {
	for got := 0; got < want; {
		if err := r.Receive(batch); err != nil {
			t.Fatal(err)
		}
		for _, d := range batch.Datagrams() {
			got += len(d.Payload)
		}
	}
}

func BenchmarkTransfer(b *testing.B) {
	for method := MethodGSO; method <= MethodWrite; method++ {
		for receive := ReceiveGRO; receive <= ReceiveRead; receive++ {
			b.Run(fmt.Sprintf("%v to %v", method, receive), func(b *testing.B) {
				s, r := newPair(b, method, receive)
				data, batch := testData(44*1472), NewBatch()
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					if err := s.Send(data, 1472); err != nil {
						b.Fatal(err)
					}
					receiveBytes(b, r, batch, len(data))
				}
			})
		}
	}
}

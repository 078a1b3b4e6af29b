package original

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// peer is a client under test and its server, which is the test itself.
type peer struct {
	*testing.T
	server  *net.UDPConn
	client  netip.AddrPort // its control socket
	data    netip.AddrPort // its data socket: by unicast, which it takes as well
	out     string
	printed *lines
	ended   *result
}

// newPeer starts a client that asks the test.
func newPeer(t *testing.T, config ClientConfig) *peer {
	t.Helper()
	p := &peer{T: t, server: socket(t), printed: newLines()}
	if p.out = config.Out; p.out == "" {
		p.out = filepath.Join(t.TempDir(), "out")
		config.Out = p.out
	}
	config.ControlPort = portOf(p.server)
	config.Output = p.printed
	c := newClient(t, config)
	p.client, p.data = at(portOf(c.control)), at(portOf(c.data))
	_, p.ended = start(t, c.Run)
	return p
}

// described starts a client that has been told of an image of so many blocks.
func described(t *testing.T, blockCount uint32, config ClientConfig) *peer {
	t.Helper()
	p := newPeer(t, config)
	p.describe(description{uint64(blockCount) * blockSize, blockSize, blockCount, "image"})
	return p
}

func (p *peer) describe(d description) {
	p.Helper()
	send(p.T, p.server, d.packet(), p.client)
}

func (p *peer) block(id uint32, payload []byte) {
	p.Helper()
	send(p.T, p.server, packet(opBlock, id, payload), p.data)
}

// awaitQuestion returns when the client sends want; what it asked before stays
// unread until now.
func (p *peer) awaitQuestion(want []byte) {
	p.Helper()
	for {
		if got, _ := receive(p.T, p.server); bytes.Equal(got, want) {
			return
		}
	}
}

// written waits for the client's success and returns what it wrote.
func (p *peer) written() []byte {
	p.Helper()
	if err := p.ended.wait(); err != nil {
		p.Fatal(err)
	}
	b, err := os.ReadFile(p.out)
	if err != nil {
		p.Fatal(err)
	}
	return b
}

func full(c byte) []byte { return bytes.Repeat([]byte{c}, blockSize) }

func TestAsksForTheMap(t *testing.T) {
	p := newPeer(t, ClientConfig{})
	for range 3 { // again after each quiet time
		got, from := receive(t, p.server)
		if want := packet(opMapRequest, 0, nil); !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
		if from != p.client || from.Port() < minFromPort || from.Port() > maxFromPort {
			t.Errorf("asked from %s", from)
		}
	}
	// An answer from anybody will do, and other packets do not end the wait.
	stranger := socket(t)
	send(t, stranger, []byte("not a packet"), p.client)
	send(t, stranger, packet(opBlock, 0, full('x')), p.client)
	send(t, stranger, description{1024, 1024, 1, "image"}.packet(), p.client)
	p.awaitQuestion(blockRequest(0, 1))
	p.block(0, full('a'))
	if got := p.written(); !bytes.Equal(got, full('a')) {
		t.Errorf("wrote %x", got)
	}
}

func TestFromPort(t *testing.T) {
	port := freePort(t)
	p := newPeer(t, ClientConfig{FromPort: port})
	if _, from := receive(t, p.server); from.Port() != port {
		t.Errorf("asked from %s, want port %d", from, port)
	}
}

func TestRefusesLongDescription(t *testing.T) {
	p := newPeer(t, ClientConfig{})
	p.describe(description{1024, 1024, 1, strings.Repeat("n", 2031)}) // size 2048
	p.printed.wait("refuses a description of size 2048", 1)
	p.describe(description{2048, 1024, 2, strings.Repeat("n", 2030)})
	p.awaitQuestion(blockRequest(0, 2))
}

func TestAsksFromTheFirstMissingPastTheEnd(t *testing.T) {
	p := described(t, 98, ClientConfig{})
	p.awaitQuestion(blockRequest(0, 98))
	for _, id := range []uint32{0, 1, 3, 97} {
		p.block(id, full('x'))
	}
	p.awaitQuestion(blockRequest(2, 98))
	p.block(2, full('x'))
	p.awaitQuestion(blockRequest(4, 98))
}

// The client's own lines tell the order in which it did things; that order
// holds on the slowest of machines.
func TestAnyPacketKeepsItSilent(t *testing.T) {
	const quiet = 10 * shortQuiet
	p := described(t, 1, ClientConfig{Quiet: quiet})
	packets := [][]byte{
		[]byte("x"),
		{},
		packet(opMapRequest, 0, nil),
		packet(77, 0, full('y')),
	}
	for i, b := range packets {
		p.printed.wait("asks for", i+1)
		send(t, p.server, b, p.data)
		p.printed.wait("not a block", i+1)
	}
	p.printed.wait("asks for", len(packets)+1)
	p.printed.mu.Lock()
	defer p.printed.mu.Unlock()
	for i, l := range p.printed.all[:len(p.printed.all)-1] {
		if !strings.HasPrefix(l.text, "not a block") {
			continue
		}
		if next := p.printed.all[i+1]; strings.HasPrefix(next.text, "asks for") && next.when.Sub(l.when) < quiet {
			t.Errorf("%q %s after %q, want no sooner than %s", next.text, next.when.Sub(l.when), l.text, quiet)
		}
	}
}

func TestPastTheMap(t *testing.T) {
	for _, payload := range [][]byte{nil, full('x')} {
		p := described(t, 2, ClientConfig{})
		p.block(3, full('x')) // further behind is ignored
		p.block(2, payload)
		if err := p.ended.wait(); !errors.Is(err, ErrPastMap) {
			t.Errorf("ended with %v, want %v", err, ErrPastMap)
		}
	}
}

func TestSurvivesPastTheMap(t *testing.T) {
	p := described(t, 2, ClientConfig{SurvivePastMap: true})
	p.block(2, nil)
	p.block(0, full('a'))
	p.block(1, full('b'))
	if got, want := p.written(), append(full('a'), full('b')...); !bytes.Equal(got, want) {
		t.Errorf("wrote %d bytes, want %d", len(got), len(want))
	}
}

func TestSlashInTheName(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"/", "/image", "srv/image", "srv/"} {
		p := newPeer(t, ClientConfig{Out: "with -o the name does not matter"})
		p.describe(description{1024, 1024, 1, name})
		p.block(0, full('a'))
		p.written()

		c := newClient(t, ClientConfig{ControlPort: portOf(p.server)})
		_, ended := start(t, c.Run)
		send(t, p.server, description{1024, 1024, 1, name}.packet(), at(portOf(c.control)))
		if err := ended.wait(); !errors.Is(err, ErrRootFolder) {
			t.Errorf("%q: ended with %v, want %v", name, err, ErrRootFolder)
		}
	}
}

func TestWritesToTheDescribedName(t *testing.T) {
	t.Chdir(t.TempDir())
	server := socket(t)
	c := newClient(t, ClientConfig{ControlPort: portOf(server)})
	_, ended := start(t, c.Run)
	send(t, server, description{3, 1024, 1, "an image"}.packet(), at(portOf(c.control)))
	send(t, server, packet(opBlock, 0, []byte("abc")), at(portOf(c.data)))
	if err := ended.wait(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile("an image"); err != nil || string(got) != "abc" {
		t.Errorf("wrote %q, %v", got, err)
	}
}

func TestShortBlocksFill(t *testing.T) {
	p := described(t, 3, ClientConfig{})
	p.block(2, []byte("end"))
	p.block(0, nil)
	p.block(1, []byte("mid"))
	want := make([]byte, 2*1024+3)
	copy(want[1024:], "mid")
	copy(want[2048:], "end")
	if got := p.written(); !bytes.Equal(got, want) {
		t.Errorf("wrote %d bytes\n%x", len(got), got)
	}
}

func TestReads1036Bytes(t *testing.T) {
	p := described(t, 1, ClientConfig{})
	send(t, p.server, packet(77, 0, append(full('a'), full('b')...)), p.data)
	p.printed.wait("not a block: op 77, 1036 bytes", 1)
	send(t, p.server, packet(opBlock, 0, append(full('a'), full('b')...)), p.data)
	if got := p.written(); !bytes.Equal(got, full('a')) {
		t.Errorf("wrote %d bytes", len(got))
	}
}

func TestIgnoresTheDescribedBlockSize(t *testing.T) {
	p := newPeer(t, ClientConfig{})
	p.describe(description{1024, 512, 2, "image"})
	p.block(0, full('a')[:512])
	p.block(1, full('b')[:512])
	if got := p.written(); len(got) != 1024+512 || got[1024] != 'b' {
		t.Errorf("wrote %d bytes", len(got))
	}
}

func TestWholeBlocks(t *testing.T) {
	p := described(t, 3, ClientConfig{NoSparse: true})
	p.block(0, full('a'))
	p.block(1, full('b'))
	p.block(2, []byte("end"))
	want := make([]byte, 4*1024)
	copy(want, full('a'))
	copy(want[1024:], full('b'))
	copy(want[2048:], "end")
	if got := p.written(); !bytes.Equal(got, want) {
		t.Errorf("wrote %d bytes\n%x", len(got), got)
	}
}

func TestOffsetsWrap(t *testing.T) {
	for _, c := range []struct {
		blockID uint32
		want    int64
	}{
		{0, 0},
		{1, 1024},
		{1<<22 - 1, 1<<32 - 1024},
		{1 << 22, 0}, // 4 GiB
		{1<<22 + 1, 1024},
		{1<<32 - 1, 1<<32 - 1024},
	} {
		if got := offset(c.blockID); got != c.want {
			t.Errorf("offset of block %d is %d, want %d", c.blockID, got, c.want)
		}
	}
}

func TestWriteErrorEnds(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here, Linux has one")
	}
	p := described(t, 1, ClientConfig{Out: "/dev/full"})
	p.block(0, full('a'))
	if err := p.ended.wait(); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("ended with %v", err)
	}
}

package original

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// shortQuiet keeps the tests short; nothing depends on its length.
const shortQuiet = 20 * time.Millisecond

var localhost = netip.MustParseAddr("127.0.0.1")

func loopback(t *testing.T) *net.Interface {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			return &i
		}
	}
	t.Fatal("no loopback interface")
	return nil
}

// freePort returns a port that nobody has, from below those that systems hand
// out themselves, so that nobody gets it before the test opens it.
func freePort(t *testing.T) uint16 {
	t.Helper()
	for range 100 {
		port := uint16(16384 + rand.IntN(16000))
		c, err := listen(netip.IPv4Unspecified(), port)
		if err == nil {
			c.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// freshGroup returns a group that no other test on this host is likely to join.
func freshGroup() netip.Addr {
	return netip.AddrFrom4([4]byte{239, byte(rand.IntN(256)), byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
}

// socket returns one that hears unicast only; anywhere one that hears all.
func socket(t *testing.T) *net.UDPConn   { return listening(t, localhost) }
func anywhere(t *testing.T) *net.UDPConn { return listening(t, netip.IPv4Unspecified()) }

func listening(t *testing.T, address netip.Addr) *net.UDPConn {
	t.Helper()
	c, err := listen(address, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func portOf(c *net.UDPConn) uint16 { return c.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

func at(port uint16) netip.AddrPort { return netip.AddrPortFrom(localhost, port) }

func send(t *testing.T, c *net.UDPConn, b []byte, to netip.AddrPort) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c *net.UDPConn) ([]byte, netip.AddrPort) {
	t.Helper()
	b := make([]byte, 4096)
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n], from
}

// nothingMore fails the test if c has a datagram waiting.
func nothingMore(t *testing.T, c *net.UDPConn) {
	t.Helper()
	last := []byte("last")
	send(t, c, last, c.LocalAddr().(*net.UDPAddr).AddrPort())
	if got, _ := receive(t, c); !bytes.Equal(got, last) {
		t.Errorf("got %x, want nothing", got)
	}
}

// lines collects a program's lines and lets a test wait for one.
type lines struct {
	mu   sync.Mutex
	more sync.Cond
	all  []line
}

type line struct {
	text string
	when time.Time
}

func newLines() *lines {
	l := &lines{}
	l.more.L = &l.mu
	return l
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line{strings.TrimSuffix(string(b), "\n"), time.Now()})
	l.more.Broadcast()
	return len(b), nil
}

// wait returns once count lines begin with prefix.
func (l *lines) wait(prefix string, count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.count(prefix) < count {
		l.more.Wait()
	}
}

// count is called with mu held.
func (l *lines) count(prefix string) int {
	n := 0
	for _, line := range l.all {
		if strings.HasPrefix(line.text, prefix) {
			n++
		}
	}
	return n
}

// result is what a Run returns; waiting for it twice gives it twice.
type result struct {
	done chan struct{} // closed when err is set
	err  error
}

func (r *result) wait() error {
	<-r.done
	return r.err
}

// start runs until the test ends or stop is called.
func start(t *testing.T, run func(context.Context) error) (stop context.CancelFunc, r *result) {
	ctx, cancel := context.WithCancel(context.Background())
	r = &result{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		r.wait()
	})
	return cancel, r
}

func newServer(t *testing.T, c ServerConfig) *Server {
	t.Helper()
	if c.ControlPort == 0 {
		c.ControlPort = freePort(t)
	}
	s, err := NewServer(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func (s *Server) controlPort() uint16 { return portOf(s.control) }

func newClient(t *testing.T, c ClientConfig) *Client {
	t.Helper()
	if !c.Group.IsValid() {
		c.Group = freshGroup()
	}
	if c.Port == 0 {
		c.Port = freePort(t)
	}
	if c.Quiet == 0 {
		c.Quiet = shortQuiet
	}
	c.Host = localhost.String()
	c.Interface = loopback(t)
	client, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.close)
	return client
}

// image writes a file of random bytes and returns its path and them.
func image(t *testing.T, size int) (string, []byte) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)})
	b := make([]byte, size)
	random.Read(b)
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return path, b
}

func TestServerAndClient(t *testing.T) {
	for _, size := range []int{1, 1023, 1024, 1025, 100000, 3 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			path, want := image(t, size)
			group, port, out := freshGroup(), freePort(t), filepath.Join(t.TempDir(), "out")
			s := newServer(t, ServerConfig{
				File: path, Group: group, Port: port, Interface: loopback(t), SurviveWaiting: true,
			})
			start(t, s.Run)
			// The server has no pacing, so blocks are lost and asked for again,
			// and then its empty block comes.
			c := newClient(t, ClientConfig{
				Group: group, Port: port, ControlPort: s.controlPort(), Out: out, SurvivePastMap: true,
			})
			_, received := start(t, c.Run)
			if err := received.wait(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("received %d bytes, which differ from the image's %d", len(got), len(want))
			}
		})
	}
}

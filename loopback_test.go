package multiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"multiserver/internal/discover"
	"multiserver/internal/mxb1"
	"multiserver/internal/udp"
)

// Tests of the library over the loopback interface: they need no rights. What takes
// several hosts, loss or devices is tested in namespaces, by the programs.

// room is a group, a control port and an image of a test's own on the loopback interface.
type room struct {
	*testing.T
	dir     string
	image   string
	bytes   []byte
	group   netip.Addr
	control uint16       // the server's; before serve that of silent
	silent  *net.UDPConn // hears what is asked there, and answers nothing
	log     *slog.Logger
}

func newRoom(t *testing.T, size int) *room {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	silent, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	r := &room{
		T: t, dir: t.TempDir(), bytes: make([]byte, size), silent: silent,
		control: silent.LocalAddr().(*net.UDPAddr).AddrPort().Port(),
		log:     slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	// The port is nobody else's now, and so is a group that has its number.
	r.group = netip.AddrFrom4([4]byte{239, 255, byte(r.control >> 8), byte(r.control)})
	r.image = filepath.Join(r.dir, "the.img")
	src := rand.NewChaCha8([32]byte{1})
	src.Read(r.bytes)
	// A hole in the middle, where there is room for one.
	clear(r.bytes[len(r.bytes)/3 : len(r.bytes)/2])
	if err := os.WriteFile(r.image, r.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *room) serverConfig() ServerConfig {
	return ServerConfig{
		File: r.image, Group: r.group, ControlPort: FreePort,
		Interface: loopbackName(r.T), RateBitsPerSec: 2e9, Log: r.log,
	}
}

func (r *room) clientConfig(out string) ClientConfig {
	return ClientConfig{
		Output: out, Group: r.group, ControlPort: r.control,
		Interface: loopbackName(r.T), StartTimeout: 30 * time.Second, ReceiveTimeout: 30 * time.Second, Log: r.log,
	}
}

// freePort is a port that the system had to give.
func freePort(t *testing.T) uint16 {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

func loopbackName(t *testing.T) string {
	for _, name := range []string{"lo", "lo0"} {
		if _, err := udp.CandidateInterfaces(name, DefaultGroup); err == nil {
			return name
		}
	}
	t.Skip("no loopback interface is up here")
	return ""
}

// serve runs a server until the test ends or stop is called.
func (r *room) serve(cfg ServerConfig) (s *Server, stop func()) {
	r.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s, done := r.start(ctx, cfg)
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.Errorf("the server ended: %v", err)
		}
	})
	r.Cleanup(stop)
	return s, stop
}

// start runs a server until ctx ends, and returns once clients may ask it. done takes how
// it ended.
func (r *room) start(ctx context.Context, cfg ServerConfig) (s *Server, done chan error) {
	r.Helper()
	s, err := NewServer(cfg)
	if err != nil {
		r.Fatal(err)
	}
	done = make(chan error, 1)
	bound, cancel := context.WithCancelCause(r.Context())
	go func() {
		err := s.Run(ctx)
		cancel(fmt.Errorf("the server ended: %w", err))
		done <- err
	}()
	addr, err := s.Addr(bound)
	if err != nil {
		r.Fatal(context.Cause(bound))
	}
	r.control = addr.Port()
	return s, done
}

func receiveWith(ctx context.Context, cfg ClientConfig) (ClientStats, error) {
	c, err := NewClient(cfg)
	if err != nil {
		return ClientStats{}, err
	}
	err = c.Run(ctx)
	return c.Stats(), err
}

func (r *room) same(path string) {
	r.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		r.Error(err)
	} else if !bytes.Equal(got, r.bytes) {
		r.Errorf("%s differs from the image", path)
	}
}

func TestSizes(t *testing.T) {
	for _, size := range []int{1, 1023, 1024, 1025, 100_000, 1 << 20, 5<<20 + 333} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRoom(t, size)
			r.serve(r.serverConfig())
			out := filepath.Join(r.dir, "out")
			st, err := receiveWith(t.Context(), r.clientConfig(out))
			if err != nil {
				t.Fatal(err)
			}
			r.same(out)
			if st.Phase != PhaseDone || st.BytesDone != uint64(size) || st.SizeBytes != uint64(size) || st.Name != "the.img" {
				t.Errorf("stats at the end: %+v", st)
			}
		})
	}
}

// TestThreeClients: one at once, one joins later, one takes the image in order.
func TestThreeClients(t *testing.T) {
	r := newRoom(t, 24<<20+5)
	s, _ := r.serve(r.serverConfig())
	type result struct {
		name string
		err  error
	}
	results := make(chan result, 3)
	receive := func(name string, cfg ClientConfig) {
		_, err := receiveWith(context.Background(), cfg)
		results <- result{name, err}
	}
	var inOrder bytes.Buffer
	stream := r.clientConfig("")
	stream.Stream = &inOrder
	first, late := filepath.Join(r.dir, "first"), filepath.Join(r.dir, "late")
	go receive("first", r.clientConfig(first))
	go receive("stream", stream)
	for s.Stats().ImageBytesSent < uint64(len(r.bytes))/2 {
		time.Sleep(time.Millisecond)
	}
	go receive("late", r.clientConfig(late))
	for range 3 {
		if got := <-results; got.err != nil {
			t.Errorf("%s: %v", got.name, got.err)
		}
	}
	r.same(first)
	r.same(late)
	if !bytes.Equal(inOrder.Bytes(), r.bytes) {
		t.Error("what went to the stream differs from the image")
	}
	for s.Stats().ImageBytesPending > 0 { // what was asked for twice is still sent
		time.Sleep(time.Millisecond)
	}
	st := s.Stats()
	if len(st.Receivers) != 3 {
		t.Errorf("server's stats: %+v", st)
	}
	for _, each := range st.Receivers {
		if each.Outcome != OutcomeDone || each.BytesDone != st.SizeBytes {
			t.Errorf("a client that is done: %+v", each)
		}
	}
}

// TestSlowReader: a pipe that takes little at a time holds back nothing but itself,
// and memory stays bounded by the window.
func TestSlowReader(t *testing.T) {
	r := newRoom(t, 80<<20)
	s, _ := r.serve(r.serverConfig())
	cfg := r.clientConfig("")
	pipe, w := io.Pipe()
	cfg.Stream = w
	done := make(chan error, 1)
	go func() {
		_, err := receiveWith(context.Background(), cfg)
		w.Close()
		done <- err
	}()
	// Most of the window is through before anything is read, and no more is asked for.
	for s.Stats().ImageBytesSent < 32<<20 {
		time.Sleep(time.Millisecond)
	}
	got, err := io.ReadAll(pipe)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, r.bytes) {
		t.Error("what was piped differs from the image")
	}
}

func TestServedNameIntoCurrentFolder(t *testing.T) {
	r := newRoom(t, 5000)
	r.serve(r.serverConfig())
	r.Chdir(t.TempDir())
	st, err := receiveWith(t.Context(), r.clientConfig(""))
	if err != nil {
		t.Fatal(err)
	}
	if st.Output != "the.img" {
		t.Errorf("output is %s", st.Output)
	}
	r.same("the.img")
}

// TestBoundServer: a server that is bound to one address sends its stream from it too.
func TestBoundServer(t *testing.T) {
	r := newRoom(t, 100_000)
	server := r.serverConfig()
	server.ControlHost = netip.MustParseAddr("127.0.0.1")
	r.serve(server)
	client := r.clientConfig(filepath.Join(r.dir, "out"))
	client.ControlHost = "127.0.0.1"
	st, err := receiveWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if want := netip.AddrPortFrom(server.ControlHost, r.control); st.Server != want {
		t.Errorf("served by %v, want %v", st.Server, want)
	}
	r.same(client.Output)
}

func TestUnknownInterface(t *testing.T) {
	r := newRoom(t, 1)
	client := r.clientConfig(filepath.Join(r.dir, "out"))
	client.Interface, client.StartTimeout = "nope7", time.Millisecond
	if _, err := receiveWith(t.Context(), client); !errors.Is(err, ErrTimeLimit) || !strings.Contains(err.Error(), "nope7 does not exist yet") {
		t.Errorf("an interface that is not there: %v", err)
	}
	config := r.serverConfig()
	config.Interface, config.InterfaceTimeout = "nope7", time.Millisecond
	s, err := NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, ErrTimeLimit) || !strings.Contains(err.Error(), "nope7 does not exist yet") {
		t.Errorf("at the server: %v", err)
	}
}

func TestNoServer(t *testing.T) {
	r := newRoom(t, 1)
	out := filepath.Join(r.dir, "out")
	cfg := r.clientConfig(out)
	cfg.StartTimeout = 100 * time.Millisecond
	_, err := receiveWith(t.Context(), cfg)
	if !errors.Is(err, ErrTimeLimit) || !strings.Contains(err.Error(), "is multiserver running") {
		t.Errorf("without a server: %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("an empty file was left behind")
	}
}

// TestAsksOnceASecond: a server that does not answer is asked for its description from
// one port, a random one or the one that is told.
func TestAsksOnceASecond(t *testing.T) {
	for _, c := range []struct {
		told        bool // the port
		limit       time.Duration
		least, most int
	}{
		{false, 2500 * time.Millisecond, 2, 3}, // at 0 s, 1 s and, unless the machine is busy, 2 s
		{true, 50 * time.Millisecond, 1, 1},
	} {
		r := newRoom(t, 1)
		cfg := r.clientConfig(filepath.Join(r.dir, "out"))
		cfg.ControlHost, cfg.StartTimeout = "127.0.0.1", c.limit
		least, most := uint16(discover.MinFromPort), uint16(discover.MaxFromPort)
		if c.told {
			cfg.FromPort = freePort(t)
			least, most = cfg.FromPort, cfg.FromPort
		}
		if _, err := receiveWith(t.Context(), cfg); !errors.Is(err, ErrTimeLimit) {
			t.Fatalf("without an answer: %v", err)
		}
		// What was asked is here already: the loopback has no delay.
		if err := r.silent.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		asked, buf := map[netip.AddrPort]int{}, make([]byte, 4096)
		for {
			n, from, err := r.silent.ReadFromUDPAddrPort(buf)
			if err != nil {
				break
			}
			if h, _, err := mxb1.Parse(buf[:n]); err != nil || h.Op != mxb1.OpMapRequest {
				t.Errorf("it asks with %x", buf[:n])
			}
			asked[from]++
		}
		if len(asked) != 1 {
			t.Errorf("it asks from %v, want one port", asked)
		}
		for from, times := range asked {
			if times < c.least || times > c.most {
				t.Errorf("it asked %d times in %v, want %d to %d", times, c.limit, c.least, c.most)
			}
			if from.Port() < least || from.Port() > most {
				t.Errorf("it asks from port %d, want %d to %d", from.Port(), least, most)
			}
		}
	}
}

func TestStreamStaysAway(t *testing.T) {
	r := newRoom(t, 8<<20)
	cfg := r.serverConfig()
	cfg.RateBitsPerSec = 40e6
	s, stop := r.serve(cfg)
	go func() {
		for s.Stats().ImageBytesSent < 1<<20 {
			time.Sleep(time.Millisecond)
		}
		stop()
	}()
	client := r.clientConfig(filepath.Join(r.dir, "out"))
	client.ReceiveTimeout = 500 * time.Millisecond
	st, err := receiveWith(t.Context(), client)
	if err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("after the server ended: %v", err)
	}
	if st.BytesDone == 0 || st.Phase != PhaseReceiving {
		t.Errorf("stats: %+v", st)
	}
}

// TestImageChanges: the session ends on both sides, with an error, never with a mixture.
func TestImageChanges(t *testing.T) {
	r := newRoom(t, 16<<20)
	cfg := r.serverConfig()
	cfg.RateBitsPerSec = 20e6
	s, served := r.start(t.Context(), cfg)
	received := make(chan error, 1)
	client := r.clientConfig(filepath.Join(r.dir, "out"))
	client.ReceiveTimeout = time.Second
	go func() {
		_, err := receiveWith(t.Context(), client)
		received <- err
	}()
	for s.Stats().ImageBytesSent < 1<<20 {
		time.Sleep(time.Millisecond)
	}
	if err := os.WriteFile(r.image, r.bytes[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err == nil || !strings.Contains(err.Error(), r.image) {
		t.Errorf("the server ended with %v", err)
	}
	if err := <-received; !errors.Is(err, ErrIntegrity) {
		t.Errorf("the client ended with %v", err)
	}
}

func TestCancel(t *testing.T) {
	r := newRoom(t, 8<<20)
	cfg := r.serverConfig()
	cfg.RateBitsPerSec = 10e6
	s, _ := r.serve(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := receiveWith(ctx, r.clientConfig(filepath.Join(r.dir, "out")))
		done <- err
	}()
	for s.Stats().ImageBytesSent < 100_000 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestConfigRefused(t *testing.T) {
	for name, cfg := range map[string]ServerConfig{
		"no file":      {},
		"unicast":      {File: "x", Group: netip.MustParseAddr("10.0.0.1")},
		"unicast IPv6": {File: "x", Group: netip.MustParseAddr("fd00::1")},
		"zone":         {File: "x", Group: netip.MustParseAddr("ff12::1%lo")},
		"data group":   {File: "x", Group: netip.MustParseAddr("ff15::1"), DataGroup: netip.MustParseAddr("239.1.2.3")},
		"other family": {File: "x", Group: netip.MustParseAddr("ff15::1"), ControlHost: netip.MustParseAddr("10.0.0.1")},
		"which link":   {File: "x", Group: netip.MustParseAddr("ff15::1"), ControlHost: netip.MustParseAddr("fe80::1")},
		"TTL":          {File: "x", TTL: 256},
		"negative TTL": {File: "x", TTL: -1},
		"delay":        {File: "x", Delay: -1},
		"two images":   {File: "x", Source: bytes.NewReader(nil), Name: "x"},
		"no name":      {Source: bytes.NewReader(nil)},
		"port":         {File: "x", ControlPort: 65536},
		"clients":      {File: "x", MinReceivers: MaxReceivers + 1},
		"waits":        {File: "x", MinWait: 2, MaxWait: 1},
		"interface":    {File: "x", InterfaceTimeout: -2},
	} {
		_, err := NewServer(cfg)
		var e *Error
		if !errors.As(err, &e) || e.Kind != ErrConfig || !strings.HasPrefix(e.Field, "ServerConfig.") {
			t.Errorf("%s: %v of field %+v", name, err, e)
		}
	}
	for name, cfg := range map[string]ClientConfig{
		"quiet":   {QuietTime: -1},
		"start":   {StartTimeout: -2},
		"receive": {ReceiveTimeout: -time.Second},
		"family":  {ControlHost: "fd00::1"},
		"two":     {Output: "x", Stream: io.Discard},
		"verify":  {Stream: io.Discard, Verify: true},
		"disk":    {Disk: "colour=red"},
	} {
		_, err := NewClient(cfg)
		var e *Error
		if !errors.As(err, &e) || e.Kind != ErrConfig || !strings.HasPrefix(e.Field, "ClientConfig.") {
			t.Errorf("%s: %v of field %+v", name, err, e)
		}
	}
	if _, err := NewClient(ClientConfig{StartTimeout: NoTimeout}); err != nil {
		t.Error(err)
	}
}

func TestEmptyImage(t *testing.T) {
	r := newRoom(t, 0)
	s, err := NewServer(r.serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty image: %v", err)
	}
}

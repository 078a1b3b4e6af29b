package original

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

const (
	// "At most 128 requests in a burst fit its receive buffer."
	queuedRequests = 128

	// "It ends only on a failing send or after more than 100 read errors in a
	// row."
	maxReadErrors = 100

	// maxRequestSize is what the server reads of a request: a map request may
	// carry a payload, which is ignored whatever its length.
	maxRequestSize = 2048
)

// ServerConfig says what to serve. Only File has no default.
type ServerConfig struct {
	File        string         // path of the image, described to clients as it stands here
	Group       netip.Addr     // zero: DefaultGroup
	Port        uint16         // where blocks go; 0: DefaultPort
	Address     netip.Addr     // of the control socket; zero: 0.0.0.0
	ControlPort uint16         // 0: DefaultControlPort
	Delay       time.Duration  // pause behind each block; 0: "It has no pacing"
	Interface   *net.Interface // where multicast leaves; nil: as routed
	Output      io.Writer      // a line for each request; nil: none

	// SurviveWaiting goes on where a second request comes while one waits, as the
	// original mostly does by luck. A client of 2012 needs it where the machine may hold
	// the server up for longer than the quiet time: it then asks again.
	SurviveWaiting bool
}

// Server is the server of 2012.
type Server struct {
	image       io.ReadSeeker
	file        *os.File // the image, to be closed
	description []byte   // the answer to every map request
	control     *net.UDPConn
	blocks      *net.UDPConn
	to          netip.AddrPort
	delay       time.Duration
	print       *log.Logger

	readErrors int // in a row
	requests   requestList
}

// requestList is what the server has to answer, and whether it ever will again.
// Both of its goroutines use it.
type requestList struct {
	survive bool // ServerConfig.SurviveWaiting

	mu     sync.Mutex
	under  map[netip.AddrPort]int // block requests under way, by who asked
	count  int                    // of all of them
	wedged bool
}

// arrived records a block request. It wedges the server if the asker's last one
// is still under way, or if one already waits behind the one that is served.
func (l *requestList) arrived(from netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.survive && (l.under[from] > 0 || l.count > 1) {
		l.wedged = true
	}
	l.under[from]++
	l.count++
}

// answered takes a block request off.
func (l *requestList) answered(from netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.under[from]--; l.under[from] == 0 {
		delete(l.under, from)
	}
	l.count--
}

func (l *requestList) wedge() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wedged = true
}

func (l *requestList) isWedged() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wedged
}

// request is a datagram on the control socket.
type request struct {
	packet []byte
	from   netip.AddrPort
}

// NewServer opens the image and both sockets. Run closes them.
func NewServer(c ServerConfig) (*Server, error) {
	group, port := orDefault(c.Group, c.Port)
	address := c.Address
	if !address.IsValid() {
		address = netip.IPv4Unspecified()
	}
	s := &Server{
		to:    netip.AddrPortFrom(group, port),
		delay: c.Delay,
		print: log.New(cmp.Or[io.Writer](c.Output, io.Discard), "", 0),

		requests: requestList{survive: c.SurviveWaiting, under: map[netip.AddrPort]int{}},
	}
	if err := s.open(c.File); err != nil {
		return nil, err
	}
	var err error
	// "It never joins GROUP: questions by multicast are not heard; broadcasts
	// and unicasts to its control port are."
	if s.control, err = listen(address, cmp.Or(c.ControlPort, DefaultControlPort)); err != nil {
		s.close()
		return nil, err
	}
	// "It sends blocks from another, ephemeral port"
	if s.blocks, err = listen(netip.IPv4Unspecified(), 0); err != nil {
		s.close()
		return nil, err
	}
	if err := sendVia(s.blocks, c.Interface); err != nil {
		s.close()
		return nil, err
	}
	s.print.Printf("control %s, blocks from %s to %s", s.control.LocalAddr(), s.blocks.LocalAddr(), s.to)
	return s, nil
}

func (s *Server) open(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return err
	}
	s.image, s.file = f, f
	s.description = description{
		fileSize:   uint64(size),
		blockSize:  blockSize,
		blockCount: uint32((size + blockSize - 1) / blockSize),
		// "It describes the file by the path that it was given"
		name: path,
	}.packet()
	return nil
}

// close is harmless when repeated, and from any goroutine.
func (s *Server) close() {
	s.file.Close()
	if s.control != nil {
		s.control.Close()
	}
	if s.blocks != nil {
		s.blocks.Close()
	}
}

// Run serves until ctx ends, a send fails, or more than 100 reads in a row
// failed. Its error is never nil.
func (s *Server) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.close)()

	// Sent to and closed by receive, without ever blocking it: what finds the
	// queue full is lost, as in a full receive buffer.
	queue := make(chan request, queuedRequests)
	var ended error // of receive; read after queue is closed
	var receiver sync.WaitGroup
	receiver.Go(func() {
		defer close(queue)
		ended = s.receive(queue)
	})
	defer receiver.Wait()
	defer s.close()

	// "It queues requests one after another and does not merge them"
	for r := range queue {
		if err := s.handle(r); err != nil {
			return cmp.Or(ctx.Err(), err)
		}
	}
	return cmp.Or(ctx.Err(), ended)
}

// receive queues what arrives on the control socket until that is closed.
func (s *Server) receive(queue chan<- request) error {
	for {
		b := make([]byte, maxRequestSize)
		n, from, err := s.control.ReadFromUDPAddrPort(b)
		if err != nil {
			return fmt.Errorf("read control socket: %w", err)
		}
		asked := isBlockRequest(b[:n])
		if asked {
			s.requests.arrived(from)
		}
		select {
		case queue <- request{b[:n], from}:
		default:
			if asked {
				s.requests.answered(from)
			}
			s.print.Printf("receive buffer full, lost the request from %s", from)
		}
	}
}

// isBlockRequest reports whether a datagram is one that can be served.
func isBlockRequest(b []byte) bool {
	h, ok := readHeader(b)
	if !ok || h.op != opBlockRequest {
		return false
	}
	first, last, ok := readBlockRequest(b[headerSize:])
	return ok && first <= last
}

func (s *Server) handle(r request) error {
	h, ok := readHeader(r.packet)
	if !ok {
		return nil
	}
	// "first > last wedges it for good", and so does a second request that comes
	// while one waits: nothing is answered any more.
	if s.requests.isWedged() {
		s.print.Printf("wedged, not served: op %d from %s", h.op, r.from)
		return nil
	}
	switch h.op {
	case opMapRequest:
		// "It answers a map request from its control port; any payload behind
		// the request is ignored."
		s.print.Printf("map request from %s", r.from)
		if _, err := s.control.WriteToUDPAddrPort(s.description, r.from); err != nil {
			return fmt.Errorf("answer %s: %w", r.from, err)
		}
	case opBlockRequest:
		first, last, ok := readBlockRequest(r.packet[headerSize:])
		if !ok {
			return nil
		}
		s.print.Printf("block request %d..%d from %s", first, last, r.from)
		if first > last {
			s.requests.wedge()
			return nil
		}
		return s.serve(first, last, r.from)
	}
	return nil
}

// serve sends the blocks first..last, both included. "with last = number of
// blocks it sends one empty block (size 0) at the end": at the image's end
// there is nothing to read, and that is sent. The request is answered when its
// last block goes out: who has that one may ask again.
func (s *Server) serve(first, last uint32, from netip.AddrPort) error {
	if _, err := s.image.Seek(int64(first)*blockSize, io.SeekStart); err != nil {
		return fmt.Errorf("seek to block %d: %w", first, err)
	}
	b := make([]byte, blockSize)
	for id := first; !s.requests.isWedged(); id++ {
		n, err := io.ReadFull(s.image, b)
		if id == last {
			s.requests.answered(from)
		}
		if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			s.readErrors = 0
			if _, err := s.blocks.WriteToUDPAddrPort(packet(opBlock, id, b[:n]), s.to); err != nil {
				return fmt.Errorf("send block %d to %s: %w", id, s.to, err)
			}
			if s.delay > 0 {
				time.Sleep(s.delay)
			}
		} else if s.readErrors++; s.readErrors > maxReadErrors {
			return fmt.Errorf("read block %d, error %d in a row: %w", id, s.readErrors, err)
		}
		// "After a read error it does not seek again: later ids carry shifted
		// data": the id goes on, the place in the file does not.
		if id == last {
			return nil
		}
	}
	s.print.Printf("wedged while it served %d..%d of %s", first, last, from)
	return nil
}

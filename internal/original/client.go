package original

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// "Without HOST it asks 192.168.1.1."
	defaultHost = "192.168.1.1"

	// "quiet time 1000 ms"
	defaultQuiet = 1000 * time.Millisecond

	// "from a source port in 32767..65533"
	minFromPort = 32767
	maxFromPort = 65533

	// "It refuses a description whose size is over 2047."
	maxDescriptionSize = 2047

	// "It reads 1036 bytes of a datagram."
	dataReadSize = headerSize + blockSize
)

var (
	// ErrPastMap stands for the byte that the original writes behind its map
	// when it gets a block whose id is the number of blocks.
	ErrPastMap = errors.New("wrote past the map")

	// ErrRootFolder stands for the file that the original creates in the root
	// folder when the described name has a slash in it.
	ErrRootFolder = errors.New("would write into the root folder")
)

// ClientConfig says whom to ask and where to write. Its zero asks 192.168.1.1
// and writes to the described name in the current folder.
type ClientConfig struct {
	Group       netip.Addr     // zero: DefaultGroup
	Port        uint16         // where blocks come; 0: DefaultPort
	Quiet       time.Duration  // 0: 1 s
	FromPort    uint16         // 0: random in 32767..65533
	Host        string         // name or address; empty: 192.168.1.1
	ControlPort uint16         // 0: DefaultControlPort
	Out         string         // file or device; empty: the described name
	NoSparse    bool           // whole blocks only
	Interface   *net.Interface // where to join; nil: as routed
	Output      io.Writer      // its lines; nil: none

	// SurvivePastMap goes on where ErrPastMap would be returned, as the
	// original mostly does by luck. Against an original server it is needed:
	// that one sends the empty block whenever an earlier one was lost.
	SurvivePastMap bool
}

// Client is the client of 2012.
type Client struct {
	config  ClientConfig
	server  netip.AddrPort
	control *net.UDPConn
	data    *net.UDPConn
	print   *log.Logger
}

// NewClient opens both sockets and joins the group. Run closes them.
func NewClient(config ClientConfig) (*Client, error) {
	config.Quiet = cmp.Or(config.Quiet, defaultQuiet)
	group, port := orDefault(config.Group, config.Port)
	host := net.JoinHostPort(cmp.Or(config.Host, defaultHost),
		strconv.Itoa(int(cmp.Or(config.ControlPort, DefaultControlPort))))
	server, err := net.ResolveUDPAddr("udp4", host)
	if err != nil {
		return nil, err
	}
	from := config.FromPort
	if from == 0 {
		from = uint16(minFromPort + rand.IntN(maxFromPort-minFromPort+1))
	}
	control, err := listen(netip.IPv4Unspecified(), from)
	if err != nil {
		return nil, err
	}
	// "Its socket is bound to 0.0.0.0:PORT: unicast, and other groups that
	// anyone on that host joined, keep it silent too."
	data, err := listen(netip.IPv4Unspecified(), port)
	if err != nil {
		control.Close()
		return nil, err
	}
	c := &Client{
		config:  config,
		server:  server.AddrPort(),
		control: control,
		data:    data,
		print:   log.New(cmp.Or[io.Writer](config.Output, io.Discard), "", 0),
	}
	if err := join(data, group, config.Interface); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// close is harmless when repeated, and from any goroutine.
func (c *Client) close() {
	c.control.Close()
	c.data.Close()
}

// Run receives the image. It returns nil "as soon as its last block is in. It
// says no goodbye", and nothing has been verified or synced by then.
// [ErrPastMap] and [ErrRootFolder] say that the server did what no server may
// do to an original client.
func (c *Client) Run(ctx context.Context) error {
	defer c.close()
	defer context.AfterFunc(ctx, c.close)()
	d, err := c.describe()
	if err != nil {
		return cmp.Or(ctx.Err(), err)
	}
	c.print.Printf("description: %q, %d bytes, %d blocks", d.name, d.fileSize, d.blockCount)
	out, err := c.create(d)
	if err != nil {
		return err
	}
	if err := c.receive(d.blockCount, out); err != nil {
		out.Close()
		return cmp.Or(ctx.Err(), err)
	}
	return out.Close()
}

// describe returns the server's description: the client "sends a map request at
// start and again after every quiet time without an answer", and "takes any op
// 2 answer on its control socket", whoever sent it.
func (c *Client) describe() (description, error) {
	b := make([]byte, headerSize+maxDescriptionSize)
	for {
		c.print.Print("sends a map request")
		if err := c.send(packet(opMapRequest, 0, nil)); err != nil {
			return description{}, err
		}
		quiet := time.Now().Add(c.config.Quiet)
		for {
			n, ok, err := readUntil(c.control, b, quiet)
			if err != nil {
				return description{}, err
			}
			if !ok {
				break
			}
			h, ok := readHeader(b[:n])
			if !ok || h.op != opDescription {
				continue
			}
			if h.size > maxDescriptionSize {
				c.print.Printf("refuses a description of size %d", h.size)
				continue
			}
			if d, ok := readDescription(b[headerSize:n]); ok {
				return d, nil
			}
		}
	}
}

// create opens the output. "Without -o it opens the described name from its
// last slash on, slash included".
func (c *Client) create(d description) (*os.File, error) {
	name := c.config.Out
	if name == "" {
		if slash := strings.LastIndexByte(d.name, '/'); slash >= 0 {
			return nil, fmt.Errorf("%w: described as %q, opens %q", ErrRootFolder, d.name, d.name[slash:])
		}
		name = d.name
	}
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return nil, err
	}
	if c.config.NoSparse {
		// "its -n writes whole blocks only (100,000 bytes become 101,376)":
		// 101,376 are 99 blocks where the image has 98, so here too the count
		// of blocks is taken for the last one's id.
		zeros := make([]byte, blockSize)
		for i := uint64(0); i <= uint64(d.blockCount); i++ {
			if _, err := out.Write(zeros); err != nil {
				out.Close()
				return nil, err
			}
		}
	}
	return out, nil
}

// receive writes blocks to out until the last of count is in.
func (c *Client) receive(count uint32, out io.WriterAt) error {
	filled := make([]bool, count) // the original's map: a byte a block
	b := make([]byte, dataReadSize)
	for {
		first := firstMissing(filled)
		if first == count {
			return nil
		}
		// "It asks only when nothing at all has arrived on its PORT for the
		// quiet time": any packet, valid or not, begins that time anew.
		n, ok, err := readUntil(c.data, b, time.Now().Add(c.config.Quiet))
		if err != nil {
			return err
		}
		if !ok {
			// "It asks with first = its first missing block and last = the
			// number of blocks, one past the end"
			c.print.Printf("asks for %d..%d", first, count)
			if err := c.send(blockRequest(first, count)); err != nil {
				return err
			}
			continue
		}
		h, ok := readHeader(b[:n])
		if !ok || h.op != opBlock {
			// "It prints a line for each packet that is not op 4."
			c.print.Printf("not a block: op %d, %d bytes", h.op, n)
			continue
		}
		if h.blockID > count {
			continue
		}
		if h.blockID == count {
			// "It accepts a block id equal to the number of blocks and then
			// writes one byte past its map"
			if !c.config.SurvivePastMap {
				return fmt.Errorf("%w: block %d of %d, size %d", ErrPastMap, h.blockID, count, h.size)
			}
		} else {
			// "It marks a block of size 0, or a short one, as filled."
			filled[h.blockID] = true
		}
		// As many bytes as the header says, were they received or not: the
		// buffer still has those of the packet before.
		size := min(int(h.size), blockSize)
		if _, err := out.WriteAt(b[headerSize:headerSize+size], offset(h.blockID)); err != nil {
			return err
		}
	}
}

// firstMissing returns the first id that is not filled, or the number of blocks
// if there is none. It begins at the start each time: "Its completion check is
// quadratic".
func firstMissing(filled []bool) uint32 {
	for id, is := range filled {
		if !is {
			return uint32(id)
		}
	}
	return uint32(len(filled))
}

// offset returns where a block goes, in bytes: "the client's offsets are
// computed in 32 bits (images over 4 GiB are silently corrupted)", and "the
// original client ignores the described" block size.
func offset(blockID uint32) int64 {
	wraps := blockID * blockSize
	return int64(wraps)
}

func (c *Client) send(b []byte) error {
	if _, err := c.control.WriteToUDPAddrPort(b, c.server); err != nil {
		return fmt.Errorf("ask %s: %w", c.server, err)
	}
	return nil
}

// readUntil reads the start of one datagram into b; ok is false where none came
// until the deadline.
func readUntil(conn *net.UDPConn, b []byte, deadline time.Time) (n int, ok bool, err error) {
	if err := conn.SetReadDeadline(deadline); err != nil {
		return 0, false, err
	}
	n, _, err = conn.ReadFromUDPAddrPort(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, false, nil
	}
	return n, err == nil, err
}

package multiserver

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"multiserver/internal/account"
	"multiserver/internal/discover"
	"multiserver/internal/failure"
	"multiserver/internal/fetch"
	"multiserver/internal/format"
	"multiserver/internal/legacy"
	"multiserver/internal/quote"
	"multiserver/internal/reach"
	"multiserver/internal/statement"
	"multiserver/internal/target"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// Client receives one image. Make it by NewClient.
type Client struct {
	cfg       ClientConfig
	selection target.Selection  // of cfg.Disk
	trust     *statement.Policy // nil: nothing has to be signed
	account   account.Client
}

// NewClient checks cfg and returns a Client that has opened nothing yet. The error is an
// *Error of kind ErrConfig that names the field.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, publicError(err)
	}
	c := &Client{cfg: cfg}
	var err error
	if c.trust, err = cfg.policy(); err != nil {
		return nil, publicError(err)
	}
	if c.trust != nil {
		c.cfg.MXB1 = MXB1Never
	}
	c.account.OnPhase = func() {
		if cfg.OnPhase != nil {
			cfg.OnPhase(c.Stats())
		}
	}
	if cfg.Disk != "" {
		if c.selection, err = target.ParseSelection(cfg.Disk); err != nil {
			return nil, publicError(failure.Setting("ClientConfig.Disk", "%w", err))
		}
	}
	return c, nil
}

// Stats returns the state at this moment.
func (c *Client) Stats() ClientStats {
	f := c.account.Figures()
	return ClientStats{
		Phase: ClientPhase(f.Phase), Name: f.Name, Output: f.Output, SizeBytes: f.SizeBytes,
		Server: f.Server, Protocol: f.Protocol, Interface: f.Interface, Elapsed: f.Elapsed, Streaming: f.Streaming,
		BytesDone: f.BytesDone, BytesKept: f.BytesKept, BytesVerified: f.BytesVerified, Verified: f.Verified, AlteredBytes: f.AlteredBytes, CutBytes: f.CutBytes, Discarded: f.Discarded,
		AskedAgainBytes: f.AskedAgainBytes, PacketsReceived: f.PacketsReceived, Duplicates: f.Duplicates,
		Strangers: f.Strangers, BadPackets: f.BadPackets, SocketDrops: f.SocketDrops, MemoryDrops: f.MemoryDrops,
		WaitingFor: f.WaitingFor,
	}
}

// Run finds a server, receives the image, and returns nil once all of it is on the
// target and synced. Otherwise it returns an *Error, or ctx's error if that has ended. One
// Run or Plan may follow another.
func (c *Client) Run(ctx context.Context) error {
	c.account.Begin(c.cfg.Output)
	err := c.find(ctx, (*meeting).mayBegin, c.refuse, c.receive)
	c.account.End(err == nil)
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	return publicError(err)
}

// Plan finds a server, makes every check of the target and of the server's image, and
// returns what Run would write where. It writes nothing, and the server does not count a
// client. Its errors are Run's.
func (c *Client) Plan(ctx context.Context) (plan Plan, err error) {
	c.account.Begin(c.cfg.Output)
	err = c.find(ctx, nil, nil, func(_ context.Context, m *meeting) error {
		plan, err = planOf(&m.offer, m.out)
		return err
	})
	c.account.End(false)
	if ctx.Err() != nil && err != nil {
		return Plan{}, ctx.Err()
	}
	return plan, publicError(err)
}

// meeting is a target that may be used and a server that was found.
type meeting struct {
	out        target.Target
	interfaces []udp.Interface // that were asked on
	conn       *udp.Conn       // the control socket
	stream     *udp.Receiver   // of MXB 1
	search     *discover.Search
	offer      discover.Offer
	joins      bool // the session tells the server from now on how the client ends
}

// mayBegin tells whether the session may begin while other servers may still answer. It can over
// MXB 2, where fetch keeps everything from the target meanwhile. A target that would be refused,
// or that the server is to name, waits: two servers are the truer error.
func (m *meeting) mayBegin() bool {
	if m.offer.Session == nil || m.out == nil {
		return false
	}
	checked, ok := m.out.(target.Checked)
	return !ok || checked.Fits(m.offer.SizeBytes, m.offer.SectorSize()) == nil
}

// find opens the target and the sockets, finds a server, calls then, and closes all. Unless early
// says that it is not needed, it gives other servers their time to answer too. If the client ends
// before it joins, find calls refuse, unless that is nil.
func (c *Client) find(ctx context.Context, early func(*meeting) bool, refuse func(context.Context, *meeting, error), then func(context.Context, *meeting) error) (err error) {
	m := &meeting{}
	began := time.Now()
	defer func() {
		if m.conn != nil {
			m.conn.Close()
		}
	}()
	defer func() {
		if err != nil && !m.joins && refuse != nil {
			refuse(ctx, m, err)
		}
	}()
	// Check the target before a server is asked.
	if m.out, err = c.openTarget(); err != nil {
		return err
	}
	defer func() {
		if m.out != nil {
			if e := m.out.Close(); err == nil {
				err = e
			}
		}
	}()
	if m.interfaces, err = c.awaitInterfaces(ctx); err != nil {
		return err
	}
	if m.conn, err = discover.Listen(c.cfg.Group, c.cfg.FromPort, DefaultTTL, m.interfaces); err != nil {
		return err
	}
	m.stream, err = udp.ListenGroup(udp.ReceiverConfig{
		Group:      netip.AddrPortFrom(c.cfg.Group, c.cfg.Port),
		Interfaces: m.interfaces,
	})
	if err != nil {
		return err
	}
	defer m.stream.Close()
	for _, warning := range m.conn.Warnings() {
		c.cfg.Log.Debug("control socket", "err", warning)
	}
	for _, warning := range m.stream.Warnings() {
		c.cfg.Log.Warn("the stream may lose packets here", "err", warning)
	}

	m.search = c.searchOn(m)
	m.search.Began = began
	m.search.List = func() (udp.Candidates, error) { return udp.ListCandidates(c.cfg.Interface, c.cfg.Group) }
	m.search.Join = func(i udp.Interface) { m.join(i, c.cfg.Log) }
	if m.offer, err = m.search.Find(ctx, m.conn); err != nil {
		return err
	}
	target.SetLeastDisk(m.out, m.offer.LeastDiskSize())
	if early == nil || !early(m) {
		if err = m.search.Settle(ctx, m.conn, &m.offer); err != nil {
			return err
		}
	}
	if m.out == nil {
		if m.out, err = c.openPath(baseName(m.offer.Name), true); err != nil {
			return err
		}
	}
	if m.offer.Session != nil && c.cfg.Unicast == UnicastNever && !m.offer.Session.Data.IsValid() {
		return failure.Setting("ClientConfig.Unicast", "%s sends by unicast only", m.offer.Server)
	}
	return then(ctx, m)
}

// searchOn is the search for a server on the interfaces of m.
func (c *Client) searchOn(m *meeting) *discover.Search {
	return &discover.Search{
		Question:    discover.Question{Receiver: wire.NewReceiverID(), Group: c.cfg.Group, MXB1: mxb1Of(c.cfg.MXB1)},
		ControlHost: c.cfg.ControlHost, ControlPort: c.cfg.ControlPort, Interface: c.cfg.Interface, Interfaces: m.interfaces,
		Limit: limitOf(c.cfg.StartTimeout), Account: &c.account, Log: c.cfg.Log,
	}
}

// awaitInterfaces returns the interfaces to ask on, once there is one.
func (c *Client) awaitInterfaces(ctx context.Context) ([]udp.Interface, error) {
	return awaitInterfaces(ctx, "ClientConfig", &udp.Await{
		Name: c.cfg.Interface, Group: c.cfg.Group, Limit: limitOf(c.cfg.StartTimeout),
		Tell: func(waiting string) {
			c.cfg.Log.Info("waiting for the network: " + waiting)
			c.account.Update(func(f *account.Figures) { f.WaitingFor = waiting })
		},
	})
}

// join joins the group of MXB 1 on an interface that came during the search.
func (m *meeting) join(i udp.Interface, log *slog.Logger) {
	m.interfaces = append(m.interfaces, i)
	if err := m.stream.Join(i); err != nil {
		log.Warn("cannot join the group on a new interface", "interface", i.Name, "err", err)
	}
}

// receive receives the image by the server's protocol.
func (c *Client) receive(ctx context.Context, m *meeting) error {
	leaveOthers(m, &c.cfg)
	onInterface := udp.InterfaceName(m.offer.IfIndex)
	_, discarded := m.out.(*target.Null)
	c.account.Update(func(f *account.Figures) {
		f.Discarded = discarded
		f.Protocol = m.offer.Protocol()
		f.Phase, f.Name, f.Output, f.SizeBytes = account.Receiving, m.offer.Name, m.out.Name(), m.offer.SizeBytes
		f.Server, f.Interface, f.WaitingFor = m.offer.Server, onInterface, ""
	})
	of := m.offer.Format()
	what := quote.Name(m.offer.Name)
	if of != format.Raw {
		what += ", " + of.String() + ","
	}
	c.cfg.Log.Info(fmt.Sprintf("receiving %s from %s", what, m.offer.Server),
		"bytes", m.offer.SizeBytes, "interface", onInterface, "output", m.out.Name())
	if err := target.FitsFormat(m.out, of); err != nil {
		return err
	}
	if text, advice := format.Caution(of, m.offer.SizeBytes); text != "" && isDevice(m.out) {
		c.cfg.Log.Warn(quote.Name(m.offer.Name)+" "+text, "advice", advice)
	}
	if file, ok := m.out.(*target.File); ok {
		if warning := file.MayLackRoom(m.offer.SizeBytes); warning != "" {
			c.cfg.Log.Warn(warning)
		}
	}
	if m.offer.Session != nil {
		m.stream.Close()
		m.joins = true
		return fetch.Run(ctx, fetch.Config{
			Conn: m.conn, Search: m.search, Offer: m.offer, Target: m.out, Unicast: unicastOf(c.cfg.Unicast),
			Confirm: c.confirmation(m), Trust: c.trust,
			SilenceLimit: limitOf(c.cfg.ReceiveTimeout), Update: c.cfg.Update, Fresh: c.cfg.Fresh, Verify: c.cfg.Verify,
			Account: &c.account, Log: c.cfg.Log,
		})
	}
	if confirm := c.confirmation(m); confirm != nil {
		if err := confirm(ctx); err != nil {
			return err
		}
	}
	if err := m.out.Prepare(m.offer.SizeBytes, m.offer.SectorSize()); err != nil {
		return err
	}
	if c.cfg.Update {
		c.cfg.Log.Warn("an original server sends no digests: all of the image is received", "server", m.offer.Server)
	}
	joined, _ := udp.InterfaceByName(cmp.Or(c.cfg.Interface, onInterface))
	return legacy.Receive(ctx, legacy.ReceiveConfig{
		Conn: m.conn, Stream: m.stream, Search: m.search, Offer: m.offer, Interface: joined, Target: m.out,
		QuietTime: c.cfg.QuietTime, ReceiveLimit: limitOf(c.cfg.ReceiveTimeout), Verify: c.cfg.Verify,
		Account: &c.account, Log: c.cfg.Log,
	})
}

// confirmation asks ClientConfig.BeforeWrite; nil if there is nothing to ask.
func (c *Client) confirmation(m *meeting) func(context.Context) error {
	if c.cfg.BeforeWrite == nil || !isDevice(m.out) {
		return nil
	}
	return func(ctx context.Context) error {
		plan, err := planOf(&m.offer, m.out)
		if err != nil {
			return err
		}
		return c.cfg.BeforeWrite(ctx, plan)
	}
}

func isDevice(t target.Target) bool {
	file, ok := t.(*target.File)
	return ok && file.IsDevice()
}

// limitOf is a time limit as the internal packages take it: 0 is none.
func limitOf(timeout time.Duration) time.Duration {
	if timeout == NoTimeout {
		return 0
	}
	return timeout
}

func unicastOf(mode UnicastMode) reach.Unicast {
	switch mode {
	case UnicastAlways:
		return reach.Always
	case UnicastNever:
		return reach.Never
	}
	return reach.Auto
}

func mxb1Of(mode MXB1Mode) discover.MXB1 {
	switch mode {
	case MXB1Never:
		return discover.MXB1Never
	case MXB1Only:
		return discover.MXB1Only
	}
	return discover.MXB1Auto
}

// openTarget opens the configured target; nil if its name comes from the server.
func (c *Client) openTarget() (target.Target, error) {
	switch {
	case c.cfg.Stream != nil:
		name := "the stream"
		if c.cfg.Stream == os.Stdout {
			name = "standard output"
		}
		return target.NewStream(c.cfg.Stream, name), nil
	case c.cfg.Target != nil:
		return target.FromWriterAt(c.cfg.Target, "the target"), nil
	case c.cfg.Disk != "":
		path, err := c.pickDisk()
		if err != nil {
			return nil, err
		}
		return c.openPath(path, false)
	case c.cfg.Output != "":
		return c.openPath(c.cfg.Output, false)
	}
	return nil, nil
}

// pickDisk returns the path of the disk that Disk selects, and logs which it is.
func (c *Client) pickDisk() (path string, err error) {
	disk, candidates, err := target.PickDisk(c.selection)
	if err != nil {
		refusal := &noDisk{error: err}
		for _, d := range candidates {
			refusal.disks = append(refusal.disks, d.Name+": "+d.String())
		}
		return "", refusal
	}
	c.cfg.Log.Info("ClientConfig.Disk picked " + disk.Path + ": " + disk.String())
	c.account.Update(func(f *account.Figures) { f.Output = disk.Path })
	return disk.Path, nil
}

// openPath opens a file or a device. served says that the server named it.
func (c *Client) openPath(path string, served bool) (target.Target, error) {
	if null, ok := target.OpenNull(path); ok && !served {
		if c.cfg.Verify {
			return nil, failure.New(ErrTargetRefused, "%s is refused: it keeps nothing, so that nothing could be read back", quote.Name(path))
		}
		return null, nil
	}
	file, err := target.Open(target.Options{Path: path, Served: served, Allocate: c.cfg.Allocate, Force: c.cfg.Force,
		WipeRest: c.cfg.WipeRest, FitGPT: c.cfg.FitGPT, TruncateUnused: c.cfg.TruncateUnused})
	if err != nil {
		return nil, err
	}
	if c.cfg.Verify && !file.Readable() {
		file.Close()
		return nil, failure.New(ErrTargetRefused, "%s is refused: it may be written but not read, so that it could not be verified", quote.Name(file.Name()))
	}
	if (c.cfg.WipeRest || c.cfg.FitGPT || c.cfg.TruncateUnused) && file.IsDevice() && !file.Readable() {
		file.Close()
		return nil, failure.New(ErrTargetRefused, "%s is refused: it may be written but not read, so that neither its partition table nor what lies behind the image can be looked at", file.Name())
	}
	return file, nil
}

// baseName is the last element of a served name: an original server sends the path of its file.
func baseName(served string) string {
	return served[strings.LastIndexByte(served, '/')+1:]
}

// leaveOthers leaves the group on every interface but the one that the server answered on.
// Packets of a server on this host may come in on any.
func leaveOthers(m *meeting, cfg *ClientConfig) {
	here := isOwn(m.offer.Server.Addr(), m.interfaces)
	known := false
	for _, each := range m.interfaces {
		if each.Index == m.offer.IfIndex {
			known = true
		}
	}
	if !known && cfg.Interface == "" {
		if each, err := udp.InterfaceByName(udp.InterfaceName(m.offer.IfIndex)); err == nil {
			if err := m.stream.Join(each); err != nil {
				cfg.Log.Warn("cannot join the group where the server answers", "interface", each.Name, "err", err)
			}
		}
	}
	for _, each := range m.interfaces {
		if known && !here && each.Index != m.offer.IfIndex {
			if err := m.stream.Leave(each); err != nil {
				cfg.Log.Debug("leave the group", "interface", each.Name, "err", err)
			}
		}
	}
}

// isOwn reports whether addr is this host's.
func isOwn(addr netip.Addr, interfaces []udp.Interface) bool {
	for _, each := range interfaces {
		if each.Owns(addr) {
			return true
		}
	}
	return addr.IsLoopback()
}

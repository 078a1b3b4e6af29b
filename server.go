package multiserver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"multiserver/internal/blockstore"
	"multiserver/internal/diagnose"
	"multiserver/internal/format"
	"multiserver/internal/host"
	"multiserver/internal/image"
	"multiserver/internal/legacy"
	"multiserver/internal/mxb1"
	"multiserver/internal/packed"
	"multiserver/internal/quote"
	"multiserver/internal/roster"
	"multiserver/internal/routes"
	"multiserver/internal/session"
	"multiserver/internal/signing"
	"multiserver/internal/startgate"
	"multiserver/internal/target"
	"multiserver/internal/udp"
	"multiserver/internal/usedblocks"
)

// Server serves one image. Make it by NewServer.
type Server struct {
	cfg   ServerConfig
	bound chan struct{} // closed by the first Run that has bound the control port

	mu      sync.Mutex // guards serving
	serving serving
}

// serving is what a run consists of; its zero is before the first.
type serving struct {
	started time.Time
	fixed   ServerStats // what does not change
	host    *host.Host
	session *session.Session // nil with MXB 1 only
	legacy  *legacy.Server   // nil without MXB 1
}

// NewServer checks cfg and returns a Server that has opened nothing yet. The error is an
// *Error of kind ErrConfig that names the field.
func NewServer(cfg ServerConfig) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, publicError(err)
	}
	return &Server{cfg: cfg, bound: make(chan struct{})}, nil
}

// Addr waits until Run has bound the control port, or ctx ends. It returns the address that clients
// ask. If ControlHost is not configured, its host is the unspecified address.
func (s *Server) Addr(ctx context.Context) (netip.AddrPort, error) {
	select {
	case <-s.bound:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.serving.fixed.Control, nil
	case <-ctx.Done():
		return netip.AddrPort{}, ctx.Err()
	}
}

// StartNow lets the stream begin without the clients that MinReceivers and MinWait still wait
// for; before the first one has come, it begins with that. It does nothing before Run serves.
// Any goroutine may call it.
func (s *Server) StartNow() {
	s.mu.Lock()
	run := s.serving
	s.mu.Unlock()
	if run.session != nil {
		run.session.StartNow()
	}
}

// Run serves the image until ctx ends, and then returns nil. It returns an *Error if the
// image cannot be read or changes, if the control port cannot be had, or, with
// ExitAfterDone, if a client did not get the image. One Run may follow another.
func (s *Server) Run(ctx context.Context) error {
	return publicError(s.run(ctx))
}

func (s *Server) run(ctx context.Context) error {
	source, used, err := s.openSource()
	if err != nil {
		return err
	}
	defer source.Close()
	if err := mxb1.CheckImageSize(source.Size()); err != nil {
		return fmt.Errorf("serve %s: %w", source, err)
	}
	if len(source.Name()) > mxb1.MaxNameLen {
		return fmt.Errorf("serve %s: the name is longer than %d bytes", source, mxb1.MaxNameLen)
	}
	said, err := signing.Find(source, s.cfg.File, s.cfg.Signature, s.cfg.Log)
	if err != nil {
		return err
	}
	interfaces, err := awaitInterfaces(ctx, "ServerConfig", &udp.Await{
		Name: s.cfg.Interface, Group: s.cfg.Group, Limit: limitOf(s.cfg.InterfaceTimeout),
		Tell: func(waiting string) { s.cfg.Log.Info("waiting for the network: " + waiting) },
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	run, err := s.open(source, said, interfaces)
	if err != nil {
		return err
	}
	about := []any{"bytes", source.Size(), "control", run.fixed.Control.String(), "interfaces", udp.InterfaceNames(interfaces)}
	if m, ok := source.(*packed.Image); ok {
		about = append(about, "packed", m.PackedSize())
	}
	if used != nil {
		about = append(about, "unused", used.UnusedBytes())
	}
	s.cfg.Log.Info(fmt.Sprintf("serving %s to %s", quote.Name(source.Name()), run.fixed.Group), about...)
	if used != nil {
		for _, line := range used.Lines() {
			s.cfg.Log.Info(line)
		}
	}
	s.cautionOf(source)
	if s.cfg.File != "" {
		if where := target.MountedAt(s.cfg.File); where != "" {
			s.cfg.Log.Warn(where + diagnose.WrittenMeanwhile)
		}
	}
	s.mu.Lock()
	first := s.serving.host == nil
	s.serving = run
	s.mu.Unlock()
	if first {
		close(s.bound)
	}
	err = run.host.Run(ctx)
	if errors.Is(err, session.ErrAllDone) {
		return nil
	}
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return nil
	}
	return err
}

// cautionOf warns of an image that is no plain disk.
func (s *Server) cautionOf(source image.Source) {
	of, err := image.FormatOf(source)
	if err != nil {
		return // the session reads it too, and ends
	}
	if text, advice := format.Caution(of, source.Size()); text != "" {
		s.cfg.Log.Warn(source.String()+" "+text, "advice", advice)
	}
}

// openSource opens what to serve. used is the map of what is used of it, or nil if nobody looked.
func (s *Server) openSource() (source image.Source, used *usedblocks.Map, err error) {
	if s.cfg.Source != nil {
		source, err = image.FromReader(s.cfg.Source, uint64(s.cfg.Source.Size()), s.cfg.Name)
		return source, nil, err
	}
	source, err = packed.OpenSource(s.cfg.File)
	if err != nil || s.cfg.SkipUnused == SkipUnusedNever {
		return source, nil, err
	}
	if _, is := source.(*packed.Image); is { // its digests are those of all that it has
		return source, nil, nil
	}
	source, used = usedblocks.Skip(source, s.cfg.File)
	return source, used, nil
}

// open binds the control socket, and makes the session and the service over MXB 1.
func (s *Server) open(source image.Source, said signing.Found, interfaces []udp.Interface) (run serving, err error) {
	only := 0
	if s.cfg.Interface != "" {
		only = interfaces[0].Index
	}
	run.host, err = host.Listen(host.Config{
		Group:          s.cfg.Group,
		Interfaces:     interfaces,
		Interface:      s.cfg.Interface,
		Control:        netip.AddrPortFrom(s.cfg.ControlHost, portToBind(s.cfg.ControlPort)),
		TTL:            s.cfg.TTL,
		RateBitsPerSec: s.cfg.RateBitsPerSec,
		Delay:          s.cfg.Delay,
		Log:            s.cfg.Log,
	})
	if err != nil {
		return run, err
	}
	if s.cfg.MXB1 != MXB1Only {
		run.session, err = run.host.Serve(s.sessionOf(source, said, only))
	}
	if err == nil && s.cfg.MXB1 != MXB1Never {
		run.legacy, err = run.host.ServeLegacy(legacy.ServerConfig{Source: source, Port: s.cfg.Port, Interface: only})
	}
	if err != nil {
		run.host.Close()
		return run, err
	}
	run.started = time.Now()
	run.fixed = ServerStats{
		Name:      source.Name(),
		SizeBytes: source.Size(),
		Group:     netip.AddrPortFrom(s.cfg.Group, s.cfg.Port),
		Control:   run.host.Control(),
	}
	return run, nil
}

// sessionOf configures the session of a source, on one interface only if only is not 0.
func (s *Server) sessionOf(source image.Source, said signing.Found, only int) session.Config {
	return session.Config{
		Source:        source,
		Port:          s.cfg.Port,
		DataGroup:     s.cfg.DataGroup,
		Interface:     only,
		MTU:           s.cfg.MTU,
		Gate:          startgate.Gate{MinReceivers: s.cfg.MinReceivers, MinWait: s.cfg.MinWait, MaxWait: s.cfg.MaxWait},
		ExitAfterDone: s.cfg.ExitAfterDone,
		ClientTimeout: s.cfg.ClientTimeout,
		MaxTime:       s.cfg.MaxTime,
		Unicast:       routes.Mode(s.cfg.Unicast),
		Compress:      blockstore.Compress(s.cfg.Compress),
		CacheFolder:   blockstore.CacheFolder(),
		Signed:        said.Signed,
		SignedDigest:  said.Digest,
		OnReceiver:    s.cfg.emitReceiver,
		OnRate:        s.cfg.emitRate,
	}
}

// Stats returns the state at this moment.
func (s *Server) Stats() ServerStats {
	s.mu.Lock()
	run := s.serving
	s.mu.Unlock()
	if run.host == nil {
		return ServerStats{}
	}
	st, h := run.fixed, run.host.Figures()
	var f session.Figures
	if run.session != nil {
		f = run.session.Figures()
	}
	var old legacy.ServerFigures
	if run.legacy != nil {
		old = run.legacy.Figures()
	}
	st.Elapsed = time.Since(run.started)
	st.PacketsSent, st.ImageBytesSent, st.WireBytesSent, st.SendMethod = h.Sent.Packets, h.Sent.ImageBytes, h.Sent.WireBytes, h.Sent.Method
	st.Requests, st.ImageBytesPending = old.Requests, old.PendingBytes
	st.BadPackets = h.BadPackets + f.BadPackets + old.BadPackets
	st.Waiting, st.RateLimit, st.RateReason = f.Waiting, f.RateLimit, f.RateReason
	networks := f.Networks
	if old.Network != "" && !slices.Contains(networks, old.Network) {
		networks = append(slices.Clone(networks), old.Network)
	}
	st.Interfaces = networks
	st.Receivers = make([]Receiver, len(f.Receivers))
	for i, r := range f.Receivers {
		st.Receivers[i] = receiverOf(r)
	}
	st.Clients = make([]ServedClient, len(old.Requesters))
	for i, r := range old.Requesters {
		st.Clients[i] = ServedClient(r)
	}
	return st
}

func receiverOf(r roster.Row) Receiver {
	silentFor := time.Duration(0)
	if r.Silent {
		silentFor = time.Since(r.LastSeen)
	}
	return Receiver{
		Name: r.Name, Addr: r.Addr, FirstSeen: r.FirstSeen, LastSeen: r.LastSeen, BytesDone: r.BytesDone,
		Received: r.Received, LostOnWire: r.LostOnWire, Dropped: r.Dropped, Limit: r.Limit,
		Outcome: Outcome(r.Outcome), Reason: r.Reason, SilentFor: silentFor, SharesAddress: r.SharesAddress,
	}
}

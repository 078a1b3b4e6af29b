package multiserver

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"multiserver/internal/account"
	"multiserver/internal/discover"
	"multiserver/internal/failure"
	"multiserver/internal/fetch"
	"multiserver/internal/legacy"
	"multiserver/internal/reach"
	"multiserver/internal/target"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

// Client receives one image. Make it by NewClient.
type Client struct {
	cfg       ClientConfig
	selection target.Selection // of cfg.Target
	id        wire.ReceiverID
	account   account.Client

	mu   sync.Mutex // guards plan
	plan Plan       // of a dry run
}

// NewClient checks cfg and returns a Client that has opened nothing yet. The error
// wraps ErrConfig and names the field.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, id: wire.ReceiverID(rand.Uint64())}
	if cfg.Target != "" {
		if cfg.Output != "" {
			return nil, failure.Setting("ClientConfig.Target", "it and ClientConfig.Output %s exclude each other", cfg.Output)
		}
		var err error
		if c.selection, err = target.ParseSelection(cfg.Target); err != nil {
			return nil, failure.Setting("ClientConfig.Target", "%w", err)
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
		BytesDone: f.BytesDone, BytesKept: f.BytesKept, BytesVerified: f.BytesVerified, Verified: f.Verified,
		AskedAgainBytes: f.AskedAgainBytes, PacketsReceived: f.PacketsReceived, Duplicates: f.Duplicates,
		Strangers: f.Strangers, BadPackets: f.BadPackets, SocketDrops: f.SocketDrops, MemoryDrops: f.MemoryDrops,
		WaitingFor: f.WaitingFor,
	}
}

// Run finds a server, receives the image, and returns nil once all of it is on the
// target and synced. Otherwise it returns an error that wraps one of the package's,
// or ctx's.
func (c *Client) Run(ctx context.Context) error {
	c.account.Begin(c.cfg.Output)
	err := c.run(ctx)
	c.account.End(err == nil && !c.cfg.DryRun)
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	return err
}

func (c *Client) run(ctx context.Context) (err error) {
	interfaces, err := candidateInterfaces("ClientConfig.Interface", c.cfg.Interface, c.cfg.Group)
	if err != nil {
		return err
	}
	// A target that cannot be used is said before a server is troubled.
	if err := c.pickTarget(); err != nil {
		return err
	}
	var out target.Target
	if c.cfg.Output != "" {
		if out, err = c.openTarget(c.cfg.Output); err != nil {
			return err
		}
	}
	defer func() {
		if out != nil {
			if e := out.Close(); err == nil {
				err = e
			}
		}
	}()

	conn, err := discover.Listen(c.cfg.Group, c.cfg.FromPort, DefaultTTL, interfaces)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := udp.ListenGroup(udp.ReceiverConfig{
		Group:      netip.AddrPortFrom(c.cfg.Group, c.cfg.Port),
		Interfaces: interfaces,
	})
	if err != nil {
		return err
	}
	defer stream.Close()
	for _, warning := range conn.Warnings() {
		c.cfg.Log.Debug("control socket", "err", warning)
	}
	for _, warning := range stream.Warnings() {
		c.cfg.Log.Warn("the stream may lose packets here", "err", warning)
	}

	search := &discover.Search{
		Question:    discover.Question{Receiver: c.id, Group: c.cfg.Group, OnlyMXB1: c.cfg.OnlyMXB1},
		ControlHost: c.cfg.ControlHost, ControlPort: c.cfg.ControlPort, Interface: c.cfg.Interface, Interfaces: interfaces,
		Limit: limitOf(c.cfg.StartTimeout), Account: &c.account, Log: c.cfg.Log,
	}
	offer, err := search.Find(ctx, conn)
	if err != nil {
		return err
	}
	if out == nil {
		if out, err = c.openTarget(baseName(offer.Name)); err != nil {
			return err
		}
	}
	if offer.Session != nil && c.cfg.Unicast == UnicastNever && !offer.Session.Data.IsValid() {
		return failure.Setting("ClientConfig.Unicast", "%s sends by unicast only", offer.Server)
	}
	if c.cfg.DryRun {
		return c.makePlan(&offer, out)
	}
	leaveOthers(stream, interfaces, &offer, &c.cfg)
	onInterface := udp.InterfaceName(offer.IfIndex)
	c.account.Update(func(f *account.Figures) {
		f.Protocol = offer.Protocol()
		f.Phase, f.Name, f.Output, f.SizeBytes = account.Receiving, offer.Name, out.Name(), offer.SizeBytes
		f.Server, f.Interface, f.WaitingFor = offer.Server, onInterface, ""
	})
	c.cfg.Log.Info(fmt.Sprintf("receiving %s from %s", offer.Name, offer.Server),
		"bytes", offer.SizeBytes, "interface", onInterface, "output", out.Name())
	if err := out.Prepare(offer.SizeBytes, offer.SectorSize()); err != nil {
		return err
	}
	if offer.Session != nil {
		stream.Close()
		return fetch.Run(ctx, fetch.Config{
			Conn: conn, Search: search, Offer: offer, Target: out, Unicast: unicastOf(c.cfg.Unicast),
			SilenceLimit: limitOf(c.cfg.ReceiveTimeout), Update: c.cfg.Update, Fresh: c.cfg.Fresh, Verify: c.cfg.Verify,
			Account: &c.account, Log: c.cfg.Log,
		})
	}
	if c.cfg.Update {
		c.cfg.Log.Warn("an original server sends no digests: all of the image is received", "server", offer.Server)
	}
	joined, _ := udp.InterfaceByName(cmp.Or(c.cfg.Interface, onInterface))
	return legacy.Receive(ctx, legacy.ReceiveConfig{
		Conn: conn, Stream: stream, Search: search, Offer: offer, Interface: joined, Target: out,
		QuietTime: c.cfg.QuietTime, ReceiveLimit: limitOf(c.cfg.ReceiveTimeout), Verify: c.cfg.Verify,
		Account: &c.account, Log: c.cfg.Log,
	})
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

// pickTarget makes the disk that Target means the Output, and says which it is. A
// disk that nobody can tell from others is refused, after the list of them.
func (c *Client) pickTarget() error {
	if c.cfg.Target == "" {
		return nil
	}
	disk, candidates, err := target.PickDisk(c.selection)
	if err != nil {
		for _, d := range candidates {
			// As errors: it is half of what the refusal says.
			c.cfg.Log.Error(d.Name + ": " + d.String())
		}
		return err
	}
	c.cfg.Log.Info("ClientConfig.Target picked " + disk.Path + ": " + disk.String())
	c.cfg.Output = disk.Path
	c.account.Update(func(f *account.Figures) { f.Output = disk.Path })
	return nil
}

func (c *Client) openTarget(path string) (target.Target, error) {
	if c.cfg.Output == "-" {
		return target.NewStream(c.cfg.Stdout, "standard output"), nil
	}
	file, err := target.Open(target.Options{
		Path:     path,
		Served:   c.cfg.Output == "",
		Allocate: c.cfg.Allocate,
		Force:    c.cfg.Force,
	})
	if err != nil {
		return nil, err
	}
	if c.cfg.Verify && !file.Readable() {
		file.Close()
		return nil, failure.New(ErrTargetRefused, "%s is refused: it may be written but not read, so that it could not be verified", file.Name())
	}
	return file, nil
}

// baseName is the last element of a served name: an original server describes its
// file by the path that it was given.
func baseName(served string) string {
	return served[strings.LastIndexByte(served, '/')+1:]
}

// leaveOthers leaves the group on every interface but the one that the server answered
// on. A server on this very host may be heard on any.
func leaveOthers(stream *udp.Receiver, interfaces []udp.Interface, offer *discover.Offer, cfg *ClientConfig) {
	here := isOwn(offer.Server.Addr(), interfaces)
	known := false
	for _, each := range interfaces {
		if each.Index == offer.IfIndex {
			known = true
		}
	}
	if !known && cfg.Interface == "" {
		if each, err := udp.InterfaceByName(udp.InterfaceName(offer.IfIndex)); err == nil {
			if err := stream.Join(each); err != nil {
				cfg.Log.Warn("cannot join the group where the server answers", "interface", each.Name, "err", err)
			}
		}
	}
	for _, each := range interfaces {
		if known && !here && each.Index != offer.IfIndex {
			if err := stream.Leave(each); err != nil {
				cfg.Log.Debug("leave the group", "interface", each.Name, "err", err)
			}
		}
	}
}

// isOwn tells whether addr is this host's.
func isOwn(addr netip.Addr, interfaces []udp.Interface) bool {
	for _, each := range interfaces {
		if each.Owns(addr) {
			return true
		}
	}
	return addr.IsLoopback()
}

func (c *ClientConfig) validate() error {
	for _, limit := range []struct {
		name string
		t    *time.Duration
		zero time.Duration
	}{
		{"QuietTime", &c.QuietTime, DefaultQuietTime},
		{"StartTimeout", &c.StartTimeout, DefaultStartTimeout},
		{"ReceiveTimeout", &c.ReceiveTimeout, DefaultReceiveTimeout},
	} {
		if *limit.t == 0 {
			*limit.t = limit.zero
		}
		if *limit.t < 0 && (*limit.t != NoTimeout || limit.name == "QuietTime") {
			return failure.Setting("ClientConfig."+limit.name, "%v is negative", *limit.t)
		}
	}
	switch {
	case c.Update && c.Fresh:
		return failure.Setting("ClientConfig.Update", "it and ClientConfig.Fresh exclude each other")
	case c.Output == "-" && (c.Update || c.Verify):
		return failure.Setting("ClientConfig.Output", "ClientConfig.Update and ClientConfig.Verify read the target, and what went to standard output cannot be read")
	case c.OnlyMXB1 && c.Update:
		return failure.Setting("ClientConfig.Update", "it needs digests, which MXB 1 has not")
	}
	if c.Stdout == nil {
		c.Stdout = os.Stdout
	}
	setLogDefault(&c.Log)
	if err := setGroupDefaults("ClientConfig", &c.Group, &c.Port, &c.ControlPort); err != nil {
		return err
	}
	if addr, err := netip.ParseAddr(c.ControlHost); err == nil { // a name is looked up later
		if _, err := controlAddr("ClientConfig", addr, c.Group, c.Interface); err != nil {
			return err
		}
	}
	return nil
}

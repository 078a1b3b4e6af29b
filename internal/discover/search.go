package discover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"multiserver/internal/account"
	"multiserver/internal/failure"
	"multiserver/internal/udp"
	"multiserver/internal/wire"
)

const (
	// askInterval is how often the description is asked for.
	askInterval = time.Second
	// askStep is the pause between questions by multicast, by broadcast and to the original's
	// address, so that a server that answers the first is not asked again.
	askStep = 250 * time.Millisecond
	// grace is how long other servers may take to answer after the first: with two images on
	// the network nobody can tell which one is meant. Before it is over nothing is done to a
	// target. Over MXB 2 a server that answers within lateGrace still ends the client.
	grace     = 60 * time.Millisecond
	lateGrace = time.Second
	// drainTime is how long the socket is read after the grace: what waits in it came before.
	drainTime = time.Millisecond
	// tick is how long one wait for an answer lasts at most.
	tick = 50 * time.Millisecond
	// silentAfter is how long no server may answer before the user is told.
	silentAfter = 3 * time.Second
	// answerBytes is the room for an answer; no answer is larger.
	answerBytes = 4096
)

// Range of the client's port, as the original's.
const (
	MinFromPort, MaxFromPort = 32767, 65533
)

const (
	// preferTime is how long the answer of an original server waits for one over MXB 2, and how
	// long a host that was named has to answer from the address that was asked.
	preferTime = time.Second
	// confirmFirst is how long a server that was found has to answer the private offer, before it
	// is sent again. The pause doubles. confirmTries without an answer, it is no server.
	confirmFirst = 100 * time.Millisecond
	confirmTries = 5
)

// originalServer is the address that an original client asks by default.
var originalServer = netip.AddrFrom4([4]byte{192, 168, 1, 1})

// Listen opens the control socket at a port, or at a random one if that is 0.
func Listen(group netip.Addr, port uint16, ttl int, interfaces []udp.Interface) (*udp.Conn, error) {
	cfg := udp.ConnConfig{Interfaces: interfaces, TTL: ttl}
	all := netip.IPv4Unspecified()
	if group.Is6() {
		all = netip.IPv6Unspecified()
	}
	for tries := 0; ; tries++ {
		at := port
		if port == 0 {
			at = MinFromPort + uint16(rand.IntN(MaxFromPort-MinFromPort+1))
		}
		cfg.Addr = netip.AddrPortFrom(all, at)
		conn, err := udp.Listen(cfg)
		var inUse *udp.PortInUseError
		if port == 0 && tries < 100 && errors.As(err, &inUse) {
			continue
		}
		return conn, err
	}
}

// Search says where to look for a server.
type Search struct {
	Question
	ControlHost string // "" if any server will do
	ControlPort uint16
	Interface   string          // the only one to use; "" for any
	Interfaces  []udp.Interface // to ask on, at least one; the latest, if List is set
	// List lists the interfaces anew before each question. If it is nil, Interfaces stay as they
	// are. Join is called for each that is not among Interfaces yet; it may be nil.
	List func() (udp.Candidates, error)
	Join func(udp.Interface)
	// Began is when the search began, if it began before Find.
	Began time.Time
	// Grace is how long other servers may take to answer after the first. Tests alone set it; 0 is
	// the protocol's.
	Grace time.Duration
	// Limit ends the search; 0 is none.
	Limit   time.Duration
	Account *account.Client
	Log     *slog.Logger

	lacking   string          // what the interfaces lack, by the latest listing
	unready   bool            // by that, no interface could be used
	private   wire.ReceiverID // the number of the last private offer, 0 before
	elsewhere netip.AddrPort  // where an answer came from that was not asked; not valid before
}

// Find asks for a description once a second until one comes. Over MXB 2 it then asks that server
// alone, with a number that nobody else hears: only what answers that counts. Unless a host is
// named, other servers may still answer then: the caller calls Settle, or lets a Reader watch for
// them.
func (s *Search) Find(ctx context.Context, conn *udp.Conn) (Offer, error) {
	var host netip.Addr
	if s.ControlHost != "" {
		var err error
		if host, err = s.resolve(ctx); err != nil {
			return Offer{}, err
		}
	}
	next, step := time.Now(), 0
	start := s.Began
	if start.IsZero() {
		start = next
	}
	buf := make([]byte, answerBytes)
	s.private, s.elsewhere = wire.NewReceiverID(), netip.AddrPort{}
	f := finding{search: s, conn: conn, host: host, start: start}
	for {
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return Offer{}, ctx.Err()
		case s.Limit > 0 && now.Sub(start) > s.Limit:
			return Offer{}, failure.New(failure.ErrTimeLimit, "no server answered for %s: %s", s.Limit, s.Hint())
		case !now.Before(next):
			s.list()
			next = now.Add(s.ask(conn, host, step))
			step++
		}
		if s.unready || now.Sub(start) > silentAfter {
			waiting := fmt.Sprintf("no server answered for %s: %s", now.Sub(start).Round(time.Second), s.Hint())
			s.Account.Update(func(f *account.Figures) { f.WaitingFor = waiting })
		}
		wake := now.Add(tick)
		if next.After(now) && next.Before(wake) {
			wake = next
		}
		if o := f.due(now); o != nil {
			return *o, nil
		}
		if at := f.askAt; !at.IsZero() && at.Before(wake) {
			wake = at
		}
		conn.SetReadDeadline(wake)
		o, ok, err := s.read(conn, buf)
		if errors.Is(err, os.ErrDeadlineExceeded) || err == nil && !ok {
			continue
		}
		if err != nil {
			return o, err
		}
		if done, err := f.handle(&o); done != nil || err != nil {
			if err != nil {
				return Offer{}, err
			}
			return *done, nil
		}
	}
}

// Settle waits until other servers have had their time to answer after the first, whose offer
// Find returned. It fails with failure.ErrIntegrity if one of them has another image.
func (s *Search) Settle(ctx context.Context, conn *udp.Conn, first *Offer) error {
	if first.Stands() {
		return nil
	}
	buf := make([]byte, answerBytes)
	conn.SetReadDeadline(first.standsAt)
	for drained := false; ctx.Err() == nil; {
		o, ok, err := s.read(conn, buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && drained:
			first.standsAt = time.Time{}
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			drained = true
			conn.SetReadDeadline(time.Now().Add(drainTime))
		case err != nil:
			return err
		case ok && !first.Same(&o):
			return first.rivals(&o)
		}
	}
	return ctx.Err()
}

// read reads one packet of the control socket, and tells whether it is an offer.
func (s *Search) read(conn *udp.Conn, buf []byte) (o Offer, ok bool, err error) {
	n, from, ifIndex, err := conn.ReadFrom(buf)
	if err != nil {
		return o, false, fmt.Errorf("wait for a server's answer: %w", err)
	}
	o, err = s.parse(buf[:n], s.private)
	if err != nil {
		s.Account.BadAnswer()
		s.Log.Debug("no description that can be used", "server", from, "err", err)
		return o, false, nil
	}
	o.Server, o.IfIndex = from, ifIndex
	return o, true, nil
}

// list lists the interfaces anew, and joins what has come. While none can be used, the last ones
// that could are asked on: the system refuses if it must.
func (s *Search) list() {
	if s.List == nil {
		return
	}
	found, err := s.List()
	if err != nil {
		s.Log.Debug("list the network interfaces", "err", err)
		return
	}
	lacking := strings.Join(found.Waiting, ", ")
	if lacking != s.lacking && lacking != "" {
		s.Log.Info("waiting for the network: " + lacking)
	}
	s.lacking, s.unready = lacking, len(found.Ready) == 0
	if s.unready {
		return
	}
	for _, each := range found.Ready {
		known := func(i udp.Interface) bool { return i.Index == each.Index }
		if s.Join != nil && !slices.ContainsFunc(s.Interfaces, known) {
			s.Join(each)
		}
	}
	s.Interfaces = found.Ready
}

// Seek asks anew for a server that was found and does not answer: on all interfaces as they are
// now, by multicast and by broadcast. It does not wait for answers.
func (s *Search) Seek(conn *udp.Conn) {
	if s.List != nil {
		if found, err := s.List(); err == nil && len(found.Ready) > 0 {
			s.Interfaces = found.Ready
		}
	}
	if len(s.Interfaces) == 0 {
		return
	}
	s.ask(conn, netip.Addr{}, 0)
	if !s.Group.Is6() {
		s.ask(conn, netip.Addr{}, 1)
	}
}

// ask sends the map request of a step of the search. It returns how long to wait before the next
// step.
func (s *Search) ask(conn *udp.Conn, host netip.Addr, step int) time.Duration {
	mtu := s.Interfaces[0].MTU
	for _, each := range s.Interfaces {
		mtu = min(mtu, each.MTU)
	}
	var packet []byte
	if host.IsValid() {
		packet = s.AppendPrivate(nil, mtu, s.private, 0, host)
	} else {
		packet = s.Question.AppendTo(nil, mtu)
	}
	send := func(to netip.Addr, ifIndex int) {
		if err := conn.WriteTo(packet, netip.AddrPortFrom(to, s.ControlPort), ifIndex); err != nil {
			s.Log.Debug("ask for a server", "at", to, "err", err)
		}
	}
	if host.IsValid() {
		send(host, 0)
		return askInterval
	}
	if s.Group.Is6() { // it has no broadcast, and the original no address
		for _, each := range s.Interfaces {
			send(s.Group, each.Index)
		}
		return askInterval
	}
	switch step % 3 {
	case 0:
		for _, each := range s.Interfaces {
			send(s.Group, each.Index)
		}
		return askStep
	case 1:
		for _, each := range s.Interfaces {
			send(udp.LimitedBroadcast, each.Index)
			for _, to := range each.Broadcasts() {
				send(to, each.Index)
			}
		}
		return askStep
	default:
		if !s.Interfaces[0].Loopback {
			send(originalServer, 0)
		}
		return askInterval - 2*askStep
	}
}

// Hint says what to check if no server answers.
func (s *Search) Hint() string {
	if s.elsewhere.IsValid() {
		return fmt.Sprintf("%s was asked, and %s answered: ask that address if it is the server's", s.ControlHost, s.elsewhere)
	}
	switch {
	case s.unready:
		return s.lacking
	case s.lacking != "":
		return s.whereAsked() + " (" + s.lacking + ")"
	}
	return s.whereAsked()
}

func (s *Search) whereAsked() string {
	if s.ControlHost != "" {
		return fmt.Sprintf("is multiserver running on %s, and does its firewall let UDP port %d in?", s.ControlHost, s.ControlPort)
	}
	ways := "multicast and broadcast"
	if s.Group.Is6() {
		ways = fmt.Sprintf("multicast to %s", s.Group)
	}
	return fmt.Sprintf("asked on %s by %s at UDP port %d: is multiserver running in this network, is another interface meant (ClientConfig.Interface), does a firewall stand between? ClientConfig.ControlHost asks one host",
		udp.InterfaceNames(s.Interfaces), ways, s.ControlPort)
}

// resolve returns the address of the control host, the first one of the group's family
// if it has several.
func (s *Search) resolve(ctx context.Context) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s.ControlHost)
	if err != nil {
		network := "ip4"
		if s.Group.Is6() {
			network = "ip6"
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, network, s.ControlHost)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("find the server %s: %w", s.ControlHost, err)
		}
		addr = addrs[0]
	}
	host, err := udp.HostAddr(addr, s.Group, s.Interface)
	if err != nil {
		return host, failure.Setting("ClientConfig.ControlHost", "%w", err)
	}
	return host, nil
}

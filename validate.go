package multiserver

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"multiserver/internal/failure"
	"multiserver/internal/session"
	"multiserver/internal/udp"
)

// validate checks the fields, and completes those that are zero.
func (c *ServerConfig) validate() error {
	switch {
	case c.File == "" && c.Source == nil:
		return failure.Setting("ServerConfig.File", "no image to serve")
	case c.File != "" && c.Source != nil:
		return failure.Setting("ServerConfig.Source", "it and ServerConfig.File %s exclude each other", c.File)
	case c.Source != nil && c.Name == "":
		return failure.Setting("ServerConfig.Name", "a Source needs one")
	case c.Source != nil && c.Source.Size() < 0:
		return failure.Setting("ServerConfig.Source", "a size of %d bytes is negative", c.Source.Size())
	case c.ControlPort < FreePort || c.ControlPort > math.MaxUint16:
		return failure.Setting("ServerConfig.ControlPort", "%d is not within 1 to 65535", c.ControlPort)
	}
	if c.TTL < 0 || c.TTL > math.MaxUint8 {
		return failure.Setting("ServerConfig.TTL", "%d is not within 0 to 255", c.TTL)
	}
	if c.Delay < 0 {
		return failure.Setting("ServerConfig.Delay", "%v is negative", c.Delay)
	}
	if c.MTU != 0 && (c.MTU < session.MinMTU || c.MTU > session.MaxMTU) {
		return failure.Setting("ServerConfig.MTU", "%d is not within %d to %d", c.MTU, session.MinMTU, session.MaxMTU)
	}
	if c.MinReceivers < 0 || c.MinReceivers > MaxReceivers {
		return failure.Setting("ServerConfig.MinReceivers", "%d is not within 0 to %d", c.MinReceivers, MaxReceivers)
	}
	if c.MinWait < 0 {
		return failure.Setting("ServerConfig.MinWait", "%v is negative", c.MinWait)
	}
	if c.MaxWait < 0 {
		return failure.Setting("ServerConfig.MaxWait", "%v is negative", c.MaxWait)
	}
	if c.MaxWait > 0 && c.MinWait > c.MaxWait {
		return failure.Setting("ServerConfig.MinWait", "%v is longer than ServerConfig.MaxWait %v", c.MinWait, c.MaxWait)
	}
	if c.MaxTime < 0 {
		return failure.Setting("ServerConfig.MaxTime", "%v is negative", c.MaxTime)
	}
	if c.MXB1 == MXB1Only && (c.MinReceivers > 0 || c.ExitAfterDone || c.MaxTime > 0) {
		return failure.Setting("ServerConfig.MXB1", "clients of MXB 1 do not tell when they come and when they are done: ServerConfig.MinReceivers, ServerConfig.ExitAfterDone and ServerConfig.MaxTime need MXB 2")
	}
	if c.ClientTimeout < 0 {
		return failure.Setting("ServerConfig.ClientTimeout", "%v is negative", c.ClientTimeout)
	}
	if c.ClientTimeout == 0 {
		c.ClientTimeout = DefaultClientTimeout
	}
	if c.InterfaceTimeout < 0 && c.InterfaceTimeout != NoTimeout {
		return failure.Setting("ServerConfig.InterfaceTimeout", "%v is negative", c.InterfaceTimeout)
	}
	if c.InterfaceTimeout == 0 {
		c.InterfaceTimeout = DefaultInterfaceTimeout
	}
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	setLogDefault(&c.Log)
	if err := setGroupDefaults("ServerConfig", &c.Group, &c.Port); err != nil {
		return err
	}
	if c.ControlPort == 0 {
		c.ControlPort = DefaultControlPort
	}
	if c.DataGroup = c.DataGroup.Unmap(); c.DataGroup.IsValid() {
		if err := validateGroup("ServerConfig.DataGroup", c.DataGroup); err != nil {
			return err
		}
		if c.DataGroup == c.Group || c.DataGroup.Is6() != c.Group.Is6() {
			return failure.Setting("ServerConfig.DataGroup", "%s is not a group of its own, of %s like the group %s", c.DataGroup, udp.Family(c.Group), c.Group)
		}
	}
	if !c.ControlHost.IsValid() {
		if c.ControlHost = netip.IPv4Unspecified(); c.Group.Is6() {
			c.ControlHost = netip.IPv6Unspecified()
		}
	}
	var err error
	c.ControlHost, err = controlAddr("ServerConfig", c.ControlHost, c.Group, c.Interface)
	return err
}

// setGroupDefaults checks and completes the fields that both configurations have.
func setGroupDefaults(config string, group *netip.Addr, port *uint16) error {
	if !group.IsValid() {
		*group = DefaultGroup
	}
	*group = group.Unmap()
	if err := validateGroup(config+".Group", *group); err != nil {
		return err
	}
	if *port == 0 {
		*port = DefaultPort
	}
	return nil
}

// portToBind is a ControlPort as the system takes it: 0 is any free one.
func portToBind(port int) uint16 {
	if port == FreePort {
		return 0
	}
	return uint16(port)
}

func setLogDefault(log **slog.Logger) {
	if *log == nil {
		*log = slog.Default()
	}
}

// validate checks the fields, and completes those that are zero.
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
	if err := c.oneTarget(); err != nil {
		return err
	}
	switch {
	case c.Update && c.Fresh:
		return failure.Setting("ClientConfig.Update", "it and ClientConfig.Fresh exclude each other")
	case c.Stream != nil && (c.Update || c.Verify):
		return failure.Setting("ClientConfig.Stream", "ClientConfig.Update and ClientConfig.Verify read the target, and what went to a stream cannot be read")
	case c.MXB1 == MXB1Only && c.Update:
		return failure.Setting("ClientConfig.Update", "it needs digests, which MXB 1 has not")
	}
	setLogDefault(&c.Log)
	if err := setGroupDefaults("ClientConfig", &c.Group, &c.Port); err != nil {
		return err
	}
	if c.ControlPort == 0 {
		c.ControlPort = DefaultControlPort
	}
	if addr, err := netip.ParseAddr(c.ControlHost); err == nil { // a name is looked up later
		if _, err := controlAddr("ClientConfig", addr, c.Group, c.Interface); err != nil {
			return err
		}
	}
	return nil
}

// oneTarget checks that one of the fields at most says where the image goes.
func (c *ClientConfig) oneTarget() error {
	var set []string
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"Output", c.Output != ""}, {"Disk", c.Disk != ""}, {"Target", c.Target != nil}, {"Stream", c.Stream != nil},
	} {
		if field.set {
			set = append(set, "ClientConfig."+field.name)
		}
	}
	if len(set) > 1 {
		return failure.Setting(set[1], "it and %s exclude each other", set[0])
	}
	return nil
}

// A session speaks IPv4 or IPv6, whichever its group is of.

// validateGroup checks a field of a configuration. A zone is refused: Interface says where to send.
func validateGroup(field string, group netip.Addr) error {
	if !group.IsMulticast() || group.Zone() != "" {
		return failure.Setting(field, "%s is not a multicast group (224.0.0.0 to 239.255.255.255, or IPv6 of ff00::/8)", group)
	}
	return nil
}

// controlAddr is the control host's address as sockets take it: of the group's family,
// and with a zone if it is link-local. config is the configuration's type.
func controlAddr(config string, addr, group netip.Addr, interfaceName string) (netip.Addr, error) {
	host, err := udp.HostAddr(addr, group, interfaceName)
	if err != nil {
		return host, failure.Setting(config+".ControlHost", "%w", err)
	}
	return host, nil
}

// awaitInterfaces returns the interfaces that a waits for. config is the configuration's type.
func awaitInterfaces(ctx context.Context, config string, a *udp.Await) ([]udp.Interface, error) {
	interfaces, err := a.Interfaces(ctx)
	var notReady *udp.NotReadyError
	if errors.As(err, &notReady) {
		err = failure.New(failure.ErrTimeLimit, "%w: set it up, or name another one with %s.Interface", notReady, config)
	}
	return interfaces, err
}

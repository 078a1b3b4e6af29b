package udp

// Reply sends an answer back by the interface where the question came in, from the address that it
// was sent to. A question that was routed may need another way back: then the routing table chooses.
func (c *Conn) Reply(b []byte, to Arrival) error {
	if c.ReplyBy(b, to) == nil {
		return nil
	}
	return c.WriteTo(b, to.From, 0)
}

// ReplyBy is Reply by no other interface.
func (c *Conn) ReplyBy(b []byte, to Arrival) error {
	if err := c.validateDestination(to.From); err != nil {
		return err
	}
	if !to.At.IsValid() || to.IfIndex == 0 || !c.LocalAddr().Addr().IsUnspecified() {
		return c.WriteTo(b, to.From, to.IfIndex)
	}
	return c.writeFrom(b, to.From, to.IfIndex, to.At)
}

// NewReplier returns a Sender to where a datagram came from, by the interface and from the address
// that it came to. best is as with NewSender.
func (c *Conn) NewReplier(to Arrival, best Method) (*Sender, error) {
	s, err := c.NewSender(to.From, to.IfIndex, best)
	if err == nil && to.At.IsValid() && to.IfIndex != 0 && c.LocalAddr().Addr().IsUnspecified() {
		s.sendFrom(to.At)
	}
	return s, err
}

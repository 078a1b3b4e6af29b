package udp

import "net/netip"

// Rejoin leaves the group on i and joins it again at once, for any source, for what this sends: a
// report to the switches, one of which may have forgotten that the group is wanted
// here. It sends none if another socket of the host is a member too. Where the group
// was not joined, it then is. After an error it is not, until Rejoin succeeds.
func (r *Receiver) Rejoin(i Interface) error {
	if err := r.Leave(i); err != nil {
		return err
	}
	r.source = netip.Addr{} // a switch may not know groups of one source
	return r.Join(i)
}

package lab

// Host is a machine of the lab: a network namespace. The files, and all else,
// are shared.
type Host struct {
	*Interface     // eth0
	Number     int // its index in Lab.Hosts

	lab        *Lab
	namespace  *namespace
	interfaces int // how many it has
}

// Do runs f inside the host, to open sockets there, and returns its error.
// Sockets stay in the host wherever they are used afterwards. f runs on a
// goroutine of its own and must not call t.Fatal; goroutines that f starts are
// not inside the host.
func (h *Host) Do(f func() error) error { return h.namespace.do(f) }

package routes

const (
	// unicastShare: while multicast has receivers, unicast gets one byte in so many. More
	// would slow the others down and gain little: unicast has the whole wire once they are
	// done.
	unicastShare = 20
	// maxCredit bounds, in bytes, what unicast may send at once after a rest.
	maxCredit = 256 << 10
)

// Share divides the wire between multicast and unicast. The zero value is ready to use.
type Share struct {
	credit int // bytes of the wire that unicast may use
}

// UnicastFirst reports whether it is unicast's turn.
func (s *Share) UnicastFirst() bool { return s.credit >= 0 }

// SentMulticast counts bytes on the wire of multicast.
func (s *Share) SentMulticast(wireBytes int) {
	s.credit = min(s.credit+wireBytes/(unicastShare-1), maxCredit)
}

// SentUnicast counts bytes on the wire of unicast.
func (s *Share) SentUnicast(wireBytes int) { s.credit = max(s.credit-wireBytes, -wireBytes) }

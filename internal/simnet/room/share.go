package room

const (
	// unicastShare: while multicast has receivers, unicast gets one byte in so many.
	unicastShare = 20
	// maxCredit bounds, in bytes, what unicast may send at once after a rest.
	maxCredit = 256 << 10
)

// share models the transmitter, which lets one queue stand behind another (transmit.Place).
type share struct {
	credit int // bytes of the wire that unicast may use
}

func (s *share) unicastFirst() bool { return s.credit >= 0 }

func (s *share) sentMulticast(wireBytes int) {
	s.credit = min(s.credit+wireBytes/(unicastShare-1), maxCredit)
}

func (s *share) sentUnicast(wireBytes int) { s.credit = max(s.credit-wireBytes, -wireBytes) }

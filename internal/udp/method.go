package udp

// Method is how a Sender hands segments to the kernel.
type Method int32

// The methods from the best down; a Sender that cannot have one takes the next.
const (
	MethodAuto     Method = iota // the best that works
	MethodGSO                    // one call and one super-packet for up to MaxSegments (UDP_SEGMENT)
	MethodSendmmsg               // one call for up to MaxSegments
	MethodWrite                  // one call for each segment
)

func (m Method) String() string {
	return [...]string{"auto", "gso", "sendmmsg", "write"}[m]
}

// ReceiveMethod is how a Receiver takes datagrams from the kernel.
type ReceiveMethod int

// The methods from the best down; a Receiver that cannot have one takes the next.
const (
	ReceiveAuto     ReceiveMethod = iota // the best that works
	ReceiveGRO                           // recvmmsg of datagrams that the kernel joined (UDP_GRO)
	ReceiveRecvmmsg                      // recvmmsg of single datagrams
	ReceiveRead                          // one call for each datagram
)

func (m ReceiveMethod) String() string {
	return [...]string{"auto", "gro", "recvmmsg", "read"}[m]
}

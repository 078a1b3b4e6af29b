package probe

// The steps of a train, by wire.Probe's Step: one small packet, a first run of full ones,
// which is not measured (a switch may let some pass at once), and a burst. A bottleneck
// spreads the burst, and what fits its queue arrives.
const (
	StepSmall = 0
	StepFirst = 1
	StepBurst = 2
	Steps     = 3
)

const (
	// SmallBytes is the payload of the small packet.
	SmallBytes = 256
	// Few is how many full packets a train has if the rate is given, or known, or the
	// stream runs.
	Few = 8

	// firstPackets and burstPackets are of referenceBytes; of larger ones there are fewer.
	firstPackets   = 32
	burstPackets   = 96
	referenceBytes = 1472
)

// Shape is how many packets each step of a train has.
type Shape [Steps]int

// Full is the shape of a train that measures the path, for a session with packets of
// packetSize bytes.
func Full(packetSize int) Shape {
	scale := func(packets int) int {
		return max(Few, min(packets, packets*referenceBytes/max(1, packetSize)))
	}
	return Shape{StepSmall: 1, StepFirst: scale(firstPackets), StepBurst: scale(burstPackets)}
}

// Short is the shape of a train that only shows whether the group and packets of this
// size arrive.
func Short() Shape { return Shape{StepSmall: 1, StepFirst: Few} }

// Packets is the count of all packets of a train.
func (s Shape) Packets() int {
	n := 0
	for _, count := range s {
		n += count
	}
	return n
}

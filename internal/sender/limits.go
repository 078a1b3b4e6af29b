package sender

import "time"

// Constants of the sender's rules.
const (
	// Interleave is how many blocks are sent side by side: a burst of ten losses then
	// costs no block more than one symbol. At 1% in bursts of 10 to 1000 receivers,
	// 16 send 1.025 and one alone 1.090.
	Interleave = 16

	// advDelay is how long repair is gathered before it is advertised. ackDelay is the same
	// for goodbyes, with ackSpread for each receiver: ten thousand, at a thousand a second,
	// then fill their acknowledgements.
	advDelay  = 500 * time.Microsecond
	ackDelay  = 5 * time.Millisecond
	ackSpread = 20 * time.Microsecond

	// heartbeatEvery is the longest pause between heartbeats. When nothing is sent
	// they begin at firstHeartbeat apart, and double.
	heartbeatEvery = 250 * time.Millisecond
	firstHeartbeat = time.Millisecond
	// newsBeats is how many heartbeats announce the manifest's size at once when it becomes
	// known: a receiver cannot use the manifest's symbols without it.
	newsBeats = 3

	// Receivers report so seldom that all of them together send one report for
	// packetsPerReport packets of the stream, but not below minReportInterval.
	packetsPerReport  = 400
	minReportInterval = 250 * time.Millisecond
	maxReportInterval = time.Minute

	// A receiver that is silent for lapseIntervals report intervals and lapseTime is gone,
	// and its requests with it.
	lapseIntervals = 4
	lapseTime      = time.Second
	peersEvery     = 250 * time.Millisecond

	defaultRoundTrip = time.Millisecond
	minRoundTrip     = 100 * time.Microsecond
	maxRoundTrip     = 250 * time.Millisecond

	// A receiver is a straggler if it loses more than stragglerLoss, or has more than stragglerSpent
	// of what is sent sent for itself, and that is stragglerFactor times the median loss.
	stragglerLoss   = 0.05
	stragglerSpent  = 0.015
	stragglerFactor = 5
	// minSpent is the least of the stream, in packets, that the share is taken of.
	minSpent = 1 << 14
	// noStreamLag is how far behind the stream a report may be, in packets, and a quarter of a
	// second. If it is further behind, the group does not reach the receiver, and serving
	// its requests is useless.
	noStreamLag = 1 << 12
	// The stragglers get one packet for stragglerShare others: 2%. It gets them in instalments
	// (10 s at 1 Gbit/s and MTU 1500), so that a job of seconds does not pay for it.
	stragglerShare      = 50
	stragglerInstalment = 16384

	// gainFirst and gainLeast bound how far the NACKs of Interleave blocks move the
	// proactive repair: the first ones are all that is known, later ones correct.
	gainFirst = 1.0
	gainLeast = 0.25

	// fewSymbols may always be pending of a block for one regular receiver, even if they are
	// more than a quarter of the block.
	fewSymbols = 8
	// usualLoss times the median loss is what may be missing of every block.
	usualLoss = 1.5
	// maxPeers bounds the receivers that are kept, some 200 bytes each.
	maxPeers = 1 << 16
	// maxJobs bounds the source symbols that are pending by number, in ranges.
	maxJobs = 4096
	// maxRanges bounds the wanted ranges of all receivers together: 16 MiB.
	maxRanges = 1 << 20
	// repairSpacing: while little is pending, one packet in so many is repair. At 1% in
	// bursts of 10 to 1000 receivers, one in two sends 1.043.
	repairSpacing = 8
	// subblocksSpacing: while the stream has something to send, one packet of sub-blocks goes out
	// for so many of it. Its digests take a driver 0.35 ms to make (BenchmarkSubblockDigests), a
	// third of the time that so many packets take at 1 Gbit/s and MTU 1500.
	subblocksSpacing = 96
	// recentSubblocks is of how many blocks is kept when their sub-blocks were sent: more than go
	// out in a round trip.
	recentSubblocks = 64
	// zeroGap is how many packets go out between the two announcements of a run of zeros, if
	// there are any: 12 ms at 1 Gbit/s.
	zeroGap = 1024
	// maxZeroRepeats bounds the runs of zeros that wait for their second time.
	maxZeroRepeats = 64
)

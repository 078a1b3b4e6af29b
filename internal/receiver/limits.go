package receiver

import "time"

// Constants of the receiver's rules.
const (
	// passedGap is how many packets the stream must have gone on without a symbol of
	// a block before its burst counts as over. A sender that interleaves 16 blocks and
	// mixes repair in sends one of each in 32; four of them must be lost for a burst
	// to be taken for passed too early, which costs a report and nothing else.
	passedGap = 128
	// tightWindow: a sender interleaves 16 blocks, and as many may be on their way to the target.
	tightWindow = 32
	// lookEvery is how many packets lie between two looks at the window.
	lookEvery = 64
	// maxQueued is how many packets wait in a socket at most: its 32 MiB, by the kilobyte that
	// the kernel takes for a packet at least.
	maxQueued = 32 << 10
	// lateSpan is how far behind the highest sequence a duplicate is told from a late packet.
	lateSpan = 64
	// firstReport is after how many packets the first report is due, spread by reportSpread for
	// each receiver: the sender needs a few reports to tell a bad receiver from a bad network.
	firstReport  = 512
	reportSpread = 4 * time.Millisecond
	// sampleMemory is how long a receiver reports in time after the last heartbeat that
	// named it: eight of them may be lost. minSampleInterval bounds what a sender can ask for.
	sampleMemory      = 2 * time.Second
	minSampleInterval = 20 * time.Millisecond
	// lossSpan is the number of packets, about, over which loss is measured.
	lossSpan = 16384

	// sourceShare and fewSymbols: a block that lacks more than a quarter of its symbols, and
	// more than a few, names the missing ones, since rebuilding hundreds is slow.
	sourceShare = 4
	// sourceLoss: where loss takes that much of every block, it is no more than usual.
	sourceLoss = 1.5
	fewSymbols = 8

	// A block is late if its first symbol to arrive is behind the first 1/lateShare of its
	// symbols and lateSymbols: it was under way when the receiver came.
	lateShare   = 32
	lateSymbols = 8
	// keepRoom: while a part of 1/keepRoom of the window is free, blocks that lack much
	// wait for a carousel to come by.
	keepRoom = 8

	// advTime is how long a sender may gather repair before it advertises it, and part of the
	// unit of back-off.
	advTime = 500 * time.Microsecond
	// A sender cannot be further than maxJump packets, and what goes through at maxBitsPerSec,
	// beyond what it was known to have sent. What it sends in inFlight may overtake its answer.
	// After maxBehind heartbeats that say less than was believed, it is asked.
	maxJump       = 1 << 20
	maxBitsPerSec = 10e9
	inFlight      = 100 * time.Millisecond
	maxBehind     = 3
	// defaultRoundTrip holds until a heartbeat brings a measured one. A sender drops samples
	// beyond maxRoundTrip, so that nobody can stretch the back-off of all others (S13).
	defaultRoundTrip = time.Millisecond
	maxRoundTrip     = 250 * time.Millisecond
	// maxReceivers is how many a sender keeps at most (S15).
	maxReceivers = 65536
	// wantSpread is the time for each receiver over which lists of wanted blocks are spread:
	// five a millisecond. The first brings the stream that silences the others.
	wantSpread = 200 * time.Microsecond
	maxSpread  = 5 * time.Second
	// goodbyeSpread keeps goodbyes below 1000 a second, however many there are.
	goodbyeSpread = time.Millisecond

	// quietTime is a silence of the stream that counts as the heartbeat which ends a pass: longer
	// than the longest pause between heartbeats.
	quietTime = 400 * time.Millisecond
	// wantRetry is how soon a list is repeated while nothing comes; it doubles up to the report
	// interval or maxWantRetry.
	wantRetry    = 10 * time.Millisecond
	maxWantRetry = time.Second

	// renewals is how often a list that held too much is replaced, in case one is lost.
	renewals = 2
	// maxUnverifiedRun bounds the runs that NextUnverified looks for.
	maxUnverifiedRun = 1024
	// subblocksGather is how long differing blocks are gathered before their sub-blocks are
	// requested. maxSubblockRequests is how many are waited for at a time: so many fit a packet
	// wherever they are.
	subblocksGather     = time.Millisecond
	maxSubblockRequests = 128
	// subblocksRetry is how soon sub-blocks are requested again, at least: the sender may have to
	// read the block. It doubles up to the report interval. After subblocksTries the whole block
	// is requested; after subblocksTriesComing, if the last packet of sub-blocks of any block
	// came within subblocksComing.
	subblocksRetry       = 20 * time.Millisecond
	subblocksTries       = 6
	subblocksTriesComing = 40
	subblocksComing      = time.Second

	// proofRetry is how soon a proof is requested again, at least. It doubles up to the report
	// interval. If no proof at all came after proofTries, the sender knows none. After stuckTries
	// NACKs without an answer, a block's proof is asked for.
	proofRetry = 20 * time.Millisecond
	proofTries = 8
	stuckTries = 5

	// goodbyeRetry is how soon a goodbye is repeated. It doubles, and after goodbyeTries the
	// receiver leaves without an answer: after 6 s with few receivers.
	goodbyeRetry = 50 * time.Millisecond
	goodbyeTries = 8

	// maxDigestFailures: that many blocks which failed their digest are no accident.
	maxDigestFailures = 16
)

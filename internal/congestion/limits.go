package congestion

import "time"

const (
	// Three quarters of the receivers decide: what fewer of them have is repaired.
	quorum = 0.75

	// tick is how often a driver polls.
	tick = 10 * time.Millisecond

	// startRate is the first rate if no probe showed one, and maxStartRate the highest
	// first rate: in the 150 ms until the first reports are in it sends 1.9 MB, which is
	// what a path that probes judged wrongly may cost. startBits bounds what is sent
	// in the first second beyond what was received, whatever the rate.
	startRate    = 8e6
	maxStartRate = 100e6
	startBits    = 12e6

	// minRate keeps a stream from drying up: a block of 1 MiB then takes 18 s.
	minRate = 500e3

	// cruise is how much of the capacity is used. The rest empties the queue that bursts,
	// control packets and errors of measurement leave.
	cruise = 0.97
	// drainGain is the share of the capacity that is sent while a queue empties. The
	// bottleneck works on meanwhile, so it costs no time; half empties it in twice its
	// length.
	drainGain = 0.5
	// manyDrains in a row that leave the delay as it was say that the path has changed.
	manyDrains = 4

	// queueLimit is the delay from which on a queue stands: half of the 20 ms that may
	// stand, so that there is time to act; and queuePackets at low rates, where a burst
	// makes the delay.
	queueLimit   = 10 * time.Millisecond
	queuePackets = 4
	// growing: at the start a queue that grows is known by what comes through, a share of what is
	// sent, before the smallest delay is.
	growing = 0.85
	// queueAlarm ends a round early: from there on each millisecond counts.
	queueAlarm = 60 * time.Millisecond

	// A round is the time until three quarters have reported on packets that were sent
	// after the last change: minRound and minRoundPackets at least, so that a packet more
	// or less is 4%, and lossPackets more for each unit of loss, since random loss of
	// 30% over 205 packets is known to ±3%. No round lasts longer than maxRound.
	minRound        = 40 * time.Millisecond
	startRound      = 20 * time.Millisecond // until the rate is known: a factor is looked for
	minRoundPackets = 25
	lossPackets     = 350
	maxRound        = time.Second

	// A loss is excess if it is over the proven random loss by lossMargin and
	// lossSigmas standard deviations.
	lossMargin = 0.01
	lossSigmas = 2.5

	// Loss in bursts varies more: by the factor that the last burstReports reports show,
	// maxBursts at most, so that congestion that comes and goes is not taken for bursts.
	burstReports = 16
	maxBursts    = 30

	// Random loss is taken for proven up to onceProven after one proof, and up to
	// wellProven after manyProofs. A proof grows old after proofAge. It compares two rates
	// of which one is proofRatio times the other or more.
	onceProven = 0.15
	wellProven = 0.35
	manyProofs = 3
	proofAge   = 30 * time.Second
	proofRatio = 1.5
	// refinePackets is over how many packets a proven share follows what is lost.
	refinePackets = 4000

	// Growth after a while without congestion: by growthSteps one after the other. A
	// wait after a step that failed is doubled. firstGrowthWait is the first one after the start.
	firstGrowthWait = 150 * time.Millisecond
	minGrowthWait   = time.Second
	maxGrowthWait   = 4 * time.Second
	// Where a report takes slowReports or longer to come back, a step waits slowWait times
	// as long.
	slowReports = 300 * time.Millisecond
	slowWait    = 8
	// ownShare: what is sent at less than this share of the rate is held back by
	// something else (the own interface, the image, receivers that have all), and the
	// rate does not grow.
	ownShare = 0.85

	// growLeast and riseMost: a rate that is not used up may still grow, at the start if
	// that is growLeast times it or more, and later up to riseMost times what is sent. What
	// is sent on a busy machine falls behind any rate by what its wake-ups are late.
	growLeast = 1.2
	riseMost  = 1.5

	// A receiver is late after lateTime, or lateGaps of the pauses that it makes; it
	// stops counting after goneTime, or goneGaps. While more than a quarter are late the
	// rate halves each lateTime. Of 30% of the reports lost, with one each 100 ms, six in a
	// row are lost once in 140 s.
	lateTime = 700 * time.Millisecond
	lateGaps = 5
	goneTime = 3 * time.Second
	goneGaps = 12

	// The budget: over budgetTime no more is sent than budgetFactor times what the median
	// counting receiver reported as received, and budgetBits or a second of the rate
	// that it has proven. It begins budgetAfter the first packet. One that came within that
	// time is held against what was sent since.
	budgetTime   = 2 * time.Second
	budgetFactor = 1.5
	budgetBits   = 16e6
	budgetAfter  = time.Second
	// budgetSpan is over how long a delivered rate is taken at least to be proven.
	budgetSpan = 200 * time.Millisecond

	// Another flow is in the queue if it stands manySqueezes times, each within squeezeSpan
	// of the one before, at rates that the path has carried. The stream then keeps ownPart
	// of what the path carries, so that a quarter is left for the other and some for its
	// swings. It yields if more than sharedLoss is lost, or if the queue takes longer than
	// sharedQueue. It sounds the path each soundEvery at
	// soundRatio times its rate, and after soundAgain if it carried more than before, forgets what it carried after
	// carriedAge, and is alone when the queue was empty for aloneTime.
	manySqueezes = 3
	squeezeSpan  = 4 * time.Second
	ownPart      = 0.72
	sharedLoss   = 0.1
	sharedQueue  = 500 * time.Millisecond
	soundEvery   = 5 * time.Second
	soundAgain   = 500 * time.Millisecond
	soundRatio   = 2.5
	soundTime    = 400 * time.Millisecond
	carriedAge   = 20 * time.Second
	aloneTime    = time.Second

	// idleAfter is how long a stream goes on without a need, progress or a phase.
	idleAfter = 10 * time.Second

	// A target is nearly full at targetFull of its window; its rate of writing is taken over writtenSpan, since it comes in blocks. targetAim is the share of the window that
	// the rate aims at.
	targetFull  = 0.75
	targetAim   = 0.6
	targetFree  = 0.4
	writtenSpan = time.Second
	firstSpan   = 300 * time.Millisecond
	targetRise  = 1.1
	targetPause = 250 * time.Millisecond

	// sampleSize is how many receivers report in time: sampleSlowest of them are those that
	// deliver least, the others are drawn, and one of them is replaced each samplePause.
	sampleSize    = 16
	sampleSlowest = 4
	samplePause   = 2 * time.Second
	// startInterval is how often they report until the rate is known, sampleInterval
	// afterwards.
	startInterval  = 20 * time.Millisecond
	sampleInterval = 100 * time.Millisecond

	// Bursts: burstTime of the rate, burstFloor packets or floorTime of the rate at
	// least (a receiver needs four times the CPU for single packets), maxBurst at most
	// (what UDP_SEGMENT takes at MTU 1500).
	burstTime  = 150 * time.Microsecond
	burstFloor = 16
	floorTime  = 2 * time.Millisecond
	maxBurst   = 44

	// transmissionsKept is how many entries, of a millisecond or more each, are kept of
	// what was sent: 16 s, longer than the deepest queue that the controller leaves.
	transmissionsKept = 1 << 14
	// baseSpan is how long the smallest delay is remembered.
	baseSpan = 30 * time.Second
	// historyKept is how many reports of a receiver are kept for the budget: 2 s of them.
	historyKept = 48
	// maxReceivers bounds what is kept.
	maxReceivers = 1 << 16
)

// growthSteps are the steps that follow one another while nothing is congested.
var growthSteps = [...]float64{1.05, 1.1, 1.2, 1.5, 2}

// Package rate finds the rate of a multicast stream: what three quarters of the receivers
// that are not done can take, where that is less than the server's own link. What is lost
// at random is repaired; only what most receivers cannot take, however it is sent, makes
// the stream slower.
//
// It decides and does nothing: the time is an argument. A driver calls Suppose if probes
// showed a first rate, Report for each report of a receiver, and Judge ten times a second;
// then Limit is what the stream has to keep to, and Reason why.
package rate

import (
	"slices"
	"time"

	"multiserver/internal/wire"
)

const (
	// someLoss is the share of packets lost from which the rate is put to the test,
	// littleLoss that under which it grows again, and heavyLoss that from which the test
	// is what arrives.
	someLoss, littleLoss, heavyLoss = 0.02, 0.01, 0.25
	// trialStep is how much slower the stream is for a test.
	trialStep = 0.85
	// margin keeps the queue of a bottleneck empty.
	margin = 0.99
	// A limit grows by growth each growthPause; one that was only guessed, by
	// guessGrowth as soon as it is known that all is well.
	growth, guessGrowth = 1.03, 1.3
	growthPause         = 500 * time.Millisecond
	// Targets show that they are too slow before anything is lost: memory takes what is
	// too much. So a limit that was set for them grows faster, but waits for them to show.
	growthOfDisk, growthPauseOfDisk = 1.1, time.Second
	// What is sent at bindingShare of the limit or more is held back by it; below
	// idleShare something else sets the pace.
	bindingShare, idleShare = 0.9, 0.5
	// patience is how long after a test that failed there is no other; it doubles.
	minPatience, maxPatience = 5 * time.Second, time.Minute

	// A sample of loss takes so long and so many packets, or maxSampleTime.
	minSampleTime, maxSampleTime = 80 * time.Millisecond, 2 * time.Second
	minSamplePackets             = 500
	// minDiskTime is what a disk's speed is taken over: it comes in blocks.
	minDiskTime = 800 * time.Millisecond
	// settleAfter a change the packets from before it are through.
	settleAfter = 30 * time.Millisecond
	// moreBacklog is by how many more blocks in memory a target shows that a limit which
	// was set for it is too high.
	moreBacklog = 6
	// minRateBitsPerSec keeps the stream from drying up.
	minRateBitsPerSec = 1_000_000
	// maxReceivers bounds the memory: it is what the sender's engine knows at most.
	maxReceivers = 4096
)

// The reasons for a rate.
const (
	ReasonPath = "paths behind the first switch"
	ReasonDisk = "the clients' targets"
	ReasonCPU  = "the clients' machines"
)

// Finder finds the rate. The zero Finder is ready to use.
type Finder struct {
	limit  uint64 // bits a second on the wire; 0: what the link takes
	reason string // of limit
	guess  bool   // limit rests on probes only

	peers    map[wire.ReceiverID]*sample
	changed  time.Duration // when limit was last set
	grown    bool          // by growth
	calm     time.Duration // no test and no growth before
	patience time.Duration

	testing    bool
	testedLoss float64
	random     float64 // share of packets that is lost at any rate, by the last test
	before     uint64  // limit before the test
}

// sample is what one receiver took, between two of its reports.
type sample struct {
	counts   wire.PacketCounts // at the beginning
	since    time.Duration
	received uint64 // packets, at the last report
	silent   bool   // none had come since the one before

	done   uint32 // blocks, at the beginning of what written is taken over
	doneAt time.Duration

	backlog uint32 // blocks, when the limit was last set

	fresh     bool // since the limit was last judged
	loss      float64
	dropped   float64 // share of packets lost at its own socket
	delivered float64 // packets a second
	written   float64 // blocks a second
	disk      bool    // its target is what holds it up
}

// Report takes in what a receiver says of itself.
func (f *Finder) Report(now time.Duration, r wire.Report) {
	if f.peers == nil {
		f.peers = map[wire.ReceiverID]*sample{}
	}
	s := f.peers[r.Receiver]
	if s == nil {
		if len(f.peers) >= maxReceivers {
			return
		}
		s = &sample{since: -1}
		f.peers[r.Receiver] = s
	}
	// What was lost while nothing came at all was lost to no rate.
	silent := r.Counts.Received == s.received
	began := s.silent && !silent
	s.received, s.silent = r.Counts.Received, silent
	if s.since < f.changed+settleAfter || r.Counts.Received < s.counts.Received || began {
		s.counts, s.since = r.Counts, now
		s.done, s.doneAt = r.BlocksDone, now
		s.backlog = r.Backlog
		return
	}
	if d := now - s.doneAt; d >= minDiskTime {
		s.written = float64(r.BlocksDone-s.done) / d.Seconds()
		s.done, s.doneAt = r.BlocksDone, now
	}
	s.disk = r.Limit == wire.LimitDisk || f.reason == ReasonDisk && s.loss < someLoss && r.Backlog >= s.backlog+moreBacklog
	received := r.Counts.Received - s.counts.Received
	dropped := r.Counts.Dropped - s.counts.Dropped
	// What is told as lost may turn out to have been dropped.
	missing := max(r.Counts.Lost+r.Counts.Dropped, s.counts.Lost+s.counts.Dropped) - s.counts.Lost - s.counts.Dropped
	took := now - s.since
	if took < minSampleTime || received+missing < minSamplePackets && took < maxSampleTime {
		return
	}
	if all := float64(received + missing); all > 0 {
		s.loss, s.dropped = float64(missing)/all, float64(dropped)/all
		s.delivered = float64(received) / took.Seconds()
		s.fresh = true
	}
	s.counts, s.since = r.Counts, now
}

// Judge sets the limit once three quarters of the receivers have told what the last
// change brought. bitsPerSec is what is sent now, packetBits one packet and blockBits
// a block on the wire.
func (f *Finder) Judge(now time.Duration, bitsPerSec, packetBits, blockBits float64, unfinished func(wire.ReceiverID) bool) {
	fresh := make([]*sample, 0, len(f.peers))
	for id, s := range f.peers {
		if !unfinished(id) {
			delete(f.peers, id)
		} else if s.fresh {
			fresh = append(fresh, s)
		}
	}
	if len(fresh) == 0 || 4*len(fresh) < 3*len(f.peers) {
		return
	}
	// loss is what three quarters have, or more.
	loss := quantile(fresh, 1, func(s *sample) float64 { return s.loss })
	written := quantile(fresh, 1, func(s *sample) float64 { return s.written })
	delivered := packetBits * quantile(fresh, 2, func(s *sample) float64 { return s.delivered })
	reason := ReasonPath
	if quantile(fresh, 2, func(s *sample) float64 { return s.dropped }) > loss/2 {
		reason = ReasonCPU
	}
	var disks []*sample
	for _, s := range fresh {
		s.fresh = false
		if s.disk && s.written > 0 {
			disks = append(disks, s)
		}
	}
	switch {
	case 4*len(disks) >= 3*len(fresh):
		f.testing = false
		rate := margin * blockBits * quantile(disks, 2, func(s *sample) float64 { return s.written })
		if f.limit == 0 || rate < 0.95*float64(f.limit) {
			f.set(now, rate, ReasonDisk)
		}
	case f.reason == ReasonDisk && blockBits*written > 1.05*float64(f.limit):
		f.set(now, margin*blockBits*written, ReasonDisk) // more than came: that is their speed
	case f.testing:
		f.testing = false
		if loss < f.testedLoss/2 {
			f.reason = reason
			if loss > someLoss {
				f.set(now, margin*delivered, reason)
			}
			return
		}
		f.limit, f.changed = f.before, now
		f.random = f.testedLoss
		f.wait(now)
	case (f.grown || f.guess) && loss > max(f.random*1.5, littleLoss):
		if f.grown {
			f.wait(now)
		}
		f.set(now, margin*delivered, f.reason)
	case loss > max(f.random*1.5, someLoss) && (now >= f.calm || loss > heavyLoss):
		f.testing, f.testedLoss, f.before = true, loss, f.limit
		rate := trialStep * bitsPerSec
		if loss > heavyLoss {
			rate = margin * delivered
		}
		f.set(now, rate, f.reason)
	case f.limit != 0 && loss < max(f.random*1.5, littleLoss) && (f.guess || now >= max(f.calm, f.changed+f.pause())) &&
		(bitsPerSec > bindingShare*float64(f.limit) || bitsPerSec < idleShare*float64(f.limit)):
		f.grow(now, bitsPerSec)
	}
}

// pause is how long a limit stays before it grows.
func (f *Finder) pause() time.Duration {
	if f.reason == ReasonDisk {
		return growthPauseOfDisk
	}
	return growthPause
}

// grow tries a little more, and drops a limit that is none.
func (f *Finder) grow(now time.Duration, bitsPerSec float64) {
	guess, by := f.guess, growth
	switch {
	case guess:
		by = guessGrowth
	case f.reason == ReasonDisk:
		by = growthOfDisk
	}
	if bitsPerSec < idleShare*float64(f.limit) { // something else sets the pace
		f.limit, f.reason, f.guess, f.changed = 0, "", false, now
		return
	}
	f.set(now, by*float64(f.limit), f.reason)
	f.grown, f.guess = !guess, guess
}

func (f *Finder) set(now time.Duration, bitsPerSec float64, reason string) {
	f.limit, f.reason = max(minRateBitsPerSec, uint64(bitsPerSec)), reason
	f.changed, f.grown, f.guess = now, false, false
}

// Suppose begins with the rate that probes arrived at. It grows as soon as reports show
// that nothing is lost.
func (f *Finder) Suppose(now time.Duration, bitsPerSec float64) {
	f.set(now, margin*bitsPerSec, ReasonPath)
	f.guess = true
}

// Limit is the rate in bits a second on the wire; 0 is what the link takes.
func (f *Finder) Limit() uint64 { return f.limit }

// Reason is why there is a Limit: one of the Reasons, or "".
func (f *Finder) Reason() string { return f.reason }

// Binding tells whether the limit is what holds back a stream of bitsPerSec.
func (f *Finder) Binding(bitsPerSec float64) bool {
	return f.limit != 0 && bitsPerSec >= bindingShare*float64(f.limit)
}

// wait puts tests and growth off, longer each time.
func (f *Finder) wait(now time.Duration) {
	f.patience = min(max(2*f.patience, minPatience), maxPatience)
	f.calm = now + f.patience
}

// quantile is the value that so many quarters of the samples fall below, and all
// others reach.
func quantile(samples []*sample, quarters int, value func(*sample) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = value(s)
	}
	slices.Sort(values)
	return values[len(values)*quarters/4]
}

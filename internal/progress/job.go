package progress

import (
	"fmt"
	"time"

	"multiserver/internal/quote"
)

// JobStats are the state of a command that works through an image on this machine.
type JobStats struct {
	Phase       string // what it does now: "packing", "verifying"
	Name        string // of the image
	SizeBytes   uint64 // of the image
	BytesDone   uint64 // of the image, in this phase
	PackedBytes uint64 // of the packed image so far; 0 if it is not being written
	// Ended says what there is once it has ended well: "a.img is packed into b".
	Ended string
}

// JobRecord is the state of multiserver pack, unpack and info at one moment.
type JobRecord struct {
	RecordHead
	Phase          string  `json:"phase"`                  // "packing", "unpacking", "verifying"
	Name           string  `json:"name"`                   // of the image
	SizeBytes      uint64  `json:"size_bytes"`             // of the image
	BytesDone      uint64  `json:"bytes_done"`             // of the image, in this phase
	PackedBytes    uint64  `json:"packed_bytes,omitempty"` // written to the packed image
	BytesPerSecond uint64  `json:"bytes_per_second"`       // over the last seconds
	ElapsedSeconds float64 `json:"elapsed_seconds"`        // since the start
}

// FollowJob begins to print what stats returns, until End.
func (r *Reporter) FollowJob(stats func() JobStats) {
	r.follow(&jobSubject{read: stats, started: r.now(), clock: r.now})
}

type jobSubject struct {
	read    func() JobStats
	clock   func() time.Time
	started time.Time
	rate    average
	now     JobStats
	speed   float64 // bytes of the image a second
	elapsed time.Duration
}

func (s *jobSubject) sample() (news []string) {
	before := s.now
	s.now, s.elapsed = s.read(), s.clock().Sub(s.started)
	if s.now.Phase != before.Phase {
		s.rate = average{}
	}
	s.speed = s.rate.add(s.elapsed, s.now.BytesDone)
	return nil
}

func (s *jobSubject) fields() []string {
	fields := []string{
		s.now.Phase, rateText(s.speed), etaText(s.now.SizeBytes-min(s.now.BytesDone, s.now.SizeBytes), s.speed),
		fmt.Sprintf("%s of %s", sizeText(s.now.BytesDone), sizeText(s.now.SizeBytes)),
	}
	if s.now.PackedBytes > 0 {
		fields = append(fields, sizeText(s.now.PackedBytes)+" packed")
	}
	return fields
}

func (s *jobSubject) line() string {
	text := shareText(s.now.BytesDone, s.now.SizeBytes)
	for _, f := range s.fields() {
		text += ", " + f
	}
	return text
}

func (s *jobSubject) bar() barText {
	return barText{done: s.now.BytesDone, total: s.now.SizeBytes, share: shareText(s.now.BytesDone, s.now.SizeBytes), fields: s.fields()}
}

func (s *jobSubject) table() []string { return nil }

func (s *jobSubject) summary() []string {
	text := quote.Line(s.now.Ended) + ": " + exactSizeText(s.now.SizeBytes)
	if s.now.PackedBytes > 0 {
		text += fmt.Sprintf(" in %d bytes, %.2f : 1", s.now.PackedBytes, float64(s.now.SizeBytes)/float64(s.now.PackedBytes))
	}
	return []string{text + fmt.Sprintf(", %s, %s", secondsText(s.elapsed), rateText(meanRate(s.now.SizeBytes, s.elapsed)))}
}

func (s *jobSubject) record(h RecordHead) any {
	return JobRecord{
		RecordHead: h, Phase: s.now.Phase, Name: s.now.Name, SizeBytes: s.now.SizeBytes, BytesDone: s.now.BytesDone,
		PackedBytes: s.now.PackedBytes, BytesPerSecond: uint64(s.speed), ElapsedSeconds: s.elapsed.Seconds(),
	}
}

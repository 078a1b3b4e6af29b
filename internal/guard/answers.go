package guard

import (
	"net/netip"
	"time"
)

const (
	// answerPause is the pause between two answers to one address, and between two broadcasts, if
	// they are larger than their question.
	answerPause = time.Second
	// answersAtOnce is how many of an address's answers may come at once: a client that searches asks by
	// multicast and by broadcast, and once more at the end of a short transfer.
	answersAtOnce = 3
	// maxAsked bounds the addresses that are kept, some 80 bytes each. Those for which that is made up for
	// make room; if there are none, nobody else is answered.
	maxAsked = 4096
	// farAnswers is how many of such answers a second all addresses together get that are on no
	// network of the server's own, and how many at once.
	farAnswers = 16
)

// Answers decides which questions a server answers: what it sends is never more than what it was
// sent, but for hosts on its own networks, once a second. The zero value has answered nobody.
type Answers struct {
	asked     map[netip.Addr]time.Duration // when all that each was answered more than it sent is made up for
	far       Bucket
	broadcast time.Duration // when the next one may go out
}

// May reports whether a question of so many bytes from an address may have an answer of so many.
// local says that the address is on a network of the server's.
func (a *Answers) May(now time.Duration, from netip.Addr, local bool, question, answer int) bool {
	if answer <= question {
		return true
	}
	madeUp := max(now, a.asked[from])
	if madeUp-now > (answersAtOnce-1)*answerPause {
		return false
	}
	if a.asked == nil {
		a.asked, a.far = map[netip.Addr]time.Duration{}, NewBucket(farAnswers, farAnswers)
	}
	if len(a.asked) >= maxAsked {
		for each, at := range a.asked {
			if now >= at {
				delete(a.asked, each)
			}
		}
	}
	if len(a.asked) >= maxAsked || !local && !a.far.Take(now) {
		return false
	}
	a.asked[from] = madeUp + answerPause
	return true
}

// MayBroadcast reports whether an answer may go to everybody on the network of an address.
func (a *Answers) MayBroadcast(now time.Duration, local bool) bool {
	if !local || now < a.broadcast {
		return false
	}
	a.broadcast = now + answerPause
	return true
}

// Bucket lets something happen so often in the long run, and so often at once.
type Bucket struct {
	perSecond, most float64
	left            float64
	at              time.Duration
}

// NewBucket returns a full Bucket.
func NewBucket(perSecond, most float64) Bucket {
	return Bucket{perSecond: perSecond, most: most, left: most}
}

// Take reports whether it may happen now, and counts it.
func (b *Bucket) Take(now time.Duration) bool {
	b.left = min(b.most, b.left+b.perSecond*(now-b.at).Seconds())
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

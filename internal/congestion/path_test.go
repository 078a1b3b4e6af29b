package congestion

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// TestPaths: on paths that nobody tuned the stream sends about what they carry.
func TestPaths(t *testing.T) {
	only := os.Getenv("ONLY")
	for _, queue := range []time.Duration{2 * time.Millisecond, 50 * time.Millisecond, time.Second, 10 * time.Second} {
		for _, mbit := range []float64{5, 50, 1000} {
			for _, own := range []float64{0, 1e9} {
				for _, receivers := range []int{1, 4} {
					for _, loss := range []float64{0, 0.01, 0.05, 0.15, 0.30} {
						name := fmt.Sprintf("%v,%gM,own%g,%d,%g", queue, mbit, own/1e9, receivers, loss)
						if only != "" && only != name {
							continue
						}
						m := model{own: own, rate: constant(mbit * 1e6), queue: queue, packets: 8, receivers: receivers, loss: loss, trace: only != ""}
						if mbit == 1000 && receivers > 1 {
							continue
						}
						length := 10 * time.Second
						if mbit == 1000 {
							length = 4 * time.Second
						}
						m.run(t, time.Second)
						sent := m.bits
						first := sent / (mbit * 1e6)
						m.run(t, length)
						got := float64(m.all[0].received) * packetBits / (mbit * 1e6 * (1 - loss)) / m.now.Seconds()
						share := m.share(sent, time.Second, mbit*1e6)
						over := m.bits * (1 - loss) / (float64(m.all[0].received) * packetBits)
						mark := ""
						if share < 0.92 || over > 1.06 || first > 1.6 {
							mark = " <<<"
						}
						t.Logf("%-28s first s %.2f, share %.3f, got %.3f, sent/got %.3f, wait %v%s", name, first, share, got, over, m.all[0].path.MedianWait(), mark)
					}
				}
			}
		}
	}
}

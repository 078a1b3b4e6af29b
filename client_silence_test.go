package multiserver

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/receiver"
	"multiserver/internal/wire"
)

// TestSilence: each cause of a stream that stays away has a sentence of its own.
func TestSilence(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, test := range []struct {
		name   string
		change func(*symbolClient)
		want   []string // parts of the sentence; none: nothing is said
	}{
		{"all is well", func(s *symbolClient) {}, nil},
		{"the server is gone", func(s *symbolClient) {
			s.heard, s.streamed, s.answered = ago(8*time.Second), ago(8*time.Second), ago(9*time.Second)
		}, []string{"nothing from 10.0.0.1:7500 for 8s", "does not answer either"}},
		{"the group is lost", func(s *symbolClient) { s.heard, s.streamed = ago(8*time.Second), ago(8*time.Second) },
			[]string{"the server answers", "the group 239.1.2.3 is lost"}},
		{"the group was never heard", func(s *symbolClient) {
			s.heard, s.streamed, s.counts.PacketsReceived = ago(8*time.Second), ago(8*time.Second), 0
		}, []string{"the server answers", "239.1.2.3:16000 does not arrive", "firewall", "IGMP"}},
		{"unicast does not arrive", func(s *symbolClient) {
			s.heard, s.streamed, s.byUnicast = ago(8*time.Second), ago(8*time.Second), true
		}, []string{"the server answers", "unicast does not arrive"}},
		{"all is dropped at the socket", func(s *symbolClient) {
			s.heard, s.streamed, s.droppedAt = ago(8*time.Second), ago(8*time.Second), ago(time.Second)
		}, []string{"dropped for lack of room in the receive buffer"}},
		{"the server's disk stalls", func(s *symbolClient) { s.streamed, s.state = ago(8*time.Second), wire.SenderStalled },
			[]string{"no block for 8s", "10.0.0.1:7500 reads its image", "disk"}},
		{"the server waits for others", func(s *symbolClient) { s.streamed, s.state = ago(8*time.Second), wire.SenderWaiting },
			[]string{"waits for more clients"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &symbolClient{
				Client: &Client{}, heard: now, streamed: now, answered: now,
				found:   found{server: netip.MustParseAddrPort("10.0.0.1:7500")},
				session: wire.Description{Data: netip.MustParseAddrPort("239.1.2.3:16000")},
				engine: receiver.New(0, receiver.Config{
					Image:  block.Geometry{ImageSize: 1 << 20, BlockSize: 1 << 20},
					Window: 4, SymbolSize: 1444, Rand: rand.New(rand.NewPCG(1, 2)),
				}, receiver.Session{}),
			}
			s.counts.PacketsReceived = 1
			test.change(s)
			got := s.silence()
			if (got == "") != (test.want == nil) {
				t.Errorf("says %q", got)
			}
			for _, part := range test.want {
				if !strings.Contains(got, part) {
					t.Errorf("%q does not say %q", got, part)
				}
			}
		})
	}
}

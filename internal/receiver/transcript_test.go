package receiver

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestTranscripts runs the scripts in testdata. Times are microseconds; each packet
// of the stream has the next sequence number. Commands:
//
//	new blocks=N window=N [receivers=N] [silence=T] [inorder] [subblocks]
//	symbols block=B k=K ids=(first,last) [lost=(id,…)] [manifest]
//	skip n=N             packets of the stream that are lost
//	zeros first=B count=N
//	heartbeat [ended] [pass=N] [carousel=B] [sequence=Q] [manifest[=size]] [state=N]
//	repairadv pending=(block,symbols,…)
//	verified slot=N, written slot=N, failed slot=N, needsmore slot=N
//	bad n=N              N blocks that come complete and fail
//	confirmrange first=B count=N the target has them already
//	unverified first=B count=N, confirm block=B [present]
//	next from=B          what is to be checked
//	subblocks block=B k=K   a packet of them
//	seedslot block=B k=K have=(first,count,…), requestwhole block=B
//	prefix blocks=N     the target in order has the first N blocks
//	restart, switch, leave [outcome=N], ack [id=R]
//	state                what is done, and whether and why it gave up
//	poll at=T            what is due by then, and when the next is
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s script
		datadriven.RunTest(t, path, s.run)
	})
}

type script struct {
	e         *Engine
	now       time.Duration
	q         wire.Sequence
	receivers uint32
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	arg := func(key string) int {
		n := 0
		d.MaybeScanArgs(t, key, &n)
		return n
	}
	list := func(key string) (l []int) {
		for _, a := range d.CmdArgs {
			if a.Key == key {
				for _, v := range a.Vals {
					var n int
					fmt.Sscan(v, &n)
					l = append(l, n)
				}
			}
		}
		return l
	}
	if d.HasArg("at") {
		s.now = time.Duration(arg("at")) * time.Microsecond
	}
	switch d.Cmd {
	case "new":
		s.now, s.q = 0, 0
		s.receivers = uint32(arg("receivers"))
		if s.receivers == 0 {
			s.receivers = 2
		}
		s.e = New(0, Config{
			Receiver: 7, Window: arg("window"), InOrder: d.HasArg("inorder"), Subblocks: d.HasArg("subblocks"), SymbolSize: 1444, SilenceLimit: time.Duration(arg("silence")) * time.Microsecond, Rand: rand.New(rand.NewPCG(1, 2)),
			Image: block.Geometry{ImageSize: uint64(arg("blocks")) << 20, BlockSize: 1 << 20},
		}, s.session(1))
	case "symbols":
		object := wire.Image
		if d.HasArg("manifest") {
			object = wire.Manifest
		}
		return s.symbols(object, arg("block"), arg("k"), list("ids"), list("lost"))
	case "bad":
		for range arg("n") {
			s.q++
			p := s.e.HandleSymbol(s.now, &wire.Symbol{Sequence: s.q, K: 1})
			if !p.Complete {
				d.Fatalf(t, "block 0 did not come: %+v", p)
			}
			s.e.BlockFailed(s.now, p.Slot)
		}
	case "skip":
		s.q += wire.Sequence(arg("n"))
	case "zeros":
		s.q++
		z := wire.ZeroRun{Sequence: s.q, First: block.ID(arg("first")), Count: uint32(arg("count"))}
		return fmt.Sprintln(s.e.HandleZeroRun(s.now, &z, nil))
	case "heartbeat":
		h := wire.Heartbeat{
			Sequence: s.q, State: wire.SenderState(arg("state")), PassEnded: d.HasArg("ended"), Pass: uint32(max(arg("pass"), 1)), CarouselBlock: block.ID(arg("carousel")),
			Receivers: s.receivers, ReportInterval: time.Second, RoundTrip: 200 * time.Microsecond, Clock: 5,
		}
		if d.HasArg("sequence") {
			h.Sequence = wire.Sequence(arg("sequence"))
		}
		if d.HasArg("manifest") {
			h.Completion.ManifestSize = 64
			for _, size := range list("manifest") {
				h.Completion.ManifestSize = uint64(size)
			}
		}
		if !d.HasArg("unasked") { // the driver asks the sender, which says the same by unicast
			s.e.Learn(s.now, h.Completion)
			s.e.End(s.now, h.State)
		}
		s.e.HandleHeartbeat(s.now, h)
	case "repairadv":
		o := wire.RepairAdv{Sequence: s.q}
		for n := list("pending"); len(n) > 1; n = n[2:] {
			o.Pending = o.Pending.Append(wire.SymbolCount{Block: block.ID(n[0]), Symbols: uint16(n[1])})
		}
		s.e.HandleRepairAdv(s.now, o)
	case "verified":
		s.e.BlockVerified(arg("slot"))
	case "written":
		s.e.BlockWritten(s.now, arg("slot"))
	case "failed":
		s.e.BlockFailed(s.now, arg("slot"))
	case "needsmore":
		s.e.BlockNeedsMore(s.now, arg("slot"), 1)
	case "confirmrange":
		s.e.ConfirmRange(block.Range{Lo: uint64(arg("first")), Hi: uint64(arg("first") + arg("count"))})
	case "unverified":
		s.e.MarkUnverified(s.now, block.Range{Lo: uint64(arg("first")), Hi: uint64(arg("first") + arg("count"))})
		return fmt.Sprintln(s.e.Unverified(), "unverified")
	case "confirm":
		s.e.Confirm(s.now, block.ID(arg("block")), d.HasArg("present"))
	case "next":
		r, ok := s.e.NextUnverified(uint32(arg("from")))
		return fmt.Sprintln(r, ok)
	case "subblocks":
		return fmt.Sprintln("wanted:", s.e.HandleSubblockDigests(s.now, wire.SubblockDigests{Block: block.ID(arg("block")), K: uint16(arg("k"))}))
	case "seedslot":
		return s.seedSlot(arg("block"), arg("k"), list("have"))
	case "requestwhole":
		s.e.RequestWhole(s.now, block.ID(arg("block")))
	case "state":
		o, reason, gaveUp := s.e.GaveUp()
		out := fmt.Sprintf("%d done, %d missing, complete %v", s.e.BlocksDone(), s.e.Missing(), s.e.Complete())
		if gaveUp {
			out += fmt.Sprintf(", gave up with outcome %d: %s", o, reason)
		}
		return out + "\n"
	case "restart":
		s.q = 0
		s.e.Restart(s.now, s.session(2))
	case "switch":
		s.q = wire.UnicastSequence
		s.e.SwitchStream(s.now)
	case "prefix":
		s.e.PrefixWritten(s.now, uint32(arg("blocks")))
	case "leave":
		outcome := wire.OutcomeDone
		if d.HasArg("outcome") {
			outcome = wire.Outcome(arg("outcome"))
		}
		s.e.Leave(s.now, outcome, "")
	case "ack":
		id := wire.ReceiverID(7)
		if d.HasArg("id") {
			id = wire.ReceiverID(arg("id"))
		}
		s.e.HandleGoodbyeAck(s.now, wire.GoodbyeAck{Receivers: wire.List[wire.ReceiverID]{}.Append(id)})
		return fmt.Sprintln("gone:", s.e.Gone())
	case "poll":
		return s.poll()
	default:
		d.Fatalf(t, "unknown command")
	}
	return ""
}

func (s *script) session(id wire.SessionID) Session {
	return Session{ID: id, ReportInterval: time.Second, Receivers: s.receivers}
}

// seedSlot has source symbols in ranges, and prints which ones were news.
func (s *script) seedSlot(b, k int, ranges []int) string {
	have := make([]uint64, (k+63)/64)
	for ; len(ranges) > 1; ranges = ranges[2:] {
		for i := ranges[0]; i < ranges[0]+ranges[1]; i++ {
			have[i/64] |= 1 << (i % 64)
		}
	}
	t := s.e.SeedSlot(s.now, block.ID(b), uint16(k), false, have)
	var out strings.Builder
	printPlacement(&out, t)
	if t.Verdict == Keep {
		fmt.Fprint(&out, ":")
		for i := range k {
			if have[i/64]&(1<<(i%64)) != 0 {
				fmt.Fprintf(&out, " %d", i)
			}
		}
	}
	return out.String() + "\n"
}

func printPlacement(out *strings.Builder, t Placement) {
	fmt.Fprint(out, [...]string{"keep", "duplicate", "no room", "invalid"}[t.Verdict])
	if t.Verdict == Keep {
		fmt.Fprintf(out, " in slot %d", t.Slot)
	}
	if t.First {
		fmt.Fprint(out, ", the first")
	}
	if t.Complete {
		fmt.Fprint(out, ", complete")
	}
}

// symbols hands over symbols of a block and prints where the verdict changes.
func (s *script) symbols(o wire.Object, b, k int, ids, lost []int) string {
	var out strings.Builder
	before := ""
	for id := ids[0]; id <= ids[1]; id++ {
		s.q++
		if contains(lost, id) {
			continue
		}
		v := s.e.HandleSymbol(s.now, &wire.Symbol{Sequence: s.q, Object: o, Block: block.ID(b), Symbol: block.SymbolID(id), K: uint16(k)})
		var text strings.Builder
		printPlacement(&text, v)
		if text.String() != before {
			before = text.String()
			fmt.Fprintf(&out, "%d: %s\n", id, before)
		}
	}
	return out.String()
}

func contains(l []int, n int) bool {
	for _, v := range l {
		if v == n {
			return true
		}
	}
	return false
}

// poll lets time pass up to now, and prints what is said at which time.
func (s *script) poll() string {
	var out strings.Builder
	for calls := 0; s.e.Deadline() <= s.now; calls++ {
		if calls == 10_000 {
			return out.String() + fmt.Sprintf("no end to what is due at %v\n", s.e.Deadline())
		}
		at := max(s.e.Deadline(), 0)
		b, ok := s.e.Poll(at, nil)
		if !ok {
			continue
		}
		fmt.Fprintf(&out, "%d: ", at.Microseconds())
		if r, err := wire.ParseReport(b); err == nil {
			fmt.Fprintf(&out, "report %d, seen %d, room %d", r.Number, r.Highest, r.Room)
			for n := range r.NACKs.All() {
				fmt.Fprintf(&out, ", block %d lacks %d", n.Block, n.Symbols)
			}
			if r.Limit == wire.LimitDisk {
				fmt.Fprint(&out, ", the disk is slow")
			}
			if r.Phase == wire.PhaseChecking {
				fmt.Fprint(&out, ", checking")
			}
		} else if w, err := wire.ParseWanted(b); err == nil {
			fmt.Fprintf(&out, "wanted, list %d, page %d of %d:", w.Generation, w.Page+1, w.Pages)
			for r := range w.Ranges.All() {
				fmt.Fprintf(&out, " %s%d+%d", [...]string{"", "manifest "}[r.Object], r.First, r.Count)
			}
		} else if w, err := wire.ParseWantedSymbols(b); err == nil {
			fmt.Fprint(&out, "wanted symbols:")
			for r := range w.Ranges.All() {
				fmt.Fprintf(&out, " block %d: %d+%d", r.Block, r.First, r.Count)
			}
		} else if w, err := wire.ParseWantedSubblocks(b); err == nil {
			fmt.Fprint(&out, "wanted sub-blocks:")
			for r := range w.Blocks.All() {
				fmt.Fprintf(&out, " %d+%d", r.First, r.Count)
			}
		} else if g, err := wire.ParseGoodbye(b); err == nil {
			fmt.Fprintf(&out, "goodbye, outcome %d", g.Outcome)
		}
		fmt.Fprintln(&out)
	}
	return out.String()
}

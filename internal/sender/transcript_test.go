package sender

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"multiserver/internal/block"
	"multiserver/internal/wire"
)

// TestTranscripts runs the scripts in testdata. Times are microseconds. Commands:
//
//	new blocks=N [k=K] [zeros=(i,…)]
//	join ids=(…)
//	wanted id=R seen=Q [generation=G] [manifest] blocks=(first,count,…)
//	report id=R seen=Q [number=N] [received=N lost=N] [disk] [manifest] [nacks=(block,symbols,…)]
//	symbols id=R seen=Q ranges=(block,first,count,…)
//	subblocks id=R seen=Q blocks=(first,count,…)
//	goodbye id=R
//	ready block=B k=K [manifest], zero block=B, gate closed|open, end state=N, completion
//	upcoming         the blocks to be read next
//	next [n=N]       what is sent, the symbols of a block in one line
//	poll at=T        control packets
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s script
		datadriven.RunTest(t, path, s.run)
	})
}

type script struct {
	e       *Engine
	now     time.Duration
	numbers map[int]uint32
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	arg := func(key string) int {
		n := 0
		d.MaybeScanArgs(t, key, &n)
		return n
	}
	list := func(key string) []int {
		var l []int
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
	seen := wire.Sequence(arg("seen"))
	id := wire.ReceiverID(arg("id"))
	object := wire.Image
	if d.HasArg("manifest") {
		object = wire.Manifest
	}
	switch d.Cmd {
	case "new":
		blocks := uint64(arg("blocks"))
		s.e = New(0, Config{Session: 1, Image: block.Geometry{ImageSize: blocks << 20, BlockSize: 1 << 20}})
		s.numbers = map[int]uint32{}
		for _, z := range list("zeros") {
			s.e.Zero(block.ID(z))
		}
		for i := range blocks { // a zero block stays one
			s.e.Ready(Ref{Block: block.ID(i)}, uint16(arg("k")))
		}
	case "join":
		for _, id := range list("ids") {
			s.e.Join(s.now, wire.ReceiverID(id))
		}
	case "wanted":
		s.numbers[-int(id)]++
		if d.HasArg("generation") {
			s.numbers[-int(id)] = uint32(arg("generation"))
		}
		w := wire.Wanted{Receiver: id, Highest: seen, Generation: s.numbers[-int(id)], Pages: 1}
		for b := list("blocks"); len(b) > 1; b = b[2:] {
			w.Ranges = w.Ranges.Append(wire.Range{Object: object, First: block.ID(b[0]), Count: uint32(b[1])})
		}
		s.e.HandleWanted(s.now, w)
	case "report":
		s.numbers[int(id)]++
		if d.HasArg("number") {
			s.numbers[int(id)] = uint32(arg("number"))
		}
		r := wire.Report{Receiver: id, Highest: seen, Number: s.numbers[int(id)]}
		r.Counts.Received, r.Counts.Lost = uint64(arg("received")), uint64(arg("lost"))
		if d.HasArg("disk") {
			r.Limit = wire.LimitDisk
		}
		for n := list("nacks"); len(n) > 1; n = n[2:] {
			r.NACKs = r.NACKs.Append(wire.SymbolCount{Object: object, Block: block.ID(n[0]), Symbols: uint16(n[1])})
		}
		s.e.HandleReport(s.now, r)
	case "symbols":
		w := wire.WantedSymbols{Receiver: id, Highest: seen}
		for n := list("ranges"); len(n) > 2; n = n[3:] {
			w.Ranges = w.Ranges.Append(wire.SymbolRange{Block: block.ID(n[0]), First: uint16(n[1]), Count: uint16(n[2])})
		}
		s.e.HandleWantedSymbols(s.now, w)
	case "subblocks":
		w := wire.WantedSubblocks{Receiver: id, Highest: seen}
		for b := list("blocks"); len(b) > 1; b = b[2:] {
			w.Blocks = w.Blocks.Append(wire.Range{First: block.ID(b[0]), Count: uint32(b[1])})
		}
		s.e.HandleWantedSubblocks(s.now, w)
	case "goodbye":
		s.e.HandleGoodbye(s.now, wire.Goodbye{Receiver: id})
	case "ready":
		s.e.Ready(Ref{object, block.ID(arg("block"))}, uint16(arg("k")))
	case "zero":
		s.e.Zero(block.ID(arg("block")))
	case "gate":
		s.e.SetGateClosed(s.now, d.HasArg("closed"))
	case "end":
		s.e.End(s.now, wire.SenderState(arg("state")))
	case "completion":
		s.e.SetCompletion(s.now, wire.Completion{ManifestSize: 100})
	case "upcoming":
		return fmt.Sprintln(s.e.Upcoming(nil, 4))
	case "next":
		return s.next(max(arg("n"), 1))
	case "poll":
		return s.poll()
	default:
		d.Fatalf(t, "unknown command")
	}
	return ""
}

// next prints n packets, those of one block in one line.
func (s *script) next(n int) string {
	type span struct {
		count       int
		first, last wire.Symbol
	}
	sent := map[block.ID]*span{}
	var order []block.ID
	var out strings.Builder
	nothing := 0
	var subblocks []block.ID
	for range n {
		p := s.e.Next(s.now)
		switch p.Kind {
		case Nothing:
			nothing++
		case Subblocks:
			subblocks = append(subblocks, p.Subblocks.Block)
		case ZeroRun:
			fmt.Fprintf(&out, "%d: zeros %d+%d\n", p.Zeros.Sequence, p.Zeros.First, p.Zeros.Count)
		case Symbol:
			b := sent[p.Symbol.Block]
			if b == nil {
				order = append(order, p.Symbol.Block)
				b = &span{first: p.Symbol}
				sent[p.Symbol.Block] = b
			}
			b.count++
			b.last = p.Symbol
		}
	}
	for _, id := range order {
		b := sent[id]
		fmt.Fprintf(&out, "block %d: %d symbols, %d to %d, in packets %d to %d\n",
			id, b.count, b.first.Symbol, b.last.Symbol, b.first.Sequence, b.last.Sequence)
	}
	if len(subblocks) > 0 {
		fmt.Fprintf(&out, "sub-blocks of blocks %d\n", subblocks)
	}
	if nothing > 0 {
		fmt.Fprintf(&out, "nothing, %d times\n", nothing)
	}
	return out.String()
}

func (s *script) poll() string {
	var out strings.Builder
	for {
		b, ok := s.e.Poll(s.now, nil)
		if !ok {
			break
		}
		if o, err := wire.ParseRepairAdv(b); err == nil {
			fmt.Fprintf(&out, "repair advertisement after %d:", o.Sequence)
			for n := range o.Pending.All() {
				fmt.Fprintf(&out, " block %d: %d", n.Block, n.Symbols)
			}
			fmt.Fprintln(&out)
		} else if h, err := wire.ParseHeartbeat(b); err == nil {
			fmt.Fprintf(&out, "heartbeat: sequence %d, state %d, pass %d, carousel %d, ended %v, %d receivers\n", h.Sequence, h.State, h.Pass, h.CarouselBlock, h.PassEnded, h.Receivers)
		} else if a, err := wire.ParseGoodbyeAck(b); err == nil {
			fmt.Fprintf(&out, "acknowledged %d goodbyes\n", a.Receivers.Len())
		}
	}
	if d := s.e.Deadline(); d == never {
		fmt.Fprintln(&out, "never again")
	}
	return out.String()
}

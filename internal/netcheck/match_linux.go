package netcheck

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// certainty tells whether a rule is for a packet.
type certainty int

const (
	no certainty = iota
	maybe
	yes
)

// match is what a rule does, and whether it does. alike tells that it is about the
// packet's protocol, ports or destination.
type match struct {
	verdict   expr.Verdict
	certainty certainty
	alike     bool
}

// value is what a rule has loaded into a register; nil if that is not known. alike is
// as in match.
type value struct {
	data  []byte
	alike bool
}

// States of connection tracking, as rules see them (nf_conntrack_common.h).
const (
	stateEstablished = 1 << 1
	stateNew         = 1 << 3
)

// Kinds of address, as rules see them (rtnetlink(7)).
const (
	addressLocal     = unix.RTN_LOCAL
	addressMulticast = unix.RTN_MULTICAST
)

// match evaluates a rule's expressions one after the other. It has several matches
// where it looks the verdict up in a map by something that is not known.
func (w *walk) match(rule []expr.Any) (matches []match) {
	registers := map[uint32]value{}
	m := match{certainty: yes}
	hold := func(c certainty, alike bool) {
		m.certainty = min(m.certainty, c)
		m.alike = m.alike || alike && c == yes
	}
	for _, each := range rule {
		switch e := each.(type) {
		case *expr.Meta:
			if !e.SourceRegister {
				registers[e.Register] = w.meta(e.Key)
			}
		case *expr.Payload:
			if e.OperationType == expr.PayloadLoad {
				registers[e.DestRegister] = w.payload(e)
			}
		case *expr.Ct:
			registers[e.Register] = value{}
			if e.Key == expr.CtKeySTATE {
				registers[e.Register] = value{data: native(w.state())}
			}
		case *expr.Fib:
			registers[e.Register] = value{}
			if e.ResultADDRTYPE && e.FlagDADDR && !e.FlagSADDR {
				registers[e.Register] = value{native(w.addressKind()), true}
			}
		case *expr.Bitwise:
			registers[e.DestRegister] = masked(registers[e.SourceRegister], e)
		case *expr.Immediate:
			registers[e.Register] = value{data: e.Data}
		case *expr.Byteorder:
			registers[e.DestRegister] = value{}
		case *expr.Cmp:
			v := registers[e.Register]
			hold(compare(v.data, e), v.alike)
		case *expr.Range:
			v := registers[e.Register]
			hold(within(v.data, e), v.alike)
		case *expr.Lookup:
			v := registers[e.SourceRegister]
			found, verdicts := w.lookup(v.data, e)
			if !e.IsDestRegSet {
				hold(found, v.alike)
				continue
			}
			registers[e.DestRegister] = value{}
			if e.DestRegister != 0 { // unlike a map to verdicts
				continue
			}
			hold(found, v.alike)
			for _, verdict := range verdicts {
				matches = append(matches, match{verdict, m.certainty, m.alike})
			}
		case *expr.Match:
			c, alike := w.extension(e)
			hold(c, alike)
		case *expr.Limit, *expr.Connlimit, *expr.Quota, *expr.Numgen, *expr.Hash, *expr.Rt, *expr.Socket, *expr.Exthdr:
			hold(maybe, false)
		case *expr.Verdict:
			m.verdict = *e
			return append(matches, m)
		case *expr.Reject:
			m.verdict.Kind = expr.VerdictDrop
			return append(matches, m)
		case *expr.Target:
			if e.Name == "REJECT" {
				m.verdict.Kind = expr.VerdictDrop
				return append(matches, m)
			}
		case *expr.Queue:
			m.verdict.Kind = expr.VerdictQueue
			return append(matches, m)
		}
		if m.certainty == no {
			return nil
		}
	}
	return matches
}

func (w *walk) meta(key expr.MetaKey) value {
	p := w.packet
	switch key {
	case expr.MetaKeyL4PROTO:
		return value{[]byte{p.Protocol}, true}
	case expr.MetaKeyNFPROTO:
		if p.To.Addr().Is6() {
			return value{data: []byte{unix.NFPROTO_IPV6}}
		}
		return value{data: []byte{unix.NFPROTO_IPV4}}
	case expr.MetaKeyPROTOCOL:
		if p.To.Addr().Is6() {
			return value{data: binary.BigEndian.AppendUint16(nil, unix.ETH_P_IPV6)}
		}
		return value{data: binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP)}
	case expr.MetaKeyPKTTYPE:
		switch {
		case p.Out:
			return value{}
		case p.To.Addr().IsMulticast():
			return value{[]byte{unix.PACKET_MULTICAST}, true}
		}
		return value{data: []byte{unix.PACKET_HOST}}
	case expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME:
		name := make([]byte, unix.IFNAMSIZ)
		if (key == expr.MetaKeyOIFNAME) == p.Out {
			copy(name, p.Interface)
		}
		return value{data: name}
	case expr.MetaKeyIIF, expr.MetaKeyOIF:
		if (key == expr.MetaKeyOIF) == p.Out {
			return value{data: native(uint32(p.Index))}
		}
		return value{data: native(0)}
	}
	return value{}
}

// payload loads from the packet's headers, if that part of them is known.
func (w *walk) payload(e *expr.Payload) value {
	bytes, known := w.headers(e.Base)
	from := int(e.Offset)
	to := from + int(e.Len)
	if to > len(bytes) || slices.Contains(known[from:to], false) {
		return value{}
	}
	return value{bytes[from:to], true}
}

// headers are the bytes of the packet's header of IP or UDP, and which are known.
func (w *walk) headers(base expr.PayloadBase) (bytes []byte, known []bool) {
	p := w.packet
	set := func(at int, data []byte) {
		copy(bytes[at:], data)
		for n := range data {
			known[at+n] = true
		}
	}
	switch {
	case base == expr.PayloadBaseNetworkHeader:
		size, protocolAt, fromAt, toAt := 20, 9, 12, 16
		if p.To.Addr().Is6() {
			size, protocolAt, fromAt, toAt = 40, 6, 8, 24
		}
		bytes, known = make([]byte, size), make([]bool, size)
		set(protocolAt, []byte{p.Protocol})
		set(fromAt, p.From.Addr().AsSlice()) // nil if not valid
		set(toAt, p.To.Addr().AsSlice())
	case base == expr.PayloadBaseTransportHeader && p.Protocol == UDP:
		bytes, known = make([]byte, 8), make([]bool, 8)
		for n, port := range []uint16{p.From.Port(), p.To.Port()} {
			if port != 0 {
				set(2*n, binary.BigEndian.AppendUint16(nil, port))
			}
		}
	}
	return bytes, known
}

func (w *walk) state() uint32 {
	if w.packet.Answer {
		return stateEstablished
	}
	return stateNew
}

func (w *walk) addressKind() uint32 {
	if w.packet.To.Addr().IsMulticast() {
		return addressMulticast
	}
	return addressLocal
}

// lookup finds a value in a set, and the verdicts of what may be found in a map.
func (w *walk) lookup(v []byte, e *expr.Lookup) (found certainty, verdicts []expr.Verdict) {
	elements, known := w.sets[w.table+" "+e.SetName]
	if !known {
		return maybe, nil
	}
	at, known := search(elements, v)
	for n, each := range elements {
		if (!known || n == at) && each.VerdictData != nil {
			verdicts = append(verdicts, *each.VerdictData)
		}
	}
	switch {
	case !known:
		return maybe, verdicts
	case (at >= 0) != e.Invert:
		return yes, verdicts
	}
	return no, nil
}

// search returns the index of the element that v is, or is in the interval of; -1 if
// there is none. An interval ends before an element of its own.
func search(elements []nftables.SetElement, v []byte) (at int, known bool) {
	at = -1
	for n, each := range elements {
		if v == nil || len(each.Key) != len(v) || len(each.KeyEnd) > 0 {
			return -1, false
		}
		if bytes.Compare(each.Key, v) <= 0 && (at < 0 || bytes.Compare(each.Key, elements[at].Key) >= 0) {
			at = n
		}
	}
	if at < 0 || elements[at].IntervalEnd {
		return -1, true
	}
	intervals := slices.ContainsFunc(elements, func(e nftables.SetElement) bool { return e.IntervalEnd })
	if !intervals && !bytes.Equal(elements[at].Key, v) {
		return -1, true
	}
	return at, true
}

// extension evaluates one of iptables' matches.
func (w *walk) extension(e *expr.Match) (c certainty, alike bool) {
	switch info := e.Info.(type) {
	case *xt.Comment:
		return yes, false
	case *xt.Udp:
		if w.packet.Protocol != UDP {
			return no, false
		}
		from := inPorts(w.packet.From.Port(), info.SrcPorts, info.InvFlags&xt.UdpInvSrcPorts != 0)
		to := inPorts(w.packet.To.Port(), info.DstPorts, info.InvFlags&xt.UdpInvDestPorts != 0)
		return min(from, to), true
	case *xt.Tcp:
		return no, false
	case *xt.AddrTypeV1:
		const invertDest = 2 // XT_ADDRTYPE_INVERT_DEST
		return w.inKinds(info.Dest, info.Source, info.Flags&^invertDest != 0, info.Flags&invertDest != 0), true
	case *xt.AddrType:
		return w.inKinds(info.Dest, info.Source, info.InvertSource, info.InvertDest), true
	case *xt.ConntrackMtinfo1:
		return w.inStates(info.ConntrackMtinfoBase, uint16(info.StateMask)), false
	case *xt.ConntrackMtinfo2:
		return w.inStates(info.ConntrackMtinfoBase, info.StateMask), false
	case *xt.ConntrackMtinfo3:
		return w.inStates(info.ConntrackMtinfoBase, info.StateMask), false
	}
	return maybe, false
}

// inKinds is iptables' --dst-type; with more it is not known.
func (w *walk) inKinds(kinds, others uint16, more, inverted bool) certainty {
	if others != 0 || more {
		return maybe
	}
	return when(kinds>>w.addressKind()&1 == 1 != inverted)
}

// inStates is iptables' --ctstate, whose bits are as nftables'; with more it is not
// known.
func (w *walk) inStates(info xt.ConntrackMtinfoBase, states uint16) certainty {
	const stateOnly = 1 // XT_CONNTRACK_STATE
	if info.MatchFlags != stateOnly {
		return maybe
	}
	return when(uint32(states)&w.state() != 0 != (info.InvertFlags&stateOnly != 0))
}

func inPorts(port uint16, ports [2]uint16, inverted bool) certainty {
	if ports == [2]uint16{0, 0xFFFF} {
		return yes
	}
	if port == 0 {
		return maybe
	}
	return when((port >= ports[0] && port <= ports[1]) != inverted)
}

func when(holds bool) certainty {
	if holds {
		return yes
	}
	return no
}

// compare evaluates a comparison; of a name's beginning if e has no more.
func compare(v []byte, e *expr.Cmp) certainty {
	if len(v) < len(e.Data) || len(e.Data) == 0 {
		return maybe
	}
	order := bytes.Compare(v[:len(e.Data)], e.Data)
	switch e.Op {
	case expr.CmpOpEq:
		return when(order == 0)
	case expr.CmpOpNeq:
		return when(order != 0)
	case expr.CmpOpLt:
		return when(order < 0)
	case expr.CmpOpLte:
		return when(order <= 0)
	case expr.CmpOpGt:
		return when(order > 0)
	case expr.CmpOpGte:
		return when(order >= 0)
	}
	return maybe
}

func within(v []byte, e *expr.Range) certainty {
	if len(v) != len(e.FromData) || len(v) != len(e.ToData) || len(v) == 0 {
		return maybe
	}
	in := bytes.Compare(v, e.FromData) >= 0 && bytes.Compare(v, e.ToData) <= 0
	return when(in == (e.Op == expr.CmpOpEq))
}

func masked(v value, e *expr.Bitwise) value {
	if len(v.data) != len(e.Mask) || len(v.data) != len(e.Xor) {
		return value{}
	}
	data := make([]byte, len(v.data))
	for n := range data {
		data[n] = v.data[n]&e.Mask[n] ^ e.Xor[n]
	}
	return value{data, v.alike}
}

// native is a number as this machine has it in memory, and nftables in a register.
func native(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

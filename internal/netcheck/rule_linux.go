package netcheck

import (
	"bytes"
	"encoding/binary"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// rule is one rule: its conditions, in their order, and then what it does.
type rule []expr.Any

// effect is what a rule does with a packet.
type effect int

const (
	neither effect = iota
	accepts        // surely
	drops          // or may drop
)

// effect reads of a rule's conditions only the protocol, the ports and the version of
// IP. Under any other condition a rule may drop the packet, but does not surely accept
// it. called is the chain that the rule calls.
func (r rule) effect(p Packet) (end effect, called string) {
	sure := true      // the packet meets all conditions
	var load expr.Any // what the next comparison is about
	for _, each := range r {
		switch e := each.(type) {
		case *expr.Meta, *expr.Payload, *expr.Ct:
			load = e
			continue
		case *expr.Cmp:
			met, known := p.meets(load, e)
			if known && !met {
				return neither, ""
			}
			sure = sure && known
		case *expr.Bitwise:
			if ct, ok := load.(*expr.Ct); ok && ct.Key == expr.CtKeySTATE && bytes.Equal(e.Mask, invalid) {
				return neither, "" // no packet of ours has that state
			}
			sure = false
		case *expr.Counter, *expr.Log:
		case *expr.Verdict:
			switch {
			case e.Kind == expr.VerdictAccept && sure:
				return accepts, ""
			case e.Kind == expr.VerdictDrop:
				return drops, ""
			case e.Kind == expr.VerdictJump, e.Kind == expr.VerdictGoto:
				return neither, e.Chain
			}
			return neither, ""
		case *expr.Reject, *expr.Queue:
			return drops, ""
		case *expr.Target: // of iptables
			if e.Name == "REJECT" {
				return drops, ""
			}
			return neither, ""
		default:
			sure = false
		}
		load = nil
	}
	return neither, ""
}

// invalid is the state of connection tracking, as rules mask it (NF_CT_STATE_INVALID_BIT).
var invalid = binary.NativeEndian.AppendUint32(nil, 1)

// meets reports whether the packet meets a comparison with what was loaded, if that is known.
func (p Packet) meets(load expr.Any, c *expr.Cmp) (met, known bool) {
	value := p.value(load)
	if len(value) == 0 || len(value) != len(c.Data) {
		return false, false
	}
	switch equal := bytes.Equal(value, c.Data); c.Op {
	case expr.CmpOpEq:
		return equal, true
	case expr.CmpOpNeq:
		return !equal, true
	}
	return false, false
}

// value is what a rule loads of the packet; nil if that is not known.
func (p Packet) value(load expr.Any) []byte {
	six := p.To.Addr().Is6()
	switch e := load.(type) {
	case *expr.Meta:
		switch {
		case e.Key == expr.MetaKeyL4PROTO:
			return []byte{p.Protocol}
		case e.Key == expr.MetaKeyNFPROTO && six:
			return []byte{unix.NFPROTO_IPV6}
		case e.Key == expr.MetaKeyNFPROTO:
			return []byte{unix.NFPROTO_IPV4}
		}
	case *expr.Payload:
		switch {
		case e.Base == expr.PayloadBaseNetworkHeader && e.Len == 1 && (!six && e.Offset == 9 || six && e.Offset == 6):
			return []byte{p.Protocol}
		case e.Base == expr.PayloadBaseTransportHeader && e.Len == 2 && e.Offset == 0:
			return portBytes(p.From.Port())
		case e.Base == expr.PayloadBaseTransportHeader && e.Len == 2 && e.Offset == 2:
			return portBytes(p.To.Port())
		}
	}
	return nil
}

// portBytes is a port as in a header; nil if it may be any.
func portBytes(port uint16) []byte {
	if port == 0 {
		return nil
	}
	return binary.BigEndian.AppendUint16(nil, port)
}

package lab

import (
	"encoding/binary"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// lossModulus is the resolution of loss: a thousandth of a percent.
const lossModulus = 100_000

// SetLoss loses that share, 0 to 100, of all packets towards the host at
// random, in the switch.
func (i *Interface) SetLoss(percent float64) error {
	if !(percent >= 0 && percent <= 100) {
		return fmt.Errorf("lose %g%% towards %s: not within 0 to 100", percent, i.Name)
	}
	return i.filter(func() { i.lossPercent = percent })
}

// BlockMulticast drops all multicast towards the host, or no longer, as a
// firewall does. Unicast and broadcast pass.
func (i *Interface) BlockMulticast(on bool) error {
	return i.filter(func() { i.deaf = on })
}

func (i *Interface) filter(change func()) error {
	l := i.host.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	return l.bridges.do(l.loadFilter)
}

// loadFilter replaces the switch's rules by what the interfaces say, in one
// transaction.
func (l *Lab) loadFilter() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyBridge, Name: "lab"}
	// Deleting what does not exist would fail.
	c.AddTable(table)
	c.DelTable(table)
	c.AddTable(table)
	chain := c.AddChain(&nftables.Chain{
		Name:     "forward",
		Table:    table,
		Type:     nftables.ChainTypeFilter,
		Hooknum:  nftables.ChainHookForward,
		Priority: nftables.ChainPriorityFilter,
	})
	for _, n := range l.networks {
		for _, i := range n.Interfaces {
			if i.deaf {
				c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: dropMulticast(i.port)})
			}
			if i.lossPercent > 0 {
				c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: dropRandomly(i.port, i.lossPercent)})
			}
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("load the switch's filter: %w", err)
	}
	return nil
}

// dropMulticast is: oifname port meta pkttype multicast drop.
func dropMulticast(port string) []expr.Any {
	return append(towards(port),
		&expr.Meta{Key: expr.MetaKeyPKTTYPE, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.PACKET_MULTICAST}},
		&expr.Verdict{Kind: expr.VerdictDrop},
	)
}

// dropRandomly is: oifname port numgen random mod 100000 < … drop.
func dropRandomly(port string, percent float64) []expr.Any {
	return append(towards(port),
		&expr.Numgen{Register: 1, Modulus: lossModulus, Type: unix.NFT_NG_RANDOM},
		// Comparison goes byte by byte, the most significant first.
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binary.BigEndian.AppendUint32(nil, uint32(percent/100*lossModulus+0.5))},
		&expr.Verdict{Kind: expr.VerdictDrop},
	)
}

func towards(port string) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, port)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
	}
}

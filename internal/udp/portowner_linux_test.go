package udp

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const procNetUDP = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  150: 00000000:1D4C 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 0
  151: 0100007F:1D4D 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0
  151: 0100007F:1D4D 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 0 2 0000000000000000 0
  152: 0200007F:1D4D 00000000:0000
  153: 0200007F 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4714 2 0000000000000000 0
`

const procNetUDP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 3222: 00000000000000000000000000000000:1D4C 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   997        0 5711 2 0000000000000000 0
 3223: 0000000000000000FFFF00000100007F:1D4D 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   997        0 5712 2 0000000000000000 0
 3223: 00000000000000000000000001000000:1D4D 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   997        0 5713 2 0000000000000000 0
`

func TestSocketInodes(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the tables are those of a little-endian machine")
	}
	tests := []struct {
		name, table, addr string
		want              []uint64
	}{
		{"all addresses", procNetUDP, "0.0.0.0:7500", []uint64{4711}},
		{"one, bound to all", procNetUDP, "10.0.0.1:7500", []uint64{4711}},
		{"one", procNetUDP, "127.0.0.1:7501", []uint64{4712}},
		{"all, bound to one", procNetUDP, "0.0.0.0:7501", []uint64{4712}},
		{"another", procNetUDP, "127.0.0.2:7501", nil},
		{"another port", procNetUDP, "127.0.0.1:7502", nil},
		{"IPv6's all", procNetUDP6, "127.0.0.1:7500", []uint64{5711}},
		{"IPv4 in IPv6", procNetUDP6, "127.0.0.1:7501", []uint64{5712}},
		{"IPv6", procNetUDP6, "[::1]:7501", []uint64{5713}},
		{"IPv6, bound to all", procNetUDP6, "[fe80::1%eth0]:7500", []uint64{5711}},
		{"IPv6, not IPv4's", procNetUDP, "[::]:7500", nil},
		{"no table", "", "127.0.0.1:7501", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := socketInodes(strings.NewReader(test.table), netip.MustParseAddrPort(test.addr))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzSocketInodes(f *testing.F) {
	f.Add(procNetUDP, uint16(7500))
	f.Add(procNetUDP6, uint16(7501))
	f.Fuzz(func(t *testing.T, table string, port uint16) {
		all := socketInodes(strings.NewReader(table), netip.AddrPortFrom(netip.IPv4Unspecified(), port))
		one := socketInodes(strings.NewReader(table), netip.MustParseAddrPort("127.0.0.1:0"))
		if len(all) > strings.Count(table, "\n")+1 || len(one) > strings.Count(table, "\n")+1 {
			t.Errorf("%d and %d sockets of %d lines", len(all), len(one), strings.Count(table, "\n")+1)
		}
	})
}

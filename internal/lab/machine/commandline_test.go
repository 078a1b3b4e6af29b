package machine

import (
	"net/netip"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		name       string
		parameters []Parameter
		want       string // "" if it must be refused
	}{
		{"words", []Parameter{{"quiet", ""}, {"console", "ttyS0"}}, "quiet console=ttyS0"},
		{"spaces", []Parameter{{"multiclient.post-command", "reboot -f"}, {"a", "b\tc"}}, "multiclient.post-command=\"reboot -f\" a=\"b\tc\""},
		{"quotes inside", []Parameter{{"a", `b"c`}}, `a=b"c`},
		{"equals signs", []Parameter{{"multiclient.target", "name=vda,size>=1G"}}, "multiclient.target=name=vda,size>=1G"},
		{"quotes and spaces", []Parameter{{"a", `b "c" d`}}, ""},
		{"a quote at the beginning", []Parameter{{"a", `"b`}}, ""}, // the kernel takes it away
		{"a quote at the end", []Parameter{{"a", `b"`}}, ""},
		{"a line's end", []Parameter{{"a", "b\nc"}}, ""},
		{"no name", []Parameter{{"", "a"}}, ""},
		{"a name with a space", []Parameter{{"a b", ""}}, ""},
		{"a name with an equals sign", []Parameter{{"a=b", ""}}, ""},
		{"the longest", []Parameter{{"a", strings.Repeat("b", 2045)}}, "a=" + strings.Repeat("b", 2045)},
		{"too long", []Parameter{{"a", strings.Repeat("b", 2046)}}, ""},
	} {
		got, err := CommandLine(c.parameters...)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestAddressParameter(t *testing.T) {
	for address, want := range map[string]string{
		"10.77.0.101/24": "ip=10.77.0.101:::255.255.255.0:m:eth0:off",
		"172.16.5.1/20":  "ip=172.16.5.1:::255.255.240.0:m:eth0:off",
		"10.0.0.1/32":    "ip=10.0.0.1:::255.255.255.255:m:eth0:off",
	} {
		got, err := CommandLine(addressParameter(netip.MustParsePrefix(address), "m"))
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", address, got, err, want)
		}
	}
}

package machine

import (
	"fmt"
	"net/netip"
	"strings"
)

// maxCommandLineBytes is the kernel's COMMAND_LINE_SIZE of x86, with a zero at the end.
const maxCommandLineBytes = 2048 - 1

// Parameter is a word of the kernel's command line: NAME=VALUE, or NAME if there is no value.
type Parameter struct{ Name, Value string }

// CommandLine joins parameters to the kernel's command line. Values with spaces are quoted.
// The kernel knows no escapes: a value cannot hold both spaces and double quotes, nor a
// line's end.
func CommandLine(parameters ...Parameter) (string, error) {
	var words []string
	for _, p := range parameters {
		if p.Name == "" || strings.ContainsAny(p.Name, " \t\r\n\"=\x00") {
			return "", fmt.Errorf("parameter %q cannot be on a kernel's command line", p.Name)
		}
		word := p.Name
		if p.Value != "" {
			quotes, spaces := strings.Contains(p.Value, `"`), strings.ContainsAny(p.Value, " \t")
			if quotes && (spaces || p.Value[0] == '"' || p.Value[len(p.Value)-1] == '"') || (strings.ContainsAny(p.Value, "\r\n\v\f\x00") || strings.Contains(p.Value, "\xa0")) {
				return "", fmt.Errorf("parameter %s: the value %q cannot be on a kernel's command line", p.Name, p.Value)
			}
			if spaces {
				word += `="` + p.Value + `"`
			} else {
				word += "=" + p.Value
			}
		}
		words = append(words, word)
	}
	line := strings.Join(words, " ")
	if len(line) > maxCommandLineBytes {
		return "", fmt.Errorf("a kernel's command line of %d bytes: the most are %d", len(line), maxCommandLineBytes)
	}
	return line, nil
}

// addressParameter is the one that gives a machine's card its address (kernel:
// Documentation/admin-guide/nfs/nfsroot.rst).
func addressParameter(address netip.Prefix, hostName string) Parameter {
	var mask [4]byte
	for bit := range address.Bits() {
		mask[bit/8] |= 0x80 >> (bit % 8)
	}
	return Parameter{"ip", fmt.Sprintf("%s:::%s:%s:eth0:off", address.Addr(), netip.AddrFrom4(mask), hostName)}
}

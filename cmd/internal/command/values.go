package command

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"multiserver"
)

// value is a flag's value of any type, made from its text by parse.
type value[T any] struct {
	target *T
	parse  func(string) (T, error)
	text   string // as it was set; the default before
	kind   string
}

// Value returns a flag's value that parse fills target with. text is the default
// for the help, "" if there is none to show; kind stands for the value there.
func Value[T any](target *T, parse func(string) (T, error), kind, text string) pflag.Value {
	return &value[T]{target, parse, text, kind}
}

func (v *value[T]) Set(s string) error {
	t, err := v.parse(s)
	if err != nil {
		return err
	}
	*v.target, v.text = t, s
	return nil
}

func (v *value[T]) String() string { return v.text }
func (v *value[T]) Type() string   { return v.kind }

// ParsePort accepts 1 to 65535.
func ParsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("want a port from 1 to 65535")
	}
	return uint16(n), nil
}

// ParseGroup accepts a multicast address, without a zone: -i says where.
func ParseGroup(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.IsMulticast() || a.Is4In6() || a.Zone() != "" {
		return netip.Addr{}, errors.New("want a multicast address, such as 239.1.2.3 or ff15::1:2:3")
	}
	return a, nil
}

// ParseUnicast accepts the modes of unicast.
func ParseUnicast(s string) (multiserver.UnicastMode, error) {
	return parseMode(s, "auto, always or never", map[string]multiserver.UnicastMode{
		"auto": multiserver.UnicastAuto, "always": multiserver.UnicastAlways, "never": multiserver.UnicastNever,
	})
}

// ParseCompress accepts the modes of compression.
func ParseCompress(s string) (multiserver.CompressMode, error) {
	return parseMode(s, "auto, always or never", map[string]multiserver.CompressMode{
		"auto": multiserver.CompressAuto, "always": multiserver.CompressAlways, "never": multiserver.CompressNever,
	})
}

// ParseSkipUnused accepts the modes of serving only what is used.
func ParseSkipUnused(s string) (multiserver.SkipUnusedMode, error) {
	return parseMode(s, "auto or never", map[string]multiserver.SkipUnusedMode{
		"auto": multiserver.SkipUnusedAuto, "never": multiserver.SkipUnusedNever,
	})
}

// ParseMXB1 accepts the modes of MXB 1.
func ParseMXB1(s string) (multiserver.MXB1Mode, error) {
	return parseMode(s, "never, auto or only", map[string]multiserver.MXB1Mode{
		"auto": multiserver.MXB1Auto, "never": multiserver.MXB1Never, "only": multiserver.MXB1Only,
	})
}

// parseMode accepts the names of modes, which wanted lists for a person.
func parseMode[M any](s, wanted string, modes map[string]M) (M, error) {
	m, ok := modes[s]
	if !ok {
		return m, errors.New("want " + wanted)
	}
	return m, nil
}

// ParseWithin returns a parser of decimal numbers from least to most, neither negative.
func ParseWithin(least, most int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil || n < uint64(least) || n > uint64(most) {
			return 0, fmt.Errorf("want a number from %d to %d", least, most)
		}
		return int(n), nil
	}
}

// ParseCount accepts 1 and more. What is too much is the library's to say.
func ParseCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 {
		return 0, errors.New("want a number from 1")
	}
	return int(n), nil
}

// Endpoint is a server as the original's users write it. Zero values were not given.
type Endpoint struct {
	Host string
	Port uint16
}

// ParseEndpoint accepts PORT, :PORT, HOST and HOST:PORT. A text of digits only is a
// port. The host is not looked up. One that is an address of IPv6 may stand in
// brackets, and does where a port follows: fe80::1%eth0, [fe80::1%eth0]:7500.
func ParseEndpoint(s string) (Endpoint, error) {
	if host, port, ok := cutIPv6(s); ok {
		if port == "" {
			return Endpoint{Host: host}, nil
		}
		n, err := ParsePort(port)
		if err != nil {
			return Endpoint{}, err
		}
		return Endpoint{Host: host, Port: n}, nil
	}
	host, port, both := strings.Cut(s, ":")
	if !both && strings.Trim(s, "0123456789") == "" {
		host, port, both = "", s, true
	}
	var e Endpoint
	if host == "" && !both || strings.ContainsFunc(host, notInHost) {
		return e, errors.New("want PORT, HOST or HOST:PORT, with an address or a name, or [IPv6]:PORT")
	}
	e.Host = host
	if both {
		var err error
		if e.Port, err = ParsePort(port); err != nil {
			return Endpoint{}, err
		}
	}
	return e, nil
}

// cutIPv6 takes an address of IPv6 and what may follow it, a colon and a port, apart.
func cutIPv6(s string) (host, port string, ok bool) {
	host = s
	if rest, bracketed := strings.CutPrefix(s, "["); bracketed {
		if host, port, ok = strings.Cut(rest, "]"); !ok {
			return "", "", false
		}
		if port != "" {
			if port, ok = strings.CutPrefix(port, ":"); !ok || port == "" {
				return "", "", false
			}
		}
	}
	a, err := netip.ParseAddr(host)
	if err != nil || !a.Is6() || strings.ContainsFunc(a.Zone(), notInHost) {
		return "", "", false
	}
	return host, port, true
}

func notInHost(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '-' || r == '_')
}

// ParseDuration returns a parser of Go durations such as 50us; a bare number counts
// in unit. Nothing negative.
func ParseDuration(unit time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			if n > uint64(math.MaxInt64/unit) {
				return 0, errors.New("too long")
			}
			return time.Duration(n) * unit, nil
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("want a number (of %v) or a duration such as 50us, 1500ms or 2m", unit)
		}
		return d, nil
	}
}

// ParsePositive is ParseDuration without 0.
func ParsePositive(unit time.Duration) func(string) (time.Duration, error) {
	parse := ParseDuration(unit)
	return func(s string) (time.Duration, error) {
		d, err := parse(s)
		if err == nil && d == 0 {
			err = errors.New("want more than 0")
		}
		return d, err
	}
}

// ParseLimit is ParseDuration in seconds, where 0 waits for ever: it returns none
// for it.
func ParseLimit(none time.Duration) func(string) (time.Duration, error) {
	parse := ParseDuration(time.Second)
	return func(s string) (time.Duration, error) {
		d, err := parse(s)
		if err == nil && d == 0 {
			d = none
		}
		return d, err
	}
}

// maxRateBitsPerSec is above any network, and far below where float64 loses bits.
const maxRateBitsPerSec = 1e13

// ParseRate accepts bits a second with a decimal prefix: 900M, 1G, 950.5M, 1000000;
// udpcast's users write 70m. 0 is no limit.
func ParseRate(s string) (bitsPerSec uint64, err error) {
	digits, unit := s, 1.0
	if i := len(s) - 1; i > 0 {
		switch s[i] {
		case 'k', 'K':
			digits, unit = s[:i], 1e3
		case 'm', 'M':
			digits, unit = s[:i], 1e6
		case 'g', 'G':
			digits, unit = s[:i], 1e9
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	// ParseFloat also takes signs, exponents, hexadecimals and infinities.
	if err != nil || strings.Trim(digits, "0123456789.") != "" {
		return 0, errors.New("want bits a second, such as 900M, 1G or 950.5M")
	}
	bits := math.Round(n * unit)
	switch {
	case bits > maxRateBitsPerSec:
		return 0, errors.New("want 10000G at most")
	case bits == 0 && n > 0:
		return 0, errors.New("want 1 bit a second at least, or 0 for no limit")
	}
	return uint64(bits), nil
}

// ParseSerial reads the serial number of a signed image: 1 or higher.
func ParseSerial(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return 0, errors.New("want a number from 1 on")
	}
	return n, nil
}

package command

import (
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// want is a text and what becomes of it; ok is false where it must be refused.
type want[T any] struct {
	text  string
	value T
	ok    bool
}

func check[T comparable](t *testing.T, parse func(string) (T, error), cases []want[T]) {
	t.Helper()
	for _, c := range cases {
		got, err := parse(c.text)
		if (err == nil) != c.ok || c.ok && got != c.value {
			t.Errorf("%q: got %v, %v; want %v, accepted: %v", c.text, got, err, c.value, c.ok)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the error is more than a line: %v", c.text, err)
		}
	}
}

func TestParseEndpoint(t *testing.T) {
	check(t, ParseEndpoint, []want[Endpoint]{
		{"7500", Endpoint{"", 7500}, true},
		{":7500", Endpoint{"", 7500}, true},
		{"192.168.1.1", Endpoint{"192.168.1.1", 0}, true},
		{"192.168.1.1:7501", Endpoint{"192.168.1.1", 7501}, true},
		{"image-server.lab", Endpoint{"image-server.lab", 0}, true},
		{"image_server:1", Endpoint{"image_server", 1}, true},
		{"3com", Endpoint{"3com", 0}, true},
		{"", Endpoint{}, false},
		{":", Endpoint{}, false},
		{"0", Endpoint{}, false},
		{":0", Endpoint{}, false},
		{"65536", Endpoint{}, false},
		{"host:", Endpoint{}, false},
		{"host:port", Endpoint{}, false},
		{"host:1:2", Endpoint{}, false},
		{"::1", Endpoint{"::1", 0}, true},
		{"[::1]", Endpoint{"::1", 0}, true},
		{"[::1]:7500", Endpoint{"::1", 7500}, true},
		{"fe80::1%eth0", Endpoint{"fe80::1%eth0", 0}, true},
		{"[fe80::1%eth0.7]:7501", Endpoint{"fe80::1%eth0.7", 7501}, true},
		{"fd00::1:7500", Endpoint{"fd00::1:7500", 0}, true}, // an address, all of it
		{"[::1]:", Endpoint{}, false},
		{"[::1]7500", Endpoint{}, false},
		{"[::1]:0", Endpoint{}, false},
		{"[::1", Endpoint{}, false},
		{"::1]", Endpoint{}, false},
		{"[10.0.0.1]:7500", Endpoint{}, false},
		{"[host]:7500", Endpoint{}, false},
		{"fe80::1%", Endpoint{}, false},
		{"fe80::1%a b", Endpoint{}, false},
		{"[fe80::1%a:b]", Endpoint{}, false},
		{"two words", Endpoint{}, false},
		{"-1", Endpoint{"-1", 0}, true}, // no number, so a name; looking it up fails
	})
}

func TestParseRate(t *testing.T) {
	check(t, ParseRate, []want[uint64]{
		{"0", 0, true},
		{"1", 1, true},
		{"1000000", 1_000_000, true},
		{"900M", 900_000_000, true},
		{"70m", 70_000_000, true},
		{"1G", 1_000_000_000, true},
		{"950.5M", 950_500_000, true},
		{".5g", 500_000_000, true},
		{"64k", 64_000, true},
		{"64K", 64_000, true},
		{"10000G", 1e13, true},
		{"10001G", 0, false},
		{"0.1", 0, false}, // rounds to no limit, which is the contrary
		{"", 0, false},
		{"M", 0, false},
		{"-1M", 0, false},
		{"+1M", 0, false},
		{"1e9", 0, false},
		{"0x10", 0, false},
		{"inf", 0, false},
		{"nan", 0, false},
		{"1_000", 0, false},
		{"1.2.3M", 0, false},
		{"900MB", 0, false},
		{"900 M", 0, false},
		{"1T", 0, false},
	})
}

func TestParseDuration(t *testing.T) {
	check(t, ParseDuration(time.Nanosecond), []want[time.Duration]{ // -d
		{"0", 0, true},
		{"50000", 50 * time.Microsecond, true},
		{"50us", 50 * time.Microsecond, true},
		{"9223372036854775807", math.MaxInt64, true},
		{"9223372036854775808", 0, false},
		{"-1", 0, false},
		{"-1ms", 0, false},
		{"1.5", 0, false},
		{"fast", 0, false},
		{"", 0, false},
	})
	check(t, ParseDuration(time.Second), []want[time.Duration]{ // --min-wait, --max-wait
		{"30", 30 * time.Second, true},
		{"30s", 30 * time.Second, true},
		{"0", 0, true},
		{"-30", 0, false},
		{"9223372037", 0, false}, // overflows in nanoseconds
	})
	check(t, ParsePositive(time.Millisecond), []want[time.Duration]{ // -t
		{"1000", time.Second, true},
		{"1500ms", 1500 * time.Millisecond, true},
		{"2s", 2 * time.Second, true},
		{"0", 0, false},
		{"0s", 0, false},
		{"9223372036855", 0, false}, // overflows in nanoseconds
	})
	const none = -1
	check(t, ParseLimit(none), []want[time.Duration]{ // --start-timeout, --receive-timeout
		{"60", time.Minute, true},
		{"2m", 2 * time.Minute, true},
		{"0", none, true},
		{"0s", none, true},
		{"-5", 0, false},
	})
}

func TestParseNumbers(t *testing.T) {
	check(t, ParsePort, []want[uint16]{
		{"1", 1, true}, {"65535", 65535, true},
		{"0", 0, false}, {"65536", 0, false}, {"-1", 0, false}, {"http", 0, false}, {"", 0, false},
	})
	check(t, ParseWithin(1, 255), []want[int]{ // --ttl
		{"1", 1, true}, {"255", 255, true}, {"0", 0, false}, {"256", 0, false}, {"x", 0, false},
		{"-1", 0, false}, {"18446744073709551617", 0, false}, {"", 0, false},
	})
	check(t, ParseWithin(576, 9216), []want[int]{ // --mtu
		{"576", 576, true}, {"9216", 9216, true}, {"575", 0, false}, {"9217", 0, false}, {"1.5k", 0, false},
	})
	check(t, ParseGroup, []want[netip.Addr]{
		{"225.0.20.10", netip.MustParseAddr("225.0.20.10"), true},
		{"10.0.0.1", netip.Addr{}, false}, {"ff15::1", netip.MustParseAddr("ff15::1"), true},
		{"fd00::1", netip.Addr{}, false}, {"ff12::1%eth0", netip.Addr{}, false}, {"::ffff:225.0.20.10", netip.Addr{}, false}, {"group", netip.Addr{}, false},
	})
}

func FuzzParseEndpoint(f *testing.F) {
	for _, s := range []string{"7500", ":7500", "host", "host:7500", "::1", "[fe80::1%eth0]:7500", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseEndpoint(s)
		if err != nil {
			return
		}
		if e == (Endpoint{}) {
			t.Fatalf("%q is accepted and says nothing", s)
		}
		if strings.ContainsAny(e.Host, " \n\x1b[]") {
			t.Fatalf("%q gives host %q", s, e.Host)
		}
		if _, err := netip.ParseAddr(e.Host); err != nil && strings.Contains(e.Host, ":") {
			t.Fatalf("%q gives host %q, of IPv6 and not: %v", s, e.Host, err)
		}
	})
}

func FuzzParseRate(f *testing.F) {
	for _, s := range []string{"900M", "1G", "950.5M", "0", "1e9", "0x1p-2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rate, err := ParseRate(s)
		if err == nil && rate == 0 && strings.ContainsAny(s, "123456789") {
			t.Fatalf("%q became no limit", s)
		}
		if rate > maxRateBitsPerSec {
			t.Fatalf("%q became %d", s, rate)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"50us", "1000", "-1", "9223372036854775807", "1h1m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, unit := range []time.Duration{time.Nanosecond, time.Millisecond, time.Second} {
			if d, err := ParseDuration(unit)(s); err == nil && d < 0 {
				t.Fatalf("%q in %v became %v", s, unit, d)
			}
		}
	})
}

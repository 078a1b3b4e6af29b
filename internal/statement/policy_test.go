package statement

import (
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// TestPolicy: what a client asks of a statement, each by itself.
func TestPolicy(t *testing.T) {
	public, private := newKey(t)
	other, _ := newKey(t)
	signed, err := Sign(private, sample()) // debian-lab, serial 42, of 2026-11-28, to 2027-06-01
	if err != nil {
		t.Fatal(err)
	}
	state := Serials{filepath.Join(t.TempDir(), "state")}
	day := func(s string) time.Time {
		d, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	in := day("2026-12-01 00:00:00")
	for _, test := range []struct {
		name    string
		policy  Policy
		signed  Signed
		now     time.Time
		want    error
		warning bool
		seen    uint64
	}{
		{name: "a key", policy: Policy{Keys: Trusted{other, public}}, signed: signed, now: in},
		{name: "not signed", policy: Policy{Keys: Trusted{public}}, now: in, want: ErrUnsigned},
		{name: "another key", policy: Policy{Keys: Trusted{other}}, signed: signed, now: in, want: ErrUntrusted},
		{name: "the name", policy: Policy{Keys: Trusted{public}, Name: "debian-lab"}, signed: signed, now: in},
		{name: "another name", policy: Policy{Keys: Trusted{public}, Name: "debian"}, signed: signed, now: in, want: ErrOther},
		{name: "the least serial", policy: Policy{Keys: Trusted{public}, MinSerial: 42}, signed: signed, now: in},
		{name: "a higher serial", policy: Policy{Keys: Trusted{public}, MinSerial: 43}, signed: signed, now: in, want: ErrOld},
		{name: "seen before", policy: Policy{Keys: Trusted{public}, State: state}, seen: 42, signed: signed, now: in},
		{name: "a higher one seen", policy: Policy{Keys: Trusted{public}, State: state}, seen: 43, signed: signed, now: in, want: ErrOld},
		{name: "the last day", policy: Policy{Keys: Trusted{public}}, signed: signed, now: day("2027-06-01 23:59:59")},
		{name: "after the last day", policy: Policy{Keys: Trusted{public}}, signed: signed, now: day("2027-06-02 00:00:00"), want: ErrExpired},
		{name: "a clock without a battery", policy: Policy{Keys: Trusted{public}}, signed: signed, now: day("1970-01-01 00:00:05"), warning: true},
		{name: "a clock an hour late", policy: Policy{Keys: Trusted{public}}, signed: signed, now: day("2026-11-28 10:00:00")},
	} {
		if test.seen > 0 {
			if err := state.Keep("debian-lab", test.seen); err != nil {
				t.Fatal(err)
			}
		}
		s, warning, err := test.policy.Check(test.signed, test.now)
		if !errors.Is(err, test.want) || err == nil && s.Serial != 42 || (warning != "") != test.warning {
			t.Errorf("%s: %v, %q, %v", test.name, s, warning, err)
		}
	}
}

package wire

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestOffer(t *testing.T) {
	o := Offer{Version: 1, Receiver: 0xfedcba9876543210, Codecs: 0b11, LargestPacket: 1472, HostName: []byte("node-07")}
	checkVector(t, "offer", o, ParseOffer)
	private := o
	private.Private = true
	checkVector(t, "private offer", private, ParseOffer)
	machine := o
	machine.Machine, machine.Source = 0x1020304050607080, netip.MustParseAddr("10.0.0.7")
	checkVector(t, "machine offer", machine, ParseOffer)
	checkTaken(t, "offer", ParseOffer, func(b []byte) []byte { return append(b, make([]byte, 99)...) })
	digest := machine
	digest.Private, digest.Digest = true, PrivateNumber(0x99).Digest(o.Receiver)
	checkVector(t, "digest offer", digest, ParseOffer)
	checkTaken(t, "digest offer", ParseOffer, func(b []byte) []byte { return append(b, "of a later version"...) })
	for _, each := range []Offer{o, private, machine, digest} {
		each.Size = 500
		b := each.AppendTo(nil)
		each.Size = 0
		if got, err := ParseOffer(b); err != nil || len(b) != 500 || !reflect.DeepEqual(got, each) {
			t.Errorf("%+v with zeros has %d bytes: %+v, %v", each, len(b), got, err)
		}
		each.Size = 20 // no room for zeros
		if b := each.AppendTo(nil); len(b) > 64 {
			t.Errorf("%+v has %d bytes", each, len(b))
		}
	}
	for cut := 1; cut <= machineSize; cut++ {
		whole := vectors["machine offer"]
		if got, err := ParseOffer(sealed(bytes.Clone(whole[:len(whole)-cut]))); err != nil || got.Machine != 0 || got.Source.IsValid() {
			t.Errorf("%d bytes less: %+v, %v", cut, got, err)
		}
	}
	want := vectors["offer"]
	for i := range want {
		b := bytes.Clone(want)
		b[i] ^= 1
		if _, err := ParseOffer(b); err == nil {
			t.Errorf("byte %d is wrong, and it is taken", i)
		}
	}
	checkRefused(t, "offer", ParseOffer, []refused{
		{"none", func(b []byte) []byte { return nil }, ErrMagic},
		{"something else", func(b []byte) []byte { return []byte("something else") }, ErrMagic},
		{"MXB 1 only", set8(4, 0), VersionError(0)},
		{"MXB 1 only, 8 bytes", func(b []byte) []byte { return []byte("MXB2\x00\x00\x00\x00") }, VersionError(0)},
		{"short", func(b []byte) []byte { return b[:24] }, ErrLength},
		{"name too short", set8(24, 8), ErrLength},
		{"name of controls", set8(25, '\n'), ErrBounds},
		{"largest packet too small", set16(14, 91), ErrBounds},
		{"largest packet too large", set16(14, 65508), ErrBounds},
		{"too long", func(b []byte) []byte { return append(b, make([]byte, MaxControlSize)...) }, ErrLength},
	})
	checkTaken(t, "offer", ParseOffer, func(b []byte) []byte { b[5], b[6], b[7] = 0xfe, 2, 3; return b })
	checkTaken(t, "offer", ParseOffer, func(b []byte) []byte { return append(b, "of a later version"...) })

	later, err := ParseOffer(sealed(set8(4, 9)(bytes.Clone(want))))
	if err != nil || later.Version != 9 || later.Receiver != o.Receiver {
		t.Errorf("a later version: %+v, %v", later, err)
	}
}

func TestOfferToBeSent(t *testing.T) {
	for name, o := range map[string]Offer{
		"version":              {LargestPacket: 1472},
		"largest packet":       {Version: 1},
		"name with line break": {Version: 1, LargestPacket: 1472, HostName: []byte("a\nb")},
		"long name":            {Version: 1, LargestPacket: 1472, HostName: []byte(strings.Repeat("a", 256))},
	} {
		if !panics(func() { o.AppendTo(nil) }) {
			t.Errorf("%s: sent", name)
		}
	}
	if n := len(Offer{Version: 1, LargestPacket: 1472, HostName: Text(strings.Repeat("a", 999))}.AppendTo(nil)); n != offerSize+MaxText {
		t.Errorf("longest offer: %d bytes", n)
	}
}

func FuzzOffer(f *testing.F) { fuzz(f, ParseOffer) }

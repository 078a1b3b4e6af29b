package wire

import "testing"

func TestSignature(t *testing.T) {
	s := Signature{Session: 0x0123456789abcdef, Private: 0x99aabbccddeeff00, Signed: []byte("\x00\x06said: signed")}
	checkVector(t, "signature", s, ParseSignature)
	checkCommon(t, "signature", ParseSignature)
	checkVector(t, "signature that is none", Signature{Session: s.Session, Private: s.Private}, ParseSignature)
	checkRefused(t, "signature", ParseSignature, []refused{
		{"a size of more than there is", set16(2, 17), ErrLength},
		{"a huge size", set16(2, 0xffff), ErrLength},
	})
}

func FuzzSignature(f *testing.F) { fuzz(f, ParseSignature) }

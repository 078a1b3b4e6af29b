package wire

import "testing"

func TestWantedSignature(t *testing.T) {
	w := WantedSignature{Session: 0x0123456789abcdef, Receiver: 0xfedcba9876543210, Token: 0x99aabbccddeeff00}
	checkVector(t, "wanted signature", w, ParseWantedSignature)
	checkCommon(t, "wanted signature", ParseWantedSignature)
	checkTaken(t, "wanted signature", ParseWantedSignature, set16(2, 0xffff)) // reserved
}

func FuzzWantedSignature(f *testing.F) { fuzz(f, ParseWantedSignature) }

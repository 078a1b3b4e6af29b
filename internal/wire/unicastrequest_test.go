package wire

import (
	"bytes"
	"testing"
)

func TestUnicastRequest(t *testing.T) {
	u := UnicastRequest{Session: 0x0123456789abcdef, Receiver: 0xfedcba9876543210, Token: 0x1122334455667788, Wanted: true}
	checkVector(t, "unicast request", u, ParseUnicastRequest)
	checkCommon(t, "unicast request", ParseUnicastRequest)
	checkTaken(t, "unicast request", ParseUnicastRequest, set16(2, 0xffff)) // reserved
	end, err := ParseUnicastRequest(sealed(set16(2, 0xfffe)(bytes.Clone(vectors["unicast request"]))))
	if u.Wanted = false; err != nil || end != u {
		t.Errorf("%+v, %v", end, err)
	}
}

func FuzzUnicastRequest(f *testing.F) { fuzz(f, ParseUnicastRequest) }

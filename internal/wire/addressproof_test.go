package wire

import "testing"

func TestAddressProof(t *testing.T) {
	a := AddressProof{Session: 0x0123456789abcdef, Receiver: 0xfedcba9876543210, Proof: 0x1122334455667788, Digest: PrivateNumber(0x99).Digest(0xfedcba9876543210)}
	checkVector(t, "address proof", a, ParseAddressProof)
	checkCommon(t, "address proof", ParseAddressProof)
	checkTaken(t, "address proof", ParseAddressProof, set16(2, 0xffff)) // reserved
	if PrivateNumber(0).Digest(1) != 0 || PrivateNumber(1).Digest(1) == PrivateNumber(1).Digest(2) || PrivateNumber(1).Digest(1) == PrivateNumber(2).Digest(1) {
		t.Error("digests do not tell numbers or receivers apart")
	}
}

func FuzzAddressProof(f *testing.F) { fuzz(f, ParseAddressProof) }

package wire

import "testing"

func TestGoodbyeAck(t *testing.T) {
	var ids List[ReceiverID]
	ids = ids.Append(0xfedcba9876543210).Append(42)
	checkVector(t, "goodbye ack", GoodbyeAck{Session: 0x0123456789abcdef, Receivers: ids}, ParseGoodbyeAck)
	checkCommon(t, "goodbye ack", ParseGoodbyeAck)
	refusal := GoodbyeAck{Session: 0x0123456789abcdef, Receivers: List[ReceiverID]{}.Append(42), Refusal: true}
	checkVector(t, "refusal", refusal, ParseGoodbyeAck)
	checkCommon(t, "refusal", ParseGoodbyeAck)
	checkRefused(t, "goodbye ack", ParseGoodbyeAck, []refused{
		{"more entries than bytes", set16(2, 3), ErrLength},
		{"more entries than any", set16(2, 0xffff), ErrBounds},
	})
}

func FuzzGoodbyeAck(f *testing.F) { fuzz(f, ParseGoodbyeAck) }

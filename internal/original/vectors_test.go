package original

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// vectors are MXB 1 packets, written down by hand from the protocol's
// description and not printed by any program. Spaces part the fields: magic,
// op, size, block id; then the payload's.
var vectors = []struct {
	name   string
	hex    string
	packet []byte // what this package's own functions build
}{
	{
		"map request",
		"4d584250 0001 0000 00000000",
		packet(opMapRequest, 0, nil),
	},
	{
		"description of 1 byte",
		"4d584250 0002 0012 00000000 0000000000000001 00000400 00000001 61 00",
		description{1, 1024, 1, "a"}.packet(),
	},
	{
		"description of 100,000 bytes",
		"4d584250 0002 001b 00000000 00000000000186a0 00000400 00000062 64656269616e2e696d67 00",
		description{100000, 1024, 98, "debian.img"}.packet(),
	},
	{
		"description of a path, as the original server gives it",
		"4d584250 0002 0019 00000000 0000000000000400 00000400 00000001 2f7372762f782e69 00",
		description{1024, 1024, 1, "/srv/x.i"}.packet(),
	},
	{
		"description of 5 GiB, more than 32 bits of bytes",
		"4d584250 0002 0014 00000000 0000000140000000 00000400 00500000 622e69 00",
		description{5 << 30, 1024, 5 << 20, "b.i"}.packet(),
	},
	{
		"description of 4 TiB less a block, the largest",
		"4d584250 0002 0012 00000000 000003fffffffc00 00000400 ffffffff 7a 00",
		description{4<<40 - 1024, 1024, 1<<32 - 1, "z"}.packet(),
	},
	{
		"description of the largest size that an original client takes, 2047",
		"4d584250 0002 07ff 00000000 0000000000000001 00000400 00000001 " + strings.Repeat("6e", 2030) + " 00",
		description{1, 1024, 1, strings.Repeat("n", 2030)}.packet(),
	},
	{
		"block request of an original client: all of 98 blocks, and one past the end",
		"4d584250 0003 0008 00000000 00000000 00000062",
		blockRequest(0, 98),
	},
	{
		"block request of one block",
		"4d584250 0003 0008 00000000 00000061 00000061",
		blockRequest(97, 97),
	},
	{
		"block request of every byte's place",
		"4d584250 0003 0008 00000000 01020304 a0b0c0d0",
		blockRequest(0x01020304, 0xa0b0c0d0),
	},
	{
		"block of 1024 bytes",
		"4d584250 0004 0400 00010203 " + strings.Repeat("a5", 1024),
		packet(opBlock, 0x010203, bytes.Repeat([]byte{0xa5}, 1024)),
	},
	{
		"last block, short",
		"4d584250 0004 0005 00000061 68656c6c6f",
		packet(opBlock, 97, []byte("hello")),
	},
	{
		"empty block one past the end, of an original server only",
		"4d584250 0004 0000 00000062",
		packet(opBlock, 98, nil),
	},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.ReplaceAll(v.hex, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(v.packet, want) {
				t.Fatalf("built\n%x, want\n%x", v.packet, want)
			}
			h, ok := readHeader(want)
			if !ok || int(h.size) != len(want)-headerSize {
				t.Fatalf("read header %+v, %v of %d bytes", h, ok, len(want))
			}
			var again []byte
			switch payload := want[headerSize:]; h.op {
			case opDescription:
				d, ok := readDescription(payload)
				if !ok {
					t.Fatal("description not read")
				}
				again = d.packet()
			case opBlockRequest:
				first, last, ok := readBlockRequest(payload)
				if !ok {
					t.Fatal("block request not read")
				}
				again = blockRequest(first, last)
			default:
				again = packet(h.op, h.blockID, payload)
			}
			if !bytes.Equal(again, want) {
				t.Errorf("read and built again\n%x, want\n%x", again, want)
			}
		})
	}
}

// FuzzRead holds that no datagram makes a reader panic, and that what is read
// of it survives being built and read again.
func FuzzRead(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.packet)
	}
	f.Add([]byte(nil))
	f.Add([]byte("MXBP"))
	f.Add(vectors[1].packet[:headerSize+descriptionFixed-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := readHeader(b)
		if !ok {
			return
		}
		if again, ok := readHeader(packet(h.op, h.blockID, b[headerSize:])); !ok || again.op != h.op || again.blockID != h.blockID {
			t.Errorf("header %+v became %+v", h, again)
		}
		if d, ok := readDescription(b[headerSize:]); ok {
			if again, ok := readDescription(d.packet()[headerSize:]); !ok || again != d {
				t.Errorf("description %+v became %+v", d, again)
			}
		}
		if first, last, ok := readBlockRequest(b[headerSize:]); ok {
			if !bytes.Equal(blockRequest(first, last)[headerSize:], b[headerSize:headerSize+8]) {
				t.Errorf("block request %d..%d is not %x", first, last, b[headerSize:])
			}
		}
	})
}

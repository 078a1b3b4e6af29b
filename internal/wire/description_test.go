package wire

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"multiserver/internal/block"
	"multiserver/internal/format"
)

func testDescription() Description {
	d := Description{
		Session:        0x0123456789abcdef,
		Receiver:       0xfedcba9876543210,
		Token:          0x1122334455667788,
		Codecs:         1,
		Geometry:       block.Geometry{ImageSize: 4 << 30, BlockSize: 1 << 20},
		Data:           netip.MustParseAddrPort("239.255.17.42:16001"),
		SymbolSize:     1444,
		Completion:     Completion{ManifestSize: 131636},
		ReportInterval: 250 * time.Millisecond,
		Receivers:      30,
		SectorSize:     512,
		FileName:       []byte("debian.img"),
	}
	for i := range d.Identity {
		d.Identity[i] = byte(0xa0 + i)
	}
	for i := range d.Completion.ImageDigest {
		d.Completion.ImageDigest[i] = byte(0xc0 + i)
	}
	return d
}

// testAnnouncement has an IPv6 group and is of an image that was not yet read.
func testAnnouncement() Description {
	d := testDescription()
	d.Receiver, d.Token, d.Completion = 0, 0, Completion{}
	d.Data = netip.MustParseAddrPort("[ff15::1234]:16001")
	d.SymbolSize, d.SectorSize = 1424, 4096
	return d
}

// testQcow2 is of an image that is no disk as it is.
func testQcow2() Description {
	d := testDescription()
	d.FileName, d.SectorSize, d.Format = []byte("debian.qcow2"), 0, format.Qcow2
	return d
}

// testPartitioned is of an image whose last 33 MiB are in no partition.
func testPartitioned() Description {
	d := testDescription()
	d.LeastDiskSize = 4<<30 - 33<<20
	return d
}

// testAnswer is the description as an answer to an offer.
func testAnswer() Description {
	d := testDescription()
	d.Answer = Answer{
		Given: true, State: SenderStalled, Sequence: 3000000, Private: 0x99aabbccddeeff00, Source: netip.MustParseAddr("10.9.0.1"),
	}
	return d
}

// testNotice is the answer to a receiver whose address another machine has too.
func testNotice() Description {
	d := testAnswer()
	d.Answer.Notice, d.Answer.OtherName = SharedAddress, []byte("pc08")
	return d
}

func TestDescription(t *testing.T) {
	proof := testAnswer()
	proof.Answer.Notice, proof.Answer.OtherName, proof.Answer.Proof = NumberTaken, []byte{}, 0x99aabbccddeeff01
	checkVector(t, "answer with a proof", proof, ParseDescription)
	checkCommon(t, "answer with a proof", ParseDescription)
	whole := vectors["answer with a proof"]
	if got, err := ParseDescription(sealed(bytes.Clone(whole[:len(whole)-1]))); err != nil || got.Answer.Proof != 0 || got.Answer.Notice != NumberTaken {
		t.Errorf("a proof that is cut short: %+v, %v", got.Answer, err)
	}
	checkVector(t, "answer with a notice", testNotice(), ParseDescription)
	const noticeAt = descriptionSize + 10 + 9 + answerSize
	checkRefused(t, "answer with a notice", ParseDescription, []refused{
		{"other machine's name of controls", set8(noticeAt+2, '\n'), ErrBounds},
	})
	checkVector(t, "answer", testAnswer(), ParseDescription)
	checkCommon(t, "answer", ParseDescription)
	const answerAt = descriptionSize + 10 + 1 + 8
	checkRefused(t, "answer", ParseDescription, []refused{
		{"sequence", set64(answerAt+1, uint64(MaxSequence)+1), ErrBounds},
		{"source is a group", set32(answerAt+29, 0xe0000001), ErrBounds},
	})
	checkVector(t, "description", testDescription(), ParseDescription)
	checkVector(t, "description of a qcow2 disk", testQcow2(), ParseDescription)
	checkVector(t, "description of a partitioned disk", testPartitioned(), ParseDescription)
	checkVector(t, "announcement", testAnnouncement(), ParseDescription)
	checkCommon(t, "description", ParseDescription)
	checkRefused(t, "description", ParseDescription, []refused{
		{"no image", set64(32, 0), ErrBounds},
		{"image over the limit", set64(32, block.MaxBlockCount<<20+1), ErrBounds},
		{"image of all ones", set64(32, 1<<64-1), ErrBounds},
		{"group is unicast", set32(68, 0x0a000001), ErrBounds},
		{"group is broadcast", set32(68, 0xffffffff), ErrBounds},
		{"port 0", set16(72, 0), ErrBounds},
		{"symbol size 0", set16(symbolSizeAt, 0), ErrBounds},
		{"symbol size over the limit", set16(symbolSizeAt, block.MaxSymbolSize+1), ErrBounds},
		{"block size 0", set32(76, 0), ErrBounds},
		{"block size no power of two", set32(76, 1<<20+1), ErrBounds},
		{"block size over the limit", set32(76, 1<<31), ErrBounds},
		{"manifest over 64 bytes a block", set64(completionAt, 64*4097+1), ErrBounds},
		{"interval 0", set32(reportIntervalAt, 0), ErrBounds},
		{"interval below a tenth of a second", set32(reportIntervalAt, 99_999), ErrBounds},
		{"interval over a minute", set32(reportIntervalAt, 60_000_001), ErrBounds},
		{"name too short", set8(descriptionNameAt, 11), ErrLength},
		{"name with a folder", set8(descriptionSize+3, '/'), ErrBounds},
		{"name with an escape", set8(descriptionSize+3, 0x1b), ErrBounds},
		{"name ..", func(b []byte) []byte { b[descriptionNameAt] = 2; copy(b[descriptionSize:], ".."); return b }, ErrBounds},
		{"too long", func(b []byte) []byte { return append(b, make([]byte, MaxControlSize)...) }, ErrLength},
	})
	// Blocks that no 16 bits of K could count the symbols of.
	checkRefused(t, "description", ParseDescription, []refused{
		{"K over 65535", func(b []byte) []byte { return set16(symbolSizeAt, 64)(set32(76, 16<<20)(b)) }, ErrBounds},
	})
}

func TestDescriptionWithoutMulticast(t *testing.T) {
	d := testDescription()
	d.Data = netip.AddrPort{}
	got, err := ParseDescription(d.AppendTo(nil))
	if err != nil || got.Data.IsValid() {
		t.Errorf("%v, %v", got.Data, err)
	}
}

// TestSectorSizeUnknown: what a later version may say is no reason to refuse its stream.
func TestSectorSizeUnknown(t *testing.T) {
	for log := range 256 {
		b := sealed(set8(sectorSizeAt, uint8(log))(bytes.Clone(vectors["description"])))
		want := map[int]uint32{9: 512, 12: 4096}[log]
		if got, err := ParseDescription(b); err != nil || got.SectorSize != want {
			t.Errorf("%d: sectors of %d, %v; want %d", log, got.SectorSize, err, want)
		}
	}
	d := testDescription()
	d.SectorSize = 2048
	if !panics(func() { d.AppendTo(nil) }) {
		t.Error("a size that no packet can tell is sent")
	}
}

// TestFormatUnknown: a format of a later version is kept if its number says that the image is no
// disk, and nothing otherwise.
func TestFormatUnknown(t *testing.T) {
	for n := range 256 {
		b := sealed(append(bytes.Clone(vectors["description"]), byte(n)))
		if got, err := ParseDescription(b); err != nil || got.Format != format.Numbered(uint8(n)) {
			t.Errorf("%#x: %#x, %v", n, uint8(got.Format), err)
		}
	}
}

// TestLeastDiskSize: no disk needs more than the image has, and a disk may be told of that is also in
// another format.
func TestLeastDiskSize(t *testing.T) {
	d := testQcow2()
	d.LeastDiskSize = d.Geometry.ImageSize
	b := d.AppendTo(nil)
	if got, err := ParseDescription(b); err != nil || got.LeastDiskSize != d.LeastDiskSize || got.Format != d.Format {
		t.Errorf("%d, %v, %v", got.LeastDiskSize, got.Format, err)
	}
	b[len(b)-1]++
	if got, err := ParseDescription(sealed(b)); err != nil || got.LeastDiskSize != 0 {
		t.Errorf("more than the image: %d, %v", got.LeastDiskSize, err)
	}
	d.LeastDiskSize++
	if !panics(func() { d.AppendTo(nil) }) {
		t.Error("more than the image is sent")
	}
}

func TestLongestDescription(t *testing.T) {
	d := testDescription()
	d.FileName = FileName(strings.Repeat("a", 999))
	if got, err := ParseDescription(d.AppendTo(nil)); err != nil || len(got.FileName) != MaxText {
		t.Errorf("%d bytes of name, %v", len(got.FileName), err)
	}
	d.FileName = []byte("/etc/passwd")
	if !panics(func() { d.AppendTo(nil) }) {
		t.Error("a name with folders is sent")
	}
}

func FuzzDescription(f *testing.F) { fuzz(f, ParseDescription) }

// TestNoticeNotKnown: a notice that is cut short, or of a later version, is none.
func TestNoticeNotKnown(t *testing.T) {
	whole := vectors["answer with a notice"]
	for cut := 1; cut <= 6; cut++ {
		if got, err := ParseDescription(sealed(bytes.Clone(whole[:len(whole)-cut]))); err != nil || !got.Answer.Given || got.Answer.Notice != NoNotice {
			t.Errorf("%d bytes less: %+v, %v", cut, got.Answer, err)
		}
	}
	if got, err := ParseDescription(sealed(set8(len(whole)-6, 3)(bytes.Clone(whole)))); err != nil || got.Answer.Notice != NoNotice {
		t.Errorf("another number: %+v, %v", got.Answer, err)
	}
	d := testNotice()
	d.Answer.Notice = NoNotice
	if !panics(func() { d.AppendTo(nil) }) {
		t.Error("a name without a notice is sent")
	}
}

// TestAnswerCut: a description whose answer is cut short is one of an earlier version.
func TestAnswerCut(t *testing.T) {
	whole := vectors["answer"]
	for cut := 1; cut <= answerSize; cut++ {
		got, err := ParseDescription(sealed(bytes.Clone(whole[:len(whole)-cut])))
		if err != nil || got.Answer.Given {
			t.Errorf("%d bytes less: %+v, %v", cut, got.Answer, err)
		}
	}
	d := testAnswer()
	d.Answer.Source = netip.Addr{}
	if got, err := ParseDescription(d.AppendTo(nil)); err != nil || got.Answer.Source.IsValid() {
		t.Errorf("no source: %v, %v", got.Answer.Source, err)
	}
}

package packed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/zeebo/blake3"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/failure"
)

// Numbers of the format.
const (
	// skippableHeader is the magic number and the size of a frame that zstd programs skip.
	skippableHeader = 8

	headerFrame    = 0x184D2A50
	manifestFrame  = 0x184D2A51
	indexFrame     = 0x184D2A52
	signatureFrame = 0x184D2A53
	seekTableFrame = 0x184D2A5E

	headerMagic    = "MXBP"
	indexMagic     = "MXBI"
	signatureMagic = "MXBS"
	seekTableMagic = 0x8F92EAB1

	version   = 1
	codecZstd = 1

	headerSize    = 512  // bytes of the header's frame
	signatureSize = 4096 // bytes of the slot's frame
	nameAt        = 24   // in the header's contents
	maxName       = 255
	slotHead      = 12 // of the slot's contents, before the signature
	slotSum       = 4  // behind it
	// maxSignature is what the slot holds.
	maxSignature = signatureSize - skippableHeader - slotHead - slotSum

	indexHead   = 52 // of the index's contents, before the entries
	indexEntry  = 8
	seekEntry   = 8
	seekFooter  = 9
	ownFrames   = 4 // header, manifest, index and signature
	tailEntries = 3 // those behind the data
)

// indexContext keeps the index's digest apart from all others.
const indexContext = "multiserver 2026 packed index v1"

var (
	// ErrNotPacked: the file does not begin as a packed image does.
	ErrNotPacked = errors.New("not a packed image")
	// ErrVersion: made by a later version of the format.
	ErrVersion = errors.New("packed by a later version of multiserver: take that to read it")
	// ErrDamaged: the file is not as it was written.
	ErrDamaged error = failure.New(failure.ErrIntegrity, "damaged: pack the image again")
)

func damaged(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrDamaged)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is that of a stored frame, against a disk that forgets.
func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// appendSkippable appends the head of a frame of ours; size bytes follow.
func appendSkippable(dst []byte, magic, size uint32) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	return binary.LittleEndian.AppendUint32(dst, size)
}

// contentsOf is what a frame of ours holds. b is the frame and nothing else.
func contentsOf(b []byte, magic uint32) ([]byte, bool) {
	if len(b) < skippableHeader || binary.LittleEndian.Uint32(b) != magic ||
		uint64(binary.LittleEndian.Uint32(b[4:])) != uint64(len(b)-skippableHeader) {
		return nil, false
	}
	return b[skippableHeader:], true
}

// header is what the file begins with.
type header struct {
	geometry block.Geometry
	level    codec.Level
	name     string
}

func (h header) append(dst []byte) []byte {
	start := len(dst)
	dst = appendSkippable(dst, headerFrame, headerSize-skippableHeader)
	dst = append(dst, headerMagic...)
	dst = append(dst, version, codecZstd, byte(h.level), 0)
	dst = binary.BigEndian.AppendUint64(dst, h.geometry.ImageSize)
	dst = binary.BigEndian.AppendUint32(dst, h.geometry.BlockSize)
	dst = append(dst, byte(len(h.name)), 0, 0, 0)
	dst = append(dst, h.name...)
	return append(dst, make([]byte, headerSize-(len(dst)-start))...)
}

// IsPacked reports whether a file that begins with head, at least HeadSize bytes, is a packed
// image, of whatever version.
func IsPacked(head []byte) bool {
	return len(head) >= HeadSize && binary.LittleEndian.Uint32(head) == headerFrame && string(head[skippableHeader:HeadSize]) == headerMagic
}

// HeadSize is how many bytes IsPacked looks at.
const HeadSize = skippableHeader + 4

// parseHeader parses the header's frame; its digest stands in the index.
func parseHeader(b []byte) (header, error) {
	if !IsPacked(b) {
		return header{}, ErrNotPacked
	}
	if b[HeadSize] != version || b[HeadSize+1] != codecZstd {
		return header{}, fmt.Errorf("version %d, codec %d: %w", b[HeadSize], b[HeadSize+1], ErrVersion)
	}
	c, ok := contentsOf(b, headerFrame)
	if !ok || len(b) != headerSize {
		return header{}, damaged("its header has another size")
	}
	h := header{
		level:    codec.Level(c[6]),
		geometry: block.Geometry{ImageSize: binary.BigEndian.Uint64(c[8:]), BlockSize: binary.BigEndian.Uint32(c[16:])},
		name:     string(c[nameAt : nameAt+int(c[20])]),
	}
	if err := h.geometry.Validate(); err != nil {
		return header{}, damaged("%v", err)
	}
	if err := checkName(h.name); err != nil {
		return header{}, damaged("%v", err)
	}
	return h, nil
}

// stored is a data frame as the index knows it.
type stored struct {
	size uint32
	sum  uint32
}

// index is what stands behind the manifest.
type index struct {
	image  codec.Digest
	frames []stored // of the blocks that are not zeros, in order
	unused []byte   // a bit for each block of zeros; nil: nobody looked
}

// append appends the index's frame. head is the header's frame, and manifest the manifest.
func (x index) append(dst, head []byte, manifest *codec.Manifest) []byte {
	start := len(dst)
	dst = appendSkippable(dst, indexFrame, uint32(x.frameSize()-skippableHeader))
	dst = append(dst, indexMagic...)
	dst = append(dst, version, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(x.frames)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(x.unused)))
	dst = append(dst, x.image[:]...)
	dst = append(dst, 0, 0, 0, 0)
	for _, f := range x.frames {
		dst = binary.BigEndian.AppendUint32(dst, f.size)
		dst = binary.BigEndian.AppendUint32(dst, f.sum)
	}
	dst = append(dst, x.unused...)
	sum := indexDigest(head, manifest, dst[start:])
	return append(dst, sum[:]...)
}

func (x index) frameSize() int { return indexFrameSize(len(x.frames), len(x.unused)) }

func indexFrameSize(frames, unused int) int {
	return skippableHeader + indexHead + frames*indexEntry + unused + codec.DigestSize
}

// indexDigest binds index, its frame without the digest, to the file's header and manifest.
func indexDigest(head []byte, manifest *codec.Manifest, index []byte) (sum codec.Digest) {
	m := manifest.Bytes()
	h := blake3.NewDeriveKey(indexContext)
	h.Write(head)
	h.Write(m[len(m)-codec.DigestSize:])
	h.Write(index)
	h.Sum(sum[:0])
	return sum
}

// maxStored bounds the frame of a block: what zstd makes of random bytes, and more.
func maxStored(blockSize uint32) uint32 { return blockSize + blockSize/256 + 64 }

// parseIndex parses the index's frame b of a file with that header and manifest, in which frames
// blocks are not zeros and zeros blocks are.
func parseIndex(b, head []byte, g block.Geometry, manifest *codec.Manifest, frames, zeros int) (index, error) {
	c, ok := contentsOf(b, indexFrame)
	if !ok || len(c) < indexHead+codec.DigestSize || string(c[:4]) != indexMagic {
		return index{}, damaged("its index is malformed")
	}
	if sum := indexDigest(head, manifest, b[:len(b)-codec.DigestSize]); sum != codec.Digest(b[len(b)-codec.DigestSize:]) {
		return index{}, damaged("its index has another digest")
	}
	if c[4] != version {
		return index{}, fmt.Errorf("index of version %d: %w", c[4], ErrVersion)
	}
	n, unused := binary.BigEndian.Uint32(c[8:]), binary.BigEndian.Uint32(c[12:])
	if uint64(n) != uint64(frames) || unused != 0 && uint64(unused) != uint64(zeros+7)/8 || len(b) != indexFrameSize(frames, int(unused)) {
		return index{}, damaged("its index does not fit its manifest")
	}
	x := index{image: codec.Digest(c[16:48]), frames: make([]stored, n)}
	c = c[indexHead:]
	for i := range x.frames {
		x.frames[i] = stored{binary.BigEndian.Uint32(c[i*indexEntry:]), binary.BigEndian.Uint32(c[i*indexEntry+4:])}
		if x.frames[i].size > maxStored(g.BlockSize) {
			return index{}, damaged("its index has a frame of %d bytes", x.frames[i].size)
		}
	}
	if unused > 0 {
		x.unused = c[frames*indexEntry:][:unused:unused]
		if zeros%8 != 0 && x.unused[unused-1]>>(zeros%8) != 0 {
			return index{}, damaged("its map of unused blocks has more than there are")
		}
	}
	return x, nil
}

// Signature is what the slot holds: nothing if Kind is 0.
type Signature struct {
	Kind  uint8
	Bytes []byte
}

func (g Signature) append(dst []byte) []byte {
	start := len(dst) + skippableHeader
	dst = appendSkippable(dst, signatureFrame, signatureSize-skippableHeader)
	dst = append(dst, signatureMagic...)
	dst = append(dst, g.Kind, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(g.Bytes)))
	dst = append(dst, g.Bytes...)
	dst = append(dst, make([]byte, maxSignature-len(g.Bytes))...)
	return binary.BigEndian.AppendUint32(dst, checksum(dst[start:]))
}

func parseSignature(b []byte) (Signature, error) {
	c, ok := contentsOf(b, signatureFrame)
	if !ok || len(b) != signatureSize || string(c[:4]) != signatureMagic ||
		checksum(c[:len(c)-slotSum]) != binary.BigEndian.Uint32(c[len(c)-slotSum:]) {
		return Signature{}, damaged("its slot for a signature is malformed")
	}
	size := binary.BigEndian.Uint32(c[8:])
	if size > maxSignature || (c[4] == 0) != (size == 0) || !codec.IsZero(c[slotHead+size:len(c)-slotSum]) {
		return Signature{}, damaged("its slot for a signature is malformed")
	}
	return Signature{c[4], c[slotHead:][:size:size]}, nil
}

// seekTable is zstd's, of which one entry is 4 bytes of stored size and 4 of plain size.
type seekTable struct {
	entries []byte
	count   uint32
}

func (t *seekTable) add(storedSize, plainSize uint64) {
	t.entries = binary.LittleEndian.AppendUint32(t.entries, uint32(storedSize))
	t.entries = binary.LittleEndian.AppendUint32(t.entries, uint32(plainSize))
	t.count++
}

// append appends the seek table's frame.
func (t *seekTable) append(dst []byte) []byte {
	dst = appendSkippable(dst, seekTableFrame, uint32(len(t.entries)+seekFooter))
	dst = append(dst, t.entries...)
	dst = binary.LittleEndian.AppendUint32(dst, t.count)
	dst = append(dst, 0) // no checksums of single frames: those of the index are better
	return binary.LittleEndian.AppendUint32(dst, seekTableMagic)
}

// run is the count of blocks that a frame of zeros may hold.
func run(g block.Geometry) uint32 { return codec.MaxZeroFrame / g.BlockSize }

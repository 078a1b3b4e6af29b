package packed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/image"
	"multiserver/internal/quote"
)

// file is what an Image reads: image.File.
type file interface {
	io.ReaderAt
	io.Closer
	Size() uint64
	String() string
	Changed() error
}

// Image is a packed image that was opened. Several goroutines may use it at once. It is an
// image.Source of the plain bytes.
type Image struct {
	file     file
	header   header
	manifest *codec.Manifest
	index    index
	frames   []frame
	sign     Signature
	slotAt   uint64 // of the signature, in the file
	packed   uint64 // bytes of the file

	mu     sync.Mutex // guards recent
	recent []plainBlock
	// decoders are spare ones. Not more are kept than were in use at once.
	decoders sync.Pool
}

// frame is a data frame, of one block or of a run of zeros.
type frame struct {
	first block.ID
	zero  bool
	size  uint32
	sum   uint32 // if not zero
	at    uint64 // in the file
}

// plainBlock is a block that was decoded lately: MXB 1 reads each in many parts.
type plainBlock struct {
	id    block.ID
	bytes []byte
}

// recentBlocks is how many of them are kept.
const recentBlocks = 4

// Open opens the packed image at path. The error wraps ErrNotPacked, ErrVersion or ErrDamaged if
// the file is none that can be read.
func Open(path string) (*Image, error) {
	f, err := image.Open(path)
	if err != nil {
		return nil, err
	}
	return openOrClose(f)
}

// OpenSource opens what is to be served: a regular file that is a packed image is that, and
// everything else the image itself. A disk that begins like a packed image is a disk.
func OpenSource(path string) (image.Source, error) {
	f, err := image.Open(path)
	if err != nil {
		return nil, err
	}
	if f.IsDevice() || f.Size() < HeadSize {
		return f, nil
	}
	head := make([]byte, HeadSize)
	if _, err := f.ReadAt(head, 0); err != nil {
		f.Close()
		return nil, err
	}
	if !IsPacked(head) {
		return f, nil
	}
	m, err := openOrClose(f)
	if err != nil {
		return nil, err // and no *Image that is nil
	}
	return m, nil
}

func openOrClose(f file) (*Image, error) {
	m, err := open(f)
	if err != nil {
		f.Close()
	}
	return m, err
}

func open(f file) (*Image, error) {
	m := &Image{file: f, packed: f.Size()}
	if err := m.parse(); err != nil {
		return nil, fmt.Errorf("packed image %s: %w", f, err)
	}
	return m, nil
}

// parse reads all but the data. What it allocates for a claim is never more than the file's size.
func (m *Image) parse() error {
	size := m.packed
	if size < headerSize+signatureSize+skippableHeader+seekFooter {
		return m.tooShort()
	}
	head, err := m.read(0, headerSize)
	if err != nil {
		return err
	}
	if m.header, err = parseHeader(head); err != nil {
		return err
	}
	g := m.header.geometry

	end, err := m.read(size-seekFooter, seekFooter)
	if err != nil {
		return err
	}
	count := uint64(binary.LittleEndian.Uint32(end))
	tableSize := skippableHeader + count*seekEntry + seekFooter
	if binary.LittleEndian.Uint32(end[5:]) != seekTableMagic || end[4] != 0 || count < ownFrames || tableSize > size-headerSize {
		return damaged("its end is missing")
	}
	table, err := m.read(size-tableSize, int(tableSize))
	if err != nil {
		return err
	}
	// The last entries say where manifest, index and signature are. That they are right shows
	// once the whole table is made again.
	var sizes [tailEntries]uint64
	tail := uint64(0)
	for i := range sizes {
		at := skippableHeader + (count-tailEntries+uint64(i))*seekEntry
		sizes[i] = uint64(binary.LittleEndian.Uint32(table[at:]))
		tail += sizes[i]
	}
	if tail > size-tableSize-headerSize || sizes[0] > codec.MaxManifestSize(g)+skippableHeader {
		return damaged("its seek table does not fit")
	}
	at := size - tableSize - tail
	data := at // where the data frames end
	parts := make([][]byte, tailEntries)
	for i := range parts {
		if parts[i], err = m.read(at, int(sizes[i])); err != nil {
			return err
		}
		at += sizes[i]
	}
	m.slotAt = at - sizes[tailEntries-1]
	contents, ok := contentsOf(parts[0], manifestFrame)
	if !ok {
		return damaged("its manifest is malformed")
	}
	if m.manifest, err = codec.ParseManifest(contents, g); err != nil {
		if errors.Is(err, codec.ErrVersion) {
			return fmt.Errorf("%w: %w", err, ErrVersion)
		}
		return fmt.Errorf("%w: %w", err, ErrDamaged)
	}
	zeros := 0
	for id := range block.ID(g.BlockCount()) {
		if m.manifest.IsZeroBlock(id) {
			zeros++
		}
	}
	if m.index, err = parseIndex(parts[1], head, g, m.manifest, int(g.BlockCount())-zeros, zeros); err != nil {
		return err
	}
	if m.sign, err = parseSignature(parts[2]); err != nil {
		return err
	}
	if m.index.image != m.manifest.ImageDigest() {
		return damaged("its image digest is not that of its manifest")
	}
	remade, end64 := m.layOut(sizes)
	if end64 != data || !bytes.Equal(remade, table) {
		return damaged("its seek table is not that of its index")
	}
	m.index.frames = nil // they are in m.frames
	return nil
}

func (m *Image) tooShort() error {
	head, err := m.read(0, int(min(m.packed, HeadSize)))
	if err != nil {
		return err
	}
	if !IsPacked(head) {
		return ErrNotPacked
	}
	return damaged("it is cut")
}

func (m *Image) read(at uint64, size int) ([]byte, error) {
	b := make([]byte, size)
	if n, err := m.file.ReadAt(b, int64(at)); n < size {
		return nil, err
	}
	return b, nil
}

// layOut finds each data frame by manifest and index, and returns the seek table that the file
// must have, and where the data ends.
func (m *Image) layOut(tail [tailEntries]uint64) (table []byte, end uint64) {
	g, at, next := m.header.geometry, uint64(headerSize), 0
	seek := seekTable{entries: make([]byte, 0, seekEntry*(len(m.index.frames)+ownFrames))}
	seek.add(headerSize, 0)
	forEachFrame(g, m.manifest.IsZeroBlock, func(first block.ID, blocks uint32, zero bool) {
		f, plain := frame{first: first, zero: zero, at: at}, plainSize(g, first, blocks)
		if zero {
			f.size = uint32(codec.ZeroFrameSize(plain))
		} else {
			f.size, f.sum = m.index.frames[next].size, m.index.frames[next].sum
			next++
		}
		m.frames = append(m.frames, f)
		seek.add(uint64(f.size), plain)
		at += uint64(f.size)
	})
	for _, size := range tail {
		seek.add(size, 0)
	}
	return seek.append(nil), at
}

// forEachFrame calls each with the data frames in order: one block that is not zeros, or a run
// of blocks of zeros.
func forEachFrame(g block.Geometry, isZero func(block.ID) bool, each func(first block.ID, blocks uint32, zero bool)) {
	for id, n := uint32(0), g.BlockCount(); id < n; {
		blocks := uint32(1)
		zero := isZero(block.ID(id))
		for zero && blocks < run(g) && id+blocks < n && isZero(block.ID(id+blocks)) {
			blocks++
		}
		each(block.ID(id), blocks, zero)
		id += blocks
	}
}

// plainSize is the plain bytes of blocks from first on.
func plainSize(g block.Geometry, first block.ID, blocks uint32) uint64 {
	return min(uint64(blocks)*uint64(g.BlockSize), g.ImageSize-g.Offset(first))
}

// find is the frame that holds block id.
func (m *Image) find(id block.ID) frame {
	n, exact := slices.BinarySearchFunc(m.frames, id, func(f frame, id block.ID) int { return int(int64(f.first) - int64(id)) })
	if !exact {
		n--
	}
	return m.frames[n]
}

// FrameSize is the bytes of the stored frame of block id, which is not zeros.
func (m *Image) FrameSize(id block.ID) int { return int(m.find(id).size) }

// AppendFrame appends the stored frame of block id, which is not zeros, to dst, and has checked it.
func (m *Image) AppendFrame(dst []byte, id block.ID) ([]byte, error) {
	f := m.find(id)
	if f.zero {
		panic(fmt.Sprintf("packed: block %d is zeros", id))
	}
	start := len(dst)
	dst = slices.Grow(dst, int(f.size))[:start+int(f.size)]
	if n, err := m.file.ReadAt(dst[start:], int64(f.at)); n < int(f.size) {
		return nil, err
	}
	if checksum(dst[start:]) != f.sum {
		return nil, m.damagedAt(id, f)
	}
	return dst, nil
}

func (m *Image) damagedAt(id block.ID, f frame) error {
	return fmt.Errorf("packed image %s: block %d, at offset %d of the file: %w", m.file, id, f.at, ErrDamaged)
}

// plain returns block id, of which nobody changes the bytes.
func (m *Image) plain(id block.ID) ([]byte, error) {
	m.mu.Lock()
	for i := range m.recent {
		if m.recent[i].id == id {
			b := m.recent[i].bytes
			m.mu.Unlock()
			return b, nil
		}
	}
	m.mu.Unlock()
	b, err := m.decode(make([]byte, 0, m.header.geometry.Size(id)), id)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.recent) >= recentBlocks {
		m.recent = append(m.recent[:0], m.recent[1:]...)
	}
	m.recent = append(m.recent, plainBlock{id, b})
	return b, nil
}

// decode decodes block id, which is not zeros, into dst if that has room.
func (m *Image) decode(dst []byte, id block.ID) ([]byte, error) {
	d, ok := m.decoders.Get().(*decoder)
	if !ok {
		d = &decoder{codec.NewZstdDecoder(true), nil}
	}
	defer m.decoders.Put(d)
	var err error
	if d.frame, err = m.AppendFrame(d.frame[:0], id); err != nil {
		return nil, err
	}
	plain, err := d.zstd.Decode(dst, d.frame, m.header.geometry.Size(id))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, m.damagedAt(id, m.find(id)))
	}
	return plain, nil
}

type decoder struct {
	zstd  *codec.ZstdDecoder
	frame []byte
}

// Size is the image's, in plain bytes.
func (m *Image) Size() uint64 { return m.header.geometry.ImageSize }

// PackedSize is the file's, in bytes.
func (m *Image) PackedSize() uint64 { return m.packed }

// Name is what the image was called when it was packed.
func (m *Image) Name() string { return m.header.name }

// String is the packed file's path.
func (m *Image) String() string { return m.file.String() }

// Manifest is the image's: all digests are known from the start.
func (m *Image) Manifest() *codec.Manifest { return m.manifest }

// ReadAt is io.ReaderAt over the plain bytes.
func (m *Image) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read packed image %s: offset %d is negative", m, off)
	}
	size := m.Size()
	if uint64(off) >= size {
		return 0, io.EOF
	}
	left := p[:min(uint64(len(p)), size-uint64(off))]
	done := 0
	for done < len(left) {
		n, err := m.readWithin(left[done:], uint64(off)+uint64(done))
		if err != nil {
			return done, err
		}
		done += n
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// readWithin fills p, or as much of it as one block holds.
func (m *Image) readWithin(p []byte, off uint64) (int, error) {
	g := m.header.geometry
	id, within := g.Find(off)
	size := g.Size(id)
	n := min(len(p), size-within)
	if m.manifest.IsZeroBlock(id) {
		clear(p[:n])
		return n, nil
	}
	if n == size { // as most readers take it: no copy is kept
		_, err := m.decode(p[:0:n], id)
		return n, err
	}
	plain, err := m.plain(id)
	return copy(p[:n], plain[min(within, len(plain)):]), err
}

// ReadScattered is image.Source's.
func (m *Image) ReadScattered(slots [][]byte, off uint64) error {
	for _, slot := range slots {
		if left := m.Size() - min(off, m.Size()); uint64(len(slot)) > left {
			return fmt.Errorf("read packed image %s at offset %d: %d bytes go beyond its end at %d", m, off, len(slot), m.Size())
		}
		if n, err := m.ReadAt(slot, int64(off)); n < len(slot) {
			return err
		}
		off += uint64(len(slot))
	}
	return nil
}

// IsHole reports whether the bytes from off on are blocks of zeros.
func (m *Image) IsHole(off, length uint64) bool {
	if length == 0 || off >= m.Size() || length > m.Size()-off {
		return false
	}
	g := m.header.geometry
	last, _ := g.Find(off + length - 1)
	for id, _ := g.Find(off); id <= last; id++ {
		if !m.manifest.IsZeroBlock(id) {
			return false
		}
	}
	return true
}

// Identity is the image's digest: equal identities are equal bytes, wherever they lie.
func (m *Image) Identity() (string, error) {
	return fmt.Sprintf("packed %d %v", m.Size(), m.index.image), nil
}

// Changed reports whether the packed file is not any more what it was.
func (m *Image) Changed() error { return m.file.Changed() }

// CacheKey is "": the manifest is known.
func (m *Image) CacheKey() string { return "" }

// Close closes the file.
func (m *Image) Close() error { return m.file.Close() }

// Info is what a packed image tells of itself.
type Info struct {
	Name        string
	SizeBytes   uint64 // of the image
	PackedBytes uint64 // of the file
	BlockSize   uint32 // bytes
	Blocks      uint32
	ZeroBlocks  uint32
	// UnusedBlocks are blocks of zeros that no file system uses; UnusedKnown says that whoever
	// packed the image looked.
	UnusedBlocks uint32
	UnusedKnown  bool
	Level        string
	ImageDigest  string
	Signature    Signature
}

// Info returns it.
func (m *Image) Info() Info {
	g := m.header.geometry
	i := Info{
		Name: m.header.name, SizeBytes: g.ImageSize, PackedBytes: m.packed, BlockSize: g.BlockSize, Blocks: g.BlockCount(),
		Level: m.header.level.String(), ImageDigest: m.index.image.String(), Signature: m.sign, UnusedKnown: m.index.unused != nil,
	}
	for id := range block.ID(i.Blocks) {
		if m.manifest.IsZeroBlock(id) {
			if n := i.ZeroBlocks; i.UnusedKnown && m.index.unused[n/8]>>(n%8)&1 != 0 {
				i.UnusedBlocks++
			}
			i.ZeroBlocks++
		}
	}
	return i
}

// checkName refuses what is no name of a file, or cannot be stored.
func checkName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("the name %s has %d bytes, and %d are allowed", quote.Name(name), len(name), maxName)
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("%s is no name of a file", quote.Name(name))
	}
	return nil
}

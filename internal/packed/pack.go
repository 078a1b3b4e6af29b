package packed

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/image"
	"multiserver/internal/quote"
)

// Options say how to pack.
type Options struct {
	Level codec.Level
	// NoVerify leaves out reading the file back before it gets its name.
	NoVerify bool
	// Force replaces a file that is no packed image.
	Force    bool
	Progress *Progress
}

// Progress is what Pack, Verify and Unpack count, for whoever shows it. Another goroutine may read
// it at any time.
type Progress struct {
	Done    atomic.Uint64 // bytes of the image, packed or unpacked
	Checked atomic.Uint64 // bytes of the image, decoded and compared with the manifest
	Stored  atomic.Uint64 // bytes of the packed file
}

// Pack packs src, which its caller closes, into a file at path, and reads it back. The file is
// not there before it is whole, synced and verified, and is the same for the same bytes and
// level. It may replace a packed image.
func Pack(ctx context.Context, src image.Source, path string, o Options) error {
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	h := header{geometry: block.Geometry{ImageSize: src.Size(), BlockSize: block.DefaultBlockSize}, level: o.Level, name: src.Name()}
	if err := h.geometry.Validate(); err != nil {
		return fmt.Errorf("pack %s: %w", src, err)
	}
	if err := checkName(h.name); err != nil {
		return fmt.Errorf("pack %s: %w", src, err)
	}
	if err := checkOther(src.String(), path); err != nil {
		return err
	}
	out, err := create(path, o.Force, true)
	if err != nil {
		return err
	}
	defer out.discard()
	if err := (&packer{src: src, header: h, progress: o.Progress}).pack(ctx, out); err != nil {
		return err
	}
	if err := out.sync(); err != nil {
		return err
	}
	if !o.NoVerify {
		if err := verifyFile(ctx, out.Name(), o.Progress); err != nil {
			return fmt.Errorf("read back what was packed: %w", err)
		}
	}
	// All was read before now: if it is unchanged, the file is one version of the image.
	if err := src.Changed(); err != nil {
		return err
	}
	return out.publish()
}

// checkOther refuses to write an image over itself.
func checkOther(from, to string) error {
	a, err := os.Stat(from)
	if err != nil {
		return nil // not a path
	}
	if b, err := os.Stat(to); err == nil && os.SameFile(a, b) {
		return fmt.Errorf("%s is the image itself: give the packed one another name", quote.Name(to))
	}
	return nil
}

func verifyFile(ctx context.Context, path string, p *Progress) error {
	m, err := Open(path)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Verify(ctx, p)
}

// packer makes one file.
type packer struct {
	src      image.Source
	header   header
	progress *Progress

	w     *bufio.Writer
	zeros []block.ID // first and last of the run that is not written yet; empty: none
	// zeroBlocks counts the blocks of zeros; unused is the source's way to tell those that
	// nobody uses, or nil.
	zeroBlocks uint32
	unused     func(off, length uint64) bool
	index      index
	seek       seekTable
	frame      []byte // of zeros
}

// encoded is a block as it will be stored.
type encoded struct {
	zero   bool
	frame  *[]byte
	digest codec.Digest
}

const writeBuffer = 1 << 20

func (p *packer) pack(ctx context.Context, out io.Writer) error {
	g := p.header.geometry
	builder, err := codec.NewManifestBuilder(g)
	if err != nil {
		return err
	}
	if src, ok := p.src.(interface{ IsUnused(off, length uint64) bool }); ok {
		p.unused = src.IsUnused
	}
	p.w = bufio.NewWriterSize(out, writeBuffer)
	head := p.header.append(nil)
	if err := p.write(head, 0); err != nil {
		return err
	}
	spare := sync.Pool{New: func() any { return new([]byte) }}
	type worker struct {
		encoder *codec.ZstdEncoder
		plain   []byte
	}
	err = inOrder(ctx, g.BlockCount(), func() *worker {
		return &worker{codec.NewZstdEncoder(p.header.level, true), make([]byte, g.BlockSize)}
	}, func(w *worker, id block.ID) (encoded, error) {
		plain, zero, err := readBlock(p.src, g, w.plain, id)
		if err != nil || zero {
			return encoded{zero: true}, err
		}
		e := encoded{frame: spare.Get().(*[]byte), digest: codec.Sum(plain)}
		*e.frame = w.encoder.Append((*e.frame)[:0], plain)
		return e, nil
	}, func(id block.ID, e encoded) error {
		defer p.progress.Done.Add(uint64(g.Size(id)))
		if e.zero {
			p.countZero(id)
			if len(p.zeros) > 0 && uint32(id-p.zeros[0]) < run(g) {
				p.zeros[1] = id
			} else if err := p.writeZeros(); err != nil {
				return err
			} else {
				p.zeros = append(p.zeros, id, id)
			}
			return builder.SetZero(id)
		}
		if err := p.writeZeros(); err != nil {
			return err
		}
		p.index.frames = append(p.index.frames, stored{uint32(len(*e.frame)), checksum(*e.frame)})
		if err := p.write(*e.frame, uint64(g.Size(id))); err != nil {
			return err
		}
		spare.Put(e.frame)
		return builder.Set(id, e.digest)
	})
	if err == nil {
		err = p.writeZeros()
	}
	if err != nil {
		return err
	}
	return p.finish(head, builder.Manifest())
}

// countZero notes in the index whether anybody uses a block of zeros.
func (p *packer) countZero(id block.ID) {
	n, g := p.zeroBlocks, p.header.geometry
	p.zeroBlocks++
	if p.unused == nil {
		return
	}
	if n%8 == 0 {
		p.index.unused = append(p.index.unused, 0)
	}
	if p.unused(g.Offset(id), uint64(g.Size(id))) {
		p.index.unused[n/8] |= 1 << (n % 8)
	}
}

// writeZeros writes the run of zeros that waits.
func (p *packer) writeZeros() error {
	if len(p.zeros) == 0 {
		return nil
	}
	size := plainSize(p.header.geometry, p.zeros[0], uint32(p.zeros[1]-p.zeros[0])+1)
	p.zeros = p.zeros[:0]
	p.frame = codec.AppendZeroFrame(p.frame[:0], size)
	return p.write(p.frame, size)
}

// write writes one frame.
func (p *packer) write(frame []byte, plain uint64) error {
	p.seek.add(uint64(len(frame)), plain)
	p.progress.Stored.Add(uint64(len(frame)))
	_, err := p.w.Write(frame)
	return quote.Error(err)
}

// finish writes what stands behind the data.
func (p *packer) finish(head []byte, m *codec.Manifest) error {
	p.index.image = m.ImageDigest()
	manifest := append(appendSkippable(nil, manifestFrame, uint32(len(m.Bytes()))), m.Bytes()...)
	for _, frame := range [][]byte{manifest, p.index.append(nil, head, m), Signature{}.append(nil)} {
		if err := p.write(frame, 0); err != nil {
			return err
		}
	}
	table := p.seek.append(nil)
	p.progress.Stored.Add(uint64(len(table)))
	if _, err := p.w.Write(table); err != nil {
		return quote.Error(err)
	}
	return quote.Error(p.w.Flush())
}

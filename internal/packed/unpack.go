package packed

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/quote"
)

// Verify reads the whole file: each stored frame is the one that was written, and holds the block
// that the manifest says.
func (m *Image) Verify(ctx context.Context, p *Progress) error {
	return m.blocks(ctx, p, func(_ block.ID, _ []byte) error { return nil })
}

// blocks calls take with each block, verified and in order; nil is one of zeros.
func (m *Image) blocks(ctx context.Context, p *Progress, take func(block.ID, []byte) error) error {
	g := m.header.geometry
	spare := sync.Pool{New: func() any { b := make([]byte, 0, g.BlockSize); return &b }}
	return inOrder(ctx, g.BlockCount(), func() *[]byte { return new([]byte) }, func(zeros *[]byte, id block.ID) (*[]byte, error) {
		if m.manifest.IsZeroBlock(id) {
			return nil, m.checkZeros(zeros, id)
		}
		b := spare.Get().(*[]byte)
		plain, err := m.decode((*b)[:0], id)
		if err != nil {
			return nil, err
		}
		if codec.Sum(plain) != m.manifest.Digest(id) {
			return nil, m.damagedAt(id, m.find(id))
		}
		*b = plain
		return b, nil
	}, func(id block.ID, b *[]byte) error {
		defer p.Checked.Add(uint64(g.Size(id)))
		if b == nil {
			return take(id, nil)
		}
		defer spare.Put(b)
		return take(id, *b)
	})
}

// checkZeros compares the frame of zeros that begins with block id, if there is one, with the one
// that must be there. Nobody decodes it, but zstd programs do.
func (m *Image) checkZeros(room *[]byte, id block.ID) error {
	f := m.find(id)
	if f.first != id {
		return nil
	}
	n := uint32(1)
	for g := m.header.geometry; g.Has(id+block.ID(n)) && m.find(id+block.ID(n)).first == id; n++ {
	}
	want := codec.AppendZeroFrame((*room)[:0], plainSize(m.header.geometry, id, n))
	*room = want
	got, err := m.read(f.at, len(want))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return m.damagedAt(id, f)
	}
	return nil
}

// UnpackFile writes the image to a file at path, with holes where it is zeros. The file is not
// there before it is whole and synced. force replaces one that is there.
func (m *Image) UnpackFile(ctx context.Context, path string, force bool, p *Progress) error {
	if err := checkOther(m.String(), path); err != nil {
		return err
	}
	out, err := create(path, force, false)
	if err != nil {
		return err
	}
	defer out.discard()
	g := m.header.geometry
	if err := out.Truncate(int64(g.ImageSize)); err != nil {
		return fmt.Errorf("write %s: %w", quote.Name(path), quote.Error(err))
	}
	err = m.blocks(ctx, p, func(id block.ID, plain []byte) error {
		p.Done.Add(uint64(g.Size(id)))
		if _, err := out.WriteAt(plain, int64(g.Offset(id))); err != nil {
			return fmt.Errorf("write %s: %w", quote.Name(path), quote.Error(err))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := out.sync(); err != nil {
		return err
	}
	return out.publish()
}

// Unpack writes the image to w, in order.
func (m *Image) Unpack(ctx context.Context, w io.Writer, p *Progress) error {
	g := m.header.geometry
	zeros := make([]byte, g.BlockSize)
	return m.blocks(ctx, p, func(id block.ID, plain []byte) error {
		p.Done.Add(uint64(g.Size(id)))
		if plain == nil {
			plain = zeros[:g.Size(id)]
		}
		_, err := w.Write(plain)
		return err
	})
}

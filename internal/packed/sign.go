package packed

import (
	"context"
	"fmt"
	"os"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/image"
	"multiserver/internal/quote"
)

// SignedStatement is the kind of a Signature whose bytes are those of statement.Signed.
const SignedStatement = 1

// ManifestOf reads an image whole, and returns its manifest. Of a packed image it decodes and
// compares every block.
func ManifestOf(ctx context.Context, src image.Source, p *Progress) (*codec.Manifest, error) {
	if m, ok := src.(*Image); ok {
		return m.manifest, m.Verify(ctx, p)
	}
	g := block.Geometry{ImageSize: src.Size(), BlockSize: block.DefaultBlockSize}
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("read %s: %w", src, err)
	}
	builder, err := codec.NewManifestBuilder(g)
	if err != nil {
		return nil, err
	}
	type digest struct {
		zero bool
		sum  codec.Digest
	}
	err = inOrder(ctx, g.BlockCount(), func() []byte { return make([]byte, g.BlockSize) }, func(room []byte, id block.ID) (digest, error) {
		plain, zero, err := readBlock(src, g, room, id)
		if err != nil || zero {
			return digest{zero: true}, err
		}
		return digest{sum: codec.Sum(plain)}, nil
	}, func(id block.ID, d digest) error {
		p.Checked.Add(uint64(g.Size(id)))
		if d.zero {
			return builder.SetZero(id)
		}
		return builder.Set(id, d.sum)
	})
	if err != nil {
		return nil, err
	}
	// All was read before now: if it is unchanged, the manifest is that of one version.
	return builder.Manifest(), src.Changed()
}

// readBlock reads block id into room, unless it is zeros.
func readBlock(src image.Source, g block.Geometry, room []byte, id block.ID) (plain []byte, zero bool, err error) {
	if src.IsHole(g.Offset(id), uint64(g.Size(id))) {
		return nil, true, nil
	}
	plain = room[:g.Size(id)]
	if err := src.ReadScattered([][]byte{plain}, g.Offset(id)); err != nil {
		return nil, false, err
	}
	return plain, codec.IsZero(plain), nil
}

// Sign writes a signature into the slot of the packed image at path, and syncs it. Nothing else of
// the file changes. The image must be one that Open accepts.
func Sign(path string, s Signature) error {
	if len(s.Bytes) > maxSignature || (s.Kind == 0) != (len(s.Bytes) == 0) {
		panic(fmt.Sprintf("packed: a signature of kind %d and %d bytes", s.Kind, len(s.Bytes)))
	}
	m, err := Open(path)
	if err != nil {
		return err
	}
	defer m.Close()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write the signature: %w", quote.Error(err))
	}
	defer f.Close()
	if _, err := f.WriteAt(s.append(nil), int64(m.slotAt)); err != nil {
		return fmt.Errorf("write the signature: %w", quote.Error(err))
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", quote.Name(path), quote.Error(err))
	}
	return nil
}

package fetch

import (
	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/failure"
	"multiserver/internal/wire"
)

// proof compares what arrives with the manifest: at once, or when the manifest comes.
type proof struct {
	image    block.Geometry
	name     string          // of the image, for messages
	digest   codec.Digest    // of the image, as the session describes it
	told     bool            // the server has told size and digest by unicast
	bytes    []byte          // of the manifest; nil while its size is not known
	missing  uint32          // blocks of it
	manifest *codec.Manifest // nil until it is complete and verified
	trusts   bool            // only what is signed counts
	signed   *codec.Digest   // of the image, if that is known
	suspect  bool            // one came that is not the session's: each block of it needs its proof

	// With the manifest: the bytes in blocks that are not all zeros, and those of them that had
	// not come before it.
	dataBytes, restBytes uint64

	// Until the manifest: the digests of the blocks in known, and the blocks that a run of
	// zeros has claimed.
	digests []codec.Digest
	known   *block.Set
	zeros   *block.Set
}

func newProof(image block.Geometry, name []byte) *proof {
	n := image.BlockCount()
	return &proof{
		image: image, name: string(name), digests: make([]codec.Digest, n),
		known: block.NewSet(uint64(n)), zeros: block.NewSet(uint64(n)),
	}
}

// geometry is how the manifest is cut into blocks.
func (p *proof) geometry() block.Geometry {
	return block.Geometry{ImageSize: uint64(len(p.bytes)), BlockSize: p.image.BlockSize}
}

// expect records what completes the image, as the server has told it by unicast; a size of 0 is
// unknown.
func (p *proof) expect(c wire.Completion) {
	if c.ManifestSize == 0 {
		return
	}
	p.digest, p.told = codec.Digest(c.ImageDigest), true
	p.makeRoom(c.ManifestSize)
}

// makeRoom makes room for a manifest of that size, which a heartbeat may have told.
func (p *proof) makeRoom(size uint64) {
	if p.bytes != nil || size < codec.MinManifestSize(p.image) || size > codec.MaxManifestSize(p.image) {
		return
	}
	p.bytes = make([]byte, size)
	p.missing = p.geometry().BlockCount()
}

// ready reports whether check can be called: the manifest is complete, and was not checked yet.
func (p *proof) ready() bool {
	return p.told && p.bytes != nil && p.missing == 0 && p.manifest == nil && (p.signed != nil || !p.trusts)
}

// expected reports whether there is room for the manifest.
func (p *proof) expected() bool { return p.bytes != nil }

// isZero reports whether a block is zeros by the manifest: no symbol of it is the server's.
func (p *proof) isZero(id block.ID) bool {
	return p.manifest != nil && p.image.Has(id) && p.manifest.IsZeroBlock(id)
}

// checkSigned returns an error if the server's image is not the one that was signed. What the
// manifest is held against is then the signed digest.
func (p *proof) checkSigned() error {
	if p.told && p.signed != nil && p.digest != *p.signed {
		return failure.New(failure.ErrIntegrity, "%s is not what was signed: the server's image has another digest", p.name)
	}
	return nil
}

// mayBeZeros reports whether these blocks can be zeros. Without a manifest, any can.
func (p *proof) mayBeZeros(z wire.ZeroRun) bool {
	if p.manifest == nil {
		return true
	}
	for id := uint64(z.First); id < min(uint64(z.First)+uint64(z.Count), uint64(p.image.BlockCount())); id++ {
		if !p.manifest.IsZeroBlock(block.ID(id)) {
			return false
		}
	}
	return true
}

// addZeros records a run of zero blocks, to be checked when the manifest comes.
func (p *proof) addZeros(run block.Range) {
	if p.manifest == nil {
		p.zeros.Add(run)
	}
}

// addBlock records the digest of a block until the manifest comes.
func (p *proof) addBlock(id block.ID, digest codec.Digest) {
	if p.manifest == nil {
		p.digests[id] = digest
		p.known.Add(one(id))
	}
}

// addManifest adds a block of the manifest, each once, and reports whether it was the last.
func (p *proof) addManifest(id block.ID, plain []byte) (complete bool) {
	copy(p.bytes[p.geometry().Offset(id):], plain)
	p.missing--
	return p.missing == 0
}

// wrongBlocks are blocks that came before the manifest and are not what it says.
type wrongBlocks struct {
	blocks []block.Range
	zeros  []block.Range // that came as zeros
}

// check parses the complete manifest and compares everything that has come so far with it.
func (p *proof) check() (wrong wrongBlocks, err error) {
	m, err := codec.ParseManifest(p.bytes, p.image)
	if err != nil {
		return wrong, failure.New(failure.ErrIntegrity, "the manifest of %s: %w", p.name, err)
	}
	if m.ImageDigest() != p.digest {
		return wrong, failure.New(failure.ErrIntegrity, "the manifest of %s is not that of the session", p.name)
	}
	each(p.zeros, func(id block.ID) {
		if !m.IsZeroBlock(id) {
			wrong.zeros = append(wrong.zeros, one(id))
		}
	})
	each(p.known, func(id block.ID) {
		if m.Digest(id) != p.digests[id] {
			wrong.blocks = append(wrong.blocks, one(id))
		}
	})
	for _, r := range wrong.blocks {
		p.known.Remove(r)
	}
	for id := range block.ID(p.image.BlockCount()) {
		if m.IsZeroBlock(id) {
			continue
		}
		n := uint64(p.image.Size(id))
		p.dataBytes += n
		if !p.known.Has(uint64(id)) {
			p.restBytes += n
		}
	}
	p.manifest = m
	p.digests, p.known, p.zeros = nil, nil, nil
	return wrong, nil
}

// suspectManifest begins the manifest anew.
func (p *proof) suspectManifest() {
	p.suspect = true
	p.missing = p.geometry().BlockCount()
}

func one(id block.ID) block.Range { return block.Range{Lo: uint64(id), Hi: uint64(id) + 1} }

func (p *proof) notTheImage(id block.ID) error {
	return failure.New(failure.ErrIntegrity, "block %d is not what the manifest of %s says: the image changed while it was served", id, p.name)
}

// each calls f with each block of a set.
func each(set *block.Set, f func(id block.ID)) {
	for at := uint64(0); ; {
		run, ok := set.Next(at)
		if !ok {
			return
		}
		for at = run.Lo; at < run.Hi; at++ {
			f(block.ID(at))
		}
	}
}

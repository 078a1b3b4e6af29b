package fetch

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"multiserver/internal/block"
	"multiserver/internal/failure"
	"multiserver/internal/statement"
	"multiserver/internal/wire"
)

// signer signs the images of peers.
type signer struct {
	t       *testing.T
	public  minisign.PublicKey
	private minisign.PrivateKey
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{t, public, private}
}

func (s *signer) policy() *statement.Policy {
	return &statement.Policy{Keys: statement.Trusted{s.public}}
}

// sign is what is signed of a peer's image, after edit.
func (s *signer) sign(p *peer, edit func(*statement.Statement)) []byte {
	s.t.Helper()
	st := statement.Statement{
		Name: "the.img", SizeBytes: p.g.ImageSize, BlockSize: p.g.BlockSize, Image: p.manifest.ImageDigest(), Serial: 7,
		Created: time.Now().UTC().Truncate(time.Second),
	}
	if edit != nil {
		edit(&st)
	}
	signed, err := statement.Sign(s.private, st)
	if err != nil {
		s.t.Fatal(err)
	}
	return signed.AppendTo(nil)
}

// TestTrusted: an image that is signed gets onto the target, also if all of it came before the
// manifest, and what was signed after that; and its serial number is kept.
func TestTrusted(t *testing.T) {
	p, s := newPeer(t, 6, 2, 3), newSigner(t)
	p.private = 4711
	asked := 0
	p.signed = func() []byte {
		if asked++; asked == 1 {
			return []byte("of nobody who signs") // is asked again
		}
		return s.sign(p, nil)
	}
	policy := s.policy()
	policy.State = statement.Serials{Path: filepath.Join(t.TempDir(), "state")}
	_, err := p.run(func() {
		p.sendImage()
		p.sendManifest()
	}, func(c *Config) { c.Trust = policy })
	if err != nil || !bytes.Equal(p.target.image, p.image) {
		t.Fatalf("%v, or other bytes", err)
	}
	if n, err := policy.State.Last("the.img"); err != nil || n != 7 {
		t.Errorf("serial %d is kept, %v", n, err)
	}
}

// TestUntrusted: nothing is done to the target, whatever comes, if what is signed is not this
// image, or not by a key that counts.
func TestUntrusted(t *testing.T) {
	for _, test := range []struct {
		name   string
		signed func(*signer, *peer) []byte
		want   string
	}{
		{"nothing is signed", func(*signer, *peer) []byte { return nil }, "not signed"},
		{"another key", func(_ *signer, p *peer) []byte { return newSigner(t).sign(p, nil) }, "none of the trusted keys"},
		{"another image", func(s *signer, p *peer) []byte {
			return s.sign(p, func(st *statement.Statement) { st.Image[5]++ })
		}, "not what was signed"},
		{"another size", func(s *signer, p *peer) []byte {
			return s.sign(p, func(st *statement.Statement) { st.SizeBytes++ })
		}, "signed is"},
		{"blocks of another size", func(s *signer, p *peer) []byte {
			return s.sign(p, func(st *statement.Statement) { st.BlockSize *= 2 })
		}, "signed is"},
		{"a text that was changed", func(s *signer, p *peer) []byte {
			return bytes.Replace(s.sign(p, nil), []byte("serial: 7"), []byte("serial: 8"), 1)
		}, "false"},
		{"it has expired", func(s *signer, p *peer) []byte {
			return s.sign(p, func(st *statement.Statement) {
				st.Created, st.Expires = st.Created.AddDate(0, 0, -9), st.Created.AddDate(0, 0, -3).Truncate(24*time.Hour)
			})
		}, "expired"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, s := newPeer(t, 6, 2), newSigner(t)
			p.private = 4711
			p.signed = func() []byte { return test.signed(s, p) }
			_, err := p.run(func() {
				p.sendManifest()
				p.sendImage()
			}, func(c *Config) { c.Trust = s.policy() })
			if !errors.Is(err, failure.ErrIntegrity) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the client ended with %v, want %q", err, test.want)
			}
			if len(p.target.did) > 0 {
				t.Errorf("done to the target: %q", p.target.did)
			}
			if p.goodbye.Outcome != wire.OutcomeIntegrity {
				t.Errorf("the server was told %v, %q", p.goodbye.Outcome, p.goodbye.Reason)
			}
		})
	}
}

// TestTrustedManifest: the session's own manifest decides nothing. A server, or somebody in its
// place, whose descriptions name another image than was signed writes not a byte.
func TestTrustedManifest(t *testing.T) {
	p, s := newPeer(t, 6), newSigner(t)
	p.private = 4711
	good := s.sign(p, nil)
	p.signed = func() []byte { return good }
	p.image[3]++
	p.manifest = manifestOf(t, p.image)
	_, err := p.run(func() {
		p.sendImage()
		p.sendManifest()
	}, func(c *Config) { c.Trust = s.policy() })
	if !errors.Is(err, failure.ErrIntegrity) || len(p.target.did) > 0 {
		t.Errorf("%v; done to the target: %q", err, p.target.did)
	}
}

// TestTrustedBlocks: a block that is not what the signed manifest says is never written: with
// false symbols in the place of each block's first, the target only ever gets the right ones.
func TestTrustedBlocks(t *testing.T) {
	p, s := newPeer(t, 8), newSigner(t)
	p.private = 4711
	p.signed = func() []byte { return s.sign(p, nil) }
	false1 := func() {
		for id := range block.ID(8) {
			p.send(p.falseSymbol(wire.Image, id, 1, blockSymbols))
		}
		p.sendZeros(4) // and zeros that are none
	}
	rounds := 0
	p.report = func(wire.Report) {
		if rounds++; rounds < 5 {
			false1()
		}
		p.sendImage()
	}
	_, err := p.run(func() {
		p.sendBlock(wire.Image, 3, bytes.Repeat([]byte("EVIL"), blockBytes/4)) // whole, with its digest
		false1()
		p.sendManifest()
		p.sendImage()
	}, func(c *Config) { c.Trust = s.policy() })
	if err != nil || !bytes.Equal(p.target.image, p.image) {
		t.Errorf("%v, or other bytes", err)
	}
	if slices.Contains(p.target.did, "zeros 4") {
		t.Errorf("zeros were written: %q", p.target.did)
	}
	writes := map[string]int{}
	for _, did := range p.target.did {
		if writes[did]++; strings.HasPrefix(did, "write") && writes[did] > 1 {
			t.Errorf("%s more than once", did)
		}
	}
}

// TestOlderServer: one that does not answer what is signed is refused.
func TestOlderServer(t *testing.T) {
	p, s := newPeer(t, 3), newSigner(t)
	p.private = 4711
	_, err := p.run(func() { p.sendManifest() }, func(c *Config) { c.Trust = s.policy() })
	if !errors.Is(err, failure.ErrIntegrity) || !strings.Contains(err.Error(), "earlier version") || len(p.target.did) > 0 {
		t.Errorf("%v, %q", err, p.target.did)
	}
}

// TestSignatureOfStrangers: an answer without the private number is not the server's.
func TestSignatureOfStrangers(t *testing.T) {
	p, s := newPeer(t, 3), newSigner(t)
	p.private = 4711
	p.signed = func() []byte {
		p.send(wire.Signature{Session: p.session, Private: p.private + 1}.AppendTo(nil)) // "it is not signed"
		return s.sign(p, nil)
	}
	_, err := p.run(func() {
		p.sendManifest()
		p.sendImage()
	}, func(c *Config) { c.Trust = s.policy() })
	if err != nil || !bytes.Equal(p.target.image, p.image) {
		t.Errorf("%v, or other bytes", err)
	}
}

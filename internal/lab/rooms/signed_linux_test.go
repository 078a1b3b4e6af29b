package rooms

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/lab"
	"multiserver/internal/statement"
	"multiserver/internal/wire"
)

// sign signs the room's image, and returns the public key.
func (r *room) sign(serial uint64) string {
	r.Helper()
	public, private, err := minisign.GenerateKey(nil)
	r.must(err)
	content := r.content(r.image)
	_, c := (&hostile{room: r}).manifest(content)
	signed, err := statement.Sign(private, statement.Statement{
		Name: "lab", SizeBytes: uint64(len(content)), BlockSize: block.DefaultBlockSize, Image: codec.Digest(c.ImageDigest), Serial: serial,
		Created: time.Now().UTC().Truncate(time.Second),
	})
	r.must(err)
	r.must(signed.Write(r.image + statement.Extension))
	return public.String()
}

// TestSigned: clients that trust a key get the image that it signed, while somebody floods the
// session with another manifest, its blocks and false symbols, all with the server's address.
func TestSigned(t *testing.T) {
	t.Parallel()
	const size = 24*mib - 333
	r := newRoom(t, lab.Config{Hosts: 4}, size)
	r.fill(size)
	key := r.sign(42)
	s := r.serve(0, "--data-group", dataGroup, "--rate", "100M")
	h := r.newHostile(3)
	evil := r.content(r.image)
	copy(evil[3*mib:4*mib], bytes.Repeat([]byte("EVIL"), mib/4))
	m, c := h.manifest(evil)
	packets := slices.Concat(h.symbols(wire.Manifest, 0, m), h.symbols(wire.Image, 3, evil[3*mib:4*mib]), h.falseSymbols(1))
	for i := 0; i < len(packets); i += 50 {
		packets = slices.Insert(packets, i, h.heartbeat(func(b *wire.Heartbeat) { b.Completion = c }),
			wire.ZeroRun{Session: h.session.Session, Sequence: 9, First: 5, Count: 7}.AppendTo(nil))
	}
	sent := h.asServer(2*time.Millisecond, packets)
	state := r.path("state")
	finish(r.receive(1, "--trust", key, "--image", "lab", "--min-serial", "42"), r.receive(2, "--trust", key, "--trust-state", state))
	if n := sent(); n < 500 {
		t.Errorf("%d packets were forged", n)
	}
	if b, err := os.ReadFile(state); err != nil || string(b) != "42 lab\n" {
		t.Errorf("the second keeps %q, %v", b, err)
	}
	if got := outcomes(s.stop()); !slices.Equal(got, []string{"done", "done"}) {
		t.Errorf("the server tells of %v", got)
	}
}

// TestUnsigned: what nobody signed, or somebody else did, is refused before the target is touched,
// and the server tells why.
func TestUnsigned(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 3}, 3*mib)
	key := r.sign(1)
	r.must(os.Remove(r.image + statement.Extension))
	s := r.serve(0)
	refused := func(host int, want string, args ...string) {
		out := r.path("refused" + want[:3])
		c := r.receiveTo(host, out, args...)
		c.exits(4)
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: %s is there", want, out)
		}
		if !strings.Contains(c.stderr.String()+c.stdout.String(), want) {
			t.Errorf("the client does not say %q", want)
		}
	}
	refused(1, "not signed", "--trust", key)
	finish(r.receive(2))
	if got := outcomes(s.stop()); !slices.Equal(got, []string{"done", "failed"}) {
		t.Errorf("the server tells of %v", got)
	}
	r.sign(1) // by another key
	s = r.serve(0)
	refused(1, "none of the trusted keys", "--trust", key)
	s.stop()

	// An image that is not what was signed is not served.
	f, err := os.OpenFile(r.image, os.O_WRONLY, 0)
	r.must(err)
	_, err = f.WriteAt([]byte("changed"), 5)
	r.must(err)
	r.must(f.Close())
	s = r.serve(0)
	c := r.receive(1)
	c.exit()
	s.exits(4)
}

// TestTrustAndOriginal: an original server has no signatures, and is not asked.
func TestTrustAndOriginal(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 2}, 2*mib)
	key := r.sign(1)
	r.serveOriginal(0, "the.img")
	r.receive(1, "--trust", key, "--start-timeout", "2s").exits(3)
}

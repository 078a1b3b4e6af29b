package statement

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/google/go-cmp/cmp"

	"multiserver/internal/codec"
)

func sample() Statement {
	unused := codec.Digest{0xab, 31: 0xcd}
	return Statement{
		Name: "debian-lab", SizeBytes: 4 << 30, BlockSize: 1 << 20, Image: codec.Digest{1, 2, 31: 0xff}, Unused: &unused, Serial: 42,
		Created: time.Date(2026, 11, 28, 11, 0, 0, 0, time.UTC), Expires: time.Date(2027, 6, 1, 0, 0, 0, 0, time.UTC), Sectors: 512,
	}
}

func newKey(t testing.TB) (minisign.PublicKey, minisign.PrivateKey) {
	t.Helper()
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

const sampleText = `multiserver image 1
name: debian-lab
size: 4294967296
block: 1048576
digest: blake3 01020000000000000000000000000000000000000000000000000000000000ff
unused: blake3 ab000000000000000000000000000000000000000000000000000000000000cd
serial: 42
created: 2026-11-28T11:00:00Z
expires: 2027-06-01
sectors: 512
`

// TestText: the format is that of docs/signing.md, and reads back as it was.
func TestText(t *testing.T) {
	if diff := cmp.Diff(sampleText, string(sample().Text())); diff != "" {
		t.Error(diff)
	}
	least := sample()
	least.Unused, least.Expires, least.Sectors = nil, time.Time{}, 0
	for _, s := range []Statement{sample(), least} {
		back, err := Parse(s.Text())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, back); diff != "" {
			t.Error(diff)
		}
	}
}

// TestLongest: what is longest in each line can be signed, and fits what both are bounded by.
func TestLongest(t *testing.T) {
	_, private := newKey(t)
	unused := codec.Digest{}
	s := Statement{
		Name: strings.Repeat("n", MaxNameSize), SizeBytes: 1 << 49, BlockSize: 1 << 24, Unused: &unused, Serial: 1<<64 - 1,
		Created: sample().Created, Expires: sample().Expires, Sectors: 1 << 16,
	}
	signed, err := Sign(private, s)
	if err != nil {
		t.Fatal(err)
	}
	if n, m := len(signed.Text), len(signed.Signature); n > MaxTextSize || m > MaxSignatureSize {
		t.Errorf("a text of %d bytes, a signature of %d", n, m)
	}
}

// TestParseRefuses: one text for one meaning, and nothing that no image has.
func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ name, from, to string }{
		{"another version", "image 1", "image 2"},
		{"another title", "multiserver image 1", "hello"},
		{"a line twice", "serial: 42\n", "serial: 42\nserial: 42\n"},
		{"another order", "serial: 42\ncreated: 2026-11-28T11:00:00Z\n", "created: 2026-11-28T11:00:00Z\nserial: 42\n"},
		{"a line missing", "serial: 42\n", ""},
		{"a line that nobody knows", "sectors: 512\n", "sectors: 512\nrun: sh\n"},
		{"no end of line", "sectors: 512\n", "sectors: 512"},
		{"a number written otherwise", "size: 4294967296", "size: 04294967296"},
		{"a size of zero", "size: 4294967296", "size: 0"},
		{"a block of no power of two", "block: 1048576", "block: 1048577"},
		{"a block of 64 bits", "block: 1048576", "block: 4296015872"},
		{"a short digest", "00ff\n", "ff\n"},
		{"a digest in capitals", "00ff\n", "00FF\n"},
		{"a digest of another function", "digest: blake3", "digest: sha256"},
		{"a serial of zero", "serial: 42", "serial: 0"},
		{"a time in another zone", "11:00:00Z", "11:00:00+01:00"},
		{"a day that is none", "2027-06-01", "2027-06-31"},
		{"sectors of an odd size", "sectors: 512", "sectors: 520"},
		{"an empty name", "name: debian-lab", "name: "},
		{"a folder in the name", "name: debian-lab", "name: ../debian"},
		{"a dot in front of the name", "name: debian-lab", "name: .debian"},
		{"an escape in the name", "name: debian-lab", "name: \x1b[2Jdebian"},
		{"bytes that are no text", "name: debian-lab", "name: \xff"},
		{"a long name", "debian-lab", strings.Repeat("n", MaxNameSize+1)},
		{"a long text", "debian-lab", strings.Repeat("n", MaxTextSize)},
	} {
		text := strings.Replace(sampleText, test.from, test.to, 1)
		if text == sampleText {
			t.Errorf("%s: nothing is changed", test.name)
		}
		if s, err := Parse([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %v", test.name, s, err)
		}
	}
}

// TestVerify: only a key of the list, only for this text.
func TestVerify(t *testing.T) {
	public, private := newKey(t)
	other, otherPrivate := newKey(t)
	signed, err := Sign(private, sample())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(signed.Signature); n > MaxSignatureSize {
		t.Fatalf("a signature of %d bytes", n)
	}
	if s, key, err := (Trusted{other, public}).Verify(signed); err != nil || s.Serial != 42 || !key.Equal(public) {
		t.Fatal(s, key, err)
	}
	if _, _, err := (Trusted{other}).Verify(signed); !errors.Is(err, ErrUntrusted) {
		t.Error(err)
	}
	if _, _, err := (Trusted{}).Verify(signed); !errors.Is(err, ErrUntrusted) {
		t.Error(err)
	}
	forged := signed
	forged.Text = bytes.Replace(signed.Text, []byte("serial: 42"), []byte("serial: 43"), 1)
	if _, _, err := (Trusted{public}).Verify(forged); !errors.Is(err, ErrForged) {
		t.Error(err)
	}
	// A key of the list's number, which is random and not protected.
	byOther, _ := Sign(otherPrivate, sample())
	var mine, theirs minisign.Signature
	if mine.UnmarshalText(signed.Signature) != nil || theirs.UnmarshalText(byOther.Signature) != nil {
		t.Fatal("no signatures")
	}
	theirs.KeyID = mine.KeyID
	disguised, err := theirs.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := (Trusted{public}).Verify(Signed{signed.Text, disguised}); !errors.Is(err, ErrForged) {
		t.Error(err)
	}
	for i := range signed.Signature {
		flipped := bytes.Clone(signed.Signature)
		flipped[i] ^= 1
		s, _, err := (Trusted{public}).Verify(Signed{signed.Text, flipped})
		if err == nil && !bytes.HasPrefix(flipped[:i+1], []byte("untrusted comment:")) {
			t.Errorf("with byte %d of the signature flipped: %v", i, s)
		}
	}
	// What is signed and is no statement.
	text := []byte("hello\n")
	if s, _, err := (Trusted{public}).Verify(Signed{text, prehashed(private, text, "")}); !errors.Is(err, ErrMalformed) {
		t.Error(s, err)
	}
}

// TestMinisign: the minisign program believes us, and we believe it.
func TestMinisign(t *testing.T) {
	program, err := exec.LookPath("minisign")
	if err != nil {
		t.Skip("no minisign program here: install Debian's package minisign")
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Fatalf("minisign %q: %v\n%s", args, err, out)
		}
	}
	public, private := newKey(t)
	key, err := EncodeSecret(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := Sign(private, sample())
	if err != nil {
		t.Fatal(err)
	}
	text, secret := write("x.mxs", signed.Text), write("k.key", key)
	write("x.mxs.minisig", signed.Signature)
	publicPath := write("k.pub", EncodePublic(public))
	run("-V", "-m", text, "-p", publicPath)

	// Its signature, made with our key and with its own.
	run("-S", "-W", "-s", secret, "-m", text)
	run("-G", "-W", "-f", "-p", filepath.Join(dir, "m.pub"), "-s", filepath.Join(dir, "m.key"))
	for _, each := range []struct{ public, secret string }{{publicPath, secret}, {filepath.Join(dir, "m.pub"), filepath.Join(dir, "m.key")}} {
		run("-S", "-W", "-s", each.secret, "-m", text)
		sig, err := os.ReadFile(text + ".minisig")
		if err != nil {
			t.Fatal(err)
		}
		pub, err := os.ReadFile(each.public)
		if err != nil {
			t.Fatal(err)
		}
		trusted, err := ParseTrusted(string(pub))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := trusted.Verify(Signed{signed.Text, sig}); err != nil {
			t.Errorf("%s: %v", each.public, err)
		}
		theirs, err := os.ReadFile(each.secret)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeSecret(theirs, nil); err != nil {
			t.Errorf("%s: %v", each.secret, err)
		}
	}
}

// TestSecret: a key that the minisign program encrypted needs its password, and one that is not
// encrypted asks for none. Each try takes a gigabyte and seconds, as minisign has it.
func TestSecret(t *testing.T) {
	t.Parallel()
	_, private := newKey(t)
	b, err := EncodeSecret(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if back, err := DecodeSecret(b, nil); err != nil || !back.Equal(private) {
		t.Error(err)
	}
	file, err := os.ReadFile("testdata/minisign.key")
	if err != nil {
		t.Fatal(err)
	}
	public, err := minisign.PublicKeyFromFile("testdata/minisign.pub")
	if err != nil {
		t.Fatal(err)
	}
	key, err := DecodeSecret(file, func() (string, error) { return "tr0ub4dor", nil })
	if err != nil || !public.Equal(key.Public()) {
		t.Error(err)
	}
	if _, err := DecodeSecret(file, func() (string, error) { return "wrong", nil }); err == nil {
		t.Error("a wrong password opens it")
	}
	if _, err := DecodeSecret(file, nil); err == nil {
		t.Error("no password opens it")
	}
}

// TestParseTrusted: keys as people keep them.
func TestParseTrusted(t *testing.T) {
	a, _ := newKey(t)
	b, _ := newKey(t)
	list, err := ParseTrusted("# ours\n" + string(EncodePublic(a)) + "\n\n  " + b.String() + "  \r\n")
	if err != nil || len(list) != 2 || !list[0].Equal(a) || !list[1].Equal(b) {
		t.Fatal(list, err)
	}
	for _, text := range []string{"", "# nothing\n", "RWQ", "hello", b.String()[:55], strings.Repeat(b.String()+"\n", maxTrusted+1)} {
		if list, err := ParseTrusted(text); err == nil {
			t.Errorf("%.20q: %v", text, list)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sampleText))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := Parse(b); err == nil && !bytes.Equal(s.Text(), b) {
			t.Errorf("%q reads as %q", b, s.Text())
		}
	})
}

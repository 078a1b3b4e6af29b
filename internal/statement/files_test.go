package statement

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFiles: what is written is read, and what is missing, cut or too long is an error that says so.
func TestFiles(t *testing.T) {
	_, private := newKey(t)
	signed, err := Sign(private, sample())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "the.img"+Extension)
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for range 2 { // the second time over the first
		if err := signed.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	back, err := Read(path)
	if err != nil || !bytes.Equal(back.Text, signed.Text) || !bytes.Equal(back.Signature, signed.Signature) {
		t.Fatal(back, err)
	}
	if files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(files) != 2 {
		t.Errorf("files: %q", files)
	}
	if err := os.Remove(path + SignatureExtension); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); !errors.Is(err, ErrMalformed) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the signature: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, MaxTextSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); !errors.Is(err, ErrMalformed) {
		t.Errorf("a long file: %v", err)
	}
}

// TestSigned: both travel together.
func TestSigned(t *testing.T) {
	_, private := newKey(t)
	signed, err := Sign(private, sample())
	if err != nil {
		t.Fatal(err)
	}
	b := signed.AppendTo(nil)
	back, err := ParseSigned(b)
	if err != nil || !bytes.Equal(back.Text, signed.Text) || !bytes.Equal(back.Signature, signed.Signature) {
		t.Fatal(back, err)
	}
	for _, bad := range [][]byte{nil, {0}, {0, 0}, {0, 1}, {0, 2, 'a', 'b'}, {0, 0, 'a'}, {0xff, 0xff, 1}, append([]byte{0, 1}, make([]byte, MaxSignatureSize+2)...)} {
		if s, err := ParseSigned(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x: %v, %v", bad, s, err)
		}
	}
}

// TestSerials: numbers only grow, and a file that is none is not overwritten.
func TestSerials(t *testing.T) {
	s := Serials{filepath.Join(t.TempDir(), "serials")}
	for _, step := range []struct {
		name       string
		keep, last uint64
	}{{"win 11", 3, 3}, {"debian", 41, 41}, {"debian", 40, 41}, {"debian", 1 << 63, 1 << 63}, {"win 11", 4, 4}} {
		if err := s.Keep(step.name, step.keep); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Last(step.name); err != nil || n != step.last {
			t.Errorf("%s after %d: %d, %v", step.name, step.keep, n, err)
		}
	}
	if n, err := s.Last("other"); err != nil || n != 0 {
		t.Error(n, err)
	}
	for _, text := range []string{"hello\n", "5\n", "-1 debian\n", "5 ../x\n"} {
		if err := os.WriteFile(s.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Keep("debian", 50); err == nil || !strings.Contains(err.Error(), "serials") {
			t.Errorf("%q: %v", text, err)
		}
		if b, _ := os.ReadFile(s.Path); string(b) != text {
			t.Errorf("%q became %q", text, b)
		}
	}
}

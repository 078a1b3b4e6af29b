package multiserver

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestServesUsed: clients of both protocols get the files of a file system, and zeros in place of
// what nobody uses, unless the server is told to send everything.
func TestServesUsed(t *testing.T) {
	r := newRoom(t, 24<<20)
	content := bytes.Repeat([]byte("content"), 1e5)
	files := filepath.Join(r.dir, "files")
	for _, err := range []error{os.Mkdir(files, 0o755), os.WriteFile(filepath.Join(files, "a"), content, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-E", "nodiscard", "-d", files, r.image).CombinedOutput(); err != nil {
		t.Skipf("needs mkfs.ext4 of e2fsprogs: %v: %s", err, out)
	}
	source, err := os.ReadFile(r.image)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		mode SkipUnusedMode
		mxb1 MXB1Mode
	}{{SkipUnusedAuto, MXB1Auto}, {SkipUnusedAuto, MXB1Only}, {SkipUnusedNever, MXB1Auto}} {
		cfg := r.serverConfig()
		cfg.SkipUnused = test.mode
		_, stop := r.serve(cfg)
		out := filepath.Join(r.dir, "out.img")
		client := r.clientConfig(out)
		client.MXB1 = test.mxb1
		c, err := NewClient(client)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		got, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		zeros := 0
		for at := 0; at < len(source); at += 4096 {
			if bytes.Equal(got[at:at+4096], source[at:at+4096]) {
				continue
			}
			if test.mode == SkipUnusedNever || !bytes.Equal(got[at:at+4096], make([]byte, 4096)) {
				t.Fatalf("%v: the bytes at %d are others, and no zeros", test, at)
			}
			zeros++
		}
		if test.mode == SkipUnusedAuto && zeros < 1000 {
			t.Errorf("%v: %d pages are zeros in place of garbage", test, zeros)
		}
		if out, err := exec.Command("debugfs", "-R", "cat a", out).Output(); err != nil || !bytes.Equal(out, content) {
			t.Errorf("%v: the file is another one: %v", test, err)
		}
		if test.mxb1 == MXB1Auto { // and what was there before is replaced by zeros, or kept
			if err := os.WriteFile(out, source, 0o600); err != nil {
				t.Fatal(err)
			}
			_, stop := r.serve(cfg)
			client := r.clientConfig(out)
			client.Update = true
			c, err := NewClient(client)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			stop()
			if again, err := os.ReadFile(out); err != nil || !bytes.Equal(again, got) {
				t.Errorf("%v: an update makes another image: %v", test, err)
			}
		}
		if err := os.Remove(out); err != nil {
			t.Fatal(err)
		}
	}
}

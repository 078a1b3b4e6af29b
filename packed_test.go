package multiserver

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"multiserver/internal/codec"
	"multiserver/internal/image"
	"multiserver/internal/packed"
)

// packImage packs the room's image.
func (r *room) packImage() string {
	r.Helper()
	src, err := image.Open(r.image)
	if err != nil {
		r.Fatal(err)
	}
	defer src.Close()
	path := filepath.Join(r.dir, "the.mspack.zst")
	if err := packed.Pack(r.Context(), src, path, packed.Options{Level: codec.Fastest}); err != nil {
		r.Fatal(err)
	}
	return path
}

// TestServesPacked: clients of both protocols get the image that was packed, under its name.
func TestServesPacked(t *testing.T) {
	r := newRoom(t, 5<<20+777)
	cfg := r.serverConfig()
	cfg.File = r.packImage()
	server, _ := r.serve(cfg)
	for _, mxb1 := range []MXB1Mode{MXB1Auto, MXB1Only} {
		out := filepath.Join(r.dir, "out.img")
		client := r.clientConfig(out)
		client.MXB1 = mxb1
		c, err := NewClient(client)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(out)
		if err != nil || !bytes.Equal(got, r.bytes) {
			t.Errorf("MXB 1 %v: another image: %v", mxb1, err)
		}
		if name := c.Stats().Name; name != "the.img" {
			t.Errorf("MXB 1 %v: it is called %q", mxb1, name)
		}
		if err := os.Remove(out); err != nil {
			t.Fatal(err)
		}
	}
	if s := server.Stats(); s.Name != "the.img" || s.SizeBytes != uint64(len(r.bytes)) {
		t.Errorf("the server serves %q of %d bytes", s.Name, s.SizeBytes)
	}
}

// TestDamagedPackedImage: a block that is damaged ends the server and is not written.
func TestDamagedPackedImage(t *testing.T) {
	r := newRoom(t, 5<<20+777)
	cfg := r.serverConfig()
	cfg.File = r.packImage()
	f, err := os.OpenFile(cfg.File, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damaged"), 3_000_000); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, done := r.start(t.Context(), cfg)
	out := filepath.Join(r.dir, "out.img")
	c, err := NewClient(r.clientConfig(out))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); err == nil {
		t.Error("the client has the image")
	}
	if err := <-done; !errors.Is(err, ErrIntegrity) || !errors.Is(err, packed.ErrDamaged) {
		t.Errorf("the server ended: %v", err)
	}
	if got, err := os.ReadFile(out); err == nil && len(got) > 0 && !bytes.Equal(got[:1<<20], r.bytes[:1<<20]) && !codec.IsZero(got[:1<<20]) {
		t.Error("the client wrote something else")
	}
}

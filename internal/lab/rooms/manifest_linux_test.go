package rooms

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"multiserver/internal/lab"
)

// manifests are the files that servers of the room keep, and nothing else may be
// there.
func (r *room) manifests() []string {
	r.Helper()
	found, err := filepath.Glob(filepath.Join(r.cache, "multiserver", "*"))
	r.must(err)
	return found
}

// TestManifestIsKept: what one server learned of an image the next one knows.
func TestManifestIsKept(t *testing.T) {
	t.Parallel()
	const size = 4*mib - 5
	for _, c := range []struct {
		name  string
		spoil func(r *room, manifest string)
		// other: the file that is kept in the end is another than that of the first
		// server.
		other bool
	}{
		{name: "as it is", spoil: func(*room, string) {}},
		{name: "gone", spoil: func(r *room, manifest string) { r.must(os.Remove(manifest)) }},
		{name: "empty", spoil: func(r *room, manifest string) { r.must(os.Truncate(manifest, 0)) }},
		{name: "cut", spoil: func(r *room, manifest string) { r.must(os.Truncate(manifest, int64(len(r.content(manifest))-1))) }},
		{name: "too long", spoil: func(r *room, manifest string) { r.must(os.Truncate(manifest, 1<<30)) }},
		{name: "noise", spoil: func(r *room, manifest string) {
			r.must(lab.RandomFile(manifest, int64(len(r.content(manifest))), 9))
		}},
		{name: "unreadable", spoil: func(r *room, manifest string) {
			r.must(os.Remove(manifest))
			r.must(os.Mkdir(manifest, 0o700))
		}, other: true},
		{name: "no folder", spoil: func(r *room, manifest string) {
			r.must(os.RemoveAll(r.cache))
			r.must(os.WriteFile(r.cache, nil, 0o600))
		}, other: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{}, size)
			s := r.serve(0)
			finish(r.receive(1))
			s.stop()
			kept := r.manifests()
			if len(kept) != 1 {
				t.Fatalf("kept are %q, want one manifest", kept)
			}
			r.hasOnly(r.dir, "out1", "the.img") // nothing beside the image
			good := r.content(kept[0])
			c.spoil(r, kept[0])
			s = r.serve(0)
			finish(r.receive(1))
			s.stop()
			if c.other {
				return
			}
			if again := r.manifests(); len(again) != 1 || !bytes.Equal(r.content(again[0]), good) {
				t.Errorf("kept are %q, want %q as the first server wrote it", again, kept)
			}
		})
	}
}

// TestManifestIsUsed: a server that recalls a manifest tells at once what a client has
// to hold the image against, and finds out an image that was changed without a trace.
func TestManifestIsUsed(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, 1)
	r.fill(imageBytes)
	s := r.serve(0)
	finish(r.receive(1))
	s.stop()
	info, err := os.Stat(r.image)
	r.must(err)
	kept := r.manifests()

	// Other bytes, and the times of before; only the time of change tells.
	f, err := os.OpenFile(r.image, os.O_WRONLY, 0)
	r.must(err)
	_, err = f.WriteAt([]byte("changed"), 5*mib)
	r.must(err)
	r.must(f.Close())
	r.must(os.Chtimes(r.image, time.Time{}, info.ModTime()))
	s = r.serve(0)
	finish(r.receive(1)) // compared with the image as it is now
	s.stop()
	all := r.manifests()
	if len(all) != 2 {
		t.Fatalf("kept are %q, want one more than %q", all, kept)
	}

	// Under the name of the new one the old one is stale: the server sees that a
	// block reads otherwise, and ends with an error on both sides.
	fresh := all[0]
	if fresh == kept[0] {
		fresh = all[1]
	}
	r.must(os.Rename(kept[0], fresh))
	s = r.serve(0)
	c := r.receive(1)
	c.differs("the.img", "changed")
	s.fails(exitFailure, "the.img", "changed")
	// And forgets it.
	s = r.serve(0)
	finish(r.receive(1))
	s.stop()
}

package rooms

import (
	"os"
	"syscall"
	"testing"

	"multiserver/internal/lab"
)

// texture makes the room's image one of which about a third remains when it is packed: text and
// noise by turns, a MiB of noise, and two of zeros.
func (r *room) texture(size int64) {
	r.Helper()
	r.must(lab.TexturedFile(r.image, size, 1))
}

// pack packs the room's image and returns the path.
func (r *room) pack() string {
	r.Helper()
	out := r.path("the.mspack.zst")
	p := r.prepare(r.Hosts[0], lab.BuildOnce(r).Server, "pack", "--level", "fastest", r.image, "-o", out)
	r.start(p)
	p.exits(0)
	return out
}

// packedRoom is a room with a textured image, and that packed.
func packedRoom(t *testing.T, config lab.Config, size int64) (r *room, packed string) {
	t.Helper()
	r = newRoom(t, config, 1)
	r.texture(size)
	packed = r.pack()
	about, err := os.Stat(packed)
	r.must(err)
	r.toCarry = float64(about.Size())
	return r, packed
}

// TestPackedImage: what holds for an image holds for a packed one, and the stored frames are what is
// sent: less than half of the image.
func TestPackedImage(t *testing.T) {
	t.Parallel()
	const size = 48*mib - 333
	const slow = "48M" // 3 s
	t.Run("loss, MXB 1 beside, verify", func(t *testing.T) {
		t.Parallel()
		r, packed := packedRoom(t, lab.Config{Hosts: 5, LossPercent: 1}, size)
		s := r.serveImage(0, packed, "--rate", "200M", "--min-receivers", "3")
		finish(r.receive(1), r.receive(2), r.receive(3, "--verify"))
		sent := sentOf(s.now())
		if sent > 0.5 {
			t.Errorf("%.3f of the image was sent", sent)
		}
		finish(r.receive(4, "--mxb1"))
		s.stop()
	})
	t.Run("late joiner", func(t *testing.T) {
		t.Parallel()
		r, packed := packedRoom(t, lab.Config{Hosts: 3, LossPercent: 1}, size)
		s := r.serveImage(0, packed, "--rate", slow)
		first := r.receive(1)
		first.reaches(0.6)
		finish(first, r.receive(2))
		s.stop()
	})
	t.Run("server started again", func(t *testing.T) {
		t.Parallel()
		r, packed := packedRoom(t, lab.Config{Hosts: 3, LossPercent: 1}, size)
		s := r.serveImage(0, packed, "--rate", slow)
		a, b := r.receive(1), r.receive(2)
		a.reaches(0.5)
		s.kill()
		again := r.serveImage(0, packed, "--rate", slow)
		finish(a, b)
		if sent := sentOf(again.stop()); sent > 0.4 {
			t.Errorf("the second server sent %.3f of the image: its clients did not go on", sent)
		}
	})
	t.Run("client started again", func(t *testing.T) {
		t.Parallel()
		r, packed := packedRoom(t, lab.Config{}, size)
		s := r.serveImage(0, packed, "--rate", slow)
		first := r.receive(1)
		first.reaches(0.7)
		first.kill()
		if end := r.receiveTo(1, first.out).finishes(); end.BytesKept < size/3 {
			t.Errorf("%d of %d bytes were kept", end.BytesKept, size)
		}
		s.stop()
	})
	t.Run("unicast", func(t *testing.T) {
		t.Parallel()
		r, packed := packedRoom(t, lab.Config{Hosts: 4, LossPercent: 1}, size)
		r.must(r.Hosts[1].BlockMulticast(true))
		s := r.serveImage(0, packed, "--rate", "200M")
		finish(r.receive(1), r.receive(2), r.receive(3, "--unicast", "always"))
		s.stop()
	})
	t.Run("into a pipe", func(t *testing.T) {
		t.Parallel()
		r, packed := packedRoom(t, lab.Config{LossPercent: 1}, size)
		s := r.serveImage(0, packed, "--rate", "200M")
		p := r.prepareClient(1, "-o", "-")
		out, err := os.Create(r.path("piped"))
		r.must(err)
		defer out.Close()
		p.Stdout = out
		r.start(p.process)
		p.exits(0)
		r.same(r.image, out.Name())
		s.stop()
	})
	t.Run("update", func(t *testing.T) {
		t.Parallel()
		r, packed := packedRoom(t, lab.Config{Hosts: 3}, size)
		older := r.path("older")
		r.must(os.WriteFile(older, r.content(r.image), 0o600))
		r.spoil(older, 1, lab.Extent{OffsetBytes: 5 * mib, SizeBytes: 2 * mib}, lab.Extent{OffsetBytes: 20*mib + 77, SizeBytes: 5000})
		s := r.serveImage(0, packed, "--rate", "200M")
		finish(r.receiveTo(1, older, "--update"))
		if sent := sentOf(s.stop()); sent > 0.1 {
			t.Errorf("%.3f of the image was sent", sent)
		}
	})
	t.Run("update of a page in each block", func(t *testing.T) {
		t.Parallel()
		r, packed := packedRoom(t, lab.Config{Hosts: 3, LossPercent: 1}, size)
		older := r.path("older")
		r.must(os.WriteFile(older, r.content(r.image), 0o600))
		for at := int64(0); at < size; at += mib {
			r.spoil(older, 1, lab.Extent{OffsetBytes: at + 4096*77, SizeBytes: 4096})
		}
		s := r.serveImage(0, packed, "--rate", "200M")
		finish(r.receiveTo(1, older, "--update"))
		// As whole blocks it would be a third of it.
		if sent := sentOf(s.stop()); sent > 0.1 {
			t.Errorf("%.3f of the image was sent", sent)
		}
	})
	t.Run("server interrupted", func(t *testing.T) {
		t.Parallel()
		r, packed := packedRoom(t, lab.Config{}, size)
		s := r.serveImage(0, packed, "--rate", slow)
		c := r.receive(1)
		c.reaches(0.3)
		s.signal(syscall.SIGINT)
		s.exits(130)
		if c.exit() == 0 {
			t.Error("the client has the image")
		}
	})
}

// TestCompress: an image that is not packed is compressed while it is sent, and nobody gets another
// one, whoever comes late, loses packets, or begins again.
func TestCompress(t *testing.T) {
	t.Parallel()
	const size = 48*mib - 333
	for _, c := range []struct {
		when string
		most float64 // of the image is sent to clients that begin together
	}{{"always", 0.5}, {"auto", 1.1}, {"never", 1.1}} {
		t.Run(c.when, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 4, LossPercent: 1}, 1)
			r.texture(size)
			s := r.serve(0, "--rate", "100M", "--compress", c.when, "--min-receivers", "2")
			a, b := r.receive(1), r.receive(2)
			finish(a, b)
			if sent := sentOf(s.now()); sent > c.most || (sent < 0.7) == (c.when == "never") && c.when != "auto" {
				t.Errorf("%.3f of the image was sent", sent)
			}
			late := r.receive(3)
			r.await("it has some", func() bool { return r.written(late.out) > size/4 })
			s.kill()
			s = r.serve(0, "--rate", "200M", "--compress", c.when)
			finish(late, r.receive(1, "--mxb1"))
			s.stop()
		})
	}
}

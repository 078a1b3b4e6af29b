package rooms

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"multiserver/internal/lab"
	"multiserver/internal/progress"
	"multiserver/internal/target/loopdev"
)

func TestSizes(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		for _, size := range []int64{1, 1023, 1024, 1025, 1443, 1444, 1445, 100_000, mib - 33, mib, mib + 1} {
			t.Run(fmt.Sprint(size), func(t *testing.T) {
				t.Parallel()
				r := newRoomOf(t, p, lab.Config{}, size)
				s := r.serve(0)
				c := r.receive(1)
				finish(c)
				end := s.stop()
				// A client that the machine held up asks again for what is on its way; it
				// never gets less than all.
				if sent, blocks := end.PacketsSent, uint64(size+1023)/1024; p == speaksMXB1 && sent < blocks {
					t.Errorf("%d blocks were sent, the image has %d", sent, blocks)
				}
				// What is more is the end of the last symbols, and the manifest.
				if most := 2*uint64(size) + 8*symbolBytes; end.ImageBytesSent > most {
					t.Errorf("%d bytes of %d were sent, want %d at most", end.ImageBytesSent, size, most)
				}
			})
		}
	})
}

func TestEmptyImage(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 1}, 1)
	r.must(os.Truncate(r.image, 0))
	s := r.prepare(r.Hosts[0], lab.BuildOnce(t).Server, "--json", "-f", r.image)
	r.start(s)
	s.fails(exitFailure, "the.img", "empty")
}

// TestBeyond4GiB: block ids times 1024 do not fit 32 bits.
func TestBeyond4GiB(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("takes too long under -short and with the race detector: MXB 1 sends 4 GiB, zeros included")
	}
	inBoth(t, beyond4GiB)
}

func beyond4GiB(t *testing.T, p protocol) {
	const border, size = 4 << 30, 4<<30 + 3*mib + 7
	// Super-packets that stay whole make the network four times as fast.
	r := newRoomOf(t, p, lab.Config{SegmentOffload: true, ReceiveOffload: true}, 1)
	image := r.path("large.img")
	r.must(lab.SparseFile(image, size, 3,
		lab.Extent{OffsetBytes: 0, SizeBytes: mib},
		lab.Extent{OffsetBytes: border - mib - 5, SizeBytes: 2 * mib},
		lab.Extent{OffsetBytes: size - mib, SizeBytes: mib}))
	s := r.serveImage(0, image, "--rate", "4G")
	c := r.receive(1)
	end := c.finishesWith(image)
	t.Logf("received in %.1f s, sent %v times", end.StreamingSeconds, s.stop().ImageRatio)
	if held, err := lab.AllocatedBytes(c.out); err != nil || held > 16*mib {
		t.Errorf("%d bytes are allocated for 4 MiB of data (%v)", held, err)
	}
}

// TestNoSparse: holes stay holes unless -n is given.
func TestNoSparse(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{}, imageBytes)
		r.serve(0)
		sparse := r.receive(1)
		finish(sparse)
		full := r.receive(1, "-n")
		finish(full)
		heldSparse, err := lab.AllocatedBytes(sparse.out)
		r.must(err)
		heldFull, err := lab.AllocatedBytes(full.out)
		r.must(err)
		if heldImage, err := lab.AllocatedBytes(r.image); err == nil && heldImage >= imageBytes {
			t.Skip("the file system has no holes")
		}
		if heldSparse >= imageBytes-mib || heldFull < imageBytes {
			t.Errorf("of %d bytes %d are allocated, with -n %d", imageBytes, heldSparse, heldFull)
		}
	})
}

// TestHoles: with MXB 2 the zeros of an image half holes are not sent, and arrive all
// the same: as holes in a new file, and over whatever an old one or a device held.
func TestHoles(t *testing.T) {
	t.Parallel()
	const size = 32*mib - 333
	for _, lossPercent := range []float64{0, 5} {
		t.Run(fmt.Sprintf("%v%% loss", lossPercent), func(t *testing.T) {
			r := newRoom(t, lab.Config{Hosts: 4, LossPercent: lossPercent}, 1)
			var extents []lab.Extent
			for at := int64(3 * mib); at < 24*mib; at += 5 * mib {
				extents = append(extents, lab.Extent{OffsetBytes: at, SizeBytes: 2*mib + 77})
			}
			r.must(lab.SparseFile(r.image, size, 4, extents...)) // it ends with a hole
			s := r.serve(0, "--min-receivers", "3")
			old := r.path("old")
			r.must(lab.RandomFile(old, size, 7))
			piped, err := os.Create(r.path("piped"))
			r.must(err)
			defer piped.Close()
			sparse, over, pipe := r.receive(1), r.receiveTo(2, old), r.prepareClient(3, "-o", "-")
			pipe.out = piped.Name()
			pipe.Stdout = struct{ *os.File }{piped}
			r.start(pipe.process)
			finish(sparse, over, pipe)
			held, err := lab.AllocatedBytes(sparse.out)
			r.must(err)
			if inImage, err := lab.AllocatedBytes(r.image); err == nil && inImage < size && float64(held) > r.carried()+mib {
				t.Errorf("of %v bytes that are not zeros %d are allocated", r.carried(), held)
			}
			end := s.stop()
			if times := r.times(end); times > 1.3 {
				t.Errorf("the server sent %.3f times what is not zeros", times)
			}
			if share := r.carried() / size; share > 0.6 {
				t.Errorf("%v of the image is not zeros: it tells nothing", share)
			}
		})
	}
}

// TestOverwrite receives into a longer file that held something else.
func TestOverwrite(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{}, imageBytes)
		r.serve(0)
		out := r.path("old")
		r.must(lab.RandomFile(out, imageBytes+mib, 7))
		finish(r.receiveTo(1, out))
	})
}

// TestStdout writes the image to a pipe while every twentieth packet is lost.
func TestStdout(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{LossPercent: 5}, 1)
		r.fill(72*mib + 5) // longer than a client's memory
		r.serve(0, "--rate", "320M")
		c := r.prepareClient(1, "-o", "-")
		c.out = r.path("piped")
		piped, err := os.Create(c.out)
		r.must(err)
		defer piped.Close()
		// What is no file goes through a pipe.
		c.Stdout = struct{ *os.File }{piped}
		r.start(c.process)
		if end := c.finishes(); end.Output != "standard output" {
			t.Errorf("the output is called %q", end.Output)
		}
	})
}

// TestBrokenPipe: whoever reads the image stops in the middle.
func TestBrokenPipe(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{}, imageBytes)
		r.serve(0)
		read, write, err := os.Pipe()
		r.must(err)
		c := r.prepareClient(1, "-o", "-")
		c.Stdout = write
		r.start(c.process)
		r.must(write.Close())
		_, err = read.Read(make([]byte, 1))
		r.must(err)
		r.must(read.Close())
		c.exits(exitTargetIO)
		if end := last[progress.ClientRecord](c.process, progress.EventFailed); !strings.Contains(end.Error, "whoever reads it has stopped") {
			t.Errorf("the error is %q", end.Error)
		}
	})
}

// TestServedName receives without -o, in a folder of its own.
func TestServedName(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, 2*mib)
	r.serve(0)
	folder := r.path("here")
	r.must(os.Mkdir(folder, 0o700))
	c := r.prepareClient(1)
	c.Dir, c.out = folder, folder+"/the.img"
	r.start(c.process)
	finish(c)
	r.hasOnly(folder, "the.img")
}

// TestFullFileSystem: the file system is full in the middle.
func TestFullFileSystem(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{}, imageBytes)
		s := r.serve(0)
		where := t.TempDir()
		if err := unix.Mount("tmpfs", where, "tmpfs", 0, "size=1m"); err != nil {
			t.Skip("tmpfs cannot be mounted: ", err)
		}
		t.Cleanup(func() { r.must(unix.Unmount(where, 0)) })
		c := r.receiveTo(1, where+"/out")
		c.fails(exitTargetIO, where+"/out", "no space left")
		if _, err := os.Stat(c.out); err == nil {
			t.Errorf("%s is there", c.out)
		}
		if end := s.stop(); p == speaksMXB2 && (len(end.Receivers) != 1 || !strings.Contains(end.Receivers[0].Reason, "no space left")) {
			t.Errorf("the server tells of %+v", end.Receivers)
		}
		// With -n it is told before anything is written.
		r.serve(0)
		c = r.receiveTo(1, where+"/allocated", "-n")
		c.fails(exitTargetRefused, where+"/allocated", "free")
		if _, err := os.Stat(c.out); err == nil {
			t.Errorf("%s is there", c.out)
		}
	})
}

func TestLoopDevice(t *testing.T) {
	t.Parallel()
	inBoth(t, loopDevice)
}

func loopDevice(t *testing.T, p protocol) {
	t.Parallel()
	const size = 8 * mib
	r := newRoomOf(t, p, lab.Config{}, size)
	r.serve(0)
	old := bytes.Repeat([]byte{0xFF}, size+mib)
	device := loopdev.New(t, old, 0)
	c := r.receiveTo(1, device)
	c.exits(0)
	got := r.content(device)
	if want := r.content(r.image); !bytes.Equal(got[:size], want) {
		t.Error("the device differs from the image")
	}
	if !bytes.Equal(got[size:], old[size:]) {
		t.Error("what lies behind the image was changed")
	}
	// A device is served as well.
	s := r.serveImage(0, device, "-s", "7501", "-p", "16001")
	back := r.receive(1, "-s", "7501", "-p", "16001")
	back.finishesWith(device)
	s.stop()
}

// TestRefusedDevices: nothing is written to what cannot, or must not, take the image.
func TestRefusedDevices(t *testing.T) {
	t.Parallel()
	const size = 4 * mib
	old := bytes.Repeat([]byte{0xFF}, size)
	for _, c := range []struct {
		name   string
		device func(r *room) string
		says   []string
		forced bool // --force helps
	}{
		{
			name:   "too small",
			device: func(r *room) string { return loopdev.New(r, old[:size-512], 0) },
			says:   []string{"4193792", "4194304"},
		},
		{
			name:   "read-only",
			device: func(r *room) string { return loopdev.New(r, old, unix.LO_FLAGS_READ_ONLY) },
			says:   []string{"read-only"},
		},
		{name: "mounted", device: (*room).mounted, says: []string{"is mounted on"}},
		{
			name: "in use",
			device: func(r *room) string {
				device := loopdev.New(r, old, 0)
				fd, err := unix.Open(device, unix.O_RDWR|unix.O_EXCL|unix.O_CLOEXEC, 0)
				r.must(err)
				r.Cleanup(func() { unix.Close(fd) })
				return device
			},
			says:   []string{"in use"},
			forced: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t, lab.Config{}, size)
			r.serve(0)
			device := c.device(r)
			before := r.content(device)
			r.receiveTo(1, device).fails(exitTargetRefused, append(c.says, device)...)
			if !bytes.Equal(r.content(device), before) {
				t.Error("the device was written to")
			}
			if !c.forced {
				return
			}
			r.receiveTo(1, device, "--force").exits(0)
			if !bytes.Equal(r.content(device), r.content(r.image)) {
				t.Error("with --force the device differs from the image")
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		r := newRoom(t, lab.Config{}, mib)
		r.receiveTo(1, "/dev/no-such-disk").fails(exitTargetRefused, "/dev/no-such-disk", "no such device")
	})
}

// mounted is a device with a file system that is mounted for the test.
func (r *room) mounted() string {
	r.Helper()
	device := loopdev.New(r, make([]byte, 8*mib), 0)
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		r.Skip("mkfs.ext4 is missing: install e2fsprogs")
	}
	if output, err := exec.Command(mkfs, "-q", "-F", "-O", "^has_journal", device).CombinedOutput(); err != nil {
		r.Fatalf("mkfs.ext4: %v: %s", err, output)
	}
	where := r.TempDir()
	if err := unix.Mount(device, where, "ext4", unix.MS_RDONLY, ""); err != nil {
		r.Skip("ext4 cannot be mounted: ", err)
	}
	r.Cleanup(func() { r.must(unix.Unmount(where, 0)) })
	return device
}

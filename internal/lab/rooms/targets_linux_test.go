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
	for _, size := range []int64{1, 1023, 1024, 1025, 100_000, mib + 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRoom(t, lab.Config{}, size)
			s := r.serve(0)
			c := r.receive(1)
			finish(c)
			// Nobody ever gets an empty block.
			if sent, blocks := s.stop().PacketsSent, uint64(size+1023)/1024; sent != blocks {
				t.Errorf("%d blocks were sent, the image has %d", sent, blocks)
			}
		})
	}
}

func TestEmptyImage(t *testing.T) {
	r := newRoom(t, lab.Config{Hosts: 1}, 1)
	r.must(os.Truncate(r.image, 0))
	s := r.prepare(r.Hosts[0], lab.BuildOnce(t).Server, "--json", "-f", r.image)
	r.start(s)
	s.fails(exitFailure, "the.img", "empty")
}

// TestBeyond4GiB: block ids times 1024 do not fit 32 bits.
func TestBeyond4GiB(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("takes too long under -short and with the race detector: 4 GiB, zeros included, are sent")
	}
	const border, size = 4 << 30, 4<<30 + 3*mib + 7
	// Super-packets that stay whole make the network four times as fast.
	r := newRoom(t, lab.Config{SegmentOffload: true, ReceiveOffload: true}, 1)
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
	r := newRoom(t, lab.Config{}, imageBytes)
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
}

// TestOverwrite receives into a longer file that held something else.
func TestOverwrite(t *testing.T) {
	r := newRoom(t, lab.Config{}, imageBytes)
	r.serve(0)
	out := r.path("old")
	r.must(lab.RandomFile(out, imageBytes+mib, 7))
	finish(r.receiveTo(1, out))
}

// TestStdout writes the image to a pipe while every twentieth packet is lost.
func TestStdout(t *testing.T) {
	r := newRoom(t, lab.Config{LossPercent: 5}, imageBytes)
	r.serve(0)
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
}

// TestBrokenPipe: whoever reads the image stops in the middle.
func TestBrokenPipe(t *testing.T) {
	r := newRoom(t, lab.Config{}, imageBytes)
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
}

// TestServedName receives without -o, in a folder of its own.
func TestServedName(t *testing.T) {
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
	r := newRoom(t, lab.Config{}, imageBytes)
	r.serve(0)
	where := t.TempDir()
	if err := unix.Mount("tmpfs", where, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("tmpfs cannot be mounted: ", err)
	}
	t.Cleanup(func() { r.must(unix.Unmount(where, 0)) })
	c := r.receiveTo(1, where+"/out")
	c.fails(exitTargetIO, where+"/out", "at offset", "no space left")
	// With -n it is told before anything is written.
	c = r.receiveTo(1, where+"/allocated", "-n")
	c.fails(exitTargetRefused, where+"/allocated", "free")
	if _, err := os.Stat(c.out); err == nil {
		t.Errorf("%s is there", c.out)
	}
}

func TestLoopDevice(t *testing.T) {
	const size = 8 * mib
	r := newRoom(t, lab.Config{}, size)
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
	const size = 4 * mib
	old := bytes.Repeat([]byte{0xFF}, size)
	for _, c := range []struct {
		name   string
		device func(r *room) string
		says   []string
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
			says: []string{"in use"},
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

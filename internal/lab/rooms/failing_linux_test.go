package rooms

import (
	"os"
	"strings"
	"testing"
	"time"

	"multiserver/internal/lab"
	"multiserver/internal/progress"
	"multiserver/internal/target/loopdev"
)

// faultyFile mounts a file on a disk of which something is wrong.
func (r *room) faultyFile(cfg lab.FaultyConfig) *lab.FaultyFile {
	r.Helper()
	f, err := lab.MountFaultyFile(r.TempDir(), cfg)
	if err != nil {
		r.Skip("no FUSE: ", err)
	}
	r.Cleanup(func() {
		for _, p := range r.processes {
			<-p.ended // killed with the test's context
		}
		r.must(f.Close())
	})
	return f
}

// reasonOf is what the server tells of its one client that failed.
func (r *room) reasonOf(end progress.ServerRecord) string {
	r.Helper()
	reason := ""
	for _, each := range end.Receivers {
		if each.Outcome != "failed" {
			continue
		}
		if reason != "" {
			r.Error("more than one client failed")
		}
		reason = each.Reason
	}
	return reason
}

// TestFailingTarget: a disk that fails ends its client with the offset and the disk's
// own error; the server says so, and the others go on.
func TestFailingTarget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cfg  lab.FaultyConfig
		says []string
	}{
		{"at once", lab.FaultyConfig{FailWritesFrom: 5*mib + 4096}, []string{"at offset 5246976", "input/output error"}},
		{"late", lab.FaultyConfig{FailWritesFrom: 5 * mib, Late: true}, []string{"input/output error"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 4}, 1)
			r.fill(imageBytes)
			bad := r.faultyFile(c.cfg)
			s := r.serve(0, "--min-receivers", "3")
			failing := r.receiveTo(1, bad.Path)
			finish(r.receive(2), r.receive(3))
			failing.fails(exitTargetIO, append(c.says, bad.Path)...)
			if reason := r.reasonOf(s.stop()); !strings.Contains(reason, "input/output error") {
				t.Errorf("the server says %q", reason)
			}
		})
	}
}

// TestSlowToSettle: what others left in the page cache may take longer to reach the disk
// than the server may be silent.
func TestSlowToSettle(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, 1)
	r.fill(imageBytes)
	slow := r.faultyFile(lab.FaultyConfig{SizeBytes: imageBytes, FsyncTime: 1500 * time.Millisecond})
	r.serve(0)
	r.receiveTo(1, slow.Path, "--receive-timeout", "1s").exits(0)
	if string(slow.Content()) != string(r.content(r.image)) {
		t.Error("the file differs from the image")
	}
}

// TestShrinkingDevice: a device becomes smaller while it is written.
func TestShrinkingDevice(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{Hosts: 3}, 1)
	r.fill(imageBytes)
	disk := r.path("disk")
	r.must(os.WriteFile(disk, make([]byte, imageBytes+mib), 0o600))
	device := loopdev.Attach(t, disk, 0, 512)
	s := r.serve(0, "--min-receivers", "2")
	failing, other := r.receiveTo(1, device), r.receive(2)
	failing.reaches(0.3)
	r.must(os.Truncate(disk, mib))
	loopdev.Resize(t, device)
	finish(other)
	failing.exits(exitTargetIO)
	if failure := last[progress.ClientRecord](failing.process, progress.EventFailed); !strings.Contains(failure.Error, device) {
		t.Errorf("the error is %q", failure.Error)
	}
	if reason := r.reasonOf(s.stop()); !strings.Contains(reason, device) {
		t.Errorf("the server says %q", reason)
	}
}

// TestUnreadableTarget: what cannot be read of an older content is written anew; --verify
// reports that it cannot be read even so.
func TestUnreadableTarget(t *testing.T) {
	t.Parallel()
	r := newRoom(t, lab.Config{}, 1)
	r.fill(imageBytes)
	r.learned()
	bad := r.faultyFile(lab.FaultyConfig{FailReadsFrom: 3 * mib})
	f, err := os.OpenFile(bad.Path, os.O_WRONLY, 0)
	r.must(err)
	_, err = f.Write(r.content(r.image))
	r.must(err)
	r.must(f.Close())
	s := r.serve(0)
	c := r.receiveTo(1, bad.Path, "--update")
	c.exits(0)
	if string(bad.Content()) != string(r.content(r.image)) {
		t.Error("the target differs from the image")
	}
	if sent := sentOf(s.stop()); sent < 0.5 || sent > 0.95 {
		t.Errorf("sent %.3f of the image, want that from 3 of 8 MiB on", sent)
	}
	r.serve(0)
	r.receiveTo(1, bad.Path, "--update", "--verify").fails(exitTargetIO, bad.Path, "input/output error")
}

// TestVerify: a disk that does not hold what was written to it is found out, in both
// protocols, and by --verify alone.
func TestVerify(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, p protocol) {
		t.Parallel()
		r := newRoomOf(t, p, lab.Config{}, 1)
		r.fill(imageBytes)
		bad := r.faultyFile(lab.FaultyConfig{WrongAt: 6*mib + 12345})
		s := r.serve(0)
		lied := r.receiveTo(1, bad.Path)
		lied.exits(0)
		r.receiveTo(1, bad.Path, "--fresh", "--verify").fails(exitTargetIO, bad.Path, "read back differently", "offset 6291456")
		good := r.receive(1, "--verify").finishes()
		if !good.Verified || good.BytesVerified != good.SizeBytes {
			t.Errorf("verified: %v, %d of %d bytes", good.Verified, good.BytesVerified, good.SizeBytes)
		}
		end := s.stop()
		if p == speaksMXB2 && !strings.Contains(r.reasonOf(end), "read back differently") {
			t.Errorf("the server tells of %+v", end.Receivers)
		}
	})
}

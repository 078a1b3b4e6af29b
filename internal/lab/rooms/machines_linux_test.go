package rooms

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"multiserver/internal/lab"
	"multiserver/internal/lab/machine"
)

const (
	// machinesGiveUp is giveUp where processors are emulated.
	machinesGiveUp = 10 * time.Minute

	machineImageBytes = 64 * mib
	// machineZeroBytes are zeros in the image's middle.
	machineZeroBytes = 4 * mib

	// mostSentToMachines is the most that a server without a flag sends to virtual machines,
	// in images. It counts all that leaves the host, with its headers. The server could send
	// a hundred times faster than the machines take it, and nothing on the way holds it back.
	mostSentToMachines = 1.5
)

// severalMachines is for whoever has a core for each.
var severalMachines = flag.Int("machines", 0, "boot so many virtual machines at once in TestMachines")

// TestMachines: virtual machines that nobody tuned receive an image from the host that they
// run on, where the server has no flag but the image. They end with success, their disks
// hold the image, and the server does not flood their network.
func TestMachines(t *testing.T) {
	for _, c := range []struct {
		name     string
		machines int
		busy     bool // the host has something else to do, too
	}{
		{name: "one", machines: 1},
		{name: "one on a busy host", machines: 1, busy: true},
		// Two emulated machines on two cores, beside the server, take turns at running: what is sent to
		// them was 1.2 to 1.7 times the image in six runs, and one lost its network at the end.
		{name: "several", machines: *severalMachines},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.machines == 0 {
				t.Skip("-args -machines 2 boots so many at once")
			}
			b := newMachineRoom(t)
			if c.busy {
				b.keepBusy()
			}
			// --json changes what is printed, and nothing else.
			s := server{b.prepare(b.Hosts[0], lab.BuildOnce(b).Server, "--json", "-f", b.image)}
			b.start(s.process)
			s.ready()
			before, began := b.sentBytes(0), time.Now()
			var all []*bootedMachine
			for range c.machines {
				all = append(all, b.boot(machine.Parameter{Name: "multiclient.target", Value: "name=vda"}, machine.Parameter{Name: "multiclient.verify"}))
			}
			for _, m := range all {
				m.finishes()
			}
			took, sent := time.Since(began), float64(b.sentBytes(0)-before)/machineImageBytes
			end := s.stop()
			b.Logf("%d machines: %.1f s from power on to power off; sent %.2f times the image with all headers, %.2f without; at the end limited to %d bits a second by %q",
				c.machines, took.Seconds(), sent, end.ImageRatio, end.RateLimit, end.RateReason)
			if end.ReceiversDone != c.machines {
				b.Errorf("the server tells of %v, want %d that are done", outcomes(end), c.machines)
			}
			if sent > mostSentToMachines {
				b.Errorf("the server sent %.2f times the image, want %v at most", sent, mostSentToMachines)
			}
		})
	}
}

// machineRoom is a room whose host 0 is a bridge for virtual machines.
type machineRoom struct {
	*room
	config machine.Config // what is the same for all
	booted int
}

// newMachineRoom makes a room with a server's host, or skips the test where there cannot be
// a machine.
func newMachineRoom(t *testing.T) *machineRoom {
	t.Helper()
	if raceDetector {
		t.Skip("a program with the race detector needs a C library, which a machine has not; make test runs this")
	}
	programs, errPrograms := machine.FindPrograms()
	kernel, errKernel := machine.FindKernel()
	skipUnavailable(t, errPrograms, errKernel)

	b := &machineRoom{room: newRoomWithin(t, machinesGiveUp, lab.Config{Hosts: 1}, 1)}
	half := int64(machineImageBytes-machineZeroBytes) / 2
	b.must(lab.SparseFile(b.image, machineImageBytes, 1, lab.Extent{SizeBytes: half}, lab.Extent{OffsetBytes: half + machineZeroBytes, SizeBytes: half}))
	b.must(b.Hosts[0].MakeBridge())
	b.must(b.Hosts[0].Disconnect()) // nobody else is there
	b.config = machine.Config{Programs: programs, Kernel: kernel.Image, Initramfs: b.path("initramfs")}
	b.must(machine.ReceiverInitramfs(lab.BuildOnce(b).Client).WriteFile(b.config.Initramfs, kernel, programs))
	return b
}

// skipUnavailable skips a test if any of the errors tells what is missing, and fails it if
// any tells something else.
func skipUnavailable(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil && !errors.Is(err, machine.ErrUnavailable) && !errors.Is(err, lab.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.Skip(err)
	}
}

// keepBusy gives all processors but one an endless loop, at least one of them, until the
// test ends.
func (b *machineRoom) keepBusy() {
	b.Helper()
	for range max(1, runtime.NumCPU()-1) {
		p := b.prepare(b.Hosts[0], b.config.Programs.Busybox, "sh", "-c", "while :; do :; done")
		b.start(p)
	}
}

// bootedMachine is a virtual machine of a room.
type bootedMachine struct {
	*machine.Machine
	room  *machineRoom
	title string
	disk  string // file
}

// boot starts a machine with these parameters of the kernel's command line. Its disk has
// the image's size, and is full of something else.
func (b *machineRoom) boot(parameters ...machine.Parameter) *bootedMachine {
	b.Helper()
	b.booted++
	m := &bootedMachine{room: b, title: fmt.Sprintf("machine %d", b.booted), disk: b.path(fmt.Sprintf("disk%d", b.booted))}
	b.must(lab.RandomFile(m.disk, machineImageBytes, uint64(100+b.booted)))
	c := b.config
	c.Parameters, c.Disk = parameters, m.disk
	const firstMachine = 101 // above all hosts of the room
	c.Address = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, 0, byte(firstMachine + b.booted - 1)}), 24)
	booted, err := machine.Boot(b.ctx, b.Hosts[0], c)
	skipUnavailable(b.T, err)
	m.Machine = booted
	b.Cleanup(func() {
		_ = m.Kill() // it fails where the machine has ended, as it should have
		_, _ = m.Wait()
		if b.Failed() {
			b.Logf("the console of %s:\n%s", m.title, m.Console())
		}
	})
	return m
}

// finishes waits for success, and compares the disk with the room's image.
func (m *bootedMachine) finishes() {
	m.room.Helper()
	status, err := m.Wait()
	if err != nil {
		m.room.Fatalf("%s: %v", m.title, err)
	}
	if status != 0 {
		m.room.Errorf("%s: exit status %d, want 0", m.title, status)
	}
	m.room.same(m.room.image, m.disk)
}

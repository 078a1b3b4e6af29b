package target

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"multiserver/internal/target/loopdev"
)

// Where the disks of common machines are in sysfs.
const (
	sataPlace   = "pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/block/sda"
	pataPlace   = "pci0000:00/0000:00:01.1/ata7/host6/target6:0:1/6:0:1:0/block/sdp"
	usbPlace    = "pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/host4/target4:0:0/4:0:0:0/block/sdb"
	nvmePlace   = "pci0000:00/0000:00:1d.0/0000:01:00.0/nvme/nvme0/nvme0n1"
	virtioPlace = "pci0000:00/0000:00:02.0/virtio1/block/vda"
	mmcPlace    = "platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0"
	loopPlace   = "virtual/block/loop0"
)

// machine is a host's sysfs, /dev and udev database in a folder.
type machine struct {
	*testing.T
	hardware
	disks int
	used  map[uint64]string
}

func newMachine(t *testing.T) *machine {
	folder := t.TempDir()
	m := &machine{T: t, used: map[uint64]string{}}
	m.hardware = hardware{
		sys: filepath.Join(folder, "sys"), dev: filepath.Join(folder, "dev"), udev: filepath.Join(folder, "udev"),
		use: func(dev uint64) (string, error) { return m.used[dev], nil },
	}
	m.write("sys/block/.none", "") // a machine without disks has the folder all the same
	if err := os.Remove(filepath.Join(m.sys, "block/.none")); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) write(path, content string) {
	m.Helper()
	path = filepath.Join(filepath.Dir(m.sys), path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		m.Fatal(err)
	}
}

func (m *machine) link(to, path string) {
	m.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		m.Fatal(err)
	}
	if err := os.Symlink(to, path); err != nil {
		m.Fatal(err)
	}
}

// add makes a disk of that size with files below its folder; a device is there unless
// it is virtual. dev is its number.
func (m *machine) add(place string, size uint64, files map[string]string) (dev uint64) {
	m.Helper()
	m.disks++
	name := filepath.Base(place)
	folder := "sys/devices/" + place + "/"
	m.write(folder+"size", fmt.Sprint(size/512)+"\n")
	m.write(folder+"dev", "8:"+fmt.Sprint(m.disks)+"\n")
	m.write(folder+"queue/rotational", "0\n")
	m.write(folder+"removable", "0\n")
	if !strings.HasPrefix(place, "virtual/") {
		m.write(folder+"device/uevent", "")
	}
	for path, content := range files {
		m.write(folder+path, content)
	}
	m.link("../devices/"+place, filepath.Join(m.sys, "block", name))
	m.link("../../devices/"+place, filepath.Join(m.sys, "dev/block", "8:"+fmt.Sprint(m.disks)))
	return unix.Mkdev(8, uint32(m.disks))
}

func (m *machine) picks(expr string) (name string, err error) {
	m.Helper()
	s, err := ParseSelection(expr)
	if err != nil {
		m.Fatal(err)
	}
	d, _, err := m.pick(s)
	return d.Name, err
}

func (m *machine) sata() uint64 {
	m.write("sys/devices/pci0000:00/0000:00:1f.2/ata3/ata_port/ata3/port_no", "1\n")
	m.write("sys/devices/pci0000:00/0000:00:1f.2/ata3/link3/ata_link/link3/sata_spd", "6.0 Gbps\n")
	return m.add(sataPlace, 500107862016, map[string]string{
		"device/vendor": "ATA     \n", "device/model": "Samsung SSD 860 \n", "device/wwid": "naa.5002538e40a1b2c3\n",
		"device/vpd_pg80": "\x00\x80\x00\x14     S3Z1NB0K123456X",
		"sda1/partition":  "1\n", "sda10/partition": "10\n", "sda2/partition": "2\n", "sda1/size": "2048\n", "sda1/dev": "8:200\n",
	})
}

func TestDisks(t *testing.T) {
	m := newMachine(t)
	m.used[m.sata()] = "/dev/sda1 is mounted on /"
	m.write("sys/devices/pci0000:00/0000:00:01.1/ata7/link7/ata_link/link7/sata_spd", "<unknown>\n")
	m.add(pataPlace, 40e9, map[string]string{"queue/rotational": "1\n", "device/vendor": "ATA", "device/model": "Old Disk"})
	m.write("sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/idVendor", "0781\n")
	m.write("sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/serial", "4C530001\n")
	m.add(usbPlace, 32e9, map[string]string{"removable": "1\n", "device/vendor": "SanDisk \n", "device/model": "Ultra           \n"})
	m.add(nvmePlace, 1024209543168, map[string]string{
		"device/model": "KXG60ZNV1T02 TOSHIBA                    \n", "device/serial": "70LA123TEEM1        \n",
		"wwid": "eui.00080d0123456789\n", "nsid": "1\n",
	})
	m.add(virtioPlace, 10<<30, map[string]string{"serial": "vm-7", "device/vendor": "0x1af4\n"})
	m.add(mmcPlace, 62537072640, map[string]string{"device/name": "DF4064\n", "device/serial": "0x8a2b1c3d\n", "device/type": "MMC\n"})
	m.add(loopPlace, 1<<20, nil)
	// What is no target:
	m.add(mmcPlace+"boot0", 4<<20, nil)
	m.add("pci0000:00/0000:00:1f.2/ata4/host3/target3:0:0/3:0:0:0/block/sr0", 4e9, nil)
	m.add("platform/floppy.0/block/fd0", 1440<<10, nil)
	m.add("platform/flash/mtd/mtd0/mtdblock0", 16<<20, nil)
	m.add("pci0000:00/0000:00:14.0/usb2/2-2/2-2:1.0/host5/target5:0:0/5:0:0:0/block/sdc", 0, nil) // an empty card reader
	m.add("pci0000:00/0000:00:1d.0/0000:01:00.0/nvme/nvme0/nvme0c0n1", 1024209543168, map[string]string{"hidden": "1\n"})

	for _, c := range []struct {
		expr string
		want string // "" if it is refused
	}{
		{"serial=S3Z1NB0K123456X", "sda"},
		{"model=samsung ssd 860", "sda"},
		{"wwn=naa.5002538e40a1b2c3", "sda"},
		{"wwn=0x5002538e40a1b2c3", "sda"},
		{"path=pci-0000:00:1f.2-ata-1", "sda"},
		{"path=pci-0000:00:1f.2-ata-1.0", "sda"},
		{"transport=sata", "sda"},
		{"transport=ata", "sdp"},
		{"model=old disk", "sdp"},
		{"rotational=1", "sdp"},
		{"transport=usb", "sdb"},
		{"removable=1", "sdb"},
		{"serial=4C53*", "sdb"},
		{"model=SanDisk Ultra", "sdb"},
		{"model=Ultra", "sdb"},
		{"path=pci-0000:00:14.0-usb-0:1.4:1.0-scsi-0:0:0:0", "sdb"},
		{"transport=nvme", "nvme0n1"},
		{"serial=70LA123TEEM1", "nvme0n1"},
		{"model=KXG60ZNV1T02 TOSHIBA", "nvme0n1"},
		{"wwn=eui.00080d0123456789", "nvme0n1"},
		{"path=pci-0000:01:00.0-nvme-1", "nvme0n1"},
		{"transport=virtio", "vda"},
		{"serial=vm-7", "vda"},
		{"path=pci-0000:00:02.0", "vda"},
		{"model=0x*", ""}, // a number of the bus is no model
		{"transport=mmc", "mmcblk0"},
		{"model=DF4064", "mmcblk0"},
		{"serial=0x8a2b1c3d", "mmcblk0"},
		{"path=platform*", ""}, // only udev would know
		{"size>=1000GB", "nvme0n1"},
		{"size<=10G", "vda"}, // loop0 is no candidate
		{"name=loop0", "loop0"},
		{"name=sd*,size>=100G", "sda"},
		{"name=sr0", ""},
		{"name=fd0", ""},
		{"name=mtdblock0", ""},
		{"name=mmcblk0boot0", ""},
		{"name=sdc", ""},
		{"name=nvme0c0n1", ""},
		{"name=sda1", ""},
		// The free one of two would be a guess.
		{"size>=400GB,rotational=0", ""},
	} {
		name, err := m.picks(c.expr)
		if name != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%q: %q, %v; want %q", c.expr, name, err, c.want)
		}
	}

	s, err := ParseSelection("path=platform*")
	if err != nil {
		t.Fatal(err)
	}
	_, candidates, err := m.pick(s)
	if len(candidates) != 6 || !strings.Contains(err.Error(), "no path is known here of mmcblk0") {
		t.Errorf("%v of %v", err, candidates)
	}
	d, ok := m.diskOf(unix.Mkdev(8, 1))
	if want := "465.8 GiB Samsung SSD 860, serial S3Z1NB0K123456X, sata, /dev/sda1 is mounted on /"; !ok || d.String() != want {
		t.Errorf("%v: %q, want %q", ok, d, want)
	}
	if got := strings.Join(d.Partitions, " "); got != "sda1 sda2 sda10" {
		t.Errorf("partitions %q", got)
	}
}

// A partition has a size of its own and the hardware of its disk.
func TestPartition(t *testing.T) {
	m := newMachine(t)
	m.sata()
	m.link("../../devices/"+sataPlace+"/sda1", filepath.Join(m.sys, "dev/block", "8:200"))
	d, ok := m.diskOf(unix.Mkdev(8, 200))
	if !ok || d.Name != "sda1" || d.Path != "/dev/sda1" || d.SizeBytes != 1<<20 || d.Serial() != "S3Z1NB0K123456X" || d.Partitions != nil {
		t.Errorf("%v: %+v", ok, d)
	}
	if d, ok := m.diskOf(unix.Mkdev(8, 99)); ok {
		t.Errorf("there is no such device: %+v", d)
	}
}

func TestAlikeAndNone(t *testing.T) {
	m := newMachine(t)
	if _, err := m.picks("size>=1"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "there is no disk here") {
		t.Errorf("without a disk: %v", err)
	}
	for _, place := range []string{virtioPlace, "pci0000:00/0000:00:03.0/virtio2/block/vdb"} {
		m.add(place, 10<<30, nil)
	}
	if _, err := m.picks("size=10G"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "2 disks match; add a condition: vda, vdb") {
		t.Errorf("two alike: %v", err)
	}
	if name, err := m.picks("size=10G,path=*00:03.0"); name != "vdb" {
		t.Errorf("told by its place: %q, %v", name, err)
	}
	if err := os.RemoveAll(m.sys); err != nil {
		t.Fatal(err)
	}
	if _, err := m.picks("size>=1"); !errors.Is(err, ErrRefused) {
		t.Errorf("without sysfs: %v", err)
	}
}

// Where udev runs it knows more.
func TestUdev(t *testing.T) {
	m := newMachine(t)
	m.sata()
	m.add(mmcPlace, 64e9, nil)
	m.write("udev/b8:1", "S:disk/by-id/x\nE:ID_MODEL=Samsung_SSD_860_EVO_500GB\nE:ID_MODEL_ENC=Samsung\\x20SSD\\x20860\\x20EVO\\x20500GB\\x20\\x20\n"+
		"E:ID_SERIAL_SHORT=S3Z1NB0K123456X\nE:ID_WWN=0x5002538e40a1b2c3\n")
	m.link("../../mmcblk0", filepath.Join(m.dev, "disk/by-path/platform-fe340000.mmc"))
	m.link("../../mmcblk0p1", filepath.Join(m.dev, "disk/by-path/platform-fe340000.mmc-part1"))
	m.link("../../mmcblk0", filepath.Join(m.dev, "disk/by-id/wwn-0x1234"))
	for expr, want := range map[string]string{
		"model=Samsung SSD 860 EVO 500GB":       "sda",
		"model=Samsung_SSD_860_EVO*":            "sda",
		"model=Samsung SSD 860":                 "sda",
		"path=platform-fe340000.mmc":            "mmcblk0",
		"wwn=1234":                              "mmcblk0",
		"path=platform-fe340000.mmc-part1":      "",
		"path=/dev/disk/by-path/platform-fe34*": "mmcblk0",
	} {
		if name, err := m.picks(expr); name != want {
			t.Errorf("%q: %q, %v; want %q", expr, name, err, want)
		}
	}
}

// The real sysfs of this machine: a loop device is found by its name, and by nothing else.
func TestPickLoop(t *testing.T) {
	device := loopdev.New(t, make([]byte, 1<<20), 0)
	s, err := ParseSelection("name=" + device)
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := PickDisk(s)
	if err != nil || d.Path != device || d.SizeBytes != 1<<20 {
		t.Fatalf("%+v, %v", d, err)
	}
	if at, ok := DiskAt(device); !ok || at.Path != device || at.SizeBytes != 1<<20 {
		t.Errorf("%v: %+v", ok, at)
	}
	if _, ok := DiskAt("/dev/null"); ok {
		t.Error("/dev/null is taken for a disk")
	}
	if s, err = ParseSelection("size=1M"); err != nil {
		t.Fatal(err)
	}
	_, candidates, err := PickDisk(s)
	for _, c := range candidates {
		if c.Path == device {
			t.Error("a loop device is a candidate although its name is no condition")
		}
	}
	if err == nil {
		t.Error("a disk of 1 MiB is picked")
	}
}

// TestPickNode: a name in /dev that is not the disk of that name is not written to.
func TestPickNode(t *testing.T) {
	m := newMachine(t)
	dev := m.sata()
	node := filepath.Join(m.dev, "sda")
	const want = "sda matches, but /dev/sda is something else"
	picks := func() error {
		_, err := m.picks("model=samsung*")
		return err
	}
	if err := picks(); err != nil {
		t.Errorf("without a node: %v", err)
	}
	m.write("dev/sda", "left over")
	checkRefused(t, picks(), `target "model=samsung*"`, want)
	if os.Geteuid() != 0 {
		t.Skip("device nodes are for root: run as root")
	}
	for _, c := range []struct {
		dev uint64
		ok  bool
	}{{dev + 16, false}, {dev, true}} {
		if err := os.Remove(node); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mknod(node, unix.S_IFBLK|0o600, int(c.dev)); err != nil {
			t.Skip("no device nodes can be made here: ", err)
		}
		switch err := picks(); {
		case c.ok && err != nil:
			t.Errorf("with its own node: %v", err)
		case !c.ok:
			checkRefused(t, err, `target "model=samsung*"`, want)
		}
	}
}

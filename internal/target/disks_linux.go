package target

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hardware are the folders that describe disks. The shells of a netboot have no udev, so its
// properties are optional.
type hardware struct {
	sys  string // sysfs
	dev  string // with udev's links in disk/by-path and disk/by-id
	udev string // udev's database, a file for each device
	use  func(dev uint64) (string, error)
}

var thisHost = hardware{sys: "/sys", dev: "/dev", udev: "/run/udev/data", use: system.use}

// PickDisk returns the one disk of this machine that matches, with the errors and candidates of
// Selection.Pick. Disks in use are candidates too: choosing the only free one would be a guess.
// Devices without hardware, such as loop devices, are candidates only if the selection names
// one.
func PickDisk(s Selection) (picked Disk, candidates []Disk, err error) {
	return thisHost.pick(s)
}

func (h hardware) pick(s Selection) (Disk, []Disk, error) {
	disks, err := h.disks(s.has("name"))
	if err != nil {
		return Disk{}, nil, refusedBy(fmt.Sprintf("target %q", s.text), fmt.Errorf("list the disks: %w", bare(err)))
	}
	d, candidates, err := s.Pick(disks)
	if err == nil && !h.hasNode(d.Name) {
		return Disk{}, nil, refused(fmt.Sprintf("target %q", s.text), fmt.Sprintf("%s matches, but %s is something else", d.Name, d.Path))
	}
	return d, candidates, err
}

// hasNode reports whether the node of that name in /dev, if it exists, is the node of that disk.
// If the kernel does not make the nodes, they may be stale.
func (h hardware) hasNode(name string) bool {
	var st unix.Stat_t
	if unix.Stat(filepath.Join(h.dev, strings.ReplaceAll(name, "!", "/")), &st) != nil {
		return true // opening it will show
	}
	dev, err := readDev(filepath.Join(h.sys, "block", name, "dev"))
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK && uint64(st.Rdev) == dev
}

// DiskAt describes the block device at path, a disk or a partition. It returns false if there is
// none.
func DiskAt(path string) (Disk, bool) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return Disk{}, false
	}
	return thisHost.diskOf(uint64(st.Rdev))
}

func (h hardware) diskOf(dev uint64) (Disk, bool) {
	folder, err := filepath.EvalSymlinks(filepath.Join(h.sys, "dev/block", fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev))))
	if err != nil {
		return Disk{}, false
	}
	if _, err := os.Stat(filepath.Join(folder, "partition")); err != nil {
		return h.disk(filepath.Base(folder), folder), true
	}
	// A partition has the hardware of its disk, and a name and size of its own.
	whole := filepath.Dir(folder)
	d := h.disk(filepath.Base(whole), whole)
	d.Name, d.SizeBytes, d.Partitions = filepath.Base(folder), sizeOf(folder), nil
	d.Path = "/dev/" + strings.ReplaceAll(d.Name, "!", "/")
	return d, true
}

// noDisk matches devices that have hardware but cannot take an image: optical and floppy drives,
// bare flash, and the hardware partitions of an eMMC, which the kernel shows as disks.
var noDisk = regexp.MustCompile(`^(sr|fd|mtdblock|ubiblock)\d|^mmcblk\d+[a-z]`)

// disks returns the whole disks of this machine, by name; with virtual also disks without
// hardware.
func (h hardware) disks(virtual bool) ([]Disk, error) {
	entries, err := os.ReadDir(filepath.Join(h.sys, "block"))
	if err != nil {
		return nil, err
	}
	var disks []Disk
	for _, e := range entries {
		folder, err := filepath.EvalSymlinks(filepath.Join(h.sys, "block", e.Name()))
		if err != nil {
			continue // it was unplugged just now
		}
		_, err = os.Stat(filepath.Join(folder, "device"))
		// A hidden one is one of several ways to the same NVMe disk.
		if err != nil && !virtual || noDisk.MatchString(e.Name()) || sizeOf(folder) == 0 || readText(folder, "hidden") == "1" {
			continue
		}
		disks = append(disks, h.disk(e.Name(), folder))
	}
	return disks, nil
}

// disk describes a whole disk. folder is its folder in sysfs, without links.
func (h hardware) disk(name, folder string) Disk {
	d := Disk{
		Name:       name,
		Path:       "/dev/" + strings.ReplaceAll(name, "!", "/"),
		SizeBytes:  sizeOf(folder),
		Rotational: readText(folder, "queue/rotational") == "1",
		Removable:  readText(folder, "removable") == "1",
	}
	dev, err := readDev(filepath.Join(folder, "dev"))
	if err == nil {
		d.Use, _ = h.use(dev) // opening it checks again, and refuses if that is unknown
	}
	parts, _ := filepath.Glob(filepath.Join(folder, name+"*", "partition"))
	for _, p := range parts {
		d.Partitions = append(d.Partitions, filepath.Base(filepath.Dir(p)))
	}
	slices.SortFunc(d.Partitions, func(a, b string) int { // p2 before p10
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	if _, err := os.Stat(filepath.Join(folder, "device")); err != nil {
		return d // no hardware
	}
	known := h.database(dev)
	d.Transport = transport(folder)
	d.Models = distinct(append([]string{unescape(known["ID_MODEL_ENC"]), known["ID_MODEL"]}, models(folder)...))
	d.Serials = distinct([]string{known["ID_SERIAL_SHORT"], pageSerial(folder), readText(folder, "serial"),
		readText(folder, "device/serial"), usbSerial(h.sys, folder), known["ID_SCSI_SERIAL"]})
	d.WWNs = worldwide(append(h.links("by-id", name, "wwn-"), readText(folder, "wwid"), readText(folder, "device/wwid"), known["ID_WWN"]))
	d.ByPath = distinct(append(append(h.links("by-path", name, ""), known["ID_PATH"]), pathNames(h.sys, folder)...))
	return d
}

// sizeOf returns the size in bytes. sysfs counts in 512 bytes, whatever the sectors are.
func sizeOf(folder string) uint64 {
	n, _ := strconv.ParseUint(readText(folder, "size"), 10, 54)
	return n * 512
}

// readText is a file's content without blanks around, "" if there is none.
func readText(folder, name string) string {
	text, _ := os.ReadFile(filepath.Join(folder, name))
	return strings.TrimSpace(strings.Trim(string(text), "\x00"))
}

// distinct is texts, trimmed, without the empty ones and repetitions.
func distinct(texts []string) (all []string) {
	for _, t := range texts {
		if t = strings.TrimSpace(t); t != "" && !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	return all
}

// models returns the kernel's names; for SATA disks only their first 16 letters.
func models(folder string) []string {
	model := readText(folder, "device/model")
	if model == "" {
		if strings.Contains(folder, "/mmc_host/") {
			model = readText(folder, "device/name")
		}
		return []string{model}
	}
	// Of other buses the vendor is a number.
	if vendor := readText(folder, "device/vendor"); vendor != "" && vendor != "ATA" && !strings.HasPrefix(vendor, "0x") {
		return []string{vendor + " " + model, model}
	}
	return []string{model}
}

// pageSerial is the serial number of a SCSI or SATA disk: SPC-4 §7.8.15, a header of
// four bytes and as many letters as its last two say.
func pageSerial(folder string) string {
	page, _ := os.ReadFile(filepath.Join(folder, "device/vpd_pg80"))
	if len(page) < 4 {
		return ""
	}
	n := min(int(page[2])<<8|int(page[3]), len(page)-4)
	return strings.Trim(string(page[4:4+n]), " \x00")
}

// usbSerial returns the serial number of the USB device that has the disk: many bridges pass on
// none for the disk.
func usbSerial(sys, folder string) string {
	for ; len(folder) > len(sys); folder = filepath.Dir(folder) {
		if readText(folder, "idVendor") != "" {
			return readText(folder, "serial")
		}
	}
	return ""
}

// worldwide adds other spellings to each name: naa.5000c5, 0x5000c5 and 5000c5 are the same.
func worldwide(names []string) (all []string) {
	for _, name := range distinct(names) {
		name = strings.TrimPrefix(name, "wwn-")
		digits := name
		for _, prefix := range []string{"naa.", "eui.", "0x"} {
			digits = strings.TrimPrefix(digits, prefix)
		}
		all = append(all, name)
		if strings.Trim(strings.ToLower(digits), "0123456789abcdef") == "" {
			all = append(all, "0x"+digits, digits)
		}
	}
	return distinct(all)
}

// links are the names in a folder of /dev/disk that lead to the disk itself.
func (h hardware) links(folder, disk, prefix string) (names []string) {
	entries, _ := os.ReadDir(filepath.Join(h.dev, "disk", folder))
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join(h.dev, "disk", folder, e.Name()))
		if err == nil && filepath.Base(to) == disk && strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names
}

// database returns udev's properties of a block device: lines of E:KEY=VALUE.
func (h hardware) database(dev uint64) map[string]string {
	text, _ := os.ReadFile(filepath.Join(h.udev, fmt.Sprintf("b%d:%d", unix.Major(dev), unix.Minor(dev))))
	properties := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if line, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "E:"); ok {
			key, value, _ := strings.Cut(line, "=")
			properties[key] = value
		}
	}
	return properties
}

var escape = regexp.MustCompile(`\\x[0-9a-f]{2}`)

// unescape reverses udev's escapes, such as \x20.
func unescape(text string) string {
	return escape.ReplaceAllStringFunc(text, func(e string) string {
		n, _ := strconv.ParseUint(e[2:], 16, 8)
		return string([]byte{byte(n)})
	})
}

// transports are recognized by the path of a disk's folder. The first match counts: a USB disk is
// a SCSI disk too.
var transports = []struct {
	within *regexp.Regexp
	name   string
}{
	{regexp.MustCompile(`/usb\d+/`), "usb"},
	{regexp.MustCompile(`/mmc_host/`), "mmc"},
	{regexp.MustCompile(`/nvme/|/nvme-subsystem/|/nvme\d+/`), "nvme"},
	{regexp.MustCompile(`/ata\d+/`), "sata"},
	{regexp.MustCompile(`/end_device-`), "sas"},
	{regexp.MustCompile(`/rport-`), "fc"},
	{regexp.MustCompile(`/session\d+/`), "iscsi"},
	{regexp.MustCompile(`/virtio\d+/`), "virtio"},
	{regexp.MustCompile(`/target\d+:`), "scsi"},
}

func transport(folder string) string {
	for _, t := range transports {
		if !t.within.MatchString(folder) {
			continue
		}
		if t.name == "sata" && isParallel(folder) {
			return "ata"
		}
		return t.name
	}
	return ""
}

// isParallel reports whether an ATA link is parallel: only a serial link has a speed.
func isParallel(folder string) bool {
	m := ataPort.FindStringSubmatchIndex(folder)
	port, link := folder[:m[1]], "link"+folder[m[2]:m[3]]
	return readText(port, link+"/ata_link/"+link+"/sata_spd") == "<unknown>"
}

var (
	pciAddress = regexp.MustCompile(`/([0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\b`)
	ataPort    = regexp.MustCompile(`/ata(\d+)`)
	usbPort    = regexp.MustCompile(`/\d+-([0-9.]+:\d+\.\d+)/`)
	scsiPlace  = regexp.MustCompile(`/\d+:(\d+):(\d+):(\d+)/block/`)
)

// pathNames returns the names that udev's path_id would give to disks on PCI: virtio, NVMe, SATA
// and USB. For other hardware, udev is needed.
func pathNames(sys, folder string) []string {
	places := pciAddress.FindAllStringSubmatchIndex(folder, -1)
	if len(places) == 0 {
		return nil
	}
	last := places[len(places)-1]
	pci, rest := "pci-"+folder[last[2]:last[3]], folder[last[3]:]
	scsi := scsiPlace.FindStringSubmatch(rest)
	switch usb, ata := usbPort.FindAllStringSubmatch(rest, -1), ataPort.FindStringSubmatchIndex(rest); {
	case len(usb) > 0 && scsi != nil:
		return []string{fmt.Sprintf("%s-usb-0:%s-scsi-0:%s:%s:%s", pci, usb[len(usb)-1][1], scsi[1], scsi[2], scsi[3])}
	case ata != nil && scsi != nil && scsi[1] == "0":
		host := folder[:last[3]+ata[1]]
		port := readText(host, "ata_port/"+filepath.Base(host)+"/port_no")
		if port == "" {
			return nil
		}
		return []string{fmt.Sprintf("%s-ata-%s.%s", pci, port, scsi[2]), fmt.Sprintf("%s-ata-%s", pci, port)}
	case strings.Contains(rest, "/nvme"):
		if space := readText(folder, "nsid"); space != "" {
			return []string{pci + "-nvme-" + space}
		}
	case strings.Contains(rest, "/virtio") && scsi == nil:
		return []string{pci}
	}
	return nil
}

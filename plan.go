package multiserver

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"multiserver/internal/discover"
	"multiserver/internal/quote"
	"multiserver/internal/target"
	"multiserver/internal/udp"
)

// Plan is what Client.Run would write, and where. String returns it as a paragraph.
type Plan struct {
	Name      string `json:"name"`       // of the image
	SizeBytes uint64 `json:"size_bytes"` // of the image
	// Format is what the image is if it is no plain disk, with its article: "a gzip file".
	Format    string         `json:"format,omitempty"`
	Server    netip.AddrPort `json:"server"`
	Protocol  string         `json:"protocol"` // "mxb1" or "mxb2"
	Interface string         `json:"interface"`

	Output string     `json:"output"`
	Kind   OutputKind `json:"kind"`
	// OutputBytes is the size of a device or of a file that is there.
	OutputBytes uint64 `json:"output_bytes"`
	// KeptBytes at the end of a device stay as they are: the image is smaller.
	KeptBytes uint64 `json:"kept_bytes"`
	// CutBytes of the image's end, in no partition, are left out: the device is smaller.
	CutBytes uint64 `json:"cut_bytes,omitempty"`

	// Of a device, "" where it is unknown:
	Model      string   `json:"model,omitempty"`
	Serial     string   `json:"serial,omitempty"`
	Transport  string   `json:"transport,omitempty"` // "nvme", "usb", "sata", …
	Partitions []string `json:"partitions,omitempty"`
	Use        string   `json:"use,omitempty"` // with Force: what it is in use for
	// Table is "GPT", "MBR" or "", and Volumes what lies on the device. Blank says that nothing is
	// known on it, and that its first and last MiB are zeros.
	Table   string   `json:"table,omitempty"`
	Volumes []Volume `json:"volumes,omitempty"`
	Blank   bool     `json:"blank,omitempty"`
}

// Volume is a partition of a device, or what lies on the device without one. Label and Name come
// from the disk and may hold anything: String quotes them.
type Volume struct {
	Device    string `json:"device"` // "sda1"
	SizeBytes uint64 `json:"size_bytes"`
	Kind      string `json:"kind,omitempty"` // as blkid calls it: "ext4", "vfat", "LUKS", …; "" if unknown
	Label     string `json:"label,omitempty"`
	Name      string `json:"name,omitempty"` // of a GPT's entry
}

// String is `sda1: ext4 "root", 465.8 GiB`.
func (v Volume) String() string {
	what := cmp.Or(v.Kind, "nothing known")
	if label := cmp.Or(v.Label, v.Name); label != "" {
		what += " " + strconv.Quote(label)
	}
	size, unit := float64(v.SizeBytes)/(1<<20), "MiB"
	if size >= 1<<10 {
		size, unit = size/(1<<10), "GiB"
	}
	return fmt.Sprintf("%s: %s, %.1f %s", v.Device, what, size, unit)
}

// OutputKind is what an image is written to.
type OutputKind string

// The kinds.
const (
	OutputDevice  OutputKind = "device"
	OutputFile    OutputKind = "file"     // that is there
	OutputNewFile OutputKind = "new file" // that is not there yet, or is empty
	OutputStream  OutputKind = "stream"
	OutputNull    OutputKind = "null" // the null device: nothing is kept
)

// planOf makes the checks that need the image's size, and returns the plan.
func planOf(offer *discover.Offer, out target.Target) (Plan, error) {
	p := Plan{
		Name: offer.Name, SizeBytes: offer.SizeBytes, Format: offer.Format().String(),
		Server: offer.Server, Protocol: offer.Protocol(), Interface: udp.InterfaceName(offer.IfIndex),
		Output: out.Name(), Kind: OutputStream,
	}
	if checked, ok := out.(target.Checked); ok {
		if err := checked.Fits(offer.SizeBytes, offer.SectorSize()); err != nil {
			return Plan{}, err
		}
	}
	if err := target.FitsFormat(out, offer.Format()); err != nil {
		return Plan{}, err
	}
	switch out := out.(type) {
	case *target.File:
		p.describe(out)
	case *target.Null:
		p.Kind = OutputNull
	}
	return p, nil
}

// describe fills in the properties of the file or device.
func (p *Plan) describe(file *target.File) {
	disk, known := target.DiskAt(file.Name())
	if file.IsDevice() {
		held := file.Contents()
		p.Table, p.Blank = held.Table, held.Blank
		for _, v := range held.Volumes {
			p.Volumes = append(p.Volumes, Volume(v))
		}
	}
	switch {
	case file.IsDevice() && known:
		p.Kind, p.OutputBytes, p.KeptBytes = OutputDevice, disk.SizeBytes, disk.SizeBytes-min(p.SizeBytes, disk.SizeBytes)
		p.CutBytes = p.SizeBytes - min(p.SizeBytes, disk.SizeBytes)
		p.Model, p.Serial, p.Transport = disk.Model(), disk.Serial(), disk.Transport
		p.Partitions, p.Use = disk.Partitions, disk.Use
	case file.IsDevice():
		p.Kind = OutputDevice
	case file.New():
		p.Kind = OutputNewFile
	default:
		p.Kind = OutputFile
		if info, err := os.Stat(file.Name()); err == nil {
			p.OutputBytes = uint64(info.Size())
		}
	}
}

// Holds says what lies on a device, a line each; nothing of a blank one.
func (p Plan) Holds() (lines []string) {
	if p.Table != "" {
		lines = append(lines, "partition table: "+p.Table)
	}
	for _, v := range p.Volumes {
		lines = append(lines, v.String())
	}
	if lines == nil && p.Kind == OutputDevice && !p.Blank {
		lines = []string{"nothing known, and it is not blank"}
	}
	return lines
}

// Device says which device it is: its path, model, serial number and size.
func (p Plan) Device() string {
	disk := target.Disk{SizeBytes: p.OutputBytes, Models: []string{p.Model}, Serials: []string{p.Serial}, Transport: p.Transport}
	return quote.Name(p.Output) + ": " + disk.String()
}

// String is a few lines without a newline at the end.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q of %d bytes, from %s over %s on %s,\nwould be written to %s",
		p.Name, p.SizeBytes, p.Server, strings.Replace(strings.ToUpper(p.Protocol), "MXB", "MXB ", 1), p.Interface, quote.Name(p.Output))
	if p.Format != "" {
		fmt.Fprintf(&b, " (the image is %s)", p.Format)
	}
	switch p.Kind {
	case OutputDevice:
		disk := target.Disk{SizeBytes: p.OutputBytes, Models: []string{p.Model}, Serials: []string{p.Serial}, Transport: p.Transport, Use: p.Use}
		fmt.Fprintf(&b, ", a device of %d bytes: %s.\nAll on it would be lost", p.OutputBytes, disk)
		if len(p.Partitions) > 0 {
			fmt.Fprintf(&b, ", with its partitions %s", strings.Join(p.Partitions, ", "))
		}
		b.WriteString(".")
		for _, line := range p.Holds() {
			b.WriteString("\n  " + line)
		}
		if p.KeptBytes > 0 {
			fmt.Fprintf(&b, "\nOnly the %d bytes behind the image would stay.", p.KeptBytes)
		}
		if p.CutBytes > 0 {
			fmt.Fprintf(&b, "\nThe last %d bytes of the image, which are in no partition, would be left out.", p.CutBytes)
		}
	case OutputFile:
		fmt.Fprintf(&b, ", a file of %d bytes that is there:\nthe image would take the place of all in it.", p.OutputBytes)
	case OutputNewFile:
		b.WriteString(", a new file.")
	case OutputStream:
		b.WriteString(".")
	case OutputNull:
		b.WriteString(", which keeps nothing.")
	}
	b.WriteString("\nThis was a dry run: nothing is written.")
	return b.String()
}

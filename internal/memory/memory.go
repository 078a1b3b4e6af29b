// Package memory says how much memory this process may still take: what the machine has
// available, or what is left in the process's control group or in one above it, whichever is
// less (proc(5), cgroups(7)). It takes none itself.
//
// Ask Available, and let Share turn the answer into the size of a buffer:
//
//	size := memory.Share(memory.Available(), 4, 4<<20, 64<<20) // a quarter, within bounds
//
// Where nothing is known, as on systems without /proc, a buffer has its full size.
package memory

import (
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Unknown is available where nothing says how much is.
const Unknown = math.MaxUint64

// noLimit: version 1 writes 2^63, less a page of 4 KiB to 64 KiB, for no limit.
const noLimit = math.MaxInt64 - 64<<10

// Available is how many bytes this process may still take. What the kernel can give up for it, as
// pages of files, counts as available.
func Available() uint64 { return available(os.DirFS("/")) }

// Share is the part of available that a buffer takes: one in oneIn, full at most, and floor at
// least.
func Share(available, oneIn, floor, full uint64) uint64 {
	return min(max(available/oneIn, floor), full)
}

// Beside is what would be available without what the caller holds: held bytes.
func Beside(available, held uint64) uint64 {
	if available >= Unknown-held {
		return available
	}
	return available + held
}

// Near reports whether two sizes differ so little that it is not worth a change: by a quarter of
// the larger one at most.
func Near(a, b int) bool { return a*4 > b*3 && a*3 < b*4 }

// available is Available for the files of a root folder.
func available(root fs.FS) uint64 {
	left := machine(read(root, "proc/meminfo"))
	own := read(root, "proc/self/cgroup")
	for line := range strings.Lines(read(root, "proc/self/mountinfo")) {
		m, ok := parseMount(line)
		if !ok {
			continue
		}
		folder, ok := m.folder(own)
		// Each group's limit holds for all groups below it.
		for ok {
			left = min(left, group(root, folder, m.v2))
			ok = folder != m.point
			folder = path.Dir(folder)
		}
	}
	return left
}

// machine is what /proc/meminfo says is available.
func machine(meminfo string) uint64 {
	f := fields(meminfo)
	if n, ok := f["MemAvailable:"]; ok {
		return n << 10
	}
	// Before Linux 3.14.
	if free, ok := f["MemFree:"]; ok {
		files := f["Buffers:"] + f["Cached:"]
		return (free + files - min(files, f["Shmem:"])) << 10
	}
	return Unknown
}

// mount is a mount of control groups that may limit memory.
type mount struct {
	root  string // the group that is mounted
	point string // where, relative to the file system's root
	v2    bool
}

// parseMount parses a line of /proc/self/mountinfo; ok is false for other file systems and
// controllers.
func parseMount(line string) (m mount, ok bool) {
	before, after, _ := strings.Cut(line, " - ")
	place, kind := strings.Fields(before), strings.Fields(after)
	if len(place) < 5 || len(kind) < 3 {
		return mount{}, false
	}
	m = mount{unescape(place[3]), strings.TrimPrefix(unescape(place[4]), "/"), kind[0] == "cgroup2"}
	v1 := kind[0] == "cgroup" && slices.Contains(strings.Split(kind[2], ","), "memory")
	return m, m.point != "" && (v1 || m.v2)
}

// unescape undoes what the kernel does to spaces and the like in paths.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// folder is the folder of the process's own group. own is /proc/self/cgroup.
func (m mount) folder(own string) (string, bool) {
	for line := range strings.Lines(own) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) < 3 || m.v2 && f[0] != "0" || !m.v2 && !slices.Contains(strings.Split(f[1], ","), "memory") {
			continue
		}
		below, ok := strings.CutPrefix(f[2], strings.TrimSuffix(m.root, "/"))
		if !ok || below != "" && below[0] != '/' || strings.HasPrefix(below, "/..") {
			below = "" // the process is elsewhere: what is mounted is all that can be seen
		}
		return path.Join(m.point, below), true
	}
	return "", false
}

// group is what is left of the limits of the group in a folder, without those above it.
func group(root fs.FS, folder string, v2 bool) uint64 {
	file := func(name string) string { return read(root, path.Join(folder, name)) }
	limit, usage := number(file("memory.limit_in_bytes")), file("memory.usage_in_bytes")
	files := []string{"total_active_file", "total_inactive_file"}
	if v2 {
		// Beyond memory.high the group is slowed down until it hardly moves.
		limit, usage = min(number(file("memory.max")), number(file("memory.high"))), file("memory.current")
		files = []string{"active_file", "inactive_file", "slab_reclaimable"}
	}
	if limit >= noLimit || usage == "" {
		return Unknown
	}
	used, stat := number(usage), fields(file("memory.stat"))
	for _, name := range files {
		used -= min(used, stat[name])
	}
	return limit - min(limit, used)
}

// number is the number that a file consists of; Unknown if it is none, as "max".
func number(text string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return Unknown
	}
	return n
}

// fields are the lines of a file with a name and a number.
func fields(text string) map[string]uint64 {
	found := map[string]uint64{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 2 {
			if n, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				found[f[0]] = n
			}
		}
	}
	return found
}

// read is a file's text; "" if it cannot be read.
func read(root fs.FS, name string) string {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return string(text)
}

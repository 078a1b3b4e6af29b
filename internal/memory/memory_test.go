package memory

import (
	"testing"
	"testing/fstest"
)

const (
	meminfo = `MemTotal:          99608 kB
MemFree:           20116 kB
MemAvailable:      34816 kB
Buffers:             512 kB
Cached:            31744 kB
SwapCached:            0 kB
Shmem:              1024 kB
`
	// Of Linux 3.13 and earlier: no MemAvailable.
	oldMeminfo = `MemTotal:        1026344 kB
MemFree:            8192 kB
Buffers:            1024 kB
Cached:             6144 kB
Shmem:              1024 kB
`
	// Of Debian 9: each controller of version 1 mounted, and an empty version 2.
	mountsV1 = `25 18 0:21 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
26 25 0:22 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:10 - cgroup cgroup rw,xattr,name=systemd
30 25 0:26 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:14 - cgroup cgroup rw,memory
31 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,cpu,cpuacct
41 25 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	cgroupV1 = "9:name=systemd:/user.slice\n4:cpu,cpuacct:/user.slice\n2:memory:/lab/client\n0::/user.slice\n"
	// Of a container on a host of version 1, in the host's group namespace.
	mountsContainer = `731 730 0:30 /docker/5e2f /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:14 - cgroup cgroup rw,memory
`
	cgroupContainer = "7:memory:/docker/5e2f\n0::/system.slice/containerd.service\n"
	// Of Debian 12.
	mountsV2 = `35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
`
	cgroupV2   = "0::/system.slice/multiclient.service\n"
	unlimited1 = "9223372036854771712\n"
	arm64      = "9223372036854710272\n" // with pages of 64 KiB
	stat1      = "cache 7122944\nrss 1703936\nactive_file 1\ninactive_file 1\ntotal_cache 7122944\ntotal_inactive_file 5873664\ntotal_active_file 1249280\n"
	stat2      = "anon 12288\nfile 7122944\nactive_file 1048576\ninactive_file 2097152\nslab_reclaimable 524288\nslab_unreclaimable 999999\n"
)

const mib = 1 << 20

func TestAvailable(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  uint64
	}{
		{name: "nothing known", want: Unknown},
		{name: "a machine without groups", files: map[string]string{"proc/meminfo": meminfo}, want: 34816 << 10},
		{name: "an old kernel", files: map[string]string{"proc/meminfo": oldMeminfo}, want: (8192 + 1024 + 6144 - 1024) << 10},
		{name: "garbage", files: map[string]string{
			"proc/meminfo": "MemAvailable: much kB\n\nMemFree", "proc/self/cgroup": "::\n2:memory", "proc/self/mountinfo": "- - -\n1 2 3 / - cgroup2 x y\n",
		}, want: Unknown},
		{name: "version 1, no limit", files: map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": cgroupV1, "proc/self/mountinfo": mountsV1,
			"sys/fs/cgroup/memory/lab/client/memory.limit_in_bytes": unlimited1, "sys/fs/cgroup/memory/lab/client/memory.usage_in_bytes": "11464704\n",
			"sys/fs/cgroup/memory/lab/memory.limit_in_bytes": arm64, "sys/fs/cgroup/memory/lab/memory.usage_in_bytes": "11464704\n",
		}, want: 34816 << 10},
		{name: "version 1, files are given up", files: map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": cgroupV1, "proc/self/mountinfo": mountsV1,
			"sys/fs/cgroup/memory/lab/client/memory.limit_in_bytes": "33554432\n", "sys/fs/cgroup/memory/lab/client/memory.usage_in_bytes": "11464704\n",
			"sys/fs/cgroup/memory/lab/client/memory.stat": stat1,
		}, want: 32*mib - (11464704 - 5873664 - 1249280)},
		{name: "version 1, the group above is smaller", files: map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": cgroupV1, "proc/self/mountinfo": mountsV1,
			"sys/fs/cgroup/memory/lab/client/memory.limit_in_bytes": "33554432\n", "sys/fs/cgroup/memory/lab/client/memory.usage_in_bytes": "1048576\n",
			"sys/fs/cgroup/memory/lab/memory.limit_in_bytes": "16777216\n", "sys/fs/cgroup/memory/lab/memory.usage_in_bytes": "4194304\n",
		}, want: 12 * mib},
		{name: "version 1, a container", files: map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": cgroupContainer, "proc/self/mountinfo": mountsContainer,
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "33554432\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "4194304\n",
		}, want: 28 * mib},
		{name: "version 2, no limit", files: map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": cgroupV2, "proc/self/mountinfo": mountsV2,
			"sys/fs/cgroup/system.slice/multiclient.service/memory.max":     "max\n",
			"sys/fs/cgroup/system.slice/multiclient.service/memory.high":    "max\n",
			"sys/fs/cgroup/system.slice/multiclient.service/memory.current": "12345\n",
		}, want: 34816 << 10},
		{name: "version 2, files and slabs are given up", files: map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": cgroupV2, "proc/self/mountinfo": mountsV2,
			"sys/fs/cgroup/system.slice/multiclient.service/memory.max":     "33554432\n",
			"sys/fs/cgroup/system.slice/multiclient.service/memory.high":    "max\n",
			"sys/fs/cgroup/system.slice/multiclient.service/memory.current": "8388608\n",
			"sys/fs/cgroup/system.slice/multiclient.service/memory.stat":    stat2,
		}, want: 24*mib + 3*mib + 512<<10},
		{name: "version 2, memory.high of the group above", files: map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": cgroupV2, "proc/self/mountinfo": mountsV2,
			"sys/fs/cgroup/system.slice/multiclient.service/memory.max":     "33554432\n",
			"sys/fs/cgroup/system.slice/multiclient.service/memory.current": "1048576\n",
			"sys/fs/cgroup/system.slice/memory.max":                         "33554432\n",
			"sys/fs/cgroup/system.slice/memory.high":                        "8388608\n",
			"sys/fs/cgroup/system.slice/memory.current":                     "2097152\n",
		}, want: 6 * mib},
		{name: "version 2, a namespace below another's", files: map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/../other\n", "proc/self/mountinfo": mountsV2,
			"sys/fs/cgroup/memory.max": "16777216\n", "sys/fs/cgroup/memory.current": "1048576\n",
		}, want: 15 * mib},
		{name: "more used than the limit, which was lowered", files: map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": cgroupV2, "proc/self/mountinfo": mountsV2,
			"sys/fs/cgroup/system.slice/multiclient.service/memory.max":     "1048576\n",
			"sys/fs/cgroup/system.slice/multiclient.service/memory.current": "2097152\n",
		}, want: 0},
		{name: "a folder with a space", files: map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": cgroupV2,
			"proc/self/mountinfo":                   `35 24 0:30 / /a\040b rw shared:9 - cgroup2 cgroup2 rw` + "\n",
			"a b/system.slice/memory.max":           "16777216\n",
			"a b/system.slice/memory.current":       "0\n",
			"a b/system.slice/x/memory.current":     "0\n",
			"sys/fs/cgroup/system.slice/memory.max": "1\n",
		}, want: 16 * mib},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range c.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := available(root); got != c.want {
				t.Errorf("available: %d bytes, want %d", got, c.want)
			}
		})
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct{ available, want uint64 }{
		{0, 4 * mib},
		{15 * mib, 4 * mib},
		{28 * mib, 7 * mib},
		{255 * mib, 255 * mib / 4},
		{256 * mib, 64 * mib},
		{Unknown, 64 * mib},
	} {
		if got := Share(c.available, 4, 4*mib, 64*mib); got != c.want {
			t.Errorf("share of %d: %d bytes, want %d", c.available, got, c.want)
		}
	}
}

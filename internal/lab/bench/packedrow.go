//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"multiserver/internal/lab"
)

// Systems of ours that are about compression.
const (
	// oursPacked serves the image packed beforehand, at the level fastest.
	oursPacked = "multiserver, packed"
	oursNever  = "multiserver, --compress never"
)

// Names of rows about compression.
const (
	rowRootOne   = "1 client, 1 GbE, root file system"
	rowRootNull  = "1 client, 500 Mbit/s, root file system, null target"
	rowRootNull2 = "2 clients, 500 Mbit/s, root file system, null target"
	rowRootFifth = "4 clients, 200 Mbit/s, root file system"
	rowNoise     = "4 clients, 1 GbE, random bytes"
	rowOneCore   = "1 client, 200 Mbit/s, root file system, server on a core with a busy loop"
	rowFrisbee   = "1 client, 1 GbE, 642 MB at 3.6 : 1"
	rowBurst     = "4 clients into pipes of 40 MB/s, 256 MiB at 20 : 1"
)

// packedSuffix is of the packed image beside the image.
const packedSuffix = ".mspack.zst"

// packedRows are the measurements of compression. Packets cross the network whole where the machine
// would else be the limit.
func packedRows(sizeBytes int64, cut, whole lab.Config) []row {
	fifth := cut
	fifth.UplinkBitsPerSec = lab.GigabitEthernet / 5
	root := func(name string, clients int, config lab.Config, only ...string) row {
		return row{name: name, clients: clients, sizeBytes: rootImageBytes, config: config, source: rootAfter, missing: rootMissing, only: only}
	}
	one := root(rowRootOne, 1, whole, bareLoop, ours, oursNever, oursPacked)
	one.wanted = []figure{
		atMost(oursPacked, "(wall - 0.3 s) ÷ packed bytes at bare's rate", 1.10, func(t table) (float64, bool) {
			bare, is := t[key{rowRootOne, bareLoop}]
			r, ok := t[key{rowRootOne, oursPacked}]
			return (r.median.wallSeconds - 0.3) / (r.median.packedBytes / bare.median.goodput), is && ok
		}),
		told(oursPacked, "image ÷ packed", func(t table) (float64, bool) {
			r, ok := t[key{rowRootOne, oursPacked}]
			return rootImageBytes / r.median.packedBytes, ok
		}),
		atMost(ours, "wall ÷ uncompressed", 0.6, ratio(wall, rowRootOne, ours, rowRootOne, oursNever)),
		atMost(oursPacked, "server CPU ÷ uncompressed", 0.5, ratio(serverCPU, rowRootOne, oursPacked, rowRootOne, oursNever)),
		atMost(oursPacked, "client CPU ÷ uncompressed", 1.6, ratio(clientCPU, rowRootOne, oursPacked, rowRootOne, oursNever)),
		atMost(oursPacked, "peak MiB client", 128, of(clientPeakMiB, rowRootOne, oursPacked)),
	}
	one.note = "the root file system after packages were installed, as in the row about installing packages"
	// Where the two cores are not the limit, which decode, digest and send for all.
	half := whole
	half.UplinkBitsPerSec = lab.GigabitEthernet / 2
	null, null2 := root(rowRootNull, 1, half, oursPacked), root(rowRootNull2, 2, half, oursPacked)
	null.null, null2.null = true, true
	null2.wanted = []figure{atMost(oursPacked, "wall ÷ 1 client's", 1.03, ratio(wall, rowRootNull2, oursPacked, rowRootNull, oursPacked))}
	four := root(rowRootFifth, 4, fifth, ours, oursNever)
	four.wanted = []figure{atMost(ours, "wall ÷ uncompressed", 0.42, ratio(wall, rowRootFifth, ours, rowRootFifth, oursNever))}
	core := root(rowOneCore, 1, fifth, ours, oursNever)
	core.crowded = true
	core.wanted = []figure{atMost(ours, "wall ÷ uncompressed", 1.02, ratio(wall, rowOneCore, ours, rowOneCore, oursNever))}
	return []row{
		one, null, null2, four, core,
		{
			name: rowNoise, clients: 4, sizeBytes: sizeBytes, config: whole, only: []string{ours, oursNever}, times: 2,
			wanted: []figure{atMost(ours, "wall ÷ uncompressed", 1.01, ratio(wall, rowNoise, ours, rowNoise, oursNever))},
		},
		{
			name: rowFrisbee, clients: 1, sizeBytes: frisbeeBytes, config: whole, source: texture(frisbeeBytes, 0.27), only: []string{oursPacked},
			wanted: []figure{atMost(oursPacked, "wall s", 2.5, of(wall, rowFrisbee, oursPacked))},
			note:   "of Frisbee's published image: 34 s to 80 clients at 100 Mbit/s",
		},
		{
			name: rowBurst, clients: 4, sizeBytes: 3 * burstBytes / 2, config: cut, source: texture(3*burstBytes/2, 0.05, burstNoise...),
			pipeBytesPerSec: []float64{40e6, 40e6, 40e6, 40e6}, only: []string{oursPacked},
			wanted: []figure{
				atMost(oursPacked, "sent ÷ packed", 1.10, func(t table) (float64, bool) {
					r, ok := t[key{rowBurst, oursPacked}]
					return r.median.sent * 3 * burstBytes / 2 / r.median.packedBytes, ok
				}),
				atMost(oursPacked, "silence s", 0.5, of(silence, rowBurst, oursPacked)),
				atMost(oursPacked, "peak MiB client", 128, of(clientPeakMiB, rowBurst, oursPacked)),
			},
			note: "64 MiB of noise before and after it",
		},
	}
}

const (
	frisbeeBytes = 642 << 20
	burstBytes   = 256 << 20
)

// burstNoise are the parts of rowBurst's image that do not compress.
var burstNoise = []lab.Extent{{SizeBytes: burstBytes / 4}, {OffsetBytes: 5 * burstBytes / 4, SizeBytes: burstBytes / 4}}

// texture is a file of which about that share remains when it is packed, and all of the noise.
func texture(sizeBytes int64, remains float64, noise ...lab.Extent) func() string {
	return func() string {
		path := filepath.Join(cacheFolder(), fmt.Sprintf("texture-%d-%g", sizeBytes, remains))
		if _, err := os.Stat(path); err == nil {
			return path
		}
		if err := writeTexture(path, sizeBytes, remains, noise); err != nil {
			panic(err)
		}
		return path
	}
}

// writeTexture does not hold the file in memory: that would be this program's peak, and so that of
// those that it starts.
func writeTexture(path string, sizeBytes int64, remains float64, noise []lab.Extent) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	random := rand.NewChaCha8([32]byte{imageSeed})
	text := bytes.Repeat([]byte("a root file system, mostly; "), 1<<16/28+1)
	out := bufio.NewWriterSize(file, 1<<20)
	b := make([]byte, 1<<14)
	for at, piece := int64(0), 0; at < sizeBytes; piece++ {
		size := min(1<<13+piece%7*1000, int(sizeBytes-at))
		copy(b[:size], text[piece%28:])
		random.Read(b[:int(remains*float64(size))])
		for _, e := range noise {
			if at >= e.OffsetBytes && at < e.OffsetBytes+e.SizeBytes {
				random.Read(b[:size])
			}
		}
		if _, err := out.Write(b[:size]); err != nil {
			return err
		}
		at += int64(size)
	}
	return errors.Join(out.Flush(), file.Close())
}

func packedSystem(programs lab.Programs) system {
	s := multiserverSystem(oursPacked, programs)
	s.optional = true
	s.note = "the same with the image packed beforehand: `multiserver pack --level fastest`"
	plain := s.server
	s.server = func(j *job) *lab.Cmd {
		packed := *j
		packed.image += packedSuffix
		return plain(&packed)
	}
	s.pack = func(ctx context.Context, image string) error {
		c := exec.CommandContext(ctx, programs.Server, "pack", "--force", "--no-verify", "--level", "fastest", image, "-o", image+packedSuffix)
		output, err := c.CombinedOutput()
		fmt.Fprintf(os.Stderr, "%s\n", tail(output))
		if err != nil {
			return fmt.Errorf("pack: %w", err)
		}
		return nil
	}
	return s
}

func neverSystem(programs lab.Programs) system {
	s := multiserverSystem(oursNever, programs)
	s.optional = true
	plain := s.server
	s.server = func(j *job) *lab.Cmd {
		never := *j
		never.row.serverFlags = append([]string{"--compress", "never"}, never.row.serverFlags...)
		return plain(&never)
	}
	s.note = "the same with `--compress never`"
	return s
}

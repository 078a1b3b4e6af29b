//go:build !linux

package target

import "golang.org/x/sys/unix"

func blockBytes(space *unix.Statfs_t) uint64 { return uint64(space.Bsize) }

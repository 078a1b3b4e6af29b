package target

import "golang.org/x/sys/unix"

// blockBytes is the size of the blocks that statfs counts: f_frsize, as df takes it. f_bsize is
// the size of good transfers, and larger on NFS and FUSE.
func blockBytes(space *unix.Statfs_t) uint64 {
	if space.Frsize > 0 {
		return uint64(space.Frsize)
	}
	return uint64(space.Bsize)
}

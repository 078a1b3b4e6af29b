package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// FaultyConfig says what is wrong with a file.
type FaultyConfig struct {
	SizeBytes int // at first; it may be made longer and shorter
	// FailWritesFrom and FailReadsFrom are the byte offsets from which on writes and
	// reads fail with EIO. 0: none fails.
	FailWritesFrom, FailReadsFrom int64
	// WrongAt is the byte offset that reads otherwise than it was written. 0: none does.
	WrongAt int64
	// WriteFailures is how many writes fail, before all succeed. 0: all fail.
	WriteFailures int
	// Late has the kernel keep what is written, so that not write fails but what
	// comes after it: fsync, sync_file_range.
	Late bool
	// FsyncTime is how long each fsync takes.
	FsyncTime time.Duration
}

// FaultyFile is a file called "disk.img", in memory, on a file system of its own.
type FaultyFile struct {
	Path string

	server *fuse.Server
	node   *faultyNode
}

// MountFaultyFile mounts the file system on an empty folder, until Close. It needs
// /dev/fuse and the right to mount.
func MountFaultyFile(folder string, cfg FaultyConfig) (*FaultyFile, error) {
	node := &faultyNode{cfg: cfg, content: make([]byte, cfg.SizeBytes)}
	opts := &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "faulty", DisableXAttrs: true}}
	if cfg.Late {
		opts.ExtraCapabilities = fuse.CAP_WRITEBACK_CACHE
	}
	root := &fs.Inode{}
	opts.OnAdd = func(ctx context.Context) {
		root.AddChild("disk.img", root.NewPersistentInode(ctx, node, fs.StableAttr{Mode: syscall.S_IFREG}), false)
	}
	server, err := fs.Mount(folder, root, opts)
	if err != nil {
		return nil, fmt.Errorf("mount a file system on %s: %w", folder, err)
	}
	return &FaultyFile{filepath.Join(folder, "disk.img"), server, node}, nil
}

// Content returns a copy of what the file holds.
func (f *FaultyFile) Content() []byte {
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	return append([]byte(nil), f.node.content...)
}

// Close unmounts the file system, on which no file may be open.
func (f *FaultyFile) Close() error {
	if err := f.server.Unmount(); err != nil {
		return fmt.Errorf("unmount %s: %w", filepath.Dir(f.Path), err)
	}
	return nil
}

// faultyNode is the file itself.
type faultyNode struct {
	fs.Inode
	cfg FaultyConfig

	mu       sync.Mutex
	content  []byte
	failures int // of writes
}

var (
	_ fs.NodeGetattrer = (*faultyNode)(nil)
	_ fs.NodeSetattrer = (*faultyNode)(nil)
	_ fs.NodeOpener    = (*faultyNode)(nil)
	_ fs.NodeReader    = (*faultyNode)(nil)
	_ fs.NodeWriter    = (*faultyNode)(nil)
	_ fs.NodeFsyncer   = (*faultyNode)(nil)
)

func (n *faultyNode) attributes(a *fuse.Attr) {
	a.Mode, a.Size, a.Blocks = syscall.S_IFREG|0o644, uint64(len(n.content)), uint64(len(n.content)+511)/512
}

// Getattr is stat.
func (n *faultyNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.attributes(&out.Attr)
	return 0
}

// Setattr is truncate; all else is taken and has no effect.
func (n *faultyNode) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.mu.Lock()
	defer n.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		n.resize(int(size))
	}
	n.attributes(&out.Attr)
	return 0
}

func (n *faultyNode) resize(size int) {
	if size <= len(n.content) {
		n.content = n.content[:size:size]
	} else {
		n.content = append(n.content, make([]byte, size-len(n.content))...)
	}
}

// Open lets anybody.
func (n *faultyNode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

// Read is pread.
func (n *faultyNode) Read(_ context.Context, _ fs.FileHandle, dst []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n.mu.Lock()
	defer n.mu.Unlock()
	end := min(off+int64(len(dst)), int64(len(n.content)))
	if from := n.cfg.FailReadsFrom; from != 0 && end > from {
		if off >= from {
			return nil, syscall.EIO
		}
		end = from
	}
	if off >= end {
		return fuse.ReadResultData(nil), 0
	}
	read := dst[:copy(dst, n.content[off:end])]
	if at := n.cfg.WrongAt; at != 0 && at >= off && at < end {
		read[at-off] ^= 1
	}
	return fuse.ReadResultData(read), 0
}

// Write is pwrite. Of data that goes beyond the offset it takes what comes before it,
// unless it comes late: the kernel would forget the rest without an error.
func (n *faultyNode) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	n.mu.Lock()
	defer n.mu.Unlock()
	lasts := n.cfg.WriteFailures == 0 || n.failures < n.cfg.WriteFailures
	if from := n.cfg.FailWritesFrom; lasts && from != 0 && off+int64(len(data)) > from {
		if off >= from || n.cfg.Late {
			n.failures++
			return 0, syscall.EIO
		}
		data = data[:from-off]
	}
	if end := int(off) + len(data); end > len(n.content) {
		n.resize(end)
	}
	return uint32(copy(n.content[off:], data)), 0
}

// Fsync has nothing to do, and takes its time.
func (n *faultyNode) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	time.Sleep(n.cfg.FsyncTime)
	return 0
}

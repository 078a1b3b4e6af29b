// Package machine boots virtual machines in a lab: real kernels with real drivers, on the
// network of a host that is a bridge, as on a machine that hosts virtual ones.
//
// FindKernel and FindPrograms say what of a machine's needs is here, or what would install
// it. An Initramfs makes the root file system. Boot starts a machine, which is a command
// of the lab: it is killed with its context or its lab, and its network goes with it.
//
//	kernel, err := machine.FindKernel()
//	…
//	err = machine.ReceiverInitramfs(multiclient).WriteFile(initramfs, kernel, programs)
//	…
//	err = l.Hosts[0].MakeBridge()
//	…
//	m, err := machine.Boot(ctx, l.Hosts[0], machine.Config{
//		Programs: programs, Kernel: kernel.Image, Initramfs: initramfs, Disk: disk, …
//	})
//	…
//	status, err := m.Wait()
//
// What is no system call builds everywhere: it is what a kit for network boot is made of.
// Machines run on Linux.
package machine

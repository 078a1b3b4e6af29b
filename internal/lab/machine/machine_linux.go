package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"

	"multiserver/internal/lab"
)

const (
	defaultMemoryBytes = 256 << 20
	// tapDescriptor is the first that a program started by package exec is given.
	tapDescriptor = 3
	shownLines    = 100 // of a console, in an error: a panic has 60
)

// Config describes a machine.
type Config struct {
	Programs   Programs
	Kernel     string       // the file that is booted
	Initramfs  string       // file
	Parameters []Parameter  // of the kernel's command line, besides what the harness needs
	Disk       string       // file: the bytes of /dev/vda
	Address    netip.Prefix // IPv4, of eth0

	MemoryBytes int64 // 256 MiB if 0
}

// Machine is a virtual machine that was started.
type Machine struct {
	command *lab.Cmd
	console transcript
	errors  transcript // of QEMU
	ctx     context.Context
}

// Boot starts a machine with one processor, a disk, and a network card that is a port of
// the host's bridge: see lab.Host.MakeBridge. The machine is killed when ctx ends or the
// lab is closed. The caller must Wait.
//
// The processor is emulated, also where KVM would be: the guest is ten times slower and
// stops for milliseconds, which is what a receiver has to bear.
func Boot(ctx context.Context, host *lab.Host, c Config) (*Machine, error) {
	line, err := c.commandLine()
	if err != nil {
		return nil, err
	}
	tap, err := host.AddTap()
	if err != nil {
		return nil, err
	}
	defer tap.Close() // QEMU has its own
	m := &Machine{ctx: ctx}
	m.command = host.Command(ctx, c.Programs.QEMU, c.arguments(line)...)
	m.command.ExtraFiles = []*os.File{tap}
	m.command.Stdout, m.command.Stderr = &m.console, &m.errors
	if err := m.command.Start(); err != nil {
		return nil, err
	}
	return m, nil
}

func (c Config) commandLine() (string, error) {
	if !c.Address.Addr().Is4() {
		return "", fmt.Errorf("a machine's address is %v, not IPv4", c.Address)
	}
	own := []Parameter{
		{"console", "ttyS0"},
		{"quiet", ""},
		{"panic", "-1"}, // restart at once, which ends QEMU
		addressParameter(c.Address, c.hostName()),
	}
	return CommandLine(append(own, c.Parameters...)...)
}

func (c Config) hostName() string {
	return "machine" + strings.ReplaceAll(c.Address.Addr().String(), ".", "-")
}

// arguments are QEMU's.
func (c Config) arguments(commandLine string) []string {
	a := c.Address.Addr().As4()
	return []string{
		"-no-user-config", "-nodefaults", "-accel", "tcg",
		"-cpu", "max", // with an instruction for random numbers: the guest waits for none
		"-m", fmt.Sprintf("%dB", cmp.Or(c.MemoryBytes, defaultMemoryBytes)),
		"-no-reboot", "-display", "none", "-monitor", "none", "-serial", "stdio",
		"-kernel", c.Kernel, "-initrd", c.Initramfs, "-append", commandLine,
		"-drive", "if=none,id=disk,format=raw,file=" + strings.ReplaceAll(c.Disk, ",", ",,"),
		"-device", "virtio-blk-pci,drive=disk",
		"-netdev", fmt.Sprintf("tap,id=net,fd=%d", tapDescriptor),
		// QEMU's own prefix, and what is different in a lab's addresses.
		"-device", fmt.Sprintf("virtio-net-pci,netdev=net,romfile=,mac=52:54:00:%02x:%02x:%02x", a[1], a[2], a[3]),
	}
}

// Console returns what the machine printed so far.
func (m *Machine) Console() string { return strings.ReplaceAll(m.console.String(), "\r", "") }

// Kill ends the machine as a power cut would. Wait then returns an error.
func (m *Machine) Kill() error { return m.command.Process.Kill() }

// Wait waits for the machine to switch itself off, and returns the status that multiclient
// ended with. The error tells what the console showed last if the machine ended in another
// way.
func (m *Machine) Wait() (status int, err error) {
	err = m.command.Wait()
	if m.ctx.Err() != nil {
		err = errors.Join(context.Cause(m.ctx), err)
	}
	status, ok := verdict(m.Console())
	if err == nil && !ok {
		err = errors.New("the machine ended without a verdict")
	}
	if err != nil {
		return 0, fmt.Errorf("%w; QEMU says %q, and the console:\n%s", err, m.errors.String(), lastLines(m.Console(), shownLines))
	}
	return status, nil
}

// transcript keeps what a program prints. The program's end of it is a Writer.
type transcript struct {
	mu   sync.Mutex
	text []byte
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	return len(p), nil
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

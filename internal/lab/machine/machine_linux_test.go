package machine

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"multiserver/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// giveUp bounds a machine that is waited for: it is only reached by a fault.
const giveUp = 5 * time.Minute

// boot starts a machine whose first process is a script. Where there cannot be one, it
// skips the test.
func boot(t *testing.T, ctx context.Context, init string) *Machine {
	t.Helper()
	l := lab.NewTest(t, lab.Config{Hosts: 1})
	programs, errPrograms := FindPrograms()
	kernel, errKernel := FindKernel()
	if err := errors.Join(errPrograms, errKernel); errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	c := Config{
		Programs: programs, Kernel: kernel.Image, Initramfs: filepath.Join(folder, "initramfs"), Disk: filepath.Join(folder, "a,b=c"),
		Address: netip.MustParsePrefix("10.77.0.101/24"),
	}
	err := errors.Join(
		Initramfs{Init: init, Modules: machineModules}.WriteFile(c.Initramfs, kernel, programs),
		os.WriteFile(c.Disk, make([]byte, 1<<20), 0o600),
		l.Hosts[0].MakeBridge(),
	)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Boot(ctx, l.Hosts[0], c)
	if errors.Is(err, lab.ErrUnavailable) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestMachineWithoutVerdict: a machine whose kernel panics ends, and Wait tells why.
func TestMachineWithoutVerdict(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), giveUp)
	defer cancel()
	m := boot(t, ctx, "#!/bin/sh\nexit 3\n")
	_, err := m.Wait()
	if err == nil || !strings.Contains(err.Error(), "without a verdict") || !strings.Contains(err.Error(), "Kernel panic") {
		t.Errorf("%v; want an error with the kernel's panic", err)
	}
	if ctx.Err() != nil {
		t.Error("the machine ran until it was killed")
	}
}

// TestMachineIsKilled: the end of the context ends a machine that hangs.
func TestMachineIsKilled(t *testing.T) {
	hangs := errors.New("it hangs")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	m := boot(t, ctx, "#!/bin/sh\necho it is up\nexec /bin/busybox sleep 1000000\n")
	for deadline := time.Now().Add(giveUp); !strings.Contains(m.Console(), "it is up\n"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the machine does not start: %s", m.Console())
		}
	}
	cancel(hangs)
	if _, err := m.Wait(); !errors.Is(err, hangs) || !strings.Contains(err.Error(), "it is up") {
		t.Errorf("%v; want the context's cause and the console", err)
	}
}

func TestArguments(t *testing.T) {
	c := Config{Kernel: "k", Initramfs: "i", Disk: "/a,b", Address: netip.MustParsePrefix("10.77.1.101/24"), Parameters: []Parameter{{"multiclient.verify", ""}}}
	line, err := c.commandLine()
	if err != nil || !strings.HasSuffix(line, "ip=10.77.1.101:::255.255.255.0:machine10-77-1-101:eth0:off multiclient.verify") {
		t.Errorf("the command line is %q, %v", line, err)
	}
	got := c.arguments(line)
	for _, want := range []string{
		"268435456B", // of memory
		line,
		"if=none,id=disk,format=raw,file=/a,,b",
		"virtio-net-pci,netdev=net,romfile=,mac=52:54:00:4d:01:65",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	c.Address = netip.MustParsePrefix("fd77::1/64")
	if _, err := c.commandLine(); err == nil {
		t.Error("an address of IPv6 is taken")
	}
}

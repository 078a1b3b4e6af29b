package lab

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roleVariable makes the test binary play another program: one of roles.
const roleVariable = "LAB_TEST_ROLE"

var roles = map[string]func(){
	"exit 3": func() { os.Exit(3) },
	"await SIGTERM": func() {
		signals := make(chan os.Signal, 1) // by signal.Notify, which does not wait
		signal.Notify(signals, syscall.SIGTERM)
		fmt.Println("ready")
		<-signals
		os.Exit(7)
	},
	"be killed": func() {
		l, err := New(Config{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		// It holds on to standard output, and so tells of its end.
		c := l.Hosts[0].Command(allTests, "/proc/self/exe")
		c.Env = append(os.Environ(), roleVariable+"=hang")
		c.Stdout = os.Stdout
		if err := c.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		select {}
	},
	"hang": func() {
		fmt.Println("ready")
		time.Sleep(time.Hour)
	},
	"list interfaces": func() {
		interfaces, err := net.Interfaces()
		if err != nil {
			panic(err)
		}
		for _, i := range interfaces {
			addresses, err := i.Addrs()
			if err != nil {
				panic(err)
			}
			fmt.Println(i.Name, addresses)
		}
		entries, err := os.ReadDir("/sys/class/net")
		if err != nil {
			panic(err)
		}
		fmt.Println("sys:", entries)
	},
	"use memory": func() {
		memory := make([]byte, usedBytes)
		for i := range memory {
			memory[i] = byte(i)
		}
		fmt.Println(memory[len(memory)-1])
	},
}

const usedBytes = 256 << 20

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		Main(m)
	}
	if role != "hang" {
		Enter()
	}
	roles[role]()
}

// outside returns a command that runs this test binary as if from a shell:
// not yet inside a lab.
func outside(t *testing.T, role string, arguments ...string) *exec.Cmd {
	if errNotEntered != nil {
		t.Skip("needs root or user namespaces:", errNotEntered)
	}
	c := exec.CommandContext(t.Context(), "/proc/self/exe", arguments...)
	c.Env = append(slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, insideVariable+"=")
	}), roleVariable+"="+role)
	c.Stderr = os.Stderr
	return c
}

func TestEnterPassesTheExitStatusOn(t *testing.T) {
	c := outside(t, "exit 3")
	_ = c.Run() // an ExitError, which the status tells better
	if code := c.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit status %d, want 3", code)
	}
}

func TestEnterPassesSignalsOn(t *testing.T) {
	c := outside(t, "await SIGTERM")
	output := startReady(t, c)
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, output); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // as above
	if code := c.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit status %d, want 7: %v", code, c.ProcessState)
	}
}

func TestNothingSurvivesKill(t *testing.T) {
	c := outside(t, "be killed")
	output := startReady(t, c)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// It ends when the last process that holds it has.
	if _, err := io.Copy(io.Discard, output); err != nil {
		t.Error(err)
	}
	_ = c.Wait() // killed
}

// startReady starts a command and returns its output after the line "ready".
func startReady(t *testing.T, c *exec.Cmd) io.Reader {
	t.Helper()
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	output := bufio.NewReader(pipe)
	if line, err := output.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the program says %q (%v), want ready", line, err)
	}
	return output
}

func TestOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root: the other tests show it")
	}
	const nobody = 65534
	c := outside(t, "", "-test.v", "-test.run=^(TestMulticast|TestLoss|TestShapeUplink)$")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	output, err := c.Output()
	if c.ProcessState == nil {
		t.Skip("only root of the whole machine can become another user:", err)
	}
	if strings.Contains(string(output), "--- SKIP") {
		t.Skipf("user namespaces are not allowed:\n%s", output)
	}
	if err != nil || !strings.Contains(string(output), "--- PASS: TestMulticast") {
		t.Errorf("as nobody: %v\n%s", err, output)
	}
}

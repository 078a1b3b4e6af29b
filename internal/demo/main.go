// Demo does the main job before your eyes: it serves an image to three clients on
// this machine, which join at different times, over real multicast on the loopback
// interface, and then compares each output with the image. It needs no rights.
//
// It runs the built programs and draws what they tell by --json.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

const (
	// demoSize takes about five seconds at demoRate, which any machine's loopback
	// carries to three clients.
	demoSize = 256 << 20
	demoRate = "450M"
	// askInterval is how often the programs are asked how far they are (SIGUSR1).
	askInterval = 200 * time.Millisecond
)

// joins are the shares of the image that the first client has when each joins.
var joins = []float64{0, 0.3, 0.6}

func main() {
	imagePath := flag.String("image", "", "the image to serve; if empty, one of 256 MiB is made")
	bin := flag.String("bin", "bin", "the folder of the programs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *bin, *imagePath)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, imagePath string) error {
	folder, err := os.MkdirTemp("", "multiserver-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if imagePath == "" {
		imagePath = filepath.Join(folder, "demo.img")
		fmt.Printf("making an image of %d MiB\n", demoSize>>20)
		if err := makeImage(imagePath); err != nil {
			return err
		}
	}
	info, err := os.Stat(imagePath)
	if err != nil {
		return err
	}
	fmt.Printf("serving %s (%.1f MiB) at %sbit/s to three clients that join at different times\n\n",
		imagePath, float64(info.Size())/(1<<20), demoRate)

	// A group and ports of this run's own, so that nothing else is disturbed.
	port := 20000 + rand.IntN(20000)
	network := []string{
		"--json", "-i", loopback(),
		"-g", fmt.Sprintf("239.255.%d.%d", rand.IntN(256), rand.IntN(256)),
		"-p", fmt.Sprint(port), "-s", fmt.Sprint(port + 1),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server, err := start(ctx, filepath.Join(bin, "multiserver"), append(network, "--rate", demoRate, "-f", imagePath)...)
	if err != nil {
		return err
	}
	if err := server.await(func(r record) bool { return r.Control != "" }); err != nil {
		return fmt.Errorf("the server: %w", err)
	}

	bars := mpb.NewWithContext(ctx) // draws nothing if stdout is no terminal
	terminal := term.IsTerminal(int(os.Stdout.Fd()))
	var clients []*program
	var outputs []string
	for i, join := range joins {
		if i > 0 {
			clients[0].await(func(r record) bool {
				return r.SizeBytes > 0 && float64(r.BytesDone) >= join*float64(r.SizeBytes)
			})
		}
		output := filepath.Join(folder, fmt.Sprintf("client-%d.img", i+1))
		client, err := start(ctx, filepath.Join(bin, "multiclient"), append(network, "-o", output)...)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("client %d", i+1)
		if terminal {
			draw(bars, name, info.Size(), client)
		} else {
			go printProgress(name, client)
		}
		clients, outputs = append(clients, client), append(outputs, output)
	}
	var failed error
	for i, client := range clients {
		if err := client.wait(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("client %d: %w", i+1, err))
		}
	}
	bars.Wait()
	server.command.Process.Signal(os.Interrupt)
	server.wait() // a server that is interrupted ends with 130
	if failed != nil {
		return failed
	}
	last := server.last()
	fmt.Printf("\nthe server sent %.2f times the image to all three together\n", last.ImageRatio)
	for i, output := range outputs {
		if err := compare(imagePath, output); err != nil {
			return fmt.Errorf("client %d: %w", i+1, err)
		}
		fmt.Printf("client %d: identical to the image, byte for byte\n", i+1)
	}
	return nil
}

// loopback is the name of the loopback interface.
func loopback() string {
	if _, err := os.Stat("/proc/net"); err == nil {
		return "lo"
	}
	return "lo0"
}

// makeImage writes random bytes with a hole, as a disk image has them.
func makeImage(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	src := rand.NewChaCha8([32]byte{1})
	if _, err := io.CopyN(f, src, demoSize/2); err != nil {
		return err
	}
	if _, err := f.Seek(demoSize/8, io.SeekCurrent); err != nil {
		return err
	}
	if _, err := io.CopyN(f, src, demoSize/2-demoSize/8); err != nil {
		return err
	}
	return f.Close()
}

// record is what the demo needs of a program's JSON objects.
type record struct {
	Event      string  `json:"event"`
	Control    string  `json:"control"`
	SizeBytes  int64   `json:"size_bytes"`
	BytesDone  int64   `json:"bytes_done"`
	Again      int64   `json:"asked_again_bytes"`
	ImageRatio float64 `json:"image_ratio"`
	Error      string  `json:"error"`
}

// program is a running multiserver or multiclient.
type program struct {
	command *exec.Cmd
	ended   chan struct{} // closed once it has ended and err is set
	err     error

	mu      sync.Mutex
	changed *sync.Cond // on mu: a record came, or the program ended
	latest  record
	over    bool
}

// start runs a program and follows its records until it ends.
func start(ctx context.Context, path string, args ...string) (*program, error) {
	p := &program{command: exec.CommandContext(ctx, path, args...), ended: make(chan struct{})}
	p.changed = sync.NewCond(&p.mu)
	p.command.Cancel = func() error { return p.command.Process.Signal(os.Interrupt) }
	p.command.WaitDelay = 5 * time.Second
	p.command.Stderr = os.Stderr
	p.command.Env = append(os.Environ(), "MULTICLIENT_KERNEL_CMDLINE="+os.DevNull) // it is for this machine's own client
	out, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("%w: run make build", err)
	}
	go p.follow(out)
	return p, nil
}

func (p *program) follow(out io.Reader) {
	asking := make(chan struct{})
	lines := bufio.NewScanner(out)
	for first := true; lines.Scan(); {
		var r record
		if json.Unmarshal(lines.Bytes(), &r) != nil || r.Event == "log" {
			continue
		}
		p.mu.Lock()
		p.latest = r
		p.mu.Unlock()
		p.changed.Broadcast()
		if first { // from now on it handles the signal
			first = false
			go p.requestStatus(asking)
		}
	}
	close(asking)
	p.err = p.command.Wait()
	p.mu.Lock()
	if p.latest.Error != "" {
		p.err = errors.New(p.latest.Error)
	}
	p.over = true
	p.mu.Unlock()
	close(p.ended)
	p.changed.Broadcast()
}

// requestStatus makes the program report its state more often than once a second.
func (p *program) requestStatus(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(askInterval):
			p.command.Process.Signal(syscall.SIGUSR1)
		}
	}
}

func (p *program) last() record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest
}

// await returns once a record fulfils ready, or the program has ended.
func (p *program) await(ready func(record) bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.over && !ready(p.latest) {
		p.changed.Wait()
	}
	if p.over && !ready(p.latest) {
		return p.err
	}
	return nil
}

func (p *program) wait() error {
	<-p.ended
	return p.err
}

// draw adds a bar that follows p until it ends.
func draw(bars *mpb.Progress, name string, size int64, p *program) {
	bar := bars.AddBar(size,
		mpb.PrependDecorators(decor.Name(name+" "), decor.Percentage(decor.WCSyncSpace)),
		mpb.AppendDecorators(
			decor.CountersKibiByte("% .1f / % .1f", decor.WCSyncSpace),
			decor.Any(func(decor.Statistics) string {
				if again := p.last().Again; again > 0 {
					return fmt.Sprintf(" asked again %.1f MiB", float64(again)/(1<<20))
				}
				return ""
			})))
	go func() {
		for over := false; !over; {
			select {
			case <-p.ended:
				over = true
			case <-time.After(askInterval):
			}
			bar.SetCurrent(p.last().BytesDone)
		}
		if p.err != nil {
			bar.Abort(false)
		}
	}()
}

// printProgress prints a line every second until p ends, where there is no terminal.
func printProgress(name string, p *program) {
	for {
		select {
		case <-p.ended:
			return
		case <-time.After(time.Second):
		}
		if r := p.last(); r.SizeBytes > 0 {
			fmt.Printf("%s: %.1f of %.1f MiB\n", name, float64(r.BytesDone)/(1<<20), float64(r.SizeBytes)/(1<<20))
		}
	}
}

// compare returns an error that names the first byte at which two files differ.
func compare(want, got string) error {
	a, err := os.Open(want)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(got)
	if err != nil {
		return err
	}
	defer b.Close()
	bufA, bufB := make([]byte, 1<<20), make([]byte, 1<<20)
	for offset := int64(0); ; {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if n != m || !bytes.Equal(bufA[:n], bufB[:m]) {
			return fmt.Errorf("%s differs from %s in the MiB at offset %d", got, want, offset)
		}
		offset += int64(n)
		if errA != nil || errB != nil {
			if errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF) {
				return nil
			}
			return errors.Join(errA, errB)
		}
	}
}

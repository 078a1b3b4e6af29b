package multiserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"multiserver"
)

// quiet keeps log lines out of the examples.
var quiet = slog.New(slog.DiscardHandler)

// Serve a file, and receive it on the same machine.
func Example() {
	folder, err := os.MkdirTemp("", "multiserver")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	image, output := filepath.Join(folder, "debian.img"), filepath.Join(folder, "output")
	if err := os.WriteFile(image, bytes.Repeat([]byte("debian"), 1<<18), 0o600); err != nil {
		log.Fatal(err)
	}

	server, err := multiserver.NewServer(multiserver.ServerConfig{
		File: image, Interface: "lo", ControlPort: multiserver.FreePort, Log: quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	control, err := server.Addr(ctx)
	if err != nil {
		log.Fatal(err)
	}

	client, err := multiserver.NewClient(multiserver.ClientConfig{
		Output: output, Interface: "lo", ControlPort: control.Port(), Log: quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Run(ctx); err != nil {
		log.Fatal(err)
	}
	stats := client.Stats()
	fmt.Printf("%s: %d of %d bytes, %s\n", stats.Name, stats.BytesDone, stats.SizeBytes, stats.Phase)
	stop()
	fmt.Println("server:", <-ended)
	// Output:
	// debian.img: 1572864 of 1572864 bytes, done
	// server: <nil>
}

// disk is a Target in memory.
type disk struct {
	content []byte
	synced  bool
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > int64(len(d.content)) {
		return 0, errors.New("the disk is full")
	}
	d.synced = false
	return copy(d.content[off:], p), nil
}

func (d *disk) Sync() error {
	d.synced = true
	return nil
}

// Serve an image from memory, and receive it into memory.
func ExampleSource() {
	image := bytes.Repeat([]byte("from memory "), 100_000)
	server, err := multiserver.NewServer(multiserver.ServerConfig{
		Source: bytes.NewReader(image), Name: "memory.img",
		Interface: "lo", ControlPort: multiserver.FreePort, Log: quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	control, err := server.Addr(ctx)
	if err != nil {
		log.Fatal(err)
	}

	target := &disk{content: make([]byte, len(image))}
	client, err := multiserver.NewClient(multiserver.ClientConfig{
		Target: target, Interface: "lo", ControlPort: control.Port(), Log: quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Run(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same:", bytes.Equal(target.content, image), "synced:", target.synced)
	stop()
	<-ended
	// Output: the same: true synced: true
}

// Watch both sides at work.
func ExampleClient_Stats() {
	ended := make(chan struct{}) // closed when the server knows how its client ended
	server, err := multiserver.NewServer(multiserver.ServerConfig{
		Source: bytes.NewReader(make([]byte, 1<<20)), Name: "zeros.img",
		Interface: "lo", ControlPort: multiserver.FreePort, Log: quiet,
		OnEvent: func(e multiserver.ServerEvent) {
			if e, ok := e.(multiserver.ReceiverEnded); ok {
				fmt.Println("server: a client ended:", e.Receiver.Outcome)
				close(ended)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Run(ctx) }()
	control, err := server.Addr(ctx)
	if err != nil {
		log.Fatal(err)
	}

	var client *multiserver.Client
	client, err = multiserver.NewClient(multiserver.ClientConfig{
		Target: &disk{content: make([]byte, 1<<20)}, Interface: "lo", ControlPort: control.Port(), Log: quiet,
	})
	if err != nil {
		log.Fatal(err)
	}
	received := make(chan error, 1)
	go func() { received <- client.Run(ctx) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-tick.C:
			stats := client.Stats()
			log.Printf("%s, %d of %d bytes %s", stats.Phase, stats.BytesDone, stats.SizeBytes, stats.WaitingFor)
		case err := <-received:
			running = false
			<-ended
			fmt.Println("client:", client.Stats().Phase, err)
		}
	}
	stop()
	<-served
	// Output:
	// server: a client ended: done
	// client: done <nil>
}

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestSplitServer(t *testing.T) {
	for _, c := range []struct {
		s, host string
		port    uint16
		fails   bool
	}{
		{"7500", "", 7500, false},
		{":7500", "", 7500, false},
		{"10.0.0.1", "10.0.0.1", 0, false},
		{"10.0.0.1:7501", "10.0.0.1", 7501, false},
		{"imageserver", "imageserver", 0, false},
		{"10.0.0.1:65536", "", 0, true},
		{"10.0.0.1:", "", 0, true},
	} {
		host, port, err := splitServer(c.s)
		if (err != nil) != c.fails || err == nil && (host != c.host || port != c.port) {
			t.Errorf("splitServer(%q) is %q, %d, %v", c.s, host, port, err)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		want int
	}{
		{"", exitUsage},
		{"peer", exitUsage},
		{"server", exitUsage},
		{"server -f image more", exitUsage},
		{"server -f image -d 5us", exitUsage},
		{"server -f image -p 65536", exitUsage},
		{"server -f image -s host:7500", exitUsage},
		{"client -g group", exitUsage},
		{"client -i no-such-interface", exitUsage},
		{"client -t -1", exitUsage},
		{"client image", exitUsage},
		{"server -f no-such-image", exitError},
	} {
		var stderr bytes.Buffer
		if got := run(t.Context(), strings.Fields(c.args), io.Discard, &stderr); got != c.want || stderr.Len() == 0 {
			t.Errorf("%q: status %d, %q, want status %d", c.args, got, &stderr, c.want)
		}
	}
}

// The test is the server here, and sends to the client by unicast.
func TestClientStatus(t *testing.T) {
	const (
		oneBlock = "4d584250 0002 0012 00000000 0000000000000003 00000400 00000001 61 00"
		slashed  = "4d584250 0002 0013 00000000 0000000000000003 00000400 00000001 2f61 00"
		block0   = "4d584250 0004 0003 00000000 616263"
		block1   = "4d584250 0004 0000 00000001"
	)
	for _, c := range []struct {
		name, description string
		blocks            []string
		flags             string
		want              int
	}{
		{"received", oneBlock, []string{block0}, "", 0},
		{"with -o", slashed, []string{block0}, "-o a", 0},
		{"survives", oneBlock, []string{block1, block0}, "-survive", 0},
		{"root folder", slashed, nil, "", exitRootFolder},
		{"past the map", oneBlock, []string{block1}, "", exitPastMap},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			data := freePort(t)
			args := append([]string{
				"client", "-g", "239.77.66.55", "-i", loopback(t), "-t", "20",
				"-s", server.LocalAddr().String(), "-p", strconv.Itoa(data),
			}, strings.Fields(c.flags)...)
			status := make(chan int, 1) // one status; the test may have failed before it comes
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() { status <- run(ctx, args, io.Discard, io.Discard) }()

			_, client, err := server.ReadFromUDP(make([]byte, 2048))
			if err != nil {
				t.Fatal(err)
			}
			send := func(packet string, to *net.UDPAddr) {
				b, err := hex.DecodeString(strings.ReplaceAll(packet, " ", ""))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := server.WriteToUDP(b, to); err != nil {
					t.Fatal(err)
				}
			}
			send(c.description, client)
			for _, b := range c.blocks {
				send(b, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: data})
			}
			if got := <-status; got != c.want {
				t.Fatalf("status %d, want %d", got, c.want)
			}
			if c.want != 0 {
				return
			}
			if got, err := os.ReadFile("a"); err != nil || string(got) != "abc" {
				t.Errorf("wrote %q, %v", got, err)
			}
		})
	}
}

func TestServerAndClient(t *testing.T) {
	dir := t.TempDir()
	path, out := filepath.Join(dir, "image"), filepath.Join(dir, "out")
	want := bytes.Repeat([]byte("image"), 20000)
	if err := os.WriteFile(path, want, 0o666); err != nil {
		t.Fatal(err)
	}
	control, data := strconv.Itoa(freePort(t)), strconv.Itoa(freePort(t))
	common := []string{"-g", "239.77.66.55", "-i", loopback(t), "-p", data}

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int)
	go func() {
		ended <- run(ctx, append([]string{"server", "-f", path, "-s", control, "-d", "1000"}, common...), io.Discard, io.Discard)
	}()
	got := run(t.Context(), append([]string{
		"client", "-s", "127.0.0.1:" + control, "-t", "20", "-o", out, "-n", "-survive",
	}, common...), io.Discard, io.Discard)
	cancel()
	if status := <-ended; status != exitError {
		t.Errorf("stopped server: status %d, want %d", status, exitError)
	}
	if got != 0 {
		t.Fatalf("client: status %d, want 0", got)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, want) || len(b) != 101376 {
		t.Errorf("wrote %d bytes, want the image's 100000 and zeros up to 101376", len(b))
	}
}

func loopback(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			return i.Name
		}
	}
	t.Fatal("no loopback interface")
	return ""
}

// freePort returns a port that nobody has just now.
func freePort(t *testing.T) int {
	t.Helper()
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

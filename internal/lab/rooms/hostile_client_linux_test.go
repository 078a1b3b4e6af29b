package rooms

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"multiserver/internal/block"
	"multiserver/internal/codec"
	"multiserver/internal/lab"
	"multiserver/internal/mxb1"
	"multiserver/internal/wire"
)

// hostile is a host of a room, an ordinary one, that aims at the clients of a session. It learns
// what every client learns.
type hostile struct {
	*room
	host    int
	session wire.Description
}

// newHostile lets a host ask the server of host 0 for its session.
func (r *room) newHostile(host int) *hostile {
	r.Helper()
	h := &hostile{room: r, host: host}
	r.must(r.Hosts[host].Do(func() error {
		conn, err := net.ListenUDP("udp4", nil)
		if err != nil {
			return err
		}
		defer conn.Close()
		offer := wire.Offer{Version: wire.Version, Receiver: 666, Codecs: 1, LargestPacket: 1472}.AppendTo(nil)
		buf := make([]byte, 2048)
		for r.ctx.Err() == nil {
			if _, err := conn.WriteToUDP(mxb1.AppendMapRequest(nil, offer), &net.UDPAddr{IP: net.IPv4(10, 77, 0, 1), Port: 7500}); err != nil {
				return err
			}
			conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := conn.Read(buf)
			if err != nil {
				continue
			}
			if h.session, err = wire.ParseDescription(bytes.Clone(buf[:n])); err == nil {
				return nil
			}
		}
		return r.ctx.Err()
	}))
	return h
}

// attack floods the session's group with packets from the host's own address, or with forged as
// the server.
func (h *hostile) attack(forged bool, packets ...[]byte) (stop func()) {
	h.Helper()
	from := ""
	if forged {
		from = serverAddress
	}
	return h.floodAs(h.host, from, h.session.Data.String(), packets...)
}

// heartbeat is one that claims what change makes of it.
func (h *hostile) heartbeat(change func(*wire.Heartbeat)) []byte {
	b := wire.Heartbeat{
		Session: h.session.Session, Sequence: 1, Pass: 1, Receivers: 2, ReportInterval: wire.MinInterval,
	}
	change(&b)
	return b.AppendTo(nil)
}

// manifest is the one of an image, and what it completes.
func (h *hostile) manifest(image []byte) ([]byte, wire.Completion) {
	h.Helper()
	g := block.Geometry{ImageSize: uint64(len(image)), BlockSize: blockBytes}
	builder, err := codec.NewManifestBuilder(g)
	h.must(err)
	for id := range block.ID(g.BlockCount()) {
		plain := image[g.Offset(id):][:g.Size(id)]
		if codec.IsZero(plain) {
			h.must(builder.SetZero(id))
		} else {
			h.must(builder.Set(id, codec.Sum(plain)))
		}
	}
	m := builder.Manifest()
	return m.Bytes(), wire.Completion{ManifestSize: uint64(len(m.Bytes())), ImageDigest: m.ImageDigest()}
}

// symbols are the source symbols of a block.
func (h *hostile) symbols(object wire.Object, id block.ID, plain []byte) (packets [][]byte) {
	encoded := append(make([]byte, codec.HeaderSize), plain...)
	codec.EncodeHeaderInto(encoded[:codec.HeaderSize], encoded[codec.HeaderSize:])
	size := int(h.session.SymbolSize)
	k := (len(encoded) + size - 1) / size
	for i := range k {
		packets = append(packets, wire.Symbol{
			Session: h.session.Session, Sequence: wire.Sequence(i + 1), Object: object, Block: id, Symbol: block.SymbolID(i), K: uint16(k),
			Data: encoded[i*size : min((i+1)*size, len(encoded))],
		}.AppendTo(nil))
	}
	return packets
}

// livelock is a heartbeat with a report interval that no sender of ours can ask for.
func (h *hostile) livelock() []byte {
	b := h.heartbeat(func(*wire.Heartbeat) {})
	binary.BigEndian.PutUint32(b[32:], 1)
	return resealed(b)
}

// resealed makes the checksum of a packet right.
func resealed(b []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.BigEndian.PutUint32(b[4:], crc32.Update(crc32.Update(0, table, b[:4]), table, b[8:]))
	return b
}

// TestHostileToClients has an ordinary host attack the clients of a session with what every client
// could send. They all end well, with the image.
func TestHostileToClients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		packets func(h *hostile) [][]byte
		forged  bool // as the server: what must hold even then
	}{
		{name: "disk zeroed by three packets", packets: (*hostile).zeroed},
		{name: "one block replaced", packets: (*hostile).replaced},
		{name: "one packet stops the room", packets: (*hostile).stops},
		{name: "one packet stops the room, forged", packets: (*hostile).stops, forged: true},
		{name: "heartbeats that ask for a million reports", packets: func(h *hostile) [][]byte { return [][]byte{h.livelock()} }},
		{name: "heartbeats that ask for a million reports, forged", packets: func(h *hostile) [][]byte { return [][]byte{h.livelock()} }, forged: true},
		{name: "sequence from the future", packets: (*hostile).future},
		{name: "sequence from the future, forged", packets: (*hostile).future, forged: true},
		{name: "false manifest", packets: (*hostile).falseManifest},
		{name: "poisoned blocks", packets: (*hostile).poison},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 4}, imageBytes)
			r.fill(imageBytes)
			s := r.serve(0, "--data-group", dataGroup)
			h := r.newHostile(3)
			h.attack(c.forged, c.packets(h)...)
			finish(r.receive(1), r.receive(2))
			end := s.stop()
			if got := outcomes(end); !slices.Equal(got, []string{"done", "done"}) {
				t.Errorf("the server tells of %v", got)
			}
		})
	}
}

// zeroed claims that all blocks are zeros, with a manifest of that.
func (h *hostile) zeroed() [][]byte {
	empty := make([]byte, imageBytes)
	manifest, c := h.manifest(empty)
	return append([][]byte{
		h.heartbeat(func(b *wire.Heartbeat) { b.Completion = c }),
		wire.ZeroRun{Session: h.session.Session, Sequence: 1, Count: h.session.Geometry.BlockCount()}.AppendTo(nil),
	}, h.symbols(wire.Manifest, 0, manifest)...)
}

// replaced claims that block 4 is another one, and sends it.
func (h *hostile) replaced() [][]byte {
	image := h.content(h.image)
	evil := bytes.Repeat([]byte("EVIL"), blockBytes/4)
	copy(image[4*blockBytes:], evil)
	manifest, c := h.manifest(image)
	packets := [][]byte{h.heartbeat(func(b *wire.Heartbeat) { b.Completion = c })}
	packets = append(packets, h.symbols(wire.Manifest, 0, manifest)...)
	return append(packets, h.symbols(wire.Image, 4, evil)...)
}

func (h *hostile) falseManifest() [][]byte {
	image := h.content(h.image)
	image[5*blockBytes] ^= 1
	manifest, c := h.manifest(image)
	return append([][]byte{h.heartbeat(func(b *wire.Heartbeat) { b.Completion = c })}, h.symbols(wire.Manifest, 0, manifest)...)
}

func (h *hostile) stops() (packets [][]byte) {
	for _, state := range []wire.SenderState{wire.SenderImageChanged, wire.SenderImageFailed, wire.SenderStopped} {
		packets = append(packets, h.heartbeat(func(b *wire.Heartbeat) { b.State = state }))
	}
	return packets
}

func (h *hostile) future() [][]byte {
	const far = 1<<39 - 2
	return [][]byte{
		h.heartbeat(func(b *wire.Heartbeat) { b.Sequence = far }),
		wire.RepairAdv{Session: h.session.Session, Sequence: far, Pending: wire.List[wire.SymbolCount]{}.Append(wire.SymbolCount{Symbols: 1})}.AppendTo(nil),
		wire.ZeroRun{Session: h.session.Session, Sequence: far, First: 0, Count: 1}.AppendTo(nil),
	}
}

// poison has one false symbol in each block.
func (h *hostile) poison() (packets [][]byte) {
	k := (codec.HeaderSize + blockBytes + int(h.session.SymbolSize) - 1) / int(h.session.SymbolSize)
	for id := range block.ID(h.session.Geometry.BlockCount() - 1) {
		packets = append(packets, wire.Symbol{
			Session: h.session.Session, Sequence: 5, K: uint16(k), Block: id, Symbol: 3, Data: bytes.Repeat([]byte{0xAA}, symbolBytes),
		}.AppendTo(nil))
	}
	return packets
}

// TestHostileDescriptions: descriptions from another host than the one that was asked are nothing,
// whatever protocol they are of, and MXB 1 waits for MXB 2.
func TestHostileDescriptions(t *testing.T) {
	t.Parallel()
	const port = "40000"
	for _, c := range []struct {
		name string
		args []string
	}{
		{"the host is named", []string{"-s", "10.77.0.1"}},
		{"MXB 1 is not wanted", []string{"--mxb1=never"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, lab.Config{Hosts: 3}, imageBytes)
			r.flood(2, "10.77.0.2:"+port, descriptionOf("evil.img", imageBytes))
			client := r.receive(1, append(c.args, "-f", port, "--verify")...)
			asked := r.sentBytes(1)
			r.await("the client asks again", func() bool { return r.sentBytes(1) >= asked+4*60 })
			r.serve(0)
			if end := client.finishes(); end.Server != "10.77.0.1:7500" || end.Strangers+end.BadPackets == 0 {
				t.Errorf("received from %s; %d packets of strangers are counted", end.Server, end.Strangers+end.BadPackets)
			}
		})
	}
}

// listenTransparent is a socket at any address, one of another host too (ip(7), IP_TRANSPARENT).
func listenTransparent(at *net.UDPAddr) (*net.UDPConn, error) {
	if at == nil {
		return net.ListenUDP("udp4", nil)
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var inner error
		err := raw.Control(func(fd uintptr) { inner = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TRANSPARENT, 1) })
		return errors.Join(err, inner)
	}}
	conn, err := config.ListenPacket(context.Background(), "udp4", at.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// sendingFrom is a socket in a host that sends multicast by its interface, from that address, or
// from its own if that is empty.
func (r *room) sendingFrom(host int, from string) (socket *net.UDPConn) {
	r.Helper()
	r.must(r.Hosts[host].Do(func() error {
		var at *net.UDPAddr
		if from != "" {
			var err error
			if at, err = net.ResolveUDPAddr("udp4", from); err != nil {
				return err
			}
		}
		conn, err := listenTransparent(at)
		if err != nil {
			return err
		}
		socket = conn
		return ipv4.NewPacketConn(conn).SetMulticastInterface(&net.Interface{Index: r.Hosts[host].Index})
	}))
	return socket
}

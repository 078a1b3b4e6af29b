package packed

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
)

// vectorImage is the image of the vectors in docs/packed.md.
func vectorImage() []byte {
	b := make([]byte, 4*4096+800)
	for i := range b {
		if i < 4096 || i >= 4*4096 {
			b[i] = byte(i)
		}
	}
	return b
}

// TestVectors: docs/packed.md has the frames of its image, and they read.
func TestVectors(t *testing.T) {
	src := vectorFile(t)
	text, err := os.ReadFile("../../docs/packed.md")
	if err != nil {
		t.Fatal(err)
	}
	_, vectors, ok := strings.Cut(string(text), "\n## Vectors\n")
	if !ok {
		t.Fatal("docs/packed.md has no vectors")
	}
	want := ""
	for _, frame := range vectorFrames(t, src) {
		want += fmt.Sprintf("    %s\n", frame.title)
		digits := hex.EncodeToString(frame.bytes)
		for len(digits) > 0 {
			n := min(len(digits), 90)
			want += "    " + digits[:n] + "\n"
			digits = digits[n:]
		}
	}
	if !strings.HasSuffix(vectors, "\n\n"+want) {
		t.Errorf("docs/packed.md has other vectors than:\n%s", want)
	}
	if err := verifyBytes(src); err != nil {
		t.Error(err)
	}
}

type titled struct {
	title string
	bytes []byte
}

// vectorFile is the packed image of vectorImage.
func vectorFile(t *testing.T) []byte { return packNamed(t, vectorImage(), "vector.img") }

// vectorFrames cuts the file into its frames, without the zeros that header and slot are filled
// up with.
func vectorFrames(t *testing.T, b []byte) []titled {
	m, err := open(memory(b))
	if err != nil {
		t.Fatal(err)
	}
	_, manifest, index, slot := parts(b)
	frames := []titled{{"header, 42 of 512 bytes; zeros follow", b[:42]}}
	for _, f := range m.frames {
		title := fmt.Sprintf("block %d", f.first)
		if f.zero {
			title = fmt.Sprintf("zeros from block %d on", f.first)
		}
		frames = append(frames, titled{title, b[f.at:][:f.size]})
	}
	end := len(manifest) + len(index) + len(slot)
	data, _, _, _ := parts(b)
	return append(frames, titled{"manifest", manifest}, titled{"index", index},
		titled{"signature, 20 of 4096 bytes; zeros follow, and the CRC " + hex.EncodeToString(slot[len(slot)-4:]), slot[:20]},
		titled{"seek table", b[len(data)+end:]})
}

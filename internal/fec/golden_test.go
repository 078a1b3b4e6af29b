package fec

import (
	"bytes"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The vectors are frozen: a change here is a new version of the protocol.

func TestGoldenCoefficients(t *testing.T) {
	lines := goldenLines(t, "testdata/coefficients.txt")
	for _, fields := range lines {
		row, column, want := goldenNumber(t, fields[0]), goldenNumber(t, fields[1]), goldenBytes(t, fields[2])
		for i, c := range want {
			if got := Coefficient(uint32(row), column+i); got != c {
				t.Errorf("row %d, column %d: %#x, want %#x", row, column+i, got, c)
			}
		}
		line := make([]byte, column+len(want))
		fillRow(line, uint32(row))
		if got := line[column:]; !bytes.Equal(got, want) {
			t.Errorf("row %d from column %d: %x, want %x", row, column, got, want)
		}
	}
	if len(lines) < 30 {
		t.Errorf("only %d vectors", len(lines))
	}
}

func TestGoldenBlocks(t *testing.T) {
	for _, level := range simdLevels {
		t.Run(level, func(t *testing.T) {
			setSIMD(t, level)
			var (
				encoder    Encoder
				symbolSize int
				block      []byte
				repairs    int
			)
			for _, fields := range goldenLines(t, "testdata/blocks.txt") {
				number, value := goldenNumber(t, fields[1]), goldenBytes(t, fields[2])
				if fields[0] == "block" {
					symbolSize, block = number, value
					continue
				}
				repairs++
				got := make([]byte, symbolSize)
				if err := encoder.Encode([][]byte{got}, block, uint32(number)); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, value) {
					t.Errorf("row %d of %d-byte block: %x, want %x", number, len(block), got, value)
				}
			}
			if repairs < 14 {
				t.Errorf("only %d vectors", repairs)
			}
		})
	}
}

// goldenLines returns the fields of the lines that are neither empty nor comments.
func goldenLines(t *testing.T, name string) (lines [][]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] != "#" {
			lines = append(lines, fields)
		}
	}
	return lines
}

func goldenNumber(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

func goldenBytes(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

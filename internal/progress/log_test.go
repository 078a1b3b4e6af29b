package progress

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// TestLogIsHarmless: whatever a name holds, a record of the log is one line, and no byte of it
// does something on a terminal. The message and the attributes are each other's defence.
func TestLogIsHarmless(t *testing.T) {
	const name = "a\nb\x1b[2J\xff\u202e.img"
	for kind, make := range map[string]func(*bytes.Buffer) *slog.Logger{
		"text":    func(b *bytes.Buffer) *slog.Logger { return textLogger(b, slog.LevelDebug, false, false) },
		"records": func(b *bytes.Buffer) *slog.Logger { return recordLogger(b, slog.LevelDebug) },
	} {
		var out bytes.Buffer
		log := make(&out).With("image", name).WithGroup("more")
		log.Warn("serving "+name, "file", name, "err", errors.New("open "+name))
		text := out.String()
		if strings.Count(text, "\n") != 1 || strings.Contains(text, "\x1b") || strings.Contains(text, "\xff") || !strings.Contains(text, "serving a") {
			t.Errorf("%s: %q", kind, text)
		}
	}
}

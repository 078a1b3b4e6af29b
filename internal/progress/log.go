package progress

import (
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/lmittmann/tint"
)

// textLogger writes lines for people. The date is left out on a terminal.
func textLogger(w io.Writer, level slog.Level, terminal, color bool) *slog.Logger {
	layout := time.RFC3339
	if terminal {
		layout = time.TimeOnly
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: layout, NoColor: !color}))
}

// recordLogger writes EventLog objects.
func recordLogger(w io.Writer, level slog.Level) *slog.Logger {
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.LevelKey {
				a.Value = slog.StringValue(strings.ToLower(a.Value.String()))
			}
			return a
		},
	})
	return slog.New(h.WithAttrs([]slog.Attr{slog.String("event", string(EventLog))}))
}

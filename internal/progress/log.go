package progress

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/lmittmann/tint"

	"multiserver/internal/quote"
)

// textLogger writes lines for people. The date is left out on a terminal.
func textLogger(w io.Writer, level slog.Level, terminal, color bool) *slog.Logger {
	layout := time.RFC3339
	if terminal {
		layout = time.TimeOnly
	}
	return slog.New(oneLine{tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: layout, NoColor: !color})})
}

// oneLine makes one line of each message. tint quotes attributes, not messages.
type oneLine struct{ slog.Handler }

func (h oneLine) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, quote.Line(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(a)
		return true
	})
	return h.Handler.Handle(ctx, out)
}

func (h oneLine) WithAttrs(attrs []slog.Attr) slog.Handler {
	return oneLine{h.Handler.WithAttrs(attrs)}
}
func (h oneLine) WithGroup(name string) slog.Handler { return oneLine{h.Handler.WithGroup(name)} }

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

package command

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"multiserver"
)

// The library's texts name its settings as a program's author knows them:
// "ServerConfig.MTU". Everything that is printed goes through this file, which puts the
// flag in the place of the setting: "--mtu".

// flagOf is each setting's flag as texts spell it: of multiserver for a ServerConfig, of
// multiclient for a ClientConfig, whichever of the two prints it.
var flagOf = map[string]string{
	"ServerConfig.File":             "-f",
	"ServerConfig.SkipUnused":       "--skip-unused",
	"ServerConfig.Compress":         "--compress",
	"ServerConfig.Group":            "-g",
	"ServerConfig.Port":             "-p",
	"ServerConfig.ControlHost":      "-s",
	"ServerConfig.ControlPort":      "-s",
	"ServerConfig.Interface":        "-i",
	"ServerConfig.InterfaceTimeout": "--interface-timeout",
	"ServerConfig.TTL":              "--ttl",
	"ServerConfig.RateBitsPerSec":   "--rate",
	"ServerConfig.Delay":            "--delay",
	"ServerConfig.DataGroup":        "--data-group",
	"ServerConfig.MTU":              "--mtu",
	"ServerConfig.MinReceivers":     "--min-receivers",
	"ServerConfig.MinWait":          "--min-wait",
	"ServerConfig.MaxWait":          "--max-wait",
	"ServerConfig.ExitAfterDone":    "--exit-after-done",
	"ServerConfig.Signature":        "--signature",
	"ServerConfig.ClientTimeout":    "--client-timeout",
	"ServerConfig.Unicast":          "--unicast",
	"ServerConfig.MaxTime":          "--max-time",
	"ServerConfig.MXB1":             "--mxb1",

	"ClientConfig.Trust":          "--trust",
	"ClientConfig.Image":          "--image",
	"ClientConfig.MinSerial":      "--min-serial",
	"ClientConfig.TrustState":     "--trust-state",
	"ClientConfig.Output":         "-o",
	"ClientConfig.Disk":           "--target",
	"ClientConfig.Stream":         "-o -",
	"ClientConfig.Group":          "-g",
	"ClientConfig.Port":           "-p",
	"ClientConfig.ControlHost":    "-s",
	"ClientConfig.ControlPort":    "-s",
	"ClientConfig.FromPort":       "-f",
	"ClientConfig.Interface":      "-i",
	"ClientConfig.QuietTime":      "--timeout",
	"ClientConfig.StartTimeout":   "--start-timeout",
	"ClientConfig.ReceiveTimeout": "--receive-timeout",
	"ClientConfig.Allocate":       "--no-sparse",
	"ClientConfig.Force":          "--force",
	"ClientConfig.Update":         "--update",
	"ClientConfig.Fresh":          "--fresh",
	"ClientConfig.Verify":         "--verify",
	"ClientConfig.WipeRest":       "--wipe-rest",
	"ClientConfig.FitGPT":         "--fit-gpt",
	"ClientConfig.TruncateUnused": "--truncate-unused",
	"ClientConfig.Unicast":        "--unicast",
	"ClientConfig.TriesAgain":     "--retry",
	"ClientConfig.MXB1":           "--mxb1",
}

// FlagOf is the flag of a setting such as "ServerConfig.MTU"; "" if it has none. Only tests
// of other packages ask.
func FlagOf(setting string) string { return flagOf[setting] }

var settingPattern = regexp.MustCompile(`\b(?:Server|Client)Config\.[A-Z][A-Za-z0-9]*`)

// FlagText puts flags in the place of the settings that a text names. A value stays
// behind its setting: "ClientConfig.Unicast always" is "--unicast always". Of two
// settings side by side that are one flag, as host and port are, it names one.
func FlagText(text string) string {
	if !strings.Contains(text, "Config.") {
		return text
	}
	var b strings.Builder
	done, last := 0, "" // of text, and the flag that ends there
	for _, at := range settingPattern.FindAllStringIndex(text, -1) {
		flag := flagOf[text[at[0]:at[1]]]
		if flag == "" {
			continue
		}
		between := text[done:at[0]]
		if flag != last || !slices.Contains([]string{" and ", " or ", ", ", "/", ":"}, between) {
			b.WriteString(between + flag)
		}
		done, last = at[1], flag
	}
	return b.String() + text[done:]
}

// FlagError is err with its text as FlagText has it; nil if err is nil.
func FlagError(err error) error {
	if err == nil {
		return nil
	}
	text := FlagText(err.Error())
	if text == err.Error() {
		return err
	}
	return &flagError{err, text}
}

type flagError struct {
	err  error
	text string
}

func (e *flagError) Error() string { return e.text }
func (e *flagError) Unwrap() error { return e.err }

// FlagFinding is a finding of a check with its texts as FlagText has them.
func FlagFinding(f multiserver.Finding) multiserver.Finding {
	f.Text, f.Advice = FlagText(f.Text), FlagText(f.Advice)
	return f
}

// FlagClientStats is s with its texts as FlagText has them.
func FlagClientStats(s multiserver.ClientStats) multiserver.ClientStats {
	s.WaitingFor = FlagText(s.WaitingFor)
	return s
}

// FlagServerStats is s with its texts as FlagText has them, also those that clients
// sent of themselves.
func FlagServerStats(s multiserver.ServerStats) multiserver.ServerStats {
	s.RateReason = FlagText(s.RateReason)
	s.Receivers = slices.Clone(s.Receivers)
	for i := range s.Receivers {
		s.Receivers[i].Reason = FlagText(s.Receivers[i].Reason)
	}
	return s
}

// FlagLogger passes records on to log with their texts as FlagText has them.
func FlagLogger(log *slog.Logger) *slog.Logger { return slog.New(flagHandler{log.Handler()}) }

type flagHandler struct{ slog.Handler }

func (h flagHandler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, FlagText(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(flagAttr(a))
		return true
	})
	return h.Handler.Handle(ctx, out)
}

func (h flagHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return flagHandler{h.Handler.WithAttrs(flagAttrs(attrs))}
}

func (h flagHandler) WithGroup(name string) slog.Handler {
	return flagHandler{h.Handler.WithGroup(name)}
}

func flagAttrs(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = flagAttr(a)
	}
	return out
}

func flagAttr(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(FlagText(v.String()))
	case slog.KindGroup:
		a.Value = slog.GroupValue(flagAttrs(v.Group())...)
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			a.Value = slog.AnyValue(FlagError(err))
		}
	}
	return a
}

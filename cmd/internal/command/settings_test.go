package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"multiserver"
)

func TestFlagText(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"nothing to say":                 "nothing to say",
		"ServerConfig.MTU: 5 is too few": "--mtu: 5 is too few",
		"start the server without ServerConfig.MTU":                                      "start the server without --mtu",
		"is this the right ClientConfig.Group and ClientConfig.Port?":                    "is this the right -g and -p?",
		"/dev/sda is refused: it is in use (ClientConfig.Force writes anyway)":           "/dev/sda is refused: it is in use (--force writes anyway)",
		"it is a pipe; for a stream use ClientConfig.Stream":                             "it is a pipe; for a stream use -o -",
		"until then ClientConfig.Unicast always":                                         "until then --unicast always",
		"ClientConfig.Update and ClientConfig.Fresh exclude each other":                  "--update and --fresh exclude each other",
		"ask one by ClientConfig.ControlHost and ClientConfig.ControlPort":               "ask one by -s",
		"ClientConfig.ControlHost:ClientConfig.ControlPort":                              "-s",
		"a ServerConfig.ControlPort there and ClientConfig.ControlPort here":             "a -s there and -s here",
		"with ServerConfig.Interface and a ServerConfig.ControlPort of its own, or none": "with -i and a -s of its own, or none",
		"ServerConfig.Nothing, MyServerConfig.MTU and ServerConfig.mtu":                  "ServerConfig.Nothing, MyServerConfig.MTU and ServerConfig.mtu",
	} {
		if got := FlagText(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestSettingsAreFields: no entry of the table is of a field that is gone.
func TestSettingsAreFields(t *testing.T) {
	configs := map[string]reflect.Type{
		"ServerConfig": reflect.TypeFor[multiserver.ServerConfig](), "ClientConfig": reflect.TypeFor[multiserver.ClientConfig](),
	}
	for setting := range flagOf {
		config, field, _ := strings.Cut(setting, ".")
		if _, ok := configs[config].FieldByName(field); !ok {
			t.Errorf("there is no %s", setting)
		}
	}
}

// TestFlagError: the text changes, and what the error is does not.
func TestFlagError(t *testing.T) {
	if FlagError(nil) != nil {
		t.Error("no error has become one")
	}
	plain := errors.New("a cable is missing")
	if got := FlagError(plain); got != plain {
		t.Errorf("%v has become %v", plain, got)
	}
	err := FlagError(fmt.Errorf("ClientConfig.Disk: %w", multiserver.ErrConfig))
	if want := "--target: " + multiserver.ErrConfig.Error(); err.Error() != want || !errors.Is(err, multiserver.ErrConfig) {
		t.Errorf("%q, want %q, of the same kind", err, want)
	}
}

// TestFlagLogger: in messages and in attributes of every kind.
func TestFlagLogger(t *testing.T) {
	var b bytes.Buffer
	log := FlagLogger(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{
		Level:       slog.LevelInfo,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return dropTime(a) },
	})))
	const mtu = "ServerConfig.MTU"
	log.Debug(mtu)
	log.With("with", mtu).WithGroup("g").Info("without "+mtu, "text", mtu, "err", errors.New(mtu), "n", 7,
		slog.Group("inner", "text", mtu), "value", valuer{})
	if got, want := b.String(), "level=INFO msg=\"without --mtu\" with=--mtu g.text=--mtu g.err=--mtu g.n=7 g.inner.text=--mtu g.value=--mtu\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if log.Enabled(context.Background(), slog.LevelDebug) {
		t.Error("the level is lost")
	}
}

func dropTime(a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

type valuer struct{}

func (valuer) LogValue() slog.Value { return slog.StringValue("ServerConfig.MTU") }

// TestFlagStats: every text of the statistics that a person reads, and not those of the
// library itself.
func TestFlagStats(t *testing.T) {
	if got := FlagClientStats(multiserver.ClientStats{WaitingFor: "ClientConfig.Group?"}).WaitingFor; got != "-g?" {
		t.Errorf("WaitingFor: %q", got)
	}
	own := []multiserver.Receiver{{Reason: "ClientConfig.Force"}}
	got := FlagServerStats(multiserver.ServerStats{RateReason: "ServerConfig.MTU", Receivers: own})
	if got.RateReason != "--mtu" || got.Receivers[0].Reason != "--force" {
		t.Errorf("%+v", got)
	}
	if own[0].Reason != "ClientConfig.Force" {
		t.Error("the caller's slice has changed")
	}
	f := FlagFinding(multiserver.Finding{Text: "ServerConfig.MTU is 9000", Advice: "give a ServerConfig.RateBitsPerSec"})
	if f.Text != "--mtu is 9000" || f.Advice != "give a --rate" {
		t.Errorf("%+v", f)
	}
}

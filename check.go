package multiserver

import (
	"cmp"
	"context"
	"log/slog"

	"multiserver/internal/diagnose"
	"multiserver/internal/netcheck"
)

// CheckClient and CheckServer find out why nothing arrives, and say what to do.

// Finding is the result of one check, and what to do.
type Finding struct {
	Level FindingLevel `json:"level"`
	// What was looked at, in one or two words.
	What string `json:"what"`
	// Text is what was found: half a sentence.
	Text string `json:"finding"`
	// Advice is what to do; empty if all is well.
	Advice string `json:"advice,omitempty"`
}

// FindingLevel is how bad a Finding is.
type FindingLevel string

// The levels.
const (
	FindingOK    FindingLevel = "ok"
	FindingNote  FindingLevel = "note"  // worth knowing; it may work all the same
	FindingWrong FindingLevel = "WRONG" // it will not work, or not well
)

// String is the finding as a line without its end.
func (f Finding) String() string {
	return netcheck.Finding{Level: netcheck.Level(f.Level), What: f.What, Text: f.Text, Advice: f.Advice}.String()
}

func findingsTo(report func(Finding)) func(netcheck.Finding) {
	return func(f netcheck.Finding) {
		report(Finding{Level: FindingLevel(f.Level), What: f.What, Text: f.Text, Advice: f.Advice})
	}
}

// CheckClient checks what a Client of that configuration needs. It searches for a server,
// requests a few hundred packets to the stream's group, and reports each finding at once, on
// the caller's goroutine. It writes nothing, does not count as a client, and ends within 10 s.
// The error is an *Error of kind ErrConfig, or ctx's.
func CheckClient(ctx context.Context, cfg ClientConfig, report func(Finding)) error {
	cfg.Log = slog.New(slog.DiscardHandler)
	c, err := NewClient(cfg)
	if err != nil {
		return err
	}
	return diagnose.Client{
		Group: c.cfg.Group, Port: c.cfg.Port, ControlHost: c.cfg.ControlHost, ControlPort: c.cfg.ControlPort,
		FromPort: c.cfg.FromPort, Interface: c.cfg.Interface, TTL: DefaultTTL, MXB1: mxb1Of(c.cfg.MXB1),
	}.Check(ctx, findingsTo(report))
}

// CheckServer checks what a Server of that configuration needs; File may be empty. It reports
// each finding at once, on the caller's goroutine. It sends nothing and ends within 10 s. The
// error is an *Error of kind ErrConfig, or ctx's.
func CheckServer(ctx context.Context, cfg ServerConfig, report func(Finding)) error {
	cfg.Log = slog.New(slog.DiscardHandler)
	file := cfg.File
	if cfg.Source == nil {
		cfg.File = cmp.Or(file, "no file") // that validate would miss
	}
	if err := cfg.validate(); err != nil {
		return publicError(err)
	}
	return diagnose.Server{
		File: file, Group: cfg.Group, DataGroup: cfg.DataGroup, Port: cfg.Port, ControlHost: cfg.ControlHost, ControlPort: portToBind(cfg.ControlPort),
		Interface: cfg.Interface, TTL: cfg.TTL, RateBitsPerSec: cfg.RateBitsPerSec, Delay: cfg.Delay, MTU: cfg.MTU,
	}.Check(ctx, findingsTo(report))
}

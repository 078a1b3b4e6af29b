package multiserver

import (
	"cmp"
	"context"
	"log/slog"

	"multiserver/internal/diagnose"
	"multiserver/internal/netcheck"
)

// CheckClient and CheckServer look at what a person would have to ask an expert about
// when nothing arrives, and say what to do.

// Finding is what a check found of one thing: its Level, What was looked at, a Text
// and, unless all is well, an Advice. String puts them on a line.
type Finding = netcheck.Finding

// FindingLevel is how bad a Finding is.
type FindingLevel = netcheck.Level

// The levels.
const (
	FindingOK    = netcheck.OK
	FindingNote  = netcheck.Note
	FindingWrong = netcheck.Wrong // it will not work, or not well
)

// CheckClient looks at what a Client of that configuration would need, asks for a
// server and for a few hundred packets to the stream's group, and tells each finding
// as soon as it is there, on the caller's goroutine. It writes nothing, is no client to
// the server, and ends within 10 s. The error wraps ErrConfig, or is ctx's.
func CheckClient(ctx context.Context, cfg ClientConfig, tell func(Finding)) error {
	cfg.Log = slog.New(slog.DiscardHandler)
	c, err := NewClient(cfg)
	if err != nil {
		return err
	}
	return diagnose.Client{
		Group: c.cfg.Group, Port: c.cfg.Port, ControlHost: c.cfg.ControlHost, ControlPort: c.cfg.ControlPort,
		FromPort: c.cfg.FromPort, Interface: c.cfg.Interface, TTL: DefaultTTL, OnlyMXB1: c.cfg.OnlyMXB1,
	}.Check(ctx, tell)
}

// CheckServer looks at what a Server of that configuration would need, but for its
// File if that is empty, and tells each finding as soon as it is there, on the caller's
// goroutine. It sends nothing and ends within 10 s. The error wraps ErrConfig, or is
// ctx's.
func CheckServer(ctx context.Context, cfg ServerConfig, tell func(Finding)) error {
	cfg.Log = slog.New(slog.DiscardHandler)
	file := cfg.File
	cfg.File = cmp.Or(file, "no file") // that validate would miss
	if err := cfg.validate(); err != nil {
		return err
	}
	return diagnose.Server{
		File: file, Group: cfg.Group, DataGroup: cfg.DataGroup, Port: cfg.Port, ControlHost: cfg.ControlHost, ControlPort: cfg.ControlPort,
		Interface: cfg.Interface, TTL: cfg.TTL, RateBitsPerSec: cfg.RateBitsPerSec, Delay: cfg.Delay, MTU: cfg.MTU,
	}.Check(ctx, tell)
}

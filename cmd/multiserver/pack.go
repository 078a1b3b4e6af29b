package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"multiserver"
	"multiserver/cmd/internal/command"
	"multiserver/internal/codec"
	"multiserver/internal/format"
	"multiserver/internal/image"
	"multiserver/internal/packed"
	"multiserver/internal/progress"
	"multiserver/internal/quote"
	"multiserver/internal/statement"
	"multiserver/internal/usedblocks"
)

const packExamples = `
multiserver pack compresses an image once, to be served as often as you like.

  multiserver pack debian.img -o debian.mspack.zst
  multiserver pack /dev/sdb -o sdb.mspack.zst --level fastest
  multiserver debian.mspack.zst           serve it
`

const packNotes = `
The packed image is a zstd file: zstd -dc X.mspack.zst restores the image too.
It gets its name once it is whole, synced and read back.`

const unpackExamples = `
multiserver unpack restores a packed image. It checks every block.

  multiserver unpack debian.mspack.zst -o debian.img
  multiserver unpack debian.mspack.zst -o - | dd of=/dev/sdb bs=1M
`

const infoExamples = `
multiserver info tells what a packed image holds.

  multiserver info debian.mspack.zst
  multiserver info --verify debian.mspack.zst
`

const packStatuses = `
  0      done
  1      an error while running
  2      usage
  4      a packed image is damaged
  128+n  ended by signal n without an error: 130 after Ctrl-C`

// packOptions are the flags of pack, unpack and info.
type packOptions struct {
	output string
	level  codec.Level
	skip   multiserver.SkipUnusedMode
	pack   packed.Options
	verify bool
	shown  command.Output
}

// addPack adds the subcommands for packed images.
func addPack(main *command.Command) {
	p := &packOptions{level: codec.Default}
	sub := main.Subcommand(command.Text{Name: "pack", Summary: "compress an image once, to serve it often",
		Examples: packExamples, Notes: packNotes, Statuses: packStatuses}, p.runPack)
	sub.Add("What to make", func(f *pflag.FlagSet) {
		f.StringVarP(&p.output, "output", "o", "", "write the packed image to the file `PATH`")
		f.Var(command.Value(&p.level, codec.ParseLevel, "LEVEL", p.level.String()), "level", "fastest, default, better or best")
		f.Var(command.Value(&p.skip, command.ParseSkipUnused, "WHEN", "auto"),
			"skip-unused", "zero what no file system uses: auto, never")
		f.BoolVar(&p.pack.NoVerify, "no-verify", false, "do not read back what was written")
		f.BoolVar(&p.pack.Force, "force", false, "replace a file that is no packed image")
	})
	p.addMessages(sub)

	u := new(packOptions)
	sub = main.Subcommand(command.Text{Name: "unpack", Summary: "restore a packed image", Examples: unpackExamples, Statuses: packStatuses}, u.runUnpack)
	sub.Add("What to make", func(f *pflag.FlagSet) {
		f.StringVarP(&u.output, "output", "o", "", "write the image to the file `PATH`, - is stdout")
		f.BoolVar(&u.pack.Force, "force", false, "replace a file that is there")
	})
	u.addMessages(sub)

	i := new(packOptions)
	sub = main.Subcommand(command.Text{Name: "info", Summary: "tell what a packed image holds", Examples: infoExamples, Statuses: packStatuses}, i.runInfo)
	sub.Add("What to do", func(f *pflag.FlagSet) {
		f.BoolVar(&i.verify, "verify", false, "read all of it, and compare it with its digests")
	})
	i.addMessages(sub)
}

func (o *packOptions) addMessages(sub *command.Command) {
	sub.Add("Messages", func(f *pflag.FlagSet) {
		f.BoolVarP(&o.shown.Quiet, "quiet", "q", false, "print only errors")
		f.BoolVar(&o.shown.JSON, "json", false, "print JSON objects to stdout, one per line")
	})
}

// check returns the one argument.
func (o *packOptions) check(args []string, needsOutput bool) (string, error) {
	switch {
	case len(args) == 0:
		return "", errors.New("no image is given")
	case len(args) > 1:
		return "", fmt.Errorf("one image at a time: %q is one too many", args[1])
	case needsOutput && o.output == "":
		return "", errors.New("no output: -o PATH")
	case o.output == "-" && o.shown.JSON:
		return "", errors.New("--json and -o - exclude each other: both are for stdout")
	}
	return args[0], nil
}

// run carries out a job, shows how it gets on, and returns how the program ends.
func run(shown command.Output, job func(context.Context, *progress.Reporter) error) error {
	command.SurviveReaders()
	ctx, received, release := command.Signals(context.Background())
	defer release()
	report := progress.Options{Program: program, Stderr: os.Stderr, Quiet: shown.Quiet}
	if shown.JSON {
		report.Records = os.Stdout
	}
	reporter := progress.New(report)
	err := job(ctx, reporter)
	status := command.ExitStatus(err, received())
	reporter.End(err, status)
	return command.Ended(status)
}

func (o *packOptions) runPack(_ *command.Command, args []string) error {
	path, err := o.check(args, true)
	if err != nil {
		return err
	}
	if o.output == "-" {
		return errors.New("-o -: a packed image is read back, and so is written to a file")
	}
	return run(o.shown, func(ctx context.Context, reporter *progress.Reporter) error {
		source, err := packed.OpenSource(path)
		if err != nil {
			return err
		}
		defer func() { source.Close() }()
		if _, already := source.(*packed.Image); already {
			return fmt.Errorf("%s is packed already: serve it as it is, or unpack it first", source)
		}
		if of, err := image.FormatOf(source); err != nil {
			return err
		} else if of.Foreign() {
			return fmt.Errorf("%s is %v, and no disk as it is: %s", source, of, of.Advice())
		} else if text, advice := format.Caution(of, source.Size()); text != "" {
			reporter.Logger().Warn(source.String()+" "+text, "advice", advice)
		}
		if o.skip == multiserver.SkipUnusedAuto {
			used, m := usedblocks.Skip(source, path)
			source = used
			for _, line := range m.Lines() {
				reporter.Logger().Info(line)
			}
		}
		p := new(packed.Progress)
		o.pack.Level, o.pack.Progress = o.level, p
		reporter.FollowJob(func() progress.JobStats {
			s := progress.JobStats{Phase: "packing", Name: source.Name(), SizeBytes: source.Size(), BytesDone: p.Done.Load(), PackedBytes: p.Stored.Load(),
				Ended: fmt.Sprintf("%s is packed into %s", source, quote.Name(o.output))}
			if checked := p.Checked.Load(); checked > 0 {
				s.Phase, s.BytesDone = "verifying", checked
			}
			return s
		})
		return packed.Pack(ctx, source, o.output, o.pack)
	})
}

func (o *packOptions) runUnpack(_ *command.Command, args []string) error {
	path, err := o.check(args, true)
	if err != nil {
		return err
	}
	return run(o.shown, func(ctx context.Context, reporter *progress.Reporter) error {
		m, err := packed.Open(path)
		if err != nil {
			return err
		}
		defer m.Close()
		p := new(packed.Progress)
		reporter.FollowJob(func() progress.JobStats {
			return progress.JobStats{Phase: "unpacking", Name: m.Name(), SizeBytes: m.Size(), BytesDone: p.Done.Load(),
				Ended: fmt.Sprintf("%s is unpacked into %s", m, quote.Name(o.output))}
		})
		if o.output == "-" {
			return m.Unpack(ctx, os.Stdout, p)
		}
		return m.UnpackFile(ctx, o.output, o.pack.Force, p)
	})
}

// infoRecord is what info prints with --json.
type infoRecord struct {
	Name         string  `json:"name"`
	SizeBytes    uint64  `json:"size_bytes"`
	PackedBytes  uint64  `json:"packed_bytes"`
	Level        string  `json:"level"`
	BlockSize    uint32  `json:"block_size"`
	Blocks       uint32  `json:"blocks"`
	ZeroBlocks   uint32  `json:"zero_blocks"`
	UnusedBlocks *uint32 `json:"unused_blocks"` // null: nobody looked
	ImageDigest  string  `json:"image_digest"`
	Signed       bool    `json:"signed"` // by whom, and truly, clients check
	SignedName   string  `json:"signed_name,omitempty"`
	SignedSerial uint64  `json:"signed_serial,omitempty"`
	Verified     bool    `json:"verified"`
}

func (o *packOptions) runInfo(_ *command.Command, args []string) error {
	path, err := o.check(args, false)
	if err != nil {
		return err
	}
	command.SurviveReaders()
	ctx, received, release := command.Signals(context.Background())
	defer release()
	err = o.info(ctx, path)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", program, quote.Line(err.Error()))
	}
	return command.Ended(command.ExitStatus(err, received()))
}

func (o *packOptions) info(ctx context.Context, path string) error {
	m, err := packed.Open(path)
	if err != nil {
		return err
	}
	defer m.Close()
	if o.verify {
		reporter := progress.New(progress.Options{Program: program, Stderr: os.Stderr, Quiet: o.shown.Quiet || o.shown.JSON})
		p := new(packed.Progress)
		reporter.FollowJob(func() progress.JobStats {
			return progress.JobStats{Phase: "verifying", Name: m.Name(), SizeBytes: m.Size(), BytesDone: p.Checked.Load()}
		})
		err := m.Verify(ctx, p)
		reporter.Stop()
		if err != nil {
			return err
		}
	}
	i := m.Info()
	r := infoRecord{Name: i.Name, SizeBytes: i.SizeBytes, PackedBytes: i.PackedBytes, Level: i.Level, BlockSize: i.BlockSize, Blocks: i.Blocks,
		ZeroBlocks: i.ZeroBlocks, ImageDigest: i.ImageDigest, Signed: i.Signature.Kind != 0, Verified: o.verify}
	if i.UnusedKnown {
		r.UnusedBlocks = &i.UnusedBlocks
	}
	if i.Signature.Kind == packed.SignedStatement {
		if said, err := statement.ParseSigned(i.Signature.Bytes); err == nil {
			if st, err := statement.Parse(said.Text); err == nil {
				r.SignedName, r.SignedSerial = st.Name, st.Serial
			}
		}
	}
	switch {
	case o.shown.JSON:
		return json.NewEncoder(os.Stdout).Encode(r)
	case o.shown.Quiet:
		return nil
	}
	_, err = fmt.Print(r.text())
	return err
}

func (r infoRecord) signature() string {
	switch {
	case !r.Signed:
		return "none"
	case r.SignedSerial == 0:
		return "there is one, which this version does not know"
	}
	return fmt.Sprintf("of %s, serial %d; clients check it with --trust", quote.Name(r.SignedName), r.SignedSerial)
}

func (r infoRecord) text() string {
	yes := func(b bool, yes, no string) string {
		if b {
			return yes
		}
		return no
	}
	unused := "unused ones not known"
	if r.UnusedBlocks != nil {
		unused = fmt.Sprintf("%d of them unused", *r.UnusedBlocks)
	}
	return fmt.Sprintf(`name       %s
image      %d bytes
packed     %d bytes, %.2f : 1, level %s
blocks     %d of %d bytes, %d of them zeros, %s
digest     %s
signature  %s
verified   %s
`, quote.Name(r.Name), r.SizeBytes, r.PackedBytes, float64(r.SizeBytes)/float64(r.PackedBytes), r.Level,
		r.Blocks, r.BlockSize, r.ZeroBlocks, unused, r.ImageDigest,
		r.signature(),
		yes(r.Verified, "every block", "no: --verify reads every block"))
}

// Multiclient receives a disk image from a multiserver and writes it to a file or a disk.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"multiserver"
	"multiserver/cmd/internal/command"
	"multiserver/internal/progress"
	"multiserver/internal/quote"
)

const program = "multiclient"

const examples = `
multiclient receives the disk image that a multiserver sends.

  multiclient -o /dev/sda             write it to a disk: all on it is lost
  multiclient --target 'size>=100G,rotational=0'
                                      the one disk that meets these conditions
  multiclient                         write it to a file of the served name
  multiclient -q -o - | zstd >x.zst   write it to a pipe
  multiclient check                   find out why nothing arrives
`

const notes = `
TIME is 1500ms, 30s or 2m; a plain number is in seconds, for -t in milliseconds.
--target takes KEY=VALUE with commas between: serial, wwn, path, model, name,
transport (shell globs), rotational, removable (0 or 1), size (=, >=, <=, >, <;
100G are GiB). If not exactly one disk matches, it lists them and exits.
--post-command finds RESULT_STATUS, _VERDICT (done, failed or interrupted),
_ERROR, _TARGET, _IMAGE, _BYTES, _SERVER and _VERIFIED (1 or 0) as variables.`

const statuses = `
  0      everything is received, written and synced
  1      another error while running, or --post-command failed
  2      usage
  3      no server found, or a time limit passed
  4      what arrives is not the same image
  5      target refused: mounted, too small, read-only, in use, missing, or
         not exactly one disk meets --target
  6      I/O error of the target, or --verify read other bytes than were written
  128+n  ended by signal n`

// stdoutName is the output that is no file.
const stdoutName = "-"

// options are the flags.
type options struct {
	config      multiserver.ClientConfig
	endpoint    command.Endpoint
	dryRun      bool
	yes         bool
	retries     int
	postCommand string
	output      command.Output
}

func main() { os.Exit(execute()) }

func execute() int { return new(options).command().Execute(os.Args[1:]) }

// command is the program, with its flags in o.
func (o *options) command() *command.Command {
	c := command.New(command.Text{Name: program, Kernel: true, Examples: examples, Notes: notes, Statuses: statuses}, o.receive)
	c.Add("Where to write it", func(f *pflag.FlagSet) {
		f.StringVarP(&o.config.Output, "output", "o", "", "write to `PATH`: a file or a device; - is stdout")
		f.StringVar(&o.config.Disk, "target", "", "write to the one disk that meets `CONDITIONS`")
		f.BoolVarP(&o.config.Allocate, "no-sparse", "n", false, "allocate all of the file's space first")
		f.BoolVar(&o.config.Force, "force", false, "write even if mounted, in use, a tty, new in /dev")
		f.BoolVar(&o.config.Update, "update", false, "compare the target first, fetch what differs")
		f.BoolVar(&o.config.Fresh, "fresh", false, "write everything, whatever the target holds")
		f.BoolVar(&o.config.Verify, "verify", false, "read everything back from the target at the end")
		f.BoolVar(&o.config.FitGPT, "fit-gpt", false, "then move the backup GPT to the end of the disk")
		f.BoolVar(&o.config.TruncateUnused, "truncate-unused", false, "leave out an unused end that does not fit")
		f.BoolVar(&o.config.WipeRest, "wipe-rest", false, "then clear old signatures behind the image")
		f.BoolVarP(&o.yes, "yes", "y", false, "do not wait 5 s before a disk is erased")
		f.BoolVar(&o.dryRun, "dry-run", false, "say what would be written where, and exit")
	})
	c.Add("Network", func(f *pflag.FlagSet) {
		f.VarP(command.Value(&o.endpoint, command.ParseEndpoint, "[HOST:]PORT", strconv.Itoa(multiserver.DefaultControlPort)),
			"server", "s", "server to ask; without HOST, search for one")
		f.VarP(command.Value(&o.config.Group, command.ParseGroup, "ADDRESS", multiserver.DefaultGroup.String()),
			"group", "g", "multicast group, IPv4 or IPv6")
		f.VarP(command.Value(&o.config.Port, command.ParsePort, "PORT", strconv.Itoa(multiserver.DefaultPort)),
			"port", "p", "UDP port of the stream")
		f.VarP(command.Value(&o.config.FromPort, command.ParsePort, "PORT", ""),
			"from-port", "f", "UDP port to ask from; else a free one")
		f.StringVarP(&o.config.Interface, "interface", "i", "", "use only the network interface `NAME`")
		f.Var(command.Value(&o.config.Unicast, command.ParseUnicast, "WHEN", "auto"),
			"unicast", "ask for unicast: auto, always, never")
		f.Var(command.Value(&o.config.MXB1, command.ParseMXB1, "WHEN", "auto"),
			"mxb1", "speak the original's MXB 1: never, auto, only")
		f.Lookup("mxb1").NoOptDefVal = "only"
	})
	c.Add("Signed images", func(f *pflag.FlagSet) {
		f.StringVar(&o.config.Trust, "trust", "", "write only what `KEY`, or a file of keys, signed")
		f.StringVar(&o.config.Image, "image", "", "only the image that is signed by this `NAME`")
		f.Var(command.Value(&o.config.MinSerial, command.ParseSerial, "N", ""), "min-serial", "only with serial number N or higher")
		f.StringVar(&o.config.TrustState, "trust-state", "", "keep serial numbers in `FILE`, refuse lower ones")
	})
	c.Add("Time limits", func(f *pflag.FlagSet) {
		f.VarP(command.Value(&o.config.QuietTime, command.ParsePositive(time.Millisecond), "TIME", seconds(multiserver.DefaultQuietTime)),
			"timeout", "t", "MXB 1: silence before blocks are asked for")
		f.Var(command.Value(&o.config.StartTimeout, command.ParseLimit(multiserver.NoTimeout), "TIME", seconds(multiserver.DefaultStartTimeout)),
			"start-timeout", "give up the search after this; 0: never")
		f.Var(command.Value(&o.config.ReceiveTimeout, command.ParseLimit(multiserver.NoTimeout), "TIME", seconds(multiserver.DefaultReceiveTimeout)),
			"receive-timeout", "give up a silent stream after this; 0: never")
	})
	c.Add("Unattended", func(f *pflag.FlagSet) {
		f.Var(command.Value(&o.retries, parseRetries, "N", ""), "retry", "try again after a failure, N times or for ever")
		f.Lookup("retry").NoOptDefVal = forever
		f.StringVar(&o.postCommand, "post-command", "", "run `CMD` in a shell at the end")
	})
	c.Add("Messages", o.output.Define)
	o.addCheck(c)
	return c
}

// seconds is a default as it could be typed: 60s, where String would say 1m0s.
func seconds(d time.Duration) string { return fmt.Sprintf("%gs", d.Seconds()) }

// validate takes the arguments, of which there may be none, and flags that exclude each
// other: of two the one counts that is nearer, and two that are as near are an error.
func (o *options) validate(c *command.Command, args []string) error {
	if len(args) > 0 {
		if _, err := parseRetries(args[0]); err == nil && o.retries == endless && c.Given("retry") {
			return fmt.Errorf("unexpected argument %q: a number of tries follows an equals sign, --retry=%s", args[0], args[0])
		}
		if _, err := command.ParseMXB1(args[0]); err == nil && c.Given("mxb1") {
			return fmt.Errorf("unexpected argument %q: a mode follows an equals sign, --mxb1=%s", args[0], args[0])
		}
		if meant := c.Suggest(args[0]); meant != "" {
			return fmt.Errorf("unexpected argument %q: did you mean %s? A target is given by -o, multiclient -o %s", args[0], meant, args[0])
		}
		return fmt.Errorf("unexpected argument %q: the target is given by -o, multiclient -o %s", args[0], args[0])
	}
	if err := o.output.Check(); err != nil {
		return err
	}
	for flag, value := range map[string]string{"output": o.config.Output, "target": o.config.Disk, "trust": o.config.Trust, "image": o.config.Image, "trust-state": o.config.TrustState} {
		if value == "" && c.Given(flag) { // a variable that is not set, in a script
			return fmt.Errorf("--%s is given and empty", flag)
		}
	}
	if o.config.Update && o.config.Fresh {
		switch {
		case c.Outranks("update", "fresh"):
			o.config.Fresh = false
		case c.Outranks("fresh", "update"):
			o.config.Update = false
		default:
			return errors.New("--update and --fresh exclude each other")
		}
	}
	if o.config.Output != "" && o.config.Disk != "" {
		switch {
		case c.Outranks("output", "target"):
			o.config.Disk = ""
		case c.Outranks("target", "output"):
			o.config.Output = ""
		default:
			return fmt.Errorf("-o %s and --target %s exclude each other", o.config.Output, o.config.Disk)
		}
	}
	if o.config.Output == stdoutName { // of which nothing can be read back
		o.config.Update = o.config.Update && !c.Outranks("output", "update")
		o.config.Verify = o.config.Verify && !c.Outranks("output", "verify")
	}
	o.config.ControlHost, o.config.ControlPort = o.endpoint.Host, o.endpoint.Port
	return nil
}

func (o *options) receive(c *command.Command, args []string) error {
	if err := o.validate(c, args); err != nil {
		return err
	}
	toStdout := o.config.Output == stdoutName
	if toStdout && !o.config.Force && !o.dryRun && term.IsTerminal(int(os.Stdout.Fd())) {
		return errors.New("stdout is a terminal: redirect it, or use --force")
	}

	if toStdout {
		o.config.Output, o.config.Stream = "", os.Stdout
	}
	command.SurviveReaders()
	ctx, received, release := command.Signals(context.Background())
	defer release()
	reporter := progress.New(o.report(toStdout))
	o.config.Log = command.FlagLogger(reporter.Logger())
	look := newLastLook(o, o.config.Log)
	o.config.BeforeWrite = look.beforeWrite
	t := tries{config: o.config, retries: o.retries, dryRun: o.dryRun, look: look}
	err := command.FlagError(t.run(ctx, func() { reporter.FollowClient(t.stats) }))
	sig := received()
	if err == nil {
		sig = nil // it came too late to end anything
	}
	r := result{status: command.ExitStatus(err, sig), verdict: verdictDone, err: err, stats: t.reached()}
	switch {
	case errors.Is(err, multiserver.ErrConfig):
		r.err = c.Usage(err)
	case sig != nil && errors.Is(err, context.Canceled):
		r.verdict, r.err = verdictInterrupted, interrupted(sig, r.stats, look.untouched())
	case err != nil:
		r.verdict = verdictFailed
	}
	if o.postCommand != "" && !o.dryRun && !errors.Is(err, multiserver.ErrConfig) {
		reporter.Stop()
		switch err := runAfter(o.postCommand, r); {
		case err != nil && r.err == nil:
			r.err = postCommandFailed(r, err)
			r.status = command.ExitStatus(r.err, nil)
		case err != nil:
			o.config.Log.Warn("--post-command failed", "err", err)
		}
	}
	reporter.End(r.err, r.status)
	if o.dryRun {
		o.printPlan(&t, r)
	}
	return command.Ended(r.status)
}

// printPlan prints what a dry run found. One that failed has said so on stderr.
func (o *options) printPlan(t *tries, r result) {
	switch {
	case r.err == nil && !o.output.JSON:
		fmt.Println(quote.Lines(t.plan.String()))
	case r.err == nil:
		printObject(struct {
			Event string `json:"event"`
			multiserver.Plan
		}{"plan", t.plan})
	case o.output.JSON:
		printObject(progress.RecordHead{Event: progress.EventFailed, Time: time.Now(), Error: r.err.Error(), Exit: &r.status})
	}
}

func printObject(object any) {
	line, _ := json.Marshal(object) // strings and numbers cannot fail
	fmt.Printf("%s\n", line)
}

// report says who is told what. Stdout is the objects', unless the image goes there, or
// the only object is a dry run's.
func (o *options) report(toStdout bool) progress.Options {
	report := progress.Options{Program: program, Stderr: os.Stderr, Quiet: o.output.Quiet, Verbose: o.output.Verbose}
	switch {
	case o.dryRun:
	case o.output.JSON && toStdout:
		report.Records = os.Stderr
	case o.output.JSON:
		report.Records = os.Stdout
	}
	return report
}

// interrupted says what became of the target.
func interrupted(sig os.Signal, s multiserver.ClientStats, untouched string) error {
	if untouched != "" {
		return fmt.Errorf("%v before the first byte was written; %s is as it was", sig, untouched)
	}
	if s.Phase == multiserver.PhaseFinding {
		return fmt.Errorf("%v before a server was found; nothing was written", sig)
	}
	return fmt.Errorf("%v with %d of %d bytes in; %s is incomplete", sig, s.BytesDone, s.SizeBytes, quote.Name(s.Output))
}

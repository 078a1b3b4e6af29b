package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"aead.dev/minisign"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"multiserver"
	"multiserver/cmd/internal/command"
	"multiserver/internal/atomicfile"
	"multiserver/internal/progress"
	"multiserver/internal/quote"
	"multiserver/internal/signing"
	"multiserver/internal/statement"
)

const keygenExamples = `
multiserver keygen makes a key pair, to sign images with.

  multiserver keygen -o lab                    asks for a password
  multiserver keygen -o lab --no-password

It writes lab.key, which is secret, and lab.pub, which clients are given:
multiclient --trust lab.pub. Both are files of the minisign program.
`

const signExamples = `
multiserver sign reads an image once and signs what it read.

  multiserver sign -k lab.key debian.img
  multiserver sign -k lab.key debian.mspack.zst --expires 2027-06-01
  multiserver debian.img                  serve it: clients get the signature
  multiclient --trust lab.pub -o /dev/sda
`

const signNotes = `
It writes IMAGE.mxs and IMAGE.mxs.minisig; minisign -Vm IMAGE.mxs -p lab.pub
checks them. A packed image has the signature inside.
The serial number grows with each version of the image. LAB.key.serials keeps
the last one of each name.`

const signStatuses = `
  0      done
  1      an error while running
  2      usage
  4      a packed image is damaged
  128+n  ended by signal n without an error: 130 after Ctrl-C`

// signOptions are the flags of keygen and sign.
type signOptions struct {
	output       string
	force        bool
	noPassword   bool
	passwordFile string
	key          string
	name         string
	serial       uint64
	expires      time.Time
	skip         multiserver.SkipUnusedMode
	shown        command.Output
}

// addSign adds the subcommands for signed images.
func addSign(main *command.Command) {
	k := new(signOptions)
	sub := main.Subcommand(command.Text{Name: "keygen", Summary: "make a key pair to sign images with", Examples: keygenExamples, Statuses: signStatuses}, k.runKeygen)
	sub.Add("What to make", func(f *pflag.FlagSet) {
		f.StringVarP(&k.output, "output", "o", "", "write `NAME`.key and NAME.pub")
		f.BoolVarP(&k.noPassword, "no-password", "W", false, "do not encrypt the secret key")
		f.StringVar(&k.passwordFile, "password-file", "", "take the password from the first line of `FILE`")
		f.BoolVar(&k.force, "force", false, "replace keys that are there")
	})

	s := new(signOptions)
	sub = main.Subcommand(command.Text{Name: "sign", Summary: "sign an image", Examples: signExamples, Notes: signNotes, Statuses: signStatuses}, s.runSign)
	sub.Add("What to sign", func(f *pflag.FlagSet) {
		f.StringVarP(&s.key, "key", "k", "", "sign with the secret key in `FILE`")
		f.StringVar(&s.passwordFile, "password-file", "", "take the key's password from the first line of `FILE`")
		f.StringVar(&s.name, "name", "", "`NAME` of the image, for clients that ask for it by name")
		f.Var(command.Value(&s.serial, command.ParseSerial, "N", ""), "serial", "number of this version: larger than the last one")
		f.Var(command.Value(&s.expires, parseDay, "DAY", ""), "expires", "the last day it counts: 2027-06-01")
		f.Var(command.Value(&s.skip, command.ParseSkipUnused, "WHEN", "auto"),
			"skip-unused", "as it will be served: auto, never")
		f.StringVarP(&s.output, "output", "o", "", "write the statement to `FILE`, if not beside the image")
	})
	sub.Add("Messages", func(f *pflag.FlagSet) {
		f.BoolVarP(&s.shown.Quiet, "quiet", "q", false, "print only errors")
		f.BoolVar(&s.shown.JSON, "json", false, "print JSON objects to stdout, one per line")
	})
}

func parseDay(s string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, errors.New("want a day such as 2027-06-01")
	}
	return t, nil
}

func (o *signOptions) runKeygen(_ *command.Command, args []string) error {
	switch {
	case len(args) > 0:
		return fmt.Errorf("%q is one argument too many: -o NAME", args[0])
	case o.output == "":
		return errors.New("no output: -o NAME")
	case o.noPassword && o.passwordFile != "":
		return errors.New("--no-password and --password-file exclude each other")
	}
	command.SurviveReaders()
	err := o.keygen()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", program, quote.Line(err.Error()))
	}
	return command.Ended(command.ExitStatus(err, nil))
}

func (o *signOptions) keygen() error {
	secret, public := o.output+".key", o.output+".pub"
	if !o.force {
		for _, path := range []string{secret, public} {
			if _, err := os.Lstat(path); err == nil {
				return fmt.Errorf("%s is there already: remove it, or add --force to replace it", quote.Name(path))
			}
		}
	}
	password := ""
	if !o.noPassword {
		var err error
		if password, err = o.newPassword(); err != nil {
			return err
		}
	}
	pub, key, err := minisign.GenerateKey(nil)
	if err != nil {
		return err
	}
	encoded, err := statement.EncodeSecret(key, password)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(secret, encoded, 0o600, true); err != nil {
		return quote.Error(err)
	}
	if err := atomicfile.Write(public, statement.EncodePublic(pub), 0o644, true); err != nil {
		return quote.Error(err)
	}
	_, err = fmt.Printf("%s is secret. Give clients %s, or the key itself: multiclient --trust %s\n", quote.Name(secret), quote.Name(public), pub)
	return err
}

// newPassword asks twice for a password.
func (o *signOptions) newPassword() (string, error) {
	password, err := o.password()
	if err != nil || o.passwordFile != "" {
		return password, err
	}
	again, err := ask("Password again: ")
	if err == nil && again != password {
		err = errors.New("the passwords differ")
	}
	return password, err
}

// password is that of the secret key.
func (o *signOptions) password() (string, error) {
	if o.passwordFile == "" {
		return ask("Password of the secret key: ")
	}
	f, err := os.Open(o.passwordFile)
	if err != nil {
		return "", quote.Error(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return "", quote.Error(err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if len(line) == 0 {
		return "", fmt.Errorf("%s begins with an empty line, and no password", quote.Name(o.passwordFile))
	}
	return string(line), nil
}

func ask(prompt string) (string, error) {
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return "", errors.New("no terminal to ask for the password: --password-file FILE")
	}
	fmt.Fprint(os.Stderr, prompt)
	b, err := term.ReadPassword(in)
	fmt.Fprintln(os.Stderr)
	if err == nil && len(b) == 0 {
		err = errors.New("the password is empty")
	}
	return string(b), err
}

func (o *signOptions) runSign(_ *command.Command, args []string) error {
	switch {
	case len(args) == 0:
		return errors.New("no image is given")
	case len(args) > 1:
		return fmt.Errorf("one image at a time: %q is one too many", args[1])
	case o.key == "":
		return errors.New("no key: -k FILE, which multiserver keygen makes")
	}
	if o.name != "" {
		if err := statement.CheckName(o.name); err != nil {
			return err
		}
	}
	return run(o.shown, func(ctx context.Context, reporter *progress.Reporter) error {
		return o.sign(ctx, reporter, args[0])
	})
}

func (o *signOptions) sign(ctx context.Context, reporter *progress.Reporter, path string) error {
	file, err := os.ReadFile(o.key)
	if err != nil {
		return quote.Error(err)
	}
	key, err := statement.DecodeSecret(file, o.password)
	if err != nil {
		return fmt.Errorf("%s: %w", quote.Name(o.key), err)
	}
	job := &signing.Job{
		Path: path, SkipUnused: o.skip == multiserver.SkipUnusedAuto, Output: o.output, Key: key, Name: o.name, Serial: o.serial, Expires: o.expires,
		Serials: statement.Serials{Path: o.key + ".serials"}, Log: reporter.Logger(),
	}
	if err := job.Open(); err != nil {
		return err
	}
	defer job.Close()
	reporter.FollowJob(func() progress.JobStats {
		st := job.Statement
		return progress.JobStats{Phase: "reading", Name: st.Name, SizeBytes: st.SizeBytes, BytesDone: job.Progress.Checked.Load(),
			Ended: fmt.Sprintf("%s is signed as %s, serial %d", quote.Name(path), quote.Name(st.Name), st.Serial)}
	})
	return job.Run(ctx)
}

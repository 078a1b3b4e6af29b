package command

import (
	"errors"

	"github.com/spf13/pflag"
)

// Output is what both programs can be told about their messages.
type Output struct {
	Quiet, Verbose, JSON bool
}

// Define adds the flags for messages, and help and version.
func (o *Output) Define(f *pflag.FlagSet) {
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print errors only")
	f.BoolVarP(&o.Verbose, "verbose", "v", false, "print more")
	f.BoolVar(&o.JSON, "json", false, "print one JSON object a line on stdout")
	f.Bool("version", false, "print the version and end")
	f.BoolP("help", "h", false, "print this and end")
}

// Check returns an error of usage.
func (o *Output) Check() error {
	if o.Quiet && o.Verbose {
		return errors.New("--quiet and --verbose exclude each other")
	}
	return nil
}

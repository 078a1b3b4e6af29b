package command

import (
	"errors"

	"github.com/spf13/pflag"
)

// Output is how the programs print, as their flags say.
type Output struct {
	Quiet, Verbose, JSON bool
}

// Define adds the flags for messages, and help and version.
func (o *Output) Define(f *pflag.FlagSet) {
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print only errors")
	f.BoolVarP(&o.Verbose, "verbose", "v", false, "print more")
	f.BoolVar(&o.JSON, "json", false, "print JSON objects to stdout, one per line")
	f.Bool("version", false, "print the version and exit")
	f.BoolP("help", "h", false, "print this help and exit")
}

// Check returns an error of usage.
func (o *Output) Check() error {
	if o.Quiet && o.Verbose {
		return errors.New("--quiet and --verbose exclude each other")
	}
	return nil
}

// Package command is what multiserver and multiclient do in the same way: subcommands
// and flags, the environment and the kernel's command line, help and version, the
// library's messages in terms of flags, signals, and the exit status. What a flag means
// is the programs' business.
//
// Make the main Command with New and Add its flags in groups; add each Subcommand, which
// has flags of its own or Inherits the main ones. Then call Execute, which runs one of
// them. In a run function a Signals context ends at SIGINT, FlagError and its like turn
// the library's texts into the user's, and ExitStatus says how to end.
package command

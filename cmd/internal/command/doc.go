// Package command is what multiserver and multiclient do in the same way: the
// values of flags, the environment and the kernel's command line, help and version,
// signals, and the exit status.
//
// Make a Command with New, Add its flags in groups, and call Execute; within its
// run function, a Signals context ends at SIGINT, and ExitStatus says how to end.
package command

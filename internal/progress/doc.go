// Package progress tells a person, or a program, how a Server or a Client is
// getting on. It knows their Stats and nothing else of them; what an error means
// for the exit status is the commands' business.
//
// Make a Reporter with New, give its Logger to the configuration, call
// FollowClient or FollowServer before Run, and End after it.
//
// The rules of the output:
//
//  1. Progress, messages and logs go to Options.Stderr. With Options.Records set,
//     they are objects there instead, one a line (record.go has the fields).
//  2. A terminal gets one bar, redrawn in place; everything else that is printed
//     while it is up goes above it, through the same writer.
//  3. Anything but a terminal gets plain lines: one at the start, one each five
//     seconds if it says something new, one for each event, and the summary.
//  4. Quiet leaves errors only, and the last object of Records. SIGUSR1 prints the
//     state at once, quiet or not.
//  5. A server's clients of MXB 2 are a table, one line each: at SIGUSR1, at the end,
//     and with Verbose each half minute.
//  6. A failure is one line, a server's the last one below that table. A name that
//     came over the network never reaches a terminal with control characters in it.
//
// State is apart from its printers: client.go, server.go and receivers.go make text and objects
// from one sample of Stats, and take the time from it. Only reporter.go has a clock.
package progress

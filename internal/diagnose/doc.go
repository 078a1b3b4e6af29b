// Package diagnose finds out why nothing arrives, and says what to do. It checks the host's
// settings with netcheck, and the server's packets with discover and probe.
//
// Fill in a Server or a Client, with the library's defaults, and call Check. It reports each
// finding at once, on the caller's goroutine.
package diagnose

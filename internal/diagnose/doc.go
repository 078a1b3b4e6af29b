// Package diagnose looks at what a person would have to ask an expert about when nothing
// arrives, and says what to do. It looks at the host's settings by netcheck, and at what a
// server sends by discover and probe.
//
// Fill in a Server or a Client, with the defaults that the library would use, and call Check: it
// tells each finding as soon as it is there, on the caller's goroutine.
package diagnose

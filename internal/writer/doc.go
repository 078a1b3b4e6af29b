// Package writer writes data and zeros to a client's target, for both protocols: in any order,
// or in the image's. At the end it syncs, and reads back what was written. The caller verifies
// data before it submits them.
//
// The flow:
//
//  1. New, and Run on a goroutine of its own. It is the only one that writes to the target.
//  2. Submit, for each part of the image. It never waits, as long as no more than
//     Config.Queue jobs are under way. Run writes them, and calls Config.Written for each, on
//     its own goroutine. If the target takes the image in order only, a job waits in memory for
//     the jobs before it, and Config.Prefix reports how much is written.
//  3. Close, once there is nothing more to write. Run then returns.
//  4. Finish syncs and, if requested, reads back and compares.
//
// Config.Failed reports the first failure at once. After it nothing is written, but jobs still
// come back.
package writer

// Package writer puts verified bytes on a client's target, for both protocols: in any order or
// in the image's, data and zeros. At the end it syncs, and reads back what was written. It
// verifies nothing before it writes; its caller does.
//
// The flow:
//
//  1. New, and Run on a goroutine of its own. It is the only one that writes to the target.
//  2. Submit, for each part of the image. It never waits, as long as no more than
//     Config.Queue jobs are under way. Run writes them, and calls Config.Written for each, on
//     its own goroutine. Where the target takes the image in order, a job waits in memory for
//     those before it, and Config.Prefix tells how far the target has got.
//  3. Close, once there is nothing more to write. Run then returns.
//  4. Finish: sync, and if that is asked for, read back and compare.
//
// The first failure is told at once by Config.Failed. After it nothing is written, and jobs come
// back all the same.
package writer

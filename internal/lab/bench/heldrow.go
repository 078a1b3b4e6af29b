//go:build linux

package main

import "multiserver/internal/lab"

// Names of rows about what targets hold before.
const (
	rowUpdated   = "1 client, 2% of the blocks differ"
	rowUpdated4  = "4 clients, 2% of the blocks differ, others in each"
	rowTouched   = "1 client, 4 KiB differ in 2% of the blocks"
	rowInstalled = "1 client, ext4 before and after installing packages"
	rowResumed   = "1 client, killed at 70% and started again"
	rowOverOther = "1 client, over other content"
	rowReadBack  = "1 client, read back from a disk"
)

// sentPerByte is what leaves the server's interface for each byte of the image, headers and
// repair included, as a client without loss is sent it: as in rowOverOther.
const sentPerByte = 1.05

// heldRows are the measurements of what a target holds. Where bytes are what is wanted,
// packets are cut, so that all headers count.
func heldRows(sizeBytes int64, cut lab.Config) []row {
	update := []string{"--update"}
	large := min(4*sizeBytes, 1<<30)
	return []row{
		{
			name: rowUpdated, clients: 1, sizeBytes: sizeBytes, config: cut, clientFlags: update,
			served: true, holds: holdDiffering(0.02, blockBytes),
			only:   []string{ours},
			wanted: []figure{atMost(ours, "sent ÷ image", 0.05, of(sent, rowUpdated, ours))},
			note:   "with `--update`; the whole of each block of 1 MiB that differs is other noise, and the server has the image's manifest from a session before",
		},
		{
			name: rowUpdated4, clients: 4, sizeBytes: sizeBytes, config: cut, clientFlags: update,
			served: true, holds: holdDiffering(0.02, blockBytes),
			only:   []string{ours},
			wanted: []figure{atMost(ours, "sent ÷ image", 0.11, of(sent, rowUpdated4, ours))},
		},
		{
			name: rowTouched, clients: 1, sizeBytes: sizeBytes, config: cut, clientFlags: update,
			served: true, holds: holdDiffering(0.02, pieceBytes),
			only: []string{ours},
			wanted: []figure{
				told(ours, "sent ÷ image", of(sent, rowTouched, ours)),
				told(ours, "sent ÷ bytes in differing 4 KiB pieces", of(sentToDiffering, rowTouched, ours)),
			},
		},
		{
			name: rowInstalled, clients: 1, sizeBytes: rootImageBytes, config: cut, clientFlags: update,
			served: true, source: rootAfter, holds: holdFile(rootBefore), missing: rootMissing,
			only: []string{ours, oursPacked},
			wanted: []figure{
				atMost(ours, "sent ÷ bytes in differing 4 KiB pieces", 3, of(sentToDiffering, rowInstalled, ours)),
				told(oursPacked, "sent ÷ bytes in differing 4 KiB pieces", of(sentToDiffering, rowInstalled, oursPacked)),
			},
			note: "with `--update`; a root file system of Debian " + rootSuite + " in 2 GiB, free blocks zero; packages: " + rootPackages,
		},
		{
			name: rowResumed, clients: 1, sizeBytes: large, config: cut,
			served: true, during: &event{at: 0.7 * sentPerByte, do: restartLast},
			only:   []string{ours},
			wanted: []figure{atMost(ours, "sent after the second start ÷ image", 0.35, of(rest, rowResumed, ours))},
			note:   "an image of four times -size, 1 GiB at most; killed when 0.7 of the image's bytes had left the server's interface, headers not counted, and started again by the same command once the server had sent all that it was asked for; what was on its way and what blocks lacked at the kill is sent again",
		},
		{
			name: rowOverOther, clients: 1, sizeBytes: sizeBytes, config: cut,
			served: true, holds: holdOther, times: 3,
			only:   []string{ours, oursFresh},
			wanted: []figure{atMost(ours, "wall time ÷ with --fresh", 1.01, ratio(wall, rowOverOther, ours, rowOverOther, oursFresh))},
			note:   "the target holds other noise, of which " + ours + " takes samples and " + oursFresh + " none; three times as many rounds as elsewhere",
		},
		{
			name: rowReadBack, clients: 1, sizeBytes: sizeBytes, config: cut, clientFlags: []string{"--verify"},
			served: true, readsBack: true, times: 3, missing: func() string { return diskMissing(cacheFolder()) },
			only:   []string{ours},
			wanted: []figure{atMost(ours, "reading back ÷ reading", 1.1, of(readBack, rowReadBack, ours))},
			note:   "with `--verify`, to a disk; from the first byte that the client read of its target to its end, beside the median of three readings of the target in order with O_DIRECT, 1 MiB at a time; three times as many rounds as elsewhere",
		},
	}
}

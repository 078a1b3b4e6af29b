// Package receiver decides what a receiver of MXB 2 keeps, and what it asks for and
// when. It holds no bytes of the image, no sockets, no clock: times and parsed packets
// go in; verdicts and packets come out. docs/protocol.md has the rules; their numbers stand
// at the code.
//
// A driver has memory for Config.Window blocks, in slots numbered from 0, and calls,
// from one goroutine:
//
//   - HandleSymbol for each symbol of the session, whose bytes it puts into the slot
//     that the verdict names; with First, whatever the slot held is void;
//   - after Complete, once it has rebuilt the block, one of BlockVerified, BlockNeedsMore
//     and BlockFailed; and BlockWritten when a verified block is on the disk;
//   - Proven, ProvenZero or ProvenWrong when the proof of a block that Proving names has come,
//     and Checked for a proven block whose symbols were compared with it;
//   - Redo and RedoManifest for what came before the manifest and is not what that says;
//   - HandleZeroRun, HandleRepairAdv, HandleHeartbeat and HandleGoodbyeAck;
//   - MarkUnverified where the target may hold a part of the image, and Confirm for each
//     block that it has compared; where blocks differ, HandleSubblockDigests, and then
//     SeedSlot or RequestWhole;
//   - Restart when a description of another session of the same image has arrived;
//   - Poll, until there is nothing to send, at Deadline and after any other call;
//   - Leave, when Complete and the target is synced, when GaveUp, or when it failed;
//     it is through when Gone.
//
// HandleSymbol takes 25 ns, and allocates nothing once each slot had its block (go test
// -bench . ./internal/receiver).
package receiver

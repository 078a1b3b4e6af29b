// Package legacy has the drivers of MXB 1, the protocol of the original pair of 2012: the
// server's side (Server) and the client's. A fork that needs only MXB 2 can delete this folder.
//
// At the server: NewServer, then Run on one goroutine. Handle takes the packets of the host's
// control socket, on another.
//
//  1. A map request is answered at once, on the goroutine of Handle.
//  2. A request for blocks goes through a queue to Run, which owns the engine. The first
//     one decides on which network the blocks go out.
//  3. While blocks are pending, Run reads them straight into the packets of a batch, and hands
//     the batch to the transmitter.
//
// At the client: Receive, with a target that is prepared.
//
//  1. Blocks of the group go to the engine, which decides what is kept. The gatherer joins them
//     to chunks of a MiB.
//  2. A chunk goes to the writer, on a goroutine of its own.
//  3. Missing blocks are requested. The server's answers confirm that it still serves the same
//     image. At the end the client waits for one more answer.
package legacy

// Package legacy has the drivers of MXB 1, the protocol of the original pair of 2012: the
// server's side (Server) and the client's. Who serves and receives over MXB 2 only can
// delete this folder.
//
// At the server: NewServer, then Run on one goroutine; Handle takes in what the host's
// control socket hears, from another.
//
//  1. A map request is answered at once, on the goroutine of Handle.
//  2. A request for blocks goes through a queue to Run, which owns the engine. The first
//     one decides on which network the blocks go out.
//  3. As long as blocks are owed, Run reads them straight into the packets of a batch, and
//     hands the batch to the transmitter.
//
// At the client: Receive, with a target that is prepared.
//
//  1. Blocks of the group go to the engine, which says what is kept, and the gatherer, which
//     joins them to chunks of a MiB.
//  2. A chunk goes to the writer, on a goroutine of its own.
//  3. What the engine lacks is asked for; answers of the server confirm that it still serves the
//     same image, and the last of them is waited for in the end.
package legacy

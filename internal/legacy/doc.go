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
package legacy

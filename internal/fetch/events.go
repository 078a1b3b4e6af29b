package fetch

import (
	"multiserver/internal/block"
	"multiserver/internal/udp"
)

// event is what another goroutine reports to the session.
type event interface{ isEvent() }

type (
	// offerStands: other servers had their time to answer too, and the target may be touched.
	offerStands struct{}
	// targetPrepared: the target may be written to.
	targetPrepared struct{}
	// needMoreSymbols: the symbols of a slot do not rebuild its block; more are needed.
	needMoreSymbols struct{ slot, more int }
	// digestFailed: a slot's block does not have its digest.
	digestFailed struct{ slot int }
	// blockVerified: a slot's block is rebuilt and has its digest.
	blockVerified struct{ slot int }
	// groupsChecked: these source symbols of a slot's block, which is proven, are wrong. failed: none
	// are, and the block does not have its digest.
	groupsChecked struct {
		slot   int
		wrong  block.Bits
		failed bool
	}
	// blockWritten: a slot's block is with the target.
	blockWritten struct{ slot int }
	// zerosWritten: a run of so many zero blocks is with the target, or will be in its turn.
	zerosWritten struct{ blocks uint32 }
	// prefixWritten: a target in order has so many blocks, from the first on.
	prefixWritten struct{ blocks uint32 }
	// alreadyPresent: the target already held a block that has arrived.
	alreadyPresent struct{}
	// networkChanged: this client's interface is iface now, and lacks something if that is not "".
	networkChanged struct {
		iface udp.Interface
		lacks string
	}
	// compared: a job on the target's old content is done.
	compared struct{ result *contentResult }
)

func (offerStands) isEvent()     {}
func (targetPrepared) isEvent()  {}
func (needMoreSymbols) isEvent() {}
func (digestFailed) isEvent()    {}
func (blockVerified) isEvent()   {}
func (groupsChecked) isEvent()   {}
func (blockWritten) isEvent()    {}
func (zerosWritten) isEvent()    {}
func (prefixWritten) isEvent()   {}
func (alreadyPresent) isEvent()  {}
func (compared) isEvent()        {}
func (networkChanged) isEvent()  {}

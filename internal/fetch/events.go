package fetch

// event is what another goroutine has to tell the session.
type event interface{ isEvent() }

type (
	// offerStands: other servers had their time to answer too, and the target may be touched.
	offerStands struct{}
	// targetPrepared: the target may be written to.
	targetPrepared struct{}
	// needMoreSymbols: the symbols of a slot do not rebuild its block; more are needed.
	needMoreSymbols struct{ slot, more int }
	// digestFailed: a slot's block is not what its digest says.
	digestFailed struct{ slot int }
	// blockVerified: a slot's block is rebuilt and has its digest.
	blockVerified struct{ slot int }
	// blockWritten: a slot's block is with the target.
	blockWritten struct{ slot int }
	// zerosWritten: a run of so many zero blocks is with the target, or its turn will come.
	zerosWritten struct{ blocks uint32 }
	// prefixWritten: a target in order has so many blocks, from the first on.
	prefixWritten struct{ blocks uint32 }
	// alreadyPresent: the target held a block that came in vain.
	alreadyPresent struct{}
	// compared: what the target held was read.
	compared struct{ result *contentResult }
)

func (offerStands) isEvent()     {}
func (targetPrepared) isEvent()  {}
func (needMoreSymbols) isEvent() {}
func (digestFailed) isEvent()    {}
func (blockVerified) isEvent()   {}
func (blockWritten) isEvent()    {}
func (zerosWritten) isEvent()    {}
func (prefixWritten) isEvent()   {}
func (alreadyPresent) isEvent()  {}
func (compared) isEvent()        {}

package wire

import (
	"time"

	"multiserver/internal/block"
)

// Limits of what packets hold. Parsers hold what arrives against them before use.
const (
	// MaxPacketSize is the greatest payload of a UDP datagram over IPv4, 65507 bytes.
	MaxPacketSize = SymbolHeaderSize + block.MaxSymbolSize
	// MaxControlSize bounds every packet but Symbol and Probe, so that it passes
	// whatever path carries IPv6: its smallest MTU, less IPv6 and UDP headers.
	MaxControlSize = 1280 - 48

	// MaxSequence is 40 bits: 157 days at 81,000 packets a second (1 Gbit/s at
	// MTU 1500), half of it for multicast. Nothing ends a session before that.
	MaxSequence Sequence = 1<<40 - 1

	// MaxText is the bytes of a name or a reason, whose length is one byte.
	MaxText = 255
	// MaxManifestPerBlock bounds the manifest: this many bytes a block, and once more.
	MaxManifestPerBlock = 64
	// MaxInterval bounds what a sender can make a receiver wait: the report interval
	// and the round trip that back-off is scaled by. MinInterval bounds how often it can
	// make a receiver report: senders never ask for more than four reports a second, and
	// MinSampleInterval is for the few receivers that report in time.
	MaxInterval       = time.Minute
	MinInterval       = 100 * time.Millisecond
	MinSampleInterval = time.Microsecond

	// MaxNACKs, MaxTimedNACKs, MaxPending, MaxRanges, MaxSymbolRanges, MaxSubblockRanges,
	// MaxSubblocks, MaxSymbolGroups and MaxGoodbyeAcks are what fits MaxControlSize.
	MaxNACKs          = (MaxControlSize - reportSize) / symbolCountSize
	MaxTimedNACKs     = (MaxControlSize - reportSize - arrivalSize) / symbolCountSize
	MaxPending        = (MaxControlSize - repairAdvSize) / symbolCountSize
	MaxRanges         = (MaxControlSize - wantedSize) / rangeSize
	MaxSymbolRanges   = (MaxControlSize - wantedSymbolsSize) / symbolRangeSize
	MaxSubblockRanges = (MaxControlSize - wantedSubblocksSize) / rangeSize
	MaxSubblocks      = (MaxControlSize - subblockDigestsSize) / subblockDigestSize
	MaxSymbolGroups   = (MaxControlSize - blockProofSize) / symbolGroupSize
	MaxGoodbyeAcks    = (MaxControlSize - goodbyeAckSize) / receiverIDSize
	// MaxSample is how many receivers report in time, at most.
	MaxSample = 64
	// MaxPages of a list of wanted ranges: 152,576 ranges, 8 bytes each at the sender.
	// A receiver with more asks for the first ones first.
	MaxPages = 1024
	// MaxSubblockBlocks bounds the work that a packet can make: receivers ask for half of
	// that at a time.
	MaxSubblockBlocks = 256
	// MaxSubblocksPerBlock are those of the greatest block.
	MaxSubblocksPerBlock = block.MaxBlockSize / block.SubblockSize
	// MaxProbeSteps: doubling from 1 Mbit/s, 32 steps pass any network.
	MaxProbeSteps = 32
)

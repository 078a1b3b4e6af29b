// Package room puts the engines of package sender and package receiver into a
// simulated network: one sender, any number of receivers that join, lose, stall, lie, die
// and come back, and peers that replay and forge packets. What the drivers do around the
// engines (offers, rebuilding, verifying, writing) is modelled here; what is decided is the
// engines' own code. Feedback goes as bytes, through package wire.
package room

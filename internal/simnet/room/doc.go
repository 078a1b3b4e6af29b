// Package room puts the engines of package sender and package receiver into a
// simulated network: one sender and any number of receivers, that join, lose, stall,
// die and come back. What the drivers do around the engines (offers, rebuilding,
// verifying, writing) is modelled here; what is decided is the engines' own code.
// Feedback goes as bytes, through package wire.
package room

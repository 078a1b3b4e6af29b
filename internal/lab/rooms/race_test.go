//go:build race

package rooms

const raceDetector = true

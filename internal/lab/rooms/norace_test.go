//go:build !race

package rooms

const raceDetector = false

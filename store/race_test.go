//go:build race

package store_test

// raceDetector says whether the test was built with -race.
const raceDetector = true

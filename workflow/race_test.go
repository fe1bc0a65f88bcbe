//go:build race

package workflow_test

// raceDetector says whether the test was built with -race.
const raceDetector = true

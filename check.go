package onevolume

// Check is one of the things that must be right for something to work.
type Check struct {
	What string // what was looked at, in a word or two
	OK   bool
	Text string // what was found
	Hint string // what to do when it is not right
}

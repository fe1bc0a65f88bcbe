package array

import "onevolume"

// Figure is a number of bytes that may be unknown. Its zero value is.
type Figure struct {
	bytes onevolume.Size
	known bool
}

// Known makes a figure that is known.
func Known(n onevolume.Size) Figure { return Figure{n, true} }

// Get gives the bytes, and whether they are known.
func (f Figure) Get() (onevolume.Size, bool) { return f.bytes, f.known }

// String prints as a table has it: 1.5G, or "?".
func (f Figure) String() string {
	if !f.known {
		return "?"
	}
	return f.bytes.String()
}

package wire

import (
	"slices"
	"sync"
)

// buffers are for answers, as documents and as what is sent.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// keptAnswer bounds the buffers that are kept: a rare large answer must not
// hold memory for good.
const keptAnswer = 1 << 20

// Buffer is an empty Escaped with room for size bytes, for a method to append
// its value to. When it stands in the answer of a call, the server takes it
// back once that was sent: nobody else may hold it then.
func Buffer(size int) Escaped {
	kept := buffers.Get().(*[]byte)
	return slices.Grow((*kept)[:0], size)
}

func recycle(b []byte) {
	if cap(b) <= keptAnswer {
		buffers.Put(&b)
	}
}

// recycle takes the answer's Buffer back. Within a multicall they are left to
// the collector.
func (a answer) recycle() {
	if list, _ := a.value.([]any); len(list) > 1 {
		if e, ok := list[1].(Escaped); ok {
			recycle(e)
		}
	}
}

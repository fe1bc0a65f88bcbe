package onevolume

import (
	"context"
	"time"
)

// Ask is who asks for a change, from where and with what words. It travels
// in the context of the call, so that the inventory can write it down with
// what came of it, in the same transaction.
type Ask struct {
	By     Owner
	From   string // the caller's address, or the name of our own process
	Action string // what is asked for, in the command line's words: attach, chmod …
	Text   string // the rest of the request, without secrets
}

type askKey struct{}

// WithAsk gives a context that says who asks.
func WithAsk(ctx context.Context, a Ask) context.Context {
	return context.WithValue(ctx, askKey{}, a)
}

// AskOf is the ask that the context carries, if it carries one.
func AskOf(ctx context.Context) (Ask, bool) {
	a, ok := ctx.Value(askKey{}).(Ask)
	return a, ok
}

// Deed is a line of the audit: an ask with its object and its result. Deeds
// are only ever added. What was asked of an operation is one deed, its end
// another.
type Deed struct {
	ID   int // counts from 1; set by the inventory
	Time time.Time
	Ask
	Volume    VolumeID // -1 when none is meant
	VM        VMID     // NoVM when none is meant
	Operation int      // 0 when there is none
	// Result is "ok", the operation's status, or the error's text.
	Result string
}

// NoVolume stands where a deed is about no volume.
const NoVolume VolumeID = -1

// History says which deeds to list, the newest first.
type History struct {
	// Viewer sees deeds of their own and those on volumes that they may
	// MANAGE; administrators see all.
	Viewer Caller
	Volume VolumeID // NoVolume for all
	VM     VMID     // NoVM for all
	UID    int      // who asked; -1 for all
	Before int      // only deeds with a smaller id; 0 for all
	Limit  int      // at most so many; 0 for all
}

// Recovery is the administrator's last word on a volume whose state is not
// what is true.
type Recovery struct {
	// State is AVAILABLE, RETAINED, ATTACHED or ERROR.
	State State
	// Attachment is where it is, for ATTACHED.
	Attachment Attachment
	// Reason is kept with the volume.
	Reason string
}

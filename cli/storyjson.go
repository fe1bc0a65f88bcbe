package cli

import (
	"strconv"
	"time"

	"onevolume"
)

// storyJSON is an operation as explain -j prints it, and this comment is the
// promise: names and values do not change, new names may come. As in
// OpenNebula's own tools every value is a string, but lists and objects.
//
//	{"OPERATION": {
//	  "ID", "KIND"          attach, detach or replug
//	  "VOLUME_ID"
//	  "VM_ID", "VM_NAME", "HOSTNAME"
//	  "LEAVE"               what a detach leaves: zero, ext4, xfs or none
//	  "STATUS"              RUNNING, DONE, UNDONE or PARKED
//	  "PRIOR"               the volume's status before
//	  "WAY"                 forward or back, when an administrator decided, else ""
//	  "UID", "GID", "UNAME", "GNAME"   who asked
//	  "OWNER", "GENERATION" who runs it, or ran it last
//	  "LEASE"               when that one is taken for dead
//	  "STARTED", "ENDED"    ENDED is "" while it runs
//	  "ERROR"               how it failed, or ""
//	  "JOURNAL": [{
//	    "SEQ"               counts from 1
//	    "STEP"
//	    "EVENT"             STARTED, SUCCEEDED, FAILED, UNDO_STARTED, UNDO_FINISHED or UNDO_FAILED
//	    "TIME", "GENERATION", "OWNER"
//	    "DETAIL"            what the step knew as JSON, or the error's text
//	    "COMMANDS": [{      since the entry before; empty outside oneadmin's group
//	      "HOST"
//	      "TEXT"            as a person would type it, secrets masked
//	      "STARTED"
//	      "TOOK"            seconds, with six decimals
//	      "STATUS"          the exit status; -1 when none is known
//	      "STDERR"          its end
//	      "ERROR"           why there is no exit status, or ""
//	    }]
//	  }]
//	}}
//
// With --all it is {"OPERATION_POOL": {"OPERATION": [ … ]}}, the oldest
// first. -x and -y have the same names and values; in XML a list is so many
// elements of its name. Times are as 2026-11-25T10:33:32.123Z, in UTC.
func storyJSON(t *story) map[string]any {
	o := t.op
	journal := make([]any, len(t.journal))
	for i, e := range t.journal {
		commands := make([]any, len(e.Commands))
		for j, c := range e.Commands {
			commands[j] = map[string]any{
				"HOST": c.Host, "TEXT": c.Text, "STARTED": stamp(c.Started),
				"TOOK":   strconv.FormatFloat(c.Took.Seconds(), 'f', 6, 64),
				"STATUS": strconv.Itoa(c.Code), "STDERR": c.Stderr, "ERROR": c.Error,
			}
		}
		journal[i] = map[string]any{
			"SEQ": strconv.Itoa(e.Seq), "STEP": e.Step, "EVENT": string(e.Event), "TIME": stamp(e.Time),
			"GENERATION": strconv.Itoa(e.Generation), "OWNER": e.Owner, "DETAIL": e.Detail, "COMMANDS": commands,
		}
	}
	return map[string]any{
		"ID": strconv.Itoa(o.ID), "KIND": string(o.Kind), "VOLUME_ID": strconv.Itoa(int(o.Volume)),
		"VM_ID": strconv.Itoa(int(o.VM.ID)), "VM_NAME": o.VM.Name, "HOSTNAME": o.VM.Host, "LEAVE": o.Leave.Word(),
		"STATUS": string(o.Status), "PRIOR": string(o.Prior), "WAY": string(o.Way),
		"UID": strconv.Itoa(o.By.UID), "GID": strconv.Itoa(o.By.GID), "UNAME": o.By.User, "GNAME": o.By.Group,
		"OWNER": o.Owner, "GENERATION": strconv.Itoa(o.Generation), "LEASE": stamp(o.Lease),
		"STARTED": stamp(o.Started), "ENDED": stamp(o.Ended), "ERROR": o.Error, "JOURNAL": journal,
	}
}

func storiesJSON(stories []story) map[string]any {
	all := make([]any, len(stories))
	for i := range stories {
		all[i] = storyJSON(&stories[i])
	}
	return map[string]any{"OPERATION": all}
}

// stamp is a time in JSON; empty for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// deedJSON is a line of the history as history -j prints it, in
// {"DEED_POOL": {"DEED": [ … ]}}, the newest first, with the promise of
// storyJSON:
//
//	"ID", "TIME"
//	"UID", "GID", "UNAME", "GNAME"   who asked
//	"FROM"       the address of the call, or the process that did it by itself
//	"ACTION"     create, update, rename, chmod, delete, attach, detach, replug,
//	             resume, abort, recover, lift, take over, …
//	"REQUEST"    the rest of the request in short words, without secrets
//	"VOLUME_ID", "VM_ID"   -1 when none is meant
//	"OPERATION"  0 when there is none
//	"RESULT"     ok, begun, done, undone: …, parked: …, or the error's text
func deedJSON(d *onevolume.Deed) map[string]any {
	return map[string]any{
		"ID": strconv.Itoa(d.ID), "TIME": stamp(d.Time),
		"UID": strconv.Itoa(d.By.UID), "GID": strconv.Itoa(d.By.GID), "UNAME": d.By.User, "GNAME": d.By.Group,
		"FROM": d.From, "ACTION": d.Action, "REQUEST": d.Text, "VOLUME_ID": strconv.Itoa(int(d.Volume)),
		"VM_ID": strconv.Itoa(int(d.VM)), "OPERATION": strconv.Itoa(d.Operation), "RESULT": d.Result,
	}
}

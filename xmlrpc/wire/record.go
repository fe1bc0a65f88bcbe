package wire

import (
	"fmt"
	"html"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Record is a call, for logs. What it shows of parameters and of the answer
// holds no session and no text that a caller sent, as that may be a secret.
type Record struct {
	ID       uint64 // counts the calls since the start, from 1
	Method   string // "" when the body was no call
	Peer     string // the address the call came from
	User     int    // the caller's id, -1 when nobody knows it
	Duration time.Duration
	Result   int // 0, one of oned's codes, or a fault's code (below zero)

	// Status and Bytes are of the answer to a call that was passed on;
	// Status is 0 for a call that was served here.
	Status int
	Bytes  int64

	params []any
	answer answer
}

// String keeps the parameters and the answer out of logs.
func (r Record) String() string {
	return fmt.Sprintf("%s from %s: %d in %s", r.Method, r.Peer, r.Result, r.Duration)
}

// GoString keeps %#v from showing them.
func (r Record) GoString() string { return r.String() }

// Params are the parameters after the session as oned's log has them, joined
// by commas and cut to most characters. Texts are shown as ****, as oned
// shows what is secret: a template may hold one anywhere.
func (r Record) Params(most int) string {
	if len(r.params) < 2 {
		return ""
	}
	words := make([]string, 0, len(r.params)-1)
	for _, p := range r.params[1:] {
		word := "****"
		switch p := p.(type) {
		case int, int64, bool, float64:
			word = fmt.Sprint(p)
		}
		words = append(words, word)
	}
	return cut(strings.Join(words, ", "), most)
}

// Answer is what came back as oned's log has it: SUCCESS and the value, or
// FAILURE and the message. A text is cut to most characters.
func (r Record) Answer(most int) string {
	a := r.answer
	if r.Status != 0 {
		return fmt.Sprintf("PASSED ON, HTTP %d, %d bytes", r.Status, r.Bytes)
	}
	if a.fault != nil {
		return fmt.Sprintf("FAILURE fault %d: %s", a.fault.Code, oneLine(a.fault.Message))
	}
	list, _ := a.value.([]any)
	if len(list) < 3 {
		return "SUCCESS"
	}
	text, isText := list[1].(string)
	if e, ok := list[1].(Escaped); ok {
		// Cut first: a page has hundreds of kB. An entity that is cut apart
		// stays as it is.
		text, isText = html.UnescapeString(string(e[:min(len(e), 8*most)])), true
	}
	switch {
	case list[0] != true:
		return "FAILURE " + oneLine(text)
	case isText:
		return "SUCCESS, \"" + cut(oneLine(text), most) + "\""
	}
	return "SUCCESS, " + fmt.Sprint(list[1])
}

func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// oneLine keeps a text from pretending to be further lines of a log.
func oneLine(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

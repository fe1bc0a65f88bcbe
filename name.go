package onevolume

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest name of an OpenNebula object, in characters.
const maxName = 128

// forbidden are the characters that oned takes in no name (measured on 7.4).
const forbidden = "&|:\\\";/'#{}$<>"

// CheckName says whether s can name a volume, by oned's rules: 1 to 128
// characters, none of & | : \ " ; / ' # { } $ < > and no control characters.
// A name that is a number is refused too, since it could not be told from an
// id. The error has the code Allocate, as oned's.
func CheckName(s string) error {
	switch {
	case s == "":
		return Errorf(Allocate, "Invalid NAME, it cannot be empty")
	case !utf8.ValidString(s):
		return Errorf(Allocate, "Invalid NAME, it is not valid UTF-8")
	case utf8.RuneCountInString(s) > maxName:
		return Errorf(Allocate, "Invalid NAME, max length is %d chars", maxName)
	case strings.TrimSpace(s) != s:
		return Errorf(Allocate, "Invalid NAME, it begins or ends with a blank")
	}
	for _, r := range s {
		if strings.ContainsRune(forbidden, r) || unicode.IsControl(r) {
			return Errorf(Allocate, "Invalid NAME, char '%s' is not allowed", strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	if _, err := strconv.Atoi(s); err == nil {
		return Errorf(Allocate, "Invalid NAME, %q is a number and could be taken for an id", s)
	}
	return nil
}

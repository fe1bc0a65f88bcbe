package command

import "strings"

// plain holds the characters that mean themselves to every POSIX shell,
// wherever they stand in a word.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,@%+"

// Quote gives the word s in a form that a POSIX shell reads back as exactly
// s. Words made of harmless characters alone stay as they are; everything
// else stands in single quotes. A NUL byte can be in no argument of any
// program and is left out.
func Quote(s string) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Join quotes each word and joins them by blanks.
func Join(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}

package onevolume

import (
	"fmt"
	"strings"
)

// IQN is the name of an iSCSI target in one of the three forms of RFC 7143
// §4.2.7 (iqn., eui. or naa.), already normalised: two equal names are equal
// strings. Get one from ParseIQN.
type IQN string

// maxIQN is the longest iSCSI name in bytes (RFC 7143 §4.2.7.1).
const maxIQN = 223

// ParseIQN reads the name of an iSCSI target. Upper case is folded, as the
// stringprep profile of RFC 3722 asks. The error says which rule is broken;
// its code is Invalid.
func ParseIQN(s string) (IQN, error) {
	name := strings.ToLower(s)
	bad := func(why string) (IQN, error) {
		return "", Errorf(Invalid, "IQN %q: %s", s, why).
			WithHint("an iSCSI name looks like iqn.2026-11.org.example:disk1, eui.0123456789abcdef or naa.6001405…")
	}
	if len(name) > maxIQN {
		return bad(fmt.Sprintf("is %d bytes long, at most %d are allowed", len(name), maxIQN))
	}
	for i := range len(name) {
		if !iqnByte(name[i]) {
			return bad(fmt.Sprintf("holds %q; only a-z, 0-9, '-', '.' and ':' are allowed", name[i]))
		}
	}
	switch {
	case strings.HasPrefix(name, "iqn."):
		if why := checkIQN(name[len("iqn."):]); why != "" {
			return bad(why)
		}
	case strings.HasPrefix(name, "eui."):
		if d := name[len("eui."):]; len(d) != 16 || !isHex(d) {
			return bad("after \"eui.\" there must be 16 hexadecimal digits")
		}
	case strings.HasPrefix(name, "naa."):
		if d := name[len("naa."):]; (len(d) != 16 && len(d) != 32) || !isHex(d) {
			return bad("after \"naa.\" there must be 16 or 32 hexadecimal digits")
		}
	default:
		return bad("must begin with \"iqn.\", \"eui.\" or \"naa.\"")
	}
	return IQN(name), nil
}

// checkIQN checks what follows "iqn.": a year and month, a dot, the reversed
// domain name of the naming authority, and what may follow a colon.
func checkIQN(rest string) string {
	if len(rest) < 8 || !isDigits(rest[0:4]) || rest[4] != '-' || !isDigits(rest[5:7]) || rest[7] != '.' {
		return "after \"iqn.\" there must be a date as yyyy-mm and a dot"
	}
	if m := rest[5:7]; m < "01" || m > "12" {
		return fmt.Sprintf("month %q does not exist", m)
	}
	authority, _, _ := strings.Cut(rest[8:], ":")
	if authority == "" {
		return "the reversed domain name of the naming authority is missing"
	}
	for _, label := range strings.Split(authority, ".") {
		if label == "" {
			return fmt.Sprintf("the naming authority %q has an empty label", authority)
		}
	}
	return ""
}

func iqnByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == ':'
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// LUN is a logical unit number on a target.
type LUN int

// maxLUN is the largest number of flat space addressing (SAM-5 §4.7.7.3),
// which Linux initiators show as it is.
const maxLUN = 16383

// ParseLUN checks a logical unit number; its error has the code Invalid.
func ParseLUN(n int) (LUN, error) {
	if n < 0 || n > maxLUN {
		return 0, Errorf(Invalid, "LUN %d: must be from 0 to %d", n, maxLUN)
	}
	return LUN(n), nil
}

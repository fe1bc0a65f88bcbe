package array

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// ID is our own name of a volume or a snapshot: a UUID (RFC 9562) in its text
// form, in lower case. It is made once, before the first call to the array,
// and never used for anything else. An inventory keeps it.
type ID string

// NewID makes an ID of random bits (RFC 9562 §5.4).
func NewID() ID {
	var b [16]byte
	rand.Read(b[:]) // never fails: see its documentation
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fromHex(hex.EncodeToString(b[:]))
}

// ParseID reads a UUID, with or without its dashes, in any case. Its error is
// Invalid.
func ParseID(s string) (ID, error) {
	digits := strings.ToLower(s)
	if len(digits) == 36 && digits[8] == '-' && digits[13] == '-' && digits[18] == '-' && digits[23] == '-' {
		digits = digits[:8] + digits[9:13] + digits[14:18] + digits[19:23] + digits[24:]
	}
	if len(digits) != 32 || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", Errorf(Invalid, "%q is not a UUID", s)
	}
	return fromHex(digits), nil
}

func fromHex(d string) ID {
	return ID(d[:8] + "-" + d[8:12] + "-" + d[12:16] + "-" + d[16:20] + "-" + d[20:])
}

// Hex gives the ID's 32 hexadecimal digits, for arrays that take no dashes.
func (id ID) Hex() string { return strings.ReplaceAll(string(id), "-", "") }

// Check says whether the ID is one that ParseID gives; its error is Invalid.
func (id ID) Check() error {
	parsed, err := ParseID(string(id))
	if err == nil && parsed != id {
		err = Errorf(Invalid, "%q is not written as a UUID is", string(id))
	}
	return err
}

// namePrefix begins the name of everything that is ours on an array.
const namePrefix = "ov-"

// Name is what a volume or snapshot is called on arrays that have no better
// idea: 35 characters that every array takes (the common denominator of the
// ten that we know: a letter first, lower case, digits and dashes, at most 45
// characters).
func (id ID) Name() string { return namePrefix + id.Hex() }

// IDOfName is the way back; false for a name that is not one of ours.
func IDOfName(name string) (ID, bool) {
	digits, ok := strings.CutPrefix(name, namePrefix)
	if !ok || len(digits) != 32 {
		return "", false
	}
	id, err := ParseID(digits)
	return id, err == nil && id.Name() == name
}

package array

import (
	"crypto/rand"

	"onevolume"
)

// secretLength is what every array takes: TrueNAS and SolidFire ask for 12 to
// 16 characters, RFC 7143 §9.2.1 for at least 96 bits.
const secretLength = 16

// letters are taken by every array and need no quotes anywhere; 62 of them
// make 95 bits of sixteen.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// NewCHAP makes one-way credentials for an export of the volume. They are new
// each time, and so is the user name: on some arrays it belongs to the array
// as a whole.
func NewCHAP(id ID) onevolume.CHAP {
	return onevolume.CHAP{User: UserPrefix(id) + random(6), Secret: random(secretLength)}
}

// UserPrefix begins the user names that NewCHAP makes for a volume, so that
// what a call left behind that died can be told from what is somebody else's.
func UserPrefix(id ID) string { return "ov" + id.Hex()[:8] }

func random(n int) string {
	out := make([]byte, 0, n)
	var b [64]byte
	for len(out) < n {
		rand.Read(b[:]) // never fails: see its documentation
		for _, c := range b {
			// Of 256 values the last 8 would make some letters likelier.
			if c < 248 && len(out) < n {
				out = append(out, letters[c%62])
			}
		}
	}
	return string(out)
}

// CheckGrant says whether any array could make the export; its error is
// Invalid. Secrets may have 12 to 255 characters that can be printed, users
// 1 to 255, neither with blanks or quotes, which configuration files could
// not carry. The two secrets of mutual CHAP must differ (RFC 7143 §9.2.1).
func CheckGrant(g Grant) error {
	if name, err := onevolume.ParseIQN(string(g.Initiator)); err != nil || name != g.Initiator {
		return Errorf(Invalid, "the initiator %q is not an iSCSI name in lower case", string(g.Initiator))
	}
	c := g.CHAP
	if c.User == "" || c.Secret == "" {
		return Errorf(Invalid, "an export to %s without CHAP credentials cannot be", g.Initiator)
	}
	if (c.UserIn == "") != (c.SecretIn == "") {
		return Errorf(Invalid, "mutual CHAP takes a user and a secret")
	}
	if c.UserIn != "" && c.SecretIn == c.Secret {
		return Errorf(Invalid, "the two secrets of mutual CHAP must differ")
	}
	for _, user := range []string{c.User, c.UserIn} {
		if user != "" && !credential(user, 1) {
			return Errorf(Invalid, "the CHAP user %q: 1 to 255 letters, digits and signs, no blanks, quotes, # or backslash", user)
		}
	}
	for _, secret := range []string{c.Secret, c.SecretIn} {
		if secret != "" && !credential(secret, 12) {
			return Errorf(Invalid, "a CHAP secret has 12 to 255 letters, digits and signs, no blanks, quotes, # or backslash")
		}
	}
	return nil
}

func credential(s string, least int) bool {
	if len(s) < least || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ', c >= 0x7f, c == '"', c == '\'', c == '\\', c == '#', c == '`', c == '<', c == '>':
			return false
		}
	}
	return true
}

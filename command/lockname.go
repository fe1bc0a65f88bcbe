package command

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// lockPrefix bounds the readable part of a lock's name, so that the file's
// name stays far below the 255 bytes of a file system.
const lockPrefix = 64

// LockName makes the name of a lock, of the form [a-z0-9-]+, of any text such
// as an IQN: a part for people to read, and a hash, so that two texts never
// share a name.
func LockName(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case b.Len() >= lockPrefix:
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	sum := sha256.Sum256([]byte(text))
	hash := hex.EncodeToString(sum[:8])
	if readable := strings.Trim(b.String(), "-"); readable != "" {
		return readable + "-" + hash
	}
	return hash
}

// ValidLockName says whether name is of the form that Host.Lock takes.
func ValidLockName(name string) bool {
	return name != "" && len(name) <= 200 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"onevolume"
)

// sealPrefix names the format, so that another can follow: base64 of a nonce
// of 12 bytes and AES-256-GCM's output.
const sealPrefix = "v1:"

// sealer encrypts secrets for the database. Each is bound to its table, row
// and column by GCM's additional data: one that is copied elsewhere does not
// open there.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (sealer, error) {
	if len(key) != KeySize {
		return sealer{}, onevolume.Errorf(onevolume.Invalid, "the inventory's key has %d bytes, it must have %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("the inventory's key: %w", err)
	}
	// Random nonces are safe up to 2^32 secrets (NIST SP 800-38D §8.3).
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("the inventory's key: %w", err)
	}
	return sealer{aead}, nil
}

// place is the additional data of a cell.
func place(table string, oid any, column string) []byte {
	return fmt.Appendf(nil, "%s|%v|%s", table, oid, column)
}

// seal encrypts; an empty secret stays empty, so that SQL can tell it.
func (s sealer) seal(secret string, at []byte) string {
	if secret == "" {
		return ""
	}
	return sealPrefix + base64.StdEncoding.EncodeToString(s.aead.Seal(nil, nil, []byte(secret), at))
}

// open is the way back.
func (s sealer) open(sealed string, at []byte) (string, error) {
	if sealed == "" {
		return "", nil
	}
	text, ok := strings.CutPrefix(sealed, sealPrefix)
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return "", fmt.Errorf("%s: not a sealed value", at)
	}
	secret, err := s.aead.Open(nil, nil, raw, at)
	if err != nil {
		return "", onevolume.Errorf(onevolume.Internal, "%s cannot be opened: %w, or the value was copied here from another row", at, ErrKey).
			WithHint("give the daemon the key file that the database was made with")
	}
	return string(secret), nil
}

// keyText is sealed in the control table, at keyPlace.
const keyText = "onevolume"

func keyPlace() []byte { return place("one_volume_control", "key", "detail") }

// checkKey compares the key with the one the database was made with, by a
// known text sealed on first use. Without it a wrong key would show only when
// a volume with a secret is read, and writes would mix two keys.
func (s *Store) checkKey(ctx context.Context) error {
	doing := "checking the key of the database " + s.kind.name
	at := keyPlace()
	return s.write(ctx, doing, func(tx *transaction) error {
		var sealed string
		err := tx.QueryRowContext(ctx, "SELECT detail FROM one_volume_control WHERE name = 'key'").Scan(&sealed)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			_, err = tx.ExecContext(ctx, "INSERT INTO one_volume_control (name, value, detail) VALUES ('key', 1, ?)", s.seal.seal(keyText, at))
			if troubleOf(err) == duplicate {
				return errLost // another daemon's first start: compare with its key
			}
			return err
		case err != nil:
			return err
		}
		if text, err := s.seal.open(sealed, at); err != nil || text != keyText {
			return onevolume.Errorf(onevolume.Internal, "%w: %s", ErrKey, s.kind.name).
				WithHint("give the daemon the key file that the database was made with; nothing was changed")
		}
		return nil
	})
}

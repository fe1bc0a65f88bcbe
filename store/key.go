package store

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"onevolume"
)

// KeySize is the length of the key that seals secrets: AES-256's.
const KeySize = 32

// LoadKey reads the key from a file that holds it in hexadecimal or base64.
// It refuses a file that anybody but its owner can read. With create, a
// missing file is made with a random key; of several who make it at once all
// get the same.
func LoadKey(path string, create bool) ([]byte, error) {
	key, err := readKey(path)
	if !create || !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := makeKey(path); err != nil {
		return nil, onevolume.Errorf(onevolume.Internal, "making the key file %s: %w", path, err).
			WithHint("its directory must exist and be the daemon's")
	}
	return readKey(path)
}

func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Internal, "the key file: %w", err).
			WithHint("without its key the inventory's secrets cannot be read: restore the file from a backup")
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Internal, "the key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, onevolume.Errorf(onevolume.Invalid, "the key file %s is no regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, onevolume.Errorf(onevolume.Invalid, "the key file %s has mode %04o: others can read it", path, mode).
			WithHint("chmod 600 %s, and change the CHAP secrets if somebody may have read it", path)
	}
	// A key is at most 64 characters; more than this is another file.
	text, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Internal, "the key file: %w", err)
	}
	key, ok := decodeKey(bytes.TrimSpace(text))
	if !ok {
		return nil, onevolume.Errorf(onevolume.Invalid, "the key file %s holds no key of %d bytes in hexadecimal or base64", path, KeySize).
			WithHint("openssl rand -hex %d makes one", KeySize)
	}
	return key, nil
}

func decodeKey(text []byte) ([]byte, bool) {
	if key, err := hex.DecodeString(string(text)); err == nil && len(key) == KeySize {
		return key, true
	}
	key, err := base64.StdEncoding.DecodeString(string(text))
	return key, err == nil && len(key) == KeySize
}

// makeKey writes a whole key beside path and links it there: nobody ever sees
// half a file, and whoever comes second keeps the first one's.
func makeKey(path string) (err error) {
	key := make([]byte, KeySize)
	rand.Read(key)                                        // never fails (crypto/rand)
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.WriteString(hex.EncodeToString(key) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a new name last through a power cut: a database sealed with a
// key that is gone is lost.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

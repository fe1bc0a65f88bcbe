package store_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"onevolume"
	"onevolume/store"
)

func TestLoadKey(t *testing.T) {
	key := bytes.Repeat([]byte{0xfb}, 32)
	for _, c := range []struct {
		name, text string
		mode       fs.FileMode
		good       bool
	}{
		{"hex", hex.EncodeToString(key) + "\n", 0o600, true},
		{"base64", base64.StdEncoding.EncodeToString(key), 0o400, true},
		{"group", hex.EncodeToString(key), 0o640, false},
		{"others", hex.EncodeToString(key), 0o604, false},
		{"short", hex.EncodeToString(key[:31]), 0o600, false},
		{"long", hex.EncodeToString(key) + "00", 0o600, false},
		{"empty", "", 0o600, false},
		{"prose", "this is not a key", 0o600, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			got, err := store.LoadKey(path, true)
			if !c.good {
				wantCode(t, err, onevolume.Invalid, "")
				return
			}
			if err != nil || !bytes.Equal(got, key) {
				t.Errorf("%x, %v", got, err)
			}
		})
	}
}

func TestLoadKeyMakesOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if _, err := store.LoadKey(path, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want that it does not exist", err)
	}
	keys := make([][]byte, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			var err error
			if keys[i], err = store.LoadKey(path, true); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, k := range keys {
		if len(k) != store.KeySize || !bytes.Equal(k, keys[0]) {
			t.Fatalf("keys %x: want one of %d bytes", keys, store.KeySize)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files are left, want the key alone", len(left))
	}
	if _, err := store.LoadKey(filepath.Join(dir, "no", "key"), true); err == nil {
		t.Error("a key in a directory that does not exist")
	}
}

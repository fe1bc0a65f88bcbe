package assemble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"onevolume"
	"onevolume/config"
	"onevolume/store"
)

// Backup writes the configured inventory to a new file. It may be done while
// a daemon serves it. What was written goes to out, what to do with it to
// words.
func Backup(ctx context.Context, conf config.Config, path string, out, words io.Writer) error {
	s, err := openStore(ctx, conf, store.Options{Opening: store.Look})
	if err != nil {
		return err
	}
	defer s.Close()
	b, err := s.Backup(ctx, path)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s, as they were at %s\n", b.Path, content(b), b.Made.Format(time.RFC3339))
	fmt.Fprintf(words, "It can be restored only with the key in %s: keep a copy of that too, and not beside the backup.\n"+
		"To restore it: onevolumed restore %s\n", conf.KeyFile, quoted(b.Path))
	if hold, err := s.Hold(ctx); err == nil && hold != "" {
		fmt.Fprintf(words, "The inventory is on hold: %s. To compare it with the hosts: onevolume doctor\n", hold)
	}
	return nil
}

// Restore makes the configured inventory what a backup holds. It may be done
// while daemons serve it.
func Restore(ctx context.Context, conf config.Config, path string, replace bool, out, words io.Writer) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("file %q: %w", path, err)
	}
	driver, source, err := conf.DB()
	if err != nil {
		return err
	}
	dir := filepath.Dir(path) // for what is replaced: a server has no directory that we know
	if driver == store.SQLite {
		if dir, err = filepath.Abs(filepath.Dir(source)); err != nil {
			return fmt.Errorf("database %s: %w", source, err)
		}
		if err := refuseOthersFile(source, dir); err != nil {
			return err
		}
	}
	// Before anything is opened that could be made by that.
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return onevolume.Errorf(onevolume.NotFound, "There is no file %s.", path)
	}
	s, err := openStore(ctx, conf, store.Options{Opening: store.Fill})
	if errors.Is(err, store.ErrKey) {
		return onevolume.Errorf(onevolume.Action, "%w", err).WithHint("the key in %s is not that of the inventory that is there: "+
			"to put a backup with this key in its place, stop the daemon and move that database away first; nothing was changed", conf.KeyFile)
	}
	if err != nil {
		return err
	}
	defer s.Close()
	ctx = onevolume.WithAsk(ctx, onevolume.Ask{
		By:   onevolume.Owner{UID: 0, GID: 0, User: "oneadmin", Group: "oneadmin"}, // whoever holds the key is
		From: process("onevolumed"), Action: "restore",
	})
	r, err := s.Restore(ctx, path, store.RestoreOptions{Replace: replace, Dir: dir})
	if err != nil {
		return err
	}
	report(r, out, words)
	return nil
}

// report says what was restored, what was replaced, and what to do now.
func report(r store.Restored, out, words io.Writer) {
	fmt.Fprintf(out, "restored %s of %s: %s\n", r.Path, r.Made.Format(time.RFC3339), content(r.Backup))
	if r.Before.Path != "" {
		fmt.Fprintf(out, "saved what was there before in %s: %s\n", r.Before.Path, content(r.Before))
		fmt.Fprintf(words, "To go back to that: onevolumed restore --replace %s\n", quoted(r.Before.Path))
	}
	if len(r.Parked) > 0 {
		ids := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(r.Parked)), ", "), "[]")
		fmt.Fprintf(words, "Parked, for it ran when the backup was made, with its volume in ERROR: operation %s. See: onevolume explain %d\n", ids, r.Parked[0])
	}
	fmt.Fprintln(words, "The inventory is on hold: it does not know what was attached since the backup, so nothing is attached or wiped now.\n"+
		"To compare it with all hosts and lift the hold: onevolume doctor --fix (with the daemon running)")
}

func content(b store.Backup) string {
	return fmt.Sprintf("%s, %s, %s of the audit", number(b.Volumes, "volume"), number(b.Operations, "operation"), number(b.Deeds, "line"))
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// quoted is a path as one types it into a shell.
func quoted(path string) string {
	if strings.Trim(path, "/._-:0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// refuseOthersFile refuses to make a database that the daemon, which owns the
// directory, could not open.
func refuseOthersFile(path, dir string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil //nolint:nilerr // opening says what is wrong with it
	}
	uid := info.Sys().(*syscall.Stat_t).Uid
	if int(uid) == os.Geteuid() {
		return nil
	}
	name := fmt.Sprint("#", uid)
	if u, err := user.LookupId(strconv.Itoa(int(uid))); err == nil {
		name = u.Username
	}
	return onevolume.Errorf(onevolume.Action, "The database %s would be made as another user than the one of its directory, %s.", path, name).
		WithHint("sudo -u %s onevolumed restore …", name)
}

// Package openfilertest is the files of an Openfiler for tests: those that
// its web pages and IET keep, in the forms in which they write them, in a
// folder that a test changes as an administrator at the web pages would.
package openfilertest

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed all:array
var files embed.FS

// The files, under Array.Dir.
const (
	Volume   = "/proc/net/iet/volume"
	Session  = "/proc/net/iet/session"
	Settings = "/opt/openfiler/etc/iscsi/targets/iscsi_settings.xml"
	Names    = "/opt/openfiler/etc/volumes.xml"
	// Sizes has a file for each block device, with its size in bytes.
	Sizes = "/size"
)

// Prefix begins the IQNs that the web pages suggest.
const Prefix = "iqn.2006-01.com.openfiler:tsn."

// blockdev is util-linux's as far as it is needed: it knows the sizes in the
// folder size, and says of others what the real one says.
const blockdev = `#!/bin/sh
[ "$1" = --getsize64 ] && [ $# = 2 ] || { echo "blockdev: this stand-in does not know: $*" >&2; exit 64; }
[ -e "$ARRAY/size$2" ] || { echo "blockdev: cannot open $2: No such file or directory" >&2; exit 1; }
exec cat "$ARRAY/size$2"
`

// Array is an Openfiler's files.
type Array struct {
	testing.TB
	Dir string // the array's root
	bin string
}

// New lays the files out in a folder of the test's own.
func New(t testing.TB) *Array {
	t.Helper()
	a := &Array{TB: t, Dir: t.TempDir(), bin: t.TempDir()}
	sub, err := fs.Sub(files, "array")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(a.Dir, sub); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.bin, "blockdev"), []byte(blockdev), 0o700); err != nil {
		t.Fatal(err)
	}
	return a
}

// Env is what a program must have in its environment to be on the array.
func (a *Array) Env() []string {
	return []string{"PATH=" + a.bin + ":" + os.Getenv("PATH"), "ARRAY=" + a.Dir}
}

// Read gives a file as it is now.
func (a *Array) Read(name string) string {
	a.Helper()
	text, err := os.ReadFile(a.Dir + name)
	if err != nil {
		a.Fatal(err)
	}
	return string(text)
}

// Write replaces a file.
func (a *Array) Write(name, text string) {
	a.Helper()
	if err := os.WriteFile(a.Dir+name, []byte(text), 0o600); err != nil {
		a.Fatal(err)
	}
}

// Remove takes a file away.
func (a *Array) Remove(name string) {
	a.Helper()
	if err := os.Remove(a.Dir + name); err != nil {
		a.Fatal(err)
	}
}

// Edit replaces text in a file, where it must stand once.
func (a *Array) Edit(name, old, by string) {
	a.Helper()
	text := a.Read(name)
	if strings.Count(text, old) != 1 {
		a.Fatalf("%s does not have %q once", name, old)
	}
	a.Write(name, strings.Replace(text, old, by, 1))
}

// The units of the array that become volumes, as volume and iscsi_settings.xml
// have them.
const (
	Disk1Line  = "\tlun:0 state:0 iotype:blockio iomode:wt path:/dev/vg0/disk1\n"
	Disk1Lun   = `      <lun Id="0" Path="/dev/vg0/disk1" Type="blockio" ScsiId="X2d1kP-8fSa-Lm4c" ScsiSN="X2d1kP-8fSa-Lm4c" IOMode="wt"/>` + "\n"
	LogsLine   = "\tlun:1 state:0 iotype:fileio iomode:wb path:/dev/vg1/logs\n"
	LogsLun    = `      <lun Id="1" Path="/dev/vg1/logs" Type="fileio" ScsiId="b7RtYq-22Zc-Aw0n" ScsiSN="b7RtYq-22Zc-Aw0n" IOMode="wb"/>` + "\n"
	Disk10Line = "\tlun:0 state:0 iotype:blockio iomode:wt path:/dev/vg0/disk10\n"
	Disk10Lun  = `      <lun Id="0" Path="/dev/vg0/disk10" Type="blockio" ScsiId="Zp90aa-QwEr-tY5u" ScsiSN="Zp90aa-QwEr-tY5u" IOMode="wt"/>` + "\n"
)

// Unmap takes a logical unit out of both, as the web pages do.
func (a *Array) Unmap(line, lun string) {
	a.Helper()
	a.Edit(Volume, line, "")
	a.Edit(Settings, lun, "")
}

// LogIn adds an initiator to a target.
func (a *Array) LogIn(target, initiator string) {
	a.Helper()
	head := " name:" + Prefix + target + "\n"
	a.Edit(Session, head, head+"\tsid:281474997486080 initiator:"+initiator+"\n\t\tcid:0 ip:10.9.8.9 state:active hd:none dd:none\n")
}

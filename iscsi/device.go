package iscsi

import "onevolume"

// Want is what a device must prove to be the volume.
type Want struct {
	// Size is the exact size; zero means that it is not known yet.
	Size onevolume.Size
	// Identity is what was recorded. What is empty in it is taken as found,
	// for the caller to record.
	Identity onevolume.Identity
}

// Device is a logical unit on a host, as sysfs shows it.
type Device struct {
	Session int              // the kernel's session id
	Portal  onevolume.Portal // the session's
	HCTL    string           // host:channel:target:lun
	Name    string           // sda: good until the device goes, never stored
	Number  string           // major:minor, by which a name can be checked
	Path    string           // the link that udev keeps: /dev/disk/by-path/…; empty while there is none

	Size     onevolume.Size
	Identity onevolume.Identity
	ReadOnly bool
	State    string // of the device: running, offline, blocked …

	// Holders are who has the device or a partition of it in use on the
	// host, in words: a device-mapper name, a mount point, swap. Guests are
	// not among them: the kernel does not tell who opened a device.
	Holders []string

	// Fresh says that this call made the device appear: nobody else can
	// have taken it into use before.
	Fresh bool
}

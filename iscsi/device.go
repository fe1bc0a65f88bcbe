package iscsi

import "onevolume"

// Want is what a device must prove to be the volume.
type Want struct {
	Size     onevolume.Size
	Identity onevolume.Identity // what is empty is not known yet and is taken as found
}

// Device is a logical unit on a host, as sysfs shows it.
type Device struct {
	Session  int              // the kernel's session id
	Portal   onevolume.Portal // the session's
	HCTL     string           // host:channel:target:lun
	Name     string           // sda: good until the device goes, never stored
	Path     string           // a link that udev keeps: /dev/disk/by-path/…
	Size     onevolume.Size
	Identity onevolume.Identity
	ReadOnly bool
	Holders  []string // what has it on the host: device-mapper names, mount points, swap
	// Fresh says that this call made the device appear: nobody else can
	// have taken it into use before.
	Fresh bool
}

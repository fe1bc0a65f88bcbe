package onevolume

import "time"

// FenceRecord stands from when a host was cut off from a volume until it has
// been cleaned: it came back, no domain there has the disk, and it is logged
// out. Until then nothing is plugged on that host.
type FenceRecord struct {
	Host   string
	Volume VolumeID // which may be deleted by now
	Since  time.Time
	// Operation is the one that fenced.
	Operation int
	VM        VM     // whose domain had it there; VM.Host is Host
	Target    Target // without credentials
	Source    string // the path that the domain knew the disk by
}

// Fenced says what became of one volume when its host was to be fenced.
type Fenced struct {
	Volume VolumeID
	Name   string
	VM     VMID
	// Error says why it was not, and Hint what to do; empty when the host
	// has no access to it any more.
	Error, Hint string
}

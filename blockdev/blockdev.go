// Package blockdev overwrites block devices on a host with zeroes, proves it
// by reading them back, and makes file systems on them.
package blockdev

import (
	"context"

	"onevolume"
	"onevolume/command"
	"onevolume/iscsi"
)

// Wiper wipes and formats devices.
type Wiper struct{}

// Wipe overwrites the whole device with zeroes and reads it back.
func (Wiper) Wipe(ctx context.Context, h command.Host, d iscsi.Device, progress func(phase string, done, total onevolume.Size)) error {
	return onevolume.Errorf(onevolume.Internal, "wiping is not there yet")
}

// Format makes an empty file system, "ext4" or "xfs".
func (Wiper) Format(ctx context.Context, h command.Host, d iscsi.Device, fs string) error {
	return onevolume.Errorf(onevolume.Internal, "formatting is not there yet")
}

// WipeCommands are what Wipe and Format would run, for a dry run.
func (Wiper) WipeCommands(size onevolume.Size, fs string) []command.Cmd { return nil }

package iscsi_test

import (
	"testing"

	"onevolume"
	"onevolume/iscsi"
	"onevolume/iscsi/iscsitest"
)

// The kernel has a unit's new size when it is told to ask, and not before; in
// all sessions, and without another unit of the target appearing.
func TestRescan(t *testing.T) {
	b := newBench(t)
	v := volume(1)
	b.array.Serve(v)
	b.mustConnect(v)
	other := volume(1)
	other.Target.LUN = 2
	b.array.Serve(other)
	all := b.host.Left()
	grown := v.Size + 4096
	b.array.Change(v.Target.IQN, func(t *iscsitest.Target) { t.Units[v.Target.LUN].Size = grown })

	w := iscsi.Want{Size: grown, Identity: v.Identity}
	_, err := b.Prove(t.Context(), b.conn, v.Target, w)
	b.fails(err, onevolume.Mismatch, []string{v.Size.Exact(), grown.Exact()}, all...)
	for range 2 {
		dev, err := b.Rescan(t.Context(), b.conn, v.Target, w)
		if err != nil || dev.Size != grown {
			t.Fatalf("Rescan: %+v, %v", dev, err)
		}
	}
	// A size that it does not have, and a unit that is another now.
	_, err = b.Rescan(t.Context(), b.conn, v.Target, iscsi.Want{Size: grown + 512, Identity: v.Identity})
	b.fails(err, onevolume.Mismatch, []string{grown.Exact()}, all...)
	b.array.Change(v.Target.IQN, func(t *iscsitest.Target) { t.Units[v.Target.LUN].Identity.Serial = "SN9" })
	_, err = b.Rescan(t.Context(), b.conn, v.Target, w)
	b.fails(err, onevolume.Mismatch, []string{"SN9"}, all...)
}

func TestRescanCannot(t *testing.T) {
	b := newBench(t)
	v := volume(1)
	b.array.Serve(v)
	w := iscsi.Want{Size: v.Size, Identity: v.Identity}
	_, err := b.Rescan(t.Context(), b.conn, v.Target, w)
	b.fails(err, onevolume.Refused, []string{"no device"})
	b.mustConnect(v)
	all := b.host.Left()
	b.host.Lose(v.Target.IQN, "FAILED")
	_, err = b.Rescan(t.Context(), b.conn, v.Target, w)
	b.fails(err, onevolume.Unreachable, []string{"is lost"}, all...)
	b.host.Lose(v.Target.IQN, "LOGGED_IN")
	b.host.Change(func(s *iscsitest.State) { s.NoSudo = true })
	_, err = b.Rescan(t.Context(), b.conn, v.Target, w)
	b.fails(err, onevolume.Refused, []string{"sudo"}, all...)
}

package daemon

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"onevolume"
)

// Grow makes a volume larger that a VM has, which runs, and waits for it: on
// its array where it was made on one, on the host, and in the guest. With the
// code Unknown it is not done yet and goes on. Codes: NotFound, Forbidden,
// Invalid (shrinking), Action (states, or a hypervisor or array that cannot),
// Mismatch (the device of a registered volume has another size), and those of
// the array, the host and the hypervisor.
func (d *Daemon) Grow(ctx context.Context, who onevolume.Caller, session string, id onevolume.VolumeID, size onevolume.Size) error {
	v, err := d.Store.Volume(ctx, id)
	if err != nil {
		return err
	}
	vm, err := d.Cloud.VM(ctx, session, v.Attachment.VM, onevolume.Grow)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- d.perform(ctx, who, onevolume.Request{Kind: onevolume.Grow, VM: vm, Pick: onevolume.Pick{Volume: fmt.Sprint(int(id))},
			Task: &onevolume.Task{Size: size}}, "operation begins, since a volume is to grow")
	}()
	patience := time.NewTimer(taskTime)
	defer patience.Stop()
	goesOn := func(why string) error {
		d.Log.Info("nobody waits for a volume to grow any more", zap.Int("volume", int(id)), zap.String("why", why))
		return onevolume.Errorf(onevolume.Unknown, "volume %d has not grown yet: %s", id, why).WithHint("it goes on; see: onevolume explain %d", id)
	}
	select {
	case err = <-ended:
		return err
	case <-patience.C:
		return goesOn("it takes longer than " + taskTime.String())
	case <-ctx.Done():
		return goesOn(ctx.Err().Error())
	}
}

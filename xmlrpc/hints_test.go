package xmlrpc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"onevolume"
)

// heard notes the hints.
type heard []string

func (h *heard) HearVM(vm onevolume.VMID) { *h = append(*h, fmt.Sprint("VM ", vm)) }
func (h *heard) HearHost(id int)          { *h = append(*h, fmt.Sprint("HOST ", id)) }

func TestHint(t *testing.T) {
	t.Parallel()
	w, h := newWorld(t), &heard{}
	c := w.client(asRoot)
	if err := c.Hint(t.Context(), "VM", 17); onevolume.CodeOf(err) != onevolume.Action || !strings.Contains(err.Error(), "does not follow VMs") {
		t.Error(err)
	}
	w = newWorld(t)
	w.Hints = h
	c = w.client(asRoot)
	for _, kind := range []string{"VM", "HOST", "VM"} {
		if err := c.Hint(t.Context(), kind, 3); err != nil {
			t.Error(err)
		}
	}
	for _, kind := range []string{"", "vm", "IMAGE"} {
		if err := c.Hint(t.Context(), kind, 3); onevolume.CodeOf(err) != onevolume.Invalid {
			t.Error(kind, err)
		}
	}
	if err := c.Hint(t.Context(), "VM", -1); onevolume.CodeOf(err) != onevolume.Invalid {
		t.Error(err)
	}
	if err := w.client(asAlice).Hint(t.Context(), "VM", 3); onevolume.CodeOf(err) != onevolume.Forbidden {
		t.Error(err)
	}
	if want := []string{"VM 3", "HOST 3", "VM 3"}; !slices.Equal(*h, want) {
		t.Errorf("heard %q, want %q", *h, want)
	}
}

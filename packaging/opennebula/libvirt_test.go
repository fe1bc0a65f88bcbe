package opennebula_test

import (
	"os"
	"strings"
	"testing"
)

// TestLibvirtHook is given the XML of a domain as libvirt 10.0.0 has it, with
// our disk and others. What stands for a block device is a link to one.
func TestLibvirtHook(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	device := p.path("by-path/ip-10.0.0.1:3260-iscsi-iqn.2024-01.lab:it's & <that>-lun-1")
	if err := os.MkdirAll(p.path("by-path"), 0o755); err != nil {
		t.Fatal(err)
	}
	escaped := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;").Replace(device)
	domain := func(serial string) string {
		return `<domain type='kvm' id='4' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>one-3</name>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='/nowhere/disk.0' index='2'/>
      <backingStore type='file' index='3'>
        <format type='raw'/>
        <source file='/nowhere/base'/>
        <backingStore/>
      </backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='block' device='disk' snapshot='no'>
      <driver name='qemu' type='raw' cache='none' io='native'/>
      <source dev='` + escaped + `' index='1'/>
      <backingStore/>
      <target dev='sdiv' bus='scsi'/>
      <serial>` + serial + `</serial>
    </disk>
    <serial type='unix'>
      <source mode='bind' path='/run/one-3.sock'/>
    </serial>
  </devices>
</domain>
`
	}
	hook := func(xml string, args ...string) result {
		return p.run(xml, p.path("usr/share/onevolume/libvirt/qemu"), args...)
	}
	const ourDisk = "onevolume-5"
	passes := result{}
	for _, operation := range []string{"prepare", "migrate", "restore"} {
		if r := hook(domain(ourDisk), "one-3", operation, "begin", "-"); r.status != 1 || r.out != "" || !strings.Contains(r.err, "no such block device on this host: "+device) {
			t.Errorf("%s without the device: %+v", operation, r)
		}
		if r := hook(domain("other-5"), "one-3", operation, "begin", "-"); r != passes {
			t.Errorf("%s of another's disk: %+v", operation, r)
		}
	}
	if r := hook("<domain type='kvm'>\n  <name>other</name>\n</domain>\n", "other", "prepare", "begin", "-"); r != passes {
		t.Errorf("a domain without disks: %+v", r)
	}
	// A hook that fails here ends a running guest.
	for _, operation := range []string{"reconnect begin", "started begin", "stopped end", "release end", "attach begin", "start begin"} {
		if r := hook(domain(ourDisk), append([]string{"one-3"}, append(strings.Fields(operation), "-")...)...); r != passes {
			t.Errorf("%s: %+v", operation, r)
		}
	}
	// A file is no device; a device behind a link is one.
	p.write(strings.TrimPrefix(device, p.root), "", 0o600)
	if r := hook(domain(ourDisk), "one-3", "prepare", "begin", "-"); r.status != 1 {
		t.Errorf("with a file: %+v", r)
	}
	block := anyBlockDevice()
	if block == "" {
		t.Skip("this machine has no block device to stand for the volume's")
	}
	if err := os.Remove(device); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(block, device); err != nil {
		t.Fatal(err)
	}
	if r := hook(domain(ourDisk), "one-3", "migrate", "begin", "-"); r != passes {
		t.Errorf("with the device: %+v", r)
	}
}

func anyBlockDevice() string {
	list, _ := os.ReadDir("/dev")
	for _, e := range list {
		if e.Type()&os.ModeDevice != 0 && e.Type()&os.ModeCharDevice == 0 {
			return "/dev/" + e.Name()
		}
	}
	return ""
}

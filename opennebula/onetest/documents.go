package onetest

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"onevolume/template"
)

// The documents are those of oned 7.4.0, element by element and with CDATA
// where it has it: one.vm.info and one.vmpool.info differ in that, and a
// reader must stand both.

// doc writes a document.
type doc struct{ strings.Builder }

// plain writes elements in the order of their names and values.
func (d *doc) plain(pairs ...any) {
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(d, "<%s>%v</%[1]s>", pairs[i], pairs[i+1])
	}
}

// cdata writes elements with their values in CDATA.
func (d *doc) cdata(pairs ...any) {
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(d, "<%s><![CDATA[%v]]></%[1]s>", pairs[i], pairs[i+1])
	}
}

func (d *doc) in(name string, f func()) {
	d.WriteString("<" + name + ">")
	f()
	d.WriteString("</" + name + ">")
}

func (d *doc) quotas() {
	d.plain("DATASTORE_QUOTA", "", "NETWORK_QUOTA", "", "VM_QUOTA", "", "IMAGE_QUOTA", "")
}

func (o *Oned) userXML(u User) string {
	var d doc
	d.in("USER", func() {
		d.plain("ID", u.ID, "GID", u.Groups[0])
		d.in("GROUPS", func() {
			for _, g := range u.Groups {
				d.plain("ID", g)
			}
		})
		d.plain("GNAME", o.groupName(u.Groups[0]), "NAME", u.Name)
		d.cdata("PASSWORD", hash(u.Password), "AUTH_DRIVER", "core")
		d.plain("ENABLED", map[bool]int{false: 1}[u.Disabled])
		for _, t := range u.Tokens {
			group, expires := -1, int64(-1)
			if t.Group != nil {
				group = *t.Group
			}
			if t.Expires != 0 {
				expires = t.Expires
			}
			d.in("LOGIN_TOKEN", func() { d.plain("TOKEN", t.Text, "EXPIRATION_TIME", expires, "EGID", group) })
		}
		d.in("TEMPLATE", func() {
			d.cdata("TOKEN_PASSWORD", hash("token of "+u.Name))
			if u.Umask != "" {
				d.cdata("UMASK", u.Umask)
			}
		})
		d.quotas()
		d.in("DEFAULT_USER_QUOTAS", d.quotas)
	})
	return d.String()
}

// hash stands where oned has hashes, which no client may keep.
func hash(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }

func (o *Oned) groupXML(g Group) string {
	var d doc
	d.in("GROUP", func() {
		d.plain("ID", g.ID, "NAME", g.Name, "TEMPLATE", "")
		d.in("USERS", func() {
			for _, u := range o.users {
				if slices.Contains(u.Groups, g.ID) {
					d.plain("ID", u.ID)
				}
			}
		})
		d.plain("ADMINS", "")
		d.quotas()
		d.in("VLAN_RULES", func() { d.cdata("ID", g.ID) })
		d.in("DEFAULT_GROUP_QUOTAS", d.quotas)
	})
	return d.String()
}

func (o *Oned) groupName(id int) string {
	for _, g := range o.group {
		if g.ID == id {
			return g.Name
		}
	}
	return ""
}

func (o *Oned) userName(id int) string {
	for _, u := range o.users {
		if u.ID == id {
			return u.Name
		}
	}
	return ""
}

// head is what both forms of a VM begin with.
func (o *Oned) head(d *doc, m *machine) {
	d.plain("ID", m.ID, "UID", m.UID, "GID", m.GID, "UNAME", o.userName(m.UID), "GNAME", o.groupName(m.GID), "NAME", m.Name)
}

func (o *Oned) vmXML(m *machine) string {
	var d doc
	d.in("VM", func() {
		o.head(&d, m)
		if m.Lock > 0 {
			d.in("LOCK", func() { d.plain("LOCKED", m.Lock, "OWNER", 0, "TIME", m.Started, "REQ_ID", -1) })
		}
		d.in("PERMISSIONS", func() {
			bits, _ := octal(m.Permissions)
			for i, name := range []string{"OWNER_U", "OWNER_M", "OWNER_A", "GROUP_U", "GROUP_M", "GROUP_A", "OTHER_U", "OTHER_M", "OTHER_A"} {
				d.plain(name, bits>>(8-i)&1)
			}
		})
		d.plain("LAST_POLL", 0, "STATE", m.State, "LCM_STATE", m.LCMState, "PREV_STATE", m.State, "PREV_LCM_STATE", m.LCMState,
			"RESCHED", 0, "STIME", m.Started, "ETIME", m.ended, "DEPLOY_ID", m.DeployID, "MONITORING", "", "SCHED_ACTIONS", "")
		d.WriteString(m.tpl.XML())
		d.WriteString(m.user.Element("USER_TEMPLATE"))
		d.in("HISTORY_RECORDS", func() {
			for _, r := range m.history {
				d.history(m, r)
			}
		})
		d.WriteString("<BACKUPS><BACKUP_CONFIG/><BACKUP_IDS></BACKUP_IDS></BACKUPS>")
	})
	return d.String()
}

func (d *doc) history(m *machine, r record) {
	d.in("HISTORY", func() {
		d.plain("OID", m.ID, "SEQ", r.seq, "HOSTNAME", r.host.Name, "HID", r.host.ID, "CID", 0, "STIME", r.start, "ETIME", r.end)
		d.cdata("VM_MAD", r.host.VMMad, "TM_MAD", systemTM(m))
		d.plain("DS_ID", 100, "PLAN_ID", -2, "ACTION_ID", -1, "PSTIME", r.start, "PETIME", r.start, "RSTIME", r.start, "RETIME", r.end,
			"ESTIME", 0, "EETIME", 0, "ACTION", 0, "UID", -1, "GID", -1, "REQUEST_ID", -1)
	})
}

// systemTM is the driver of the datastore that the VM's own disks are in.
func systemTM(m *machine) string {
	tm, _ := m.tpl.Get("TM_MAD_SYSTEM")
	return tm
}

// shortVMXML is a VM in one.vmpool.info: without permissions, with one
// history record and a few attributes of the template.
func (o *Oned) shortVMXML(m *machine) string {
	var d doc
	d.in("VM", func() {
		o.head(&d, m)
		d.plain("LAST_POLL", 0, "STATE", m.State, "LCM_STATE", m.LCMState, "RESCHED", 0, "STIME", m.Started, "ETIME", m.ended, "DEPLOY_ID", m.DeployID)
		d.in("TEMPLATE", func() {
			for _, name := range []string{"CPU", "MEMORY", "VCPU"} {
				value, _ := m.tpl.Get(name)
				d.plain(name, value)
			}
			for _, disk := range m.tpl.Vectors("DISK") {
				d.disk(disk)
			}
		})
		d.WriteString("<MONITORING/><USER_TEMPLATE/>")
		d.in("HISTORY_RECORDS", func() {
			if len(m.history) == 0 {
				return
			}
			r := m.history[len(m.history)-1]
			d.in("HISTORY", func() {
				d.plain("OID", m.ID, "SEQ", r.seq)
				d.cdata("HOSTNAME", r.host.Name)
				d.plain("HID", r.host.ID, "CID", 0, "DS_ID", 100)
				d.cdata("VM_MAD", r.host.VMMad, "TM_MAD", systemTM(m), "ACTION", 0)
			})
		})
	})
	return d.String()
}

func (d *doc) disk(disk template.Attribute) {
	d.in("DISK", func() {
		for _, name := range []string{"DISK_ID", "DATASTORE", "DATASTORE_ID", "IMAGE", "IMAGE_ID", "SIZE", "TYPE", "CLONE", "CLONE_TARGET",
			"LN_TARGET", "DISK_SNAPSHOT_TOTAL_SIZE"} {
			if value, ok := disk.Get(name); ok {
				d.cdata(name, value)
			}
		}
	})
}

// hostXML leaves out the devices and NUMA nodes, which only pinned VMs need.
func (o *Oned) hostXML(h Host) string {
	var on []int
	for id, m := range o.vms {
		if m.Host == h.Name && m.State == active {
			on = append(on, id)
		}
	}
	slices.Sort(on)
	var d doc
	d.in("HOST", func() {
		d.plain("ID", h.ID, "NAME", h.Name, "STATE", h.State, "PREV_STATE", h.State)
		d.cdata("IM_MAD", h.VMMad, "VM_MAD", h.VMMad)
		d.plain("CLUSTER_ID", 0, "CLUSTER", "default")
		d.in("HOST_SHARE", func() {
			d.plain("MEM_USAGE", 131072*len(on), "CPU_USAGE", 100*len(on), "TOTAL_MEM", 16777216, "TOTAL_CPU", 800, "MAX_MEM", 16777216,
				"MAX_CPU", 800, "RUNNING_VMS", len(on), "VMS_THREAD", 1)
			d.in("DATASTORES", func() { d.cdata("DISK_USAGE", 0, "FREE_DISK", 20480, "MAX_DISK", 20480, "USED_DISK", 9720) })
			d.plain("PCI_DEVICES", "", "NUMA_NODES", "")
		})
		d.in("VMS", func() {
			for _, id := range on {
				d.plain("ID", id)
			}
		})
		d.in("TEMPLATE", func() {
			d.cdata("ARCH", "x86_64", "CPUSPEED", 3200, "HOSTNAME", h.Name, "HYPERVISOR", h.VMMad, "IM_MAD", h.VMMad,
				"TOTALCPU", 800, "TOTALMEMORY", strconv.Itoa(16777216), "VM_MAD", h.VMMad)
		})
		d.plain("MONITORING", "")
	})
	return d.String()
}

package onetest

import (
	"context"
	"slices"
	"strings"

	"onevolume/template"
	"onevolume/xmlrpc/wire"
)

// version is the oned that was recorded.
const version = "7.4.0"

// register tells the server what it serves. Methods are called with the lock
// held, one at a time.
func (o *Oned) register() {
	o.rpc.Authenticate = o.authenticate
	o.rpc.Describe = describe
	o.rpc.Log = func(r wire.Record) { o.lock(func() { o.calls[r.Method]++ }) }
	add := func(name, help string, f func(context.Context, wire.Call) (any, error), optional int, params ...wire.Kind) {
		o.rpc.Add(wire.Method{Name: name, Help: help, Params: append([]wire.Kind{wire.Session}, params...), Optional: optional,
			Func: func(ctx context.Context, call wire.Call) (any, error) {
				o.mu.Lock()
				defer o.mu.Unlock()
				return f(ctx, call)
			}})
	}
	const s, i, b = wire.String, wire.Int, wire.Bool
	add("one.system.version", "Returns the OpenNebula core version", func(context.Context, wire.Call) (any, error) { return version, nil }, 0)
	add("one.user.info", "Returns user information", o.userInfo, 1, i, b)
	add("one.user.update", "Updates a User template", o.userUpdate, 1, i, s, i)
	add("one.userpool.info", "Returns the user pool", o.userPool, 0)
	add("one.grouppool.info", "Returns the group pool", o.groupPool, 0)
	add("one.group.info", "Returns group information", o.groupInfo, 1, i, b)
	add("one.vm.info", "Returns Virtual Machine information", o.vmInfo, 1, i, b)
	add("one.vm.action", "Performs an action on a Virtual Machine", o.vmAction, 0, s, i)
	add("one.vm.update", "Updates a Virtual Machine user template", o.vmUpdate, 1, i, s, i)
	add("one.vmpool.info", "Returns the Virtual Machine pool", o.vmPool(false), 1, i, i, i, i, s)
	add("one.vmpool.infoextended", "Returns the Virtual Machine pool", o.vmPool(true), 1, i, i, i, i, s)
	add("one.host.info", "Returns host information", o.hostInfo, 1, i, b)
	add("one.hostpool.info", "Returns the host pool", o.hostPool, 0)
	o.registerHooks(add)
}

func (o *Oned) userInfo(ctx context.Context, call wire.Call) (any, error) {
	id := call.Int(1, -1)
	c := who(ctx)
	if id == -1 {
		id = c.ID
	}
	i := slices.IndexFunc(o.users, func(u User) bool { return u.ID == id })
	if i < 0 {
		return nil, missing("user", id)
	}
	if id != c.ID && !c.admin() {
		return nil, refuse(authorization, "User [%d] : Not authorized to perform USE USER [%d].", c.ID, id)
	}
	return o.userXML(o.users[i]), nil
}

// userUpdate answers only the question that the update of a kind that does
// not exist is: may the caller manage the user?
func (o *Oned) userUpdate(ctx context.Context, call wire.Call) (any, error) {
	id, c := call.Int(1, -1), who(ctx)
	if !slices.ContainsFunc(o.users, func(u User) bool { return u.ID == id }) {
		return nil, missing("user", id)
	}
	if id != c.ID && !c.admin() {
		return nil, refuse(authorization, "User [%d] : Not authorized to perform MANAGE USER [%d].", c.ID, id)
	}
	if mode := call.Int(3, 0); mode == 0 || mode == 1 {
		return nil, refuse(internal, "this stand-in changes no user's template")
	}
	return nil, refuse(rpcAPI, "Wrong update type")
}

// userPool lists all users to administrators, and themselves to others.
func (o *Oned) userPool(ctx context.Context, _ wire.Call) (any, error) {
	c := who(ctx)
	var b strings.Builder
	b.WriteString("<USER_POOL>")
	for _, u := range o.users {
		if c.admin() || u.ID == c.ID {
			b.WriteString(o.userXML(u))
		}
	}
	b.WriteString("<DEFAULT_USER_QUOTAS></DEFAULT_USER_QUOTAS></USER_POOL>")
	return b.String(), nil
}

// groupPool lists all groups to administrators, and their own to others.
func (o *Oned) groupPool(ctx context.Context, _ wire.Call) (any, error) {
	c := who(ctx)
	var b strings.Builder
	b.WriteString("<GROUP_POOL>")
	for _, g := range o.group {
		if c.admin() || slices.Contains(c.groups, g.ID) {
			b.WriteString(o.groupXML(g))
		}
	}
	b.WriteString("<DEFAULT_GROUP_QUOTAS></DEFAULT_GROUP_QUOTAS></GROUP_POOL>")
	return b.String(), nil
}

func (o *Oned) groupInfo(ctx context.Context, call wire.Call) (any, error) {
	id := call.Int(1, -1)
	c := who(ctx)
	if id == -1 {
		id = c.group
	}
	i := slices.IndexFunc(o.group, func(g Group) bool { return g.ID == id })
	if i < 0 {
		return nil, missing("group", id)
	}
	if !slices.Contains(c.groups, id) && !c.admin() {
		return nil, refuse(authorization, "User [%d] : Not authorized to perform USE GROUP [%d].", c.ID, id)
	}
	return o.groupXML(o.group[i]), nil
}

func (o *Oned) vmInfo(ctx context.Context, call wire.Call) (any, error) {
	m, err := o.vm(ctx, call, 1, use, false)
	if err != nil {
		return nil, err
	}
	return o.vmXML(m), nil
}

// Numbers of VM states that actions lead to.
const (
	active     = 3
	stopped    = 4
	suspended  = 5
	done       = 6
	poweroff   = 8
	undeployed = 9
	running    = 3
)

// vmAction changes the state at once, where oned would take its drivers'
// time. As with oned, the right comes before the word.
func (o *Oned) vmAction(ctx context.Context, call wire.Call) (any, error) {
	m, err := o.vm(ctx, call, 2, manage, true)
	if err != nil {
		return nil, err
	}
	word := call.Text(1)
	isRunning := m.State == active && m.LCMState == running
	next, ok := map[string]int{"poweroff": poweroff, "suspend": suspended, "stop": stopped, "undeploy": undeployed,
		"terminate": done, "reboot": active, "resume": active}[strings.TrimSuffix(word, "-hard")]
	allowed := isRunning
	switch {
	case !ok:
		return nil, refuse(action, "Action %q is not supported", word)
	case next == active && word == "resume":
		allowed = slices.Contains([]int{stopped, suspended, poweroff, undeployed}, m.State)
	case next == done:
		allowed = m.State != done
	}
	if !allowed {
		return nil, refuse(action, "Error performing action %q: This action is not available for state %s", word, stateName(m))
	}
	lcm := 0
	if next == active {
		lcm = running
	}
	o.enter(m, next, lcm)
	return m.ID, nil
}

func stateName(m *machine) string {
	if m.State == active && m.LCMState == running {
		return "RUNNING"
	}
	names := map[int]string{active: "ACTIVE", stopped: "STOPPED", suspended: "SUSPENDED", done: "DONE", poweroff: "POWEROFF", undeployed: "UNDEPLOYED"}
	if name, ok := names[m.State]; ok {
		return name
	}
	return "INIT"
}

func (o *Oned) vmUpdate(ctx context.Context, call wire.Call) (any, error) {
	m, err := o.vm(ctx, call, 1, manage, true)
	if err != nil {
		return nil, err
	}
	const replace, add = 0, 1
	mode := call.Int(3, replace)
	if mode != replace && mode != add {
		return nil, refuse(rpcAPI, "Wrong update type")
	}
	t, err := template.Parse(call.Text(2))
	if err != nil {
		return nil, refuse(internal, "Cannot update template. Parse error: %v", err)
	}
	if mode == add {
		t = m.user.Append(t)
	}
	m.user = t
	return m.ID, nil
}

// vmPool lists VMs by oned's filters and pages, the newest first.
func (o *Oned) vmPool(extended bool) func(context.Context, wire.Call) (any, error) {
	return func(ctx context.Context, call wire.Call) (any, error) {
		const primary, mine, all, mineAndGroups = -4, -3, -2, -1
		c := who(ctx)
		filter, start, end, state := call.Int(1, all), call.Int(2, -1), call.Int(3, -1), call.Int(4, -1)
		if filter < primary {
			return nil, refuse(rpcAPI, "Incorrect filter_flag")
		}
		var list []*machine
		for _, m := range o.vms {
			ok := c.may(use, m)
			switch filter {
			case primary:
				ok = ok && m.GID == c.group
			case mine:
				ok = m.UID == c.ID
			case all:
			case mineAndGroups:
				ok = ok && (m.UID == c.ID || slices.Contains(c.groups, m.GID))
			default:
				ok = ok && m.UID == filter
			}
			ok = ok && (state == -2 || state == m.State || state == -1 && m.State != done)
			if end >= -1 {
				ok = ok && m.ID >= start && (end == -1 || m.ID <= end)
			}
			if ok {
				list = append(list, m)
			}
		}
		slices.SortFunc(list, func(a, b *machine) int { return b.ID - a.ID })
		if end < -1 { // start is an offset, -end a page's size
			list = list[min(max(start, 0), len(list)):]
			list = list[:min(-end, len(list))]
		}
		var b strings.Builder
		b.WriteString("<VM_POOL>")
		for _, m := range list {
			if extended {
				b.WriteString(o.vmXML(m))
			} else {
				b.WriteString(o.shortVMXML(m))
			}
		}
		b.WriteString("</VM_POOL>")
		return b.String(), nil
	}
}

func (o *Oned) hostInfo(ctx context.Context, call wire.Call) (any, error) {
	id := call.Int(1, -1)
	i := slices.IndexFunc(o.hosts, func(h Host) bool { return h.ID == id })
	if i < 0 {
		return nil, missing("host", id)
	}
	if c := who(ctx); !c.admin() {
		return nil, refuse(authorization, "User [%d] : Not authorized to perform USE HOST [%d].", c.ID, id)
	}
	return o.hostXML(o.hosts[i]), nil
}

func (o *Oned) hostPool(ctx context.Context, _ wire.Call) (any, error) {
	var b strings.Builder
	b.WriteString("<HOST_POOL>")
	if who(ctx).admin() {
		for _, h := range o.hosts {
			b.WriteString(o.hostXML(h))
		}
	}
	b.WriteString("</HOST_POOL>")
	return b.String(), nil
}

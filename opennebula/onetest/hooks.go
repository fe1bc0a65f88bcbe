package onetest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"onevolume/template"
	"onevolume/xmlrpc/wire"
)

// hook is a hook as oned keeps it: what its template left.
type hook struct {
	id         int
	name, kind string
	tpl        template.Template
}

// registerHooks adds the methods about hooks. What they refuse, with which
// words, and how a hook is kept is that of src/hm/Hook.cc, HookPool.cc,
// HookStateVM.cc and HookStateHost.cc of 7.4.0, and of recorded answers.
func (o *Oned) registerHooks(add func(string, string, func(context.Context, wire.Call) (any, error), int, ...wire.Kind)) {
	add("one.hook.allocate", "Allocates a new hook", o.hookAllocate, 0, wire.String)
	add("one.hook.delete", "Deletes a hook", o.hookDelete, 0, wire.Int)
	add("one.hookpool.info", "Returns the hook pool", o.hookPool, 0)
}

func (o *Oned) hookAllocate(ctx context.Context, call wire.Call) (any, error) {
	const allocate = 0x4000
	if c := who(ctx); !c.admin() {
		return nil, refuse(authorization, "User [%d] : Not authorized to perform CREATE HOOK.", c.ID)
	}
	t, err := template.Parse(call.Text(1))
	if err != nil {
		return nil, refuse(internal, "Parse error: %v", err)
	}
	take := func(key string) string {
		value, _ := t.Get(key)
		t = t.Without(key)
		return value
	}
	h := hook{id: o.nextHook, name: take("NAME"), kind: strings.ToLower(take("TYPE"))}
	command, remote := take("COMMAND"), "NO"
	if strings.EqualFold(take("REMOTE"), "yes") {
		remote = "YES"
	}
	if h.name == "" {
		return nil, refuse(allocate, "No NAME in template for Hook.")
	}
	for _, other := range o.hooks {
		if other.name == h.name {
			return nil, refuse(allocate, "NAME is already taken by Hook %d.", other.id)
		}
	}
	switch {
	case command == "":
		return nil, refuse(allocate, "No COMMAND in template for Hook.")
	case h.kind == "api":
		return nil, refuse(internal, "this stand-in has no hooks on calls")
	case h.kind != "state":
		return nil, refuse(allocate, "No TYPE or invalid one in template for Hook.")
	}
	state, lcm, on := take("STATE"), take("LCM_STATE"), take("ON")
	switch resource, _ := t.Get("RESOURCE"); resource {
	case "HOST":
		if !slices.Contains(append([]string{"OFFLINE"}, hostStates...), state) {
			return nil, refuse(allocate, "Invalid STATE: %s", state)
		}
	case "VM":
		known := false
		for _, name := range lcmStates {
			known = known || name == lcm
		}
		switch {
		case on == "RUNNING":
			state, lcm = "ACTIVE", "RUNNING"
		case on != "CUSTOM":
			return nil, refuse(allocate, "Unkown state condition: %s", on) //nolint:misspell // oned does
		case !slices.Contains(vmStates, state):
			return nil, refuse(allocate, "Wrong STATE: %s", state)
		case !known:
			return nil, refuse(allocate, "Wrong LCM_STATE: %s", lcm)
		}
		t = t.With("LCM_STATE", lcm)
	default:
		return nil, refuse(allocate, "Invalid resource type: %s", resource)
	}
	h.tpl = t.With("STATE", state).With("COMMAND", command).With("REMOTE", remote)
	slices.SortStableFunc(h.tpl, func(a, b template.Attribute) int { return strings.Compare(a.Key, b.Key) })
	o.nextHook++
	o.hooks = append(o.hooks, h)
	return h.id, nil
}

func (o *Oned) hookDelete(ctx context.Context, call wire.Call) (any, error) {
	id, c := call.Int(1, -1), who(ctx)
	i := slices.IndexFunc(o.hooks, func(h hook) bool { return h.id == id })
	switch {
	case i < 0:
		return nil, missing("hook", id)
	case !c.admin():
		return nil, refuse(authorization, "User [%d] : Not authorized to perform ADMIN HOOK [%d].", c.ID, id)
	}
	o.hooks = slices.Delete(o.hooks, i, i+1)
	return id, nil
}

// hookPool lists hooks to administrators, in the order of their ids, and none
// to others.
func (o *Oned) hookPool(ctx context.Context, _ wire.Call) (any, error) {
	var b strings.Builder
	b.WriteString("<HOOK_POOL>")
	if who(ctx).admin() {
		for _, h := range o.hooks {
			b.WriteString(h.xml(false))
		}
	}
	b.WriteString("</HOOK_POOL>")
	return b.String(), nil
}

// xml is the hook's document; alone it has the log of its runs too.
func (h hook) xml(alone bool) string {
	log := ""
	if alone {
		log = "<HOOKLOG></HOOKLOG>"
	}
	return fmt.Sprintf("<HOOK><ID>%d</ID><NAME>%s</NAME><TYPE>%s</TYPE>%s%s</HOOK>", h.id, h.name, h.kind, h.tpl.XML(), log)
}

// Hooked is what oned's hook manager would run, in the order of the hooks'
// ids, when a VM or a host comes into a state: HEM takes the state's key from
// the event (onehem-server.rb).
func (o *Oned) Hooked(resource, state, lcm string) (commands []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, h := range o.hooks {
		get := func(key string) string { value, _ := h.tpl.Get(key); return value }
		if get("RESOURCE") == resource && get("STATE") == state && get("LCM_STATE") == lcm {
			commands = append(commands, get("COMMAND"))
		}
	}
	return commands
}

package onetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"onevolume/xmlrpc/wire"
)

// Codes of include/Request.h.
const (
	authentication = 0x0100
	authorization  = 0x0200
	noExists       = 0x0400
	action         = 0x0800
	rpcAPI         = 0x1000
	internal       = 0x2000
)

// refusal is an error in oned's words.
type refusal struct {
	code, object int
	text         string
}

func (r *refusal) Error() string { return r.text }

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code: code, object: -1, text: fmt.Sprintf(format, args...)}
}

// missing is the error of an object that does not exist.
func missing(object string, id int) *refusal {
	if id < 0 {
		return refuse(noExists, "Error getting %s Pool.", object)
	}
	return &refusal{noExists, id, fmt.Sprintf("Error getting %s [%d].", object, id)}
}

func describe(err error) (string, int, int) {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.text, r.code, r.object
	}
	return err.Error(), internal, -1
}

// caller is who a session belongs to, with the groups that count.
type caller struct {
	User
	group  int // what one.group.info(-1) shows
	groups []int
}

type callerKey struct{}

func who(ctx context.Context) caller { return ctx.Value(callerKey{}).(caller) }

// authenticate takes user:password and user:token, split at the first colon,
// and nothing that only looks like it.
func (o *Oned) authenticate(ctx context.Context, session string) (context.Context, error) {
	name, secret, _ := strings.Cut(session, ":")
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, u := range o.users {
		if u.Name != name || u.Disabled || secret == "" {
			continue
		}
		c := caller{User: u, group: u.Groups[0], groups: u.Groups}
		if u.Password == secret {
			return context.WithValue(ctx, callerKey{}, c), nil
		}
		for _, t := range u.Tokens {
			if t.Text != secret || t.Expires != 0 && t.Expires < time.Now().Unix() {
				continue
			}
			if t.Group != nil {
				c.group, c.groups = *t.Group, []int{*t.Group}
			}
			return context.WithValue(ctx, callerKey{}, c), nil
		}
	}
	return nil, refuse(authentication, "User couldn't be authenticated, aborting call.")
}

func (c caller) admin() bool { return c.ID == 0 || slices.Contains(c.groups, 0) }

// Rights, with their bit in a digit of permissions and their level in locks.
const (
	use    = 4
	manage = 2
)

func (c caller) may(right int, m *machine) bool {
	bits, err := octal(m.Permissions)
	if err != nil {
		panic(err) // check let it through
	}
	return c.admin() || c.ID == m.UID && bits>>6&right != 0 ||
		slices.Contains(c.groups, m.GID) && bits>>3&right != 0 || bits&right != 0
}

// vm finds the VM of parameter i and checks the right, as oned does: a lock
// binds oneadmin too, and one.vm.info heeds none.
func (o *Oned) vm(ctx context.Context, call wire.Call, i, right int, heedLock bool) (*machine, error) {
	id := call.Int(i, -1)
	m, ok := o.vms[id]
	if !ok {
		return nil, missing("virtual machine", id)
	}
	c := who(ctx)
	if heedLock && m.Lock > 0 && m.Lock != 3 {
		return nil, refuse(authorization, "User [%d] : VM is locked. [%d].", c.ID, id)
	}
	if !c.may(right, m) {
		return nil, refuse(authorization, "User [%d] : Not authorized to perform %s VM [%d].", c.ID, map[int]string{use: "USE", manage: "MANAGE"}[right], id)
	}
	return m, nil
}

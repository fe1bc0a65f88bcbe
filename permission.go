package onevolume

import (
	"fmt"
	"slices"
)

// Right is a kind of use of an object, as OpenNebula's permissions have it.
type Right int

// The rights, with the bit each has in an octal digit of permissions.
const (
	Use    Right = 4
	Manage Right = 2
	Admin  Right = 1
)

func (r Right) String() string {
	switch r {
	case Use:
		return "USE"
	case Manage:
		return "MANAGE"
	case Admin:
		return "ADMIN"
	}
	return fmt.Sprintf("Right(%d)", int(r))
}

// Permissions are nine bits, three each for owner, group and others, in the
// order of an octal number: 0640 is "um- u-- ---".
type Permissions int

// String is the permissions as OpenNebula's tools print them.
func (p Permissions) String() string {
	const letters = "umaumauma"
	b := make([]byte, 0, 11)
	for i := range letters {
		if i == 3 || i == 6 {
			b = append(b, ' ')
		}
		if p&(1<<(8-i)) != 0 {
			b = append(b, letters[i])
		} else {
			b = append(b, '-')
		}
	}
	return string(b)
}

// Caller is who asks, as oned says: the answer to the session that came with
// the call.
type Caller struct {
	Owner        // the user and their primary group
	Groups []int // every group that counts, the primary one included
	Umask  int   // permissions that new objects do not get, 0 to 0777
}

// IsAdmin says whether the caller is oneadmin or in oneadmin's group, to whom
// oned refuses nothing.
func (c Caller) IsAdmin() bool { return c.UID == 0 || slices.Contains(c.Groups, 0) }

// May says whether the caller has the right on the volume: administrators
// always, others by the bits of owner, group and others, any of which is
// enough (src/acl of OpenNebula).
func (c Caller) May(r Right, v *Volume) bool {
	p := int(v.Permissions)
	switch {
	case c.IsAdmin():
		return true
	case c.UID == v.Owner.UID && p>>6&int(r) != 0:
		return true
	case slices.Contains(c.Groups, v.Owner.GID) && p>>3&int(r) != 0:
		return true
	}
	return p&int(r) != 0
}

// Check says whether the caller may now do what needs the right: no lock
// keeps from it, which comes first and binds administrators too, and May. Its
// errors have oned's words and the code Forbidden.
func (c Caller) Check(r Right, v *Volume) error {
	if err := c.CheckLock(r, v); err != nil {
		return err
	}
	return c.CheckRight(r, v)
}

// CheckLock is the part of Check about locks.
func (c Caller) CheckLock(r Right, v *Volume) error {
	if v.Lock.Keeps(r) {
		return Errorf(Forbidden, "User [%d] : VOLUME is locked. [%d].", c.UID, v.ID)
	}
	return nil
}

// CheckRight is Check for what locks do not keep from: to look at a volume,
// to lock it and to unlock it.
func (c Caller) CheckRight(r Right, v *Volume) error {
	if c.May(r, v) {
		return nil
	}
	return Errorf(Forbidden, "User [%d] : Not authorized to perform %s VOLUME [%d].", c.UID, r, v.ID)
}

// NewPermissions are those of an object the caller makes: everything for user
// 0 and for whose primary group is 0, use and manage for others, less the
// umask. As with oned, being an administrator by a further group is not
// enough (PoolObjectSQL::set_umask of OpenNebula 7.4).
func (c Caller) NewPermissions() Permissions {
	base := 0o666
	if c.UID == 0 || c.GID == 0 {
		base = 0o777
	}
	return Permissions(base &^ c.Umask)
}

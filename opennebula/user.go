package opennebula

import (
	"context"
	"crypto/subtle"
	"encoding/xml"
	"slices"
	"strconv"
	"strings"

	"onevolume"
)

// User is what oned says of a user, without the password's hash, the login
// tokens and the rest of the template, which oned sends along.
type User struct {
	ID     int    `xml:"ID"`
	GID    int    `xml:"GID"`
	Groups []int  `xml:"GROUPS>ID"`
	GName  string `xml:"GNAME"`
	Name   string `xml:"NAME"`
	Umask  string `xml:"TEMPLATE>UMASK"` // octal; empty when the user has none
}

// Group is what oned says of a group.
type Group struct {
	ID   int    `xml:"ID"`
	Name string `xml:"NAME"`
}

// token is a login token. It is compared with a session and forgotten.
type token struct {
	Text string `xml:"TOKEN"`
	EGID int    `xml:"EGID"` // -1 when the token is for all groups
}

// userDocument is oned's answer as far as it is looked at.
type userDocument struct {
	User
	Tokens []token `xml:"LOGIN_TOKEN"`
}

// self is the id by which oned knows the session's own user and group.
const self = -1

// UserInfo asks for a user; -1 is the session's own.
func (c *Client) UserInfo(ctx context.Context, id int) (*User, error) {
	d, err := c.userDocument(ctx, id)
	if err != nil {
		return nil, err
	}
	return &d.User, nil
}

func (c *Client) userDocument(ctx context.Context, id int) (*userDocument, error) {
	const method = "one.user.info"
	text, err := c.text(ctx, method, id, false)
	if err != nil {
		return nil, err
	}
	var d userDocument
	if err := xml.Unmarshal([]byte(text), &d); err != nil {
		return nil, unreadable(method, err)
	}
	return &d, nil
}

// GroupInfo asks for a group; -1 is the session's effective one: the user's
// primary group, or the one that a scoped token is for.
func (c *Client) GroupInfo(ctx context.Context, id int) (*Group, error) {
	const method = "one.group.info"
	text, err := c.text(ctx, method, id, false)
	if err != nil {
		return nil, err
	}
	var g Group
	if err := xml.Unmarshal([]byte(text), &g); err != nil {
		return nil, unreadable(method, err)
	}
	return &g, nil
}

// DefaultUmask is DEFAULT_UMASK of oned.conf as it is shipped.
const DefaultUmask = "177"

// ParseUmask reads a umask: permissions that new objects do not get, in octal
// digits.
func ParseUmask(text string) (int, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 {
		return 0, onevolume.Errorf(onevolume.Invalid, "umask %q: it must be an octal number from 0 to 777", text)
	}
	return int(n), nil
}

// WhoAmI says whose session the client has, with the groups and the umask
// that count. As with oned, the umask is UMASK of the user's template, else
// the default; so is it when UMASK cannot be read, which oned takes for 0 and
// so opens to all what the user makes. Code Unauthenticated when oned does not
// know the session.
func (c *Client) WhoAmI(ctx context.Context) (onevolume.Caller, error) {
	var group *Group
	var groupErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		group, groupErr = c.GroupInfo(ctx, self)
	}()
	user, err := c.userDocument(ctx, self)
	<-done
	if err == nil {
		err = groupErr
	}
	if err != nil {
		return onevolume.Caller{}, err
	}
	who := onevolume.Caller{
		Owner:  onevolume.Owner{UID: user.ID, GID: group.ID, User: user.Name, Group: group.Name},
		Groups: user.effective(c.token, group.ID),
		Umask:  c.umask,
	}
	if n, err := ParseUmask(strings.TrimSpace(user.Umask)); err == nil {
		who.Umask = n
	}
	if who.UID != 0 && who.GID != 0 {
		who.Umask |= c.closed
	}
	return who, nil
}

// effective are the groups whose rights the session has. one.user.info lists
// all of the user's, also for a session that counts for one group alone; the
// group that one.group.info gave tells most of these, and for those that are
// for the primary group the session itself must be looked at.
func (d *userDocument) effective(session string, group int) []int {
	if group != d.GID {
		return []int{group}
	}
	name, rest, _ := strings.Cut(session, ":")
	for _, t := range d.Tokens {
		if t.EGID >= 0 && subtle.ConstantTimeCompare([]byte(t.Text), []byte(rest)) == 1 {
			return []int{t.EGID}
		}
	}
	// A service's session is service:user:cipher, or service:user:group:cipher
	// for one group; the cipher is base64 and has no colon.
	if name != d.Name && strings.Count(rest, ":") == 2 {
		return []int{group}
	}
	groups := slices.Clone(d.Groups)
	if !slices.Contains(groups, d.GID) {
		groups = append(groups, d.GID)
	}
	return groups
}

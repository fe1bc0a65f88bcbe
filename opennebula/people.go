package opennebula

import (
	"context"

	"onevolume"
)

// People asks oned about users and groups with callers' sessions; it is the
// inventory's People.
type People struct{ Client *Client }

// UserName is the name of a user whom the session may USE. Codes: NotFound,
// Forbidden.
func (p People) UserName(ctx context.Context, session string, uid int) (string, error) {
	u, err := p.Client.As(session).UserInfo(ctx, uid)
	if err != nil {
		return "", err
	}
	return u.Name, nil
}

// GroupName is the name of a group that the session may USE. Codes:
// NotFound, Forbidden.
func (p People) GroupName(ctx context.Context, session string, gid int) (string, error) {
	g, err := p.Client.As(session).GroupInfo(ctx, gid)
	if err != nil {
		return "", err
	}
	return g.Name, nil
}

// MayManageUser says whether the session has MANAGE on a user: nil, or an
// error with the code NotFound or Forbidden. It asks for an update of a kind
// that does not exist, which oned refuses after it has looked at the right;
// nothing changes.
func (p People) MayManageUser(ctx context.Context, session string, uid int) error {
	const noSuchUpdate = 2
	_, err := p.Client.As(session).call(ctx, "one.user.update", uid, "", noSuchUpdate)
	if err == nil || onevolume.CodeOf(err) == onevolume.Invalid {
		return nil
	}
	return err
}

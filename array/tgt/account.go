package tgt

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/array"
	"onevolume/array/linux"
	"onevolume/command"
)

// nameAccount is what logs call the making of an account, and fakes know.
const nameAccount = "tgt-account"

// setAccounts gives the target the accounts of the record, and no others.
//
// tgtd 1.0.85 keeps a target's accounts in a row, and dies of the next "show"
// when one was taken out that is not the last (measured). So they are taken
// from the end, up to the first that has to go, and the others put back: for
// that moment their initiators cannot log in, while sessions go on.
func (t *target) setAccounts(ctx context.Context, o *linux.Op, id array.ID, mine *live, all []live, was, r record) error {
	var keep []string
	for _, g := range r.grants {
		for _, l := range all {
			if l.tid != mine.tid && slices.Contains(l.accounts, g.CHAP.User) {
				return o.Fail(array.Exists, "the account %s belongs to the target %s", g.CHAP.User, l.iqn)
			}
		}
		// What was in the file was in force before. A secret cannot be seen:
		// of any other the account is made anew.
		if slices.Contains(was.grants, g) {
			keep = append(keep, g.CHAP.User)
		}
	}
	from := slices.IndexFunc(mine.accounts, func(user string) bool { return !slices.Contains(keep, user) })
	if from < 0 {
		from = len(mine.accounts)
	}
	if err := t.dropAccounts(ctx, o, mine, from); err != nil {
		return err
	}
	list, err := t.strays(ctx, o, id, mine.accounts, was)
	if err != nil {
		return err
	}
	for _, g := range r.grants {
		if slices.Contains(mine.accounts, g.CHAP.User) {
			continue
		}
		// One that is bound to nothing was made by a call of ours that died,
		// or by hand: the name is one that only we make up.
		if slices.Contains(list, g.CHAP.User) {
			if err := t.forget(ctx, o, g.CHAP.User); err != nil {
				return err
			}
		}
		if err := t.account(ctx, o, mine, g.CHAP); err != nil {
			return err
		}
	}
	return nil
}

// strays deletes accounts that a call which died may have left behind, bound
// to nothing: those of the file, and those whose names are made for this
// volume. It gives the accounts that are left.
func (t *target) strays(ctx context.Context, o *linux.Op, id array.ID, bound []string, was record) (left []string, err error) {
	out, err := t.run(ctx, o, t.tgtadm("show", "account"))
	if err != nil {
		return nil, err
	}
	for _, user := range strings.Fields(strings.TrimPrefix(out, "Account list:")) {
		ours := strings.HasPrefix(user, array.UserPrefix(id)) || slices.ContainsFunc(was.grants, func(g array.Grant) bool { return g.CHAP.User == user })
		if !ours || slices.Contains(bound, user) {
			left = append(left, user)
			continue
		}
		if err := t.forget(ctx, o, user); err != nil {
			return nil, err
		}
	}
	return left, nil
}

// dropAccounts takes the target's accounts away, the last one first, down to
// the one with the number.
func (t *target) dropAccounts(ctx context.Context, o *linux.Op, mine *live, from int) error {
	for len(mine.accounts) > from {
		last := len(mine.accounts) - 1
		user := mine.accounts[last]
		if _, err := t.run(ctx, o, t.tgtadm("unbind", "account", "--tid", strconv.Itoa(mine.tid), "--user", user), "can't find the account"); err != nil {
			return err
		}
		if err := t.forget(ctx, o, user); err != nil {
			return err
		}
		mine.accounts = mine.accounts[:last]
	}
	return nil
}

// account makes an account and binds it to the target.
func (t *target) account(ctx context.Context, o *linux.Op, mine *live, c onevolume.CHAP) error {
	// The secret is in no argument that we log.
	cmd := linux.Script(nameAccount, `IFS= read -r secret; exec "$@" --password "$secret"`+"\n", false, t.tgtadm("new", "account", "--user", c.User).Argv...)
	cmd.Stdin = command.Secret(c.Secret + "\n")
	if _, err := t.run(ctx, o, cmd); err != nil {
		return err
	}
	_, err := t.run(ctx, o, t.tgtadm("bind", "account", "--tid", strconv.Itoa(mine.tid), "--user", c.User))
	return err
}

// forget deletes an account that is bound to nothing.
func (t *target) forget(ctx context.Context, o *linux.Op, user string) error {
	_, err := t.run(ctx, o, t.tgtadm("delete", "account", "--user", user), "can't find the account")
	return err
}

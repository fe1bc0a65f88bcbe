package openfiler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/array"
	"onevolume/array/linux"
	"onevolume/command"
	pages "onevolume/openfiler"
)

// The names of the scripts, as logs show them.
const (
	nameLook     = "iet-look"
	nameAccounts = "iet-accounts"
	nameRules    = "iet-rules"
	nameDrop     = "iet-drop"
)

// live is what IET has now.
type live struct {
	names   bool // its rules know names of initiators
	targets []pages.Live
}

func (l live) find(iqn onevolume.IQN) *pages.Live {
	for i := range l.targets {
		if l.targets[i].IQN == string(iqn) {
			return &l.targets[i]
		}
	}
	return nil
}

func (t *target) look(ctx context.Context, o *linux.Op) (live, error) {
	r, err := o.Do(ctx, linux.Script(nameLook, lookScript, true, t.opt.Root), exitNoService)
	if err != nil {
		return live{}, err
	}
	if r.Code == exitNoService {
		return live{}, o.Lost(fmt.Errorf("the target service of %s does not run: start it there: service iscsi-target start", t.host))
	}
	l, err := parseLook(string(r.Stdout))
	if err != nil {
		return live{}, o.Fail(array.Refused, "%s: %w", t.host, err)
	}
	return l, nil
}

// parseLook reads what look.sh prints.
func parseLook(out string) (l live, err error) {
	version, rest, ok1 := strings.Cut(out, "\nvolume\n")
	volume, rest, ok2 := strings.Cut("\n"+rest, "\nsession\n")
	session, after, ok3 := strings.Cut("\n"+rest, "\nend\n")
	word, ok4 := strings.CutPrefix(version, "ietadm version ")
	if !ok1 || !ok2 || !ok3 || !ok4 || after != "" {
		return l, fmt.Errorf("the look at IET was cut off, or has no version: %.200q", version)
	}
	if l.names, err = atLeast(word, firstWithNames); err != nil {
		return l, err
	}
	if lists, err := atLeast(word, firstThatLists); err != nil || !lists {
		return l, fmt.Errorf("its IET is %s, which cannot list accounts: at least %s is needed", word, firstThatLists)
	}
	l.targets, err = pages.ParseLive(volume, session)
	return l, err
}

// atLeast compares versions, of which what follows the third number is passed
// over.
func atLeast(version, least string) (bool, error) {
	a, b := strings.SplitN(version, ".", 4), strings.Split(least, ".")
	if len(a) < len(b) {
		return false, fmt.Errorf("%q is no version of IET", version)
	}
	for i := range b {
		x, err := strconv.Atoi(strings.TrimSpace(a[i]))
		y, _ := strconv.Atoi(b[i])
		if err != nil {
			return false, fmt.Errorf("%q is no version of IET", version)
		}
		if x != y {
			return x > y, nil
		}
	}
	return true, nil
}

// free says whether the device and the target's name are.
func (t *target) free(o *linux.Op, u linux.Unit, now live, mine *pages.Live) error {
	for _, other := range now.targets {
		for number, path := range other.Paths {
			if path == u.Device && (mine == nil || other.IQN != mine.IQN) {
				e := o.Fail(array.Busy, "%s is mapped as LUN %d of %s", u.Device, number, other.IQN)
				e.By.Other = "the target " + other.IQN
				return e
			}
		}
	}
	if mine == nil {
		return nil
	}
	for number, path := range mine.Paths {
		if path != u.Device || strconv.Itoa(number) != lun {
			return o.Fail(array.Exists, "LUN %d of %s is %s", number, mine.IQN, path)
		}
	}
	return nil
}

// ietadm runs it. Its exit status says little: IET 1.4.19 gives 255 for nearly
// all that the kernel refuses. Whether it was so already is looked at before.
func (t *target) ietadm(ctx context.Context, o *linux.Op, args ...string) error {
	_, err := o.Do(ctx, command.Cmd{Argv: append([]string{"ietadm"}, args...), Sudo: true})
	return err
}

// apply has IET let in those of the record. Rules come before the target, and
// accounts before the unit: whoever is quick finds nothing.
func (t *target) apply(ctx context.Context, o *linux.Op, u linux.Unit, now live, mine *pages.Live, r record) error {
	if now.names {
		if err := t.rules(ctx, o, u.ID, r.grants, true); err != nil {
			return err
		}
	}
	tid := 1
	if mine != nil {
		tid = mine.TID
	} else {
		for _, l := range now.targets {
			tid = max(tid, l.TID+1)
		}
		if err := t.ietadm(ctx, o, "--op", "new", fmt.Sprintf("--tid=%d", tid), "--params", "Name="+string(t.iqn(u.ID))); err != nil {
			return err
		}
	}
	if mine == nil || mine.Paths[0] == "" {
		if params := r.params(); params != "" {
			if err := t.ietadm(ctx, o, "--op", "update", fmt.Sprintf("--tid=%d", tid), "--params="+params); err != nil {
				return err
			}
		}
	}
	if err := t.accounts(ctx, o, tid, r.grants); err != nil {
		return err
	}
	if mine != nil && mine.Paths[0] != "" {
		return nil
	}
	return t.mapped(ctx, o, u, tid)
}

func (t *target) mapped(ctx context.Context, o *linux.Op, u linux.Unit, tid int) error {
	x := t.unit(u)
	return t.ietadm(ctx, o, "--op", "new", fmt.Sprintf("--tid=%d", tid), "--lun="+lun, "--params",
		fmt.Sprintf("Path=%s,Type=%s,ScsiId=%s,ScsiSN=%s,IOMode=%s", x.path, x.kind, x.scsiID, x.serial, x.mode))
}

// withdraw has IET let in no others than those of the record; with nobody left
// the target goes. Who reconnects at once, as initiators do, meets the new
// rules.
func (t *target) withdraw(ctx context.Context, o *linux.Op, id array.ID, now live, mine *pages.Live, r record, initiator onevolume.IQN, force bool) error {
	if mine == nil {
		return nil
	}
	if now.names && (force || len(r.grants) > 0) {
		if err := t.rules(ctx, o, id, r.grants, true); err != nil {
			return err
		}
	}
	if len(r.grants) == 0 {
		what := "target"
		if force {
			what = "all"
		}
		return t.drop(ctx, o, id, mine, what, "")
	}
	if err := t.accounts(ctx, o, mine.TID, r.grants); err != nil {
		return err
	}
	if !force {
		return nil
	}
	return t.drop(ctx, o, id, mine, "sessions", initiator)
}

func (t *target) drop(ctx context.Context, o *linux.Op, id array.ID, mine *pages.Live, what string, initiator onevolume.IQN) error {
	r, err := o.Do(ctx, linux.Script(nameDrop, dropScript, false, t.opt.Root, strconv.Itoa(mine.TID), mine.IQN, what, string(initiator)), exitSessions)
	if err != nil || r.Code != exitSessions {
		return err
	}
	by := array.Holders{Other: "sessions that came meanwhile"}
	for _, s := range mine.Sessions {
		by.Sessions = append(by.Sessions, onevolume.IQN(s.Initiator))
	}
	return array.InUse("volume "+string(id), by)
}

// accounts gives the target those of the grants, and no others.
func (t *target) accounts(ctx context.Context, o *linux.Op, tid int, grants []array.Grant) error {
	c := linux.Script(nameAccounts, accountsScript, false, strconv.Itoa(tid))
	for _, g := range grants {
		c.Stdin = fmt.Appendf(c.Stdin, "%s %s\n", g.CHAP.User, g.CHAP.Secret)
	}
	_, err := o.Do(ctx, c)
	return err
}

// rules lets nobody in but those of the grants, or with deny false has no rule
// at all. A name is a basic regular expression (initiators.allow of IET), and
// lines end at 4096 bytes.
func (t *target) rules(ctx context.Context, o *linux.Op, id array.ID, grants []array.Grant, deny bool) error {
	what := "forget"
	if deny {
		what = "deny"
	}
	var names []string
	for _, g := range grants {
		names = append(names, strings.ReplaceAll(string(g.Initiator), ".", `\.`))
	}
	line := strings.Join(names, ", ")
	if len(line) > longestRule {
		return o.Fail(array.Unsupported, "the rule for %d initiators is longer than IET reads", len(grants))
	}
	_, err := o.Do(ctx, linux.Script(nameRules, rulesScript, false, t.opt.Root, string(t.iqn(id)), what, line))
	return err
}

// file is one that was read.
type file struct{ name, sum, text string }

// parseFiles reads what read.sh prints.
func parseFiles(out []byte) (list []file, err error) {
	for {
		head, rest, ok := bytes.Cut(out, []byte("\n"))
		if !ok {
			return nil, errors.New("what was read has no end")
		}
		if string(head) == "end" && len(rest) == 0 {
			return list, nil
		}
		f := strings.Fields(string(head))
		if len(f) != 3 {
			return nil, errors.New("what was read is cut off")
		}
		n, err := strconv.Atoi(f[2])
		if err != nil || n < 0 || n > len(rest) {
			return nil, errors.New("what was read is cut off")
		}
		list = append(list, file{name: f[0], sum: f[1], text: string(rest[:n])})
		out = rest[n:]
	}
}

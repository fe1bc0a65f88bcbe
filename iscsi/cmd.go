package iscsi

import (
	"embed"
	"strconv"
	"strings"
	"time"

	"onevolume"
	"onevolume/command"
)

//go:embed scripts/*.sh
var scripts embed.FS

// The names of the scripts, as logs show them and fakes know them.
const (
	NameLook    = "iscsi-look"
	NamePrepare = "iscsi-prepare"
	NameLogin   = "iscsi-login"
	NameRelease = "iscsi-release"
	NameCheck   = "iscsi-check"
	NameSurvey  = "iscsi-survey"
)

var (
	lookScript    = text("sysfs", "look")
	prepareScript = text("sysfs", "appear", "prepare")
	loginScript   = text("sysfs", "appear", "login")
	releaseScript = text("sysfs", "appear", "release")
	checkScript   = text("check")
	surveyScript  = text("sysfs", "survey")
)

// text joins files of the scripts directory. Comments and indentation stay
// behind: the text travels with every command.
func text(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		data, err := scripts.ReadFile("scripts/" + name + ".sh")
		if err != nil {
			panic(err) // the file is part of the program
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimLeft(line, "\t"); line != "\n" && !strings.HasPrefix(line, "#") {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// grace is what a script may take beyond the waits it bounds itself: for
// processes to start on a busy host, and for a scan that the target leaves
// without an answer.
const grace = 60 * time.Second

// lookCmd asks what there is: of the disks either everything, or in brief who
// uses them.
func lookCmd(t onevolume.Target, brief bool) command.Cmd {
	return command.Cmd{Name: NameLook, Script: lookScript, Args: append(unitArgs(t), word(brief, "brief")), ReadOnly: true}
}

// word gives an argument of a script that says yes or nothing.
func word(yes bool, s string) string {
	if yes {
		return s
	}
	return ""
}

// chore is what is done first with a unit that a session has.
type chore string

const (
	nothing chore = ""
	purge   chore = "purge"  // the kernel forgets it and looks again
	permit  chore = "permit" // udev sets its rights as when it appeared
)

// prepareCmd makes the unit appear in a session.
func (i *Initiator) prepareCmd(t onevolume.Target, session int, do chore) command.Cmd {
	return command.Cmd{
		Name: NamePrepare, Script: prepareScript,
		Args:    append(unitArgs(t), strconv.Itoa(session), seconds(i.opt.ScanBudget), seconds(i.opt.RecoveryWait), string(do)),
		Timeout: i.opt.ScanBudget + i.opt.RecoveryWait + grace,
	}
}

// loginCmd logs in at one portal and makes the unit appear; if first, only
// when there is no session with the target yet. The portal is probed when
// there are others: a dead one would cost the whole login time-out, a probe
// only a moment, but targets log it as a broken login.
func (i *Initiator) loginCmd(t onevolume.Target, p onevolume.Portal, first bool) command.Cmd {
	limit := time.Duration(i.opt.LoginRetries+1) * (i.opt.LoginTimeout + 2*time.Second)
	args := append(unitArgs(t), seconds(i.opt.ScanBudget),
		p.String(), p.Addr().String(), port(p), word(first, "first"),
		word(len(t.Portals) > 1, "probe"), mark)
	return command.Cmd{
		Name: NameLogin, Script: loginScript,
		Args:    args,
		Stdin:   i.record(t.CHAP),
		Timeout: limit + i.opt.ScanBudget + grace,
	}
}

// mark is what node.session.err_timeo.tgt_reset_timeout is set to: a second
// more than everybody's default. The kernel shows it with the session, which
// proves that the session was made by our lines.
const mark = "31"

// record is what is added to the node record that iscsiadm makes from the
// host's defaults: our settings, and the credentials, which must be in no
// argument list.
func (i *Initiator) record(c onevolume.CHAP) command.Secret {
	var b strings.Builder
	set := func(name, value string) { b.WriteString(name + " = " + value + "\n") }
	// Only the unit we ask for may appear.
	set("node.session.scan", "manual")
	// After a reboot the daemon knows best what belongs on the host.
	set("node.startup", "manual")
	set("node.conn[0].startup", "manual")
	set("node.session.nr_sessions", "1")
	set("node.session.initial_login_retry_max", strconv.Itoa(i.opt.LoginRetries))
	set("node.conn[0].timeo.login_timeout", seconds(i.opt.LoginTimeout))
	set("node.session.timeo.replacement_timeout", seconds(i.opt.ReplacementTimeout))
	set("node.session.err_timeo.tgt_reset_timeout", mark)
	if c.User != "" {
		set("node.session.auth.authmethod", "CHAP")
		set("node.session.auth.username", c.User)
		set("node.session.auth.password", c.Secret)
	}
	if c.UserIn != "" {
		set("node.session.auth.username_in", c.UserIn)
		set("node.session.auth.password_in", c.SecretIn)
	}
	return command.Secret(b.String())
}

// The modes of a release.
const (
	orderly  = ""      // stop when the disk cannot be flushed
	forced   = "force" // go on then
	diskOnly = "disk"  // leave sessions and records alone
)

func (i *Initiator) releaseCmd(t onevolume.Target, mode string, sessions []int, portals []onevolume.Portal) command.Cmd {
	args := append(unitArgs(t), seconds(i.opt.FlushTimeout), mode, strconv.Itoa(len(sessions)))
	for _, s := range sessions {
		args = append(args, strconv.Itoa(s))
	}
	for _, p := range portals {
		args = append(args, p.String())
	}
	return command.Cmd{
		Name: NameRelease, Script: releaseScript, Args: args,
		// A disk whose session is lost goes when its last commands fail.
		Timeout: i.opt.FlushTimeout + i.opt.ReplacementTimeout + grace,
	}
}

// unitArgs are the words with which each script begins.
func unitArgs(t onevolume.Target) []string {
	alt := "-"
	if t.LUN >= firstFlat {
		alt = strconv.Itoa(int(t.LUN) | flat)
	}
	return []string{string(t.IQN), strconv.Itoa(int(t.LUN)), alt}
}

// Numbers from 256 up come in two ways over the wire (SAM-5 §4.7.7): as they
// are, or in flat space addressing, which Linux shows with that method's bits
// still in the number.
const (
	firstFlat = 256
	flat      = 0x4000
)

// pathLUN is the number as udev's path_id prints it.
func pathLUN(l onevolume.LUN) string {
	if l < firstFlat {
		return strconv.Itoa(int(l))
	}
	hex := strconv.FormatInt(int64(l), 16)
	return "0x" + strings.Repeat("0", max(0, 4-len(hex))) + hex + "000000000000"
}

func port(p onevolume.Portal) string { return strconv.Itoa(int(p.Port())) }

// seconds rounds up: a bound that is not there would be none.
func seconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}

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
)

var (
	lookScript    = text("sysfs", "look")
	prepareScript = text("sysfs", "appear", "prepare")
	loginScript   = text("sysfs", "appear", "login")
	releaseScript = text("sysfs", "appear", "release")
	checkScript   = text("check")
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

func lookCmd(t onevolume.Target) command.Cmd {
	return command.Cmd{Name: NameLook, Script: lookScript, Args: unitArgs(t), ReadOnly: true}
}

// prepareCmd makes the unit appear in a session, forgetting it first if purge.
func (i *Initiator) prepareCmd(t onevolume.Target, session int, purge bool) command.Cmd {
	word := ""
	if purge {
		word = "purge"
	}
	return command.Cmd{
		Name: NamePrepare, Script: prepareScript,
		Args:    append(unitArgs(t), strconv.Itoa(session), seconds(i.opt.ScanBudget), seconds(i.opt.RecoveryWait), word),
		Timeout: i.opt.ScanBudget + i.opt.RecoveryWait + grace,
	}
}

// loginCmd logs in at one portal and makes the unit appear. The portal is
// probed first when there are others: a dead one would cost the whole login
// time-out, a probe only a moment, but targets log it as a broken login.
func (i *Initiator) loginCmd(t onevolume.Target, p onevolume.Portal) command.Cmd {
	limit := time.Duration(i.opt.LoginRetries+1)*(i.opt.LoginTimeout+2*time.Second) + 10*time.Second
	probe, secret := "", ""
	if len(t.Portals) > 1 {
		probe = "probe"
	}
	lines := secretLines(t.CHAP)
	if len(lines) > 0 {
		secret = "secret"
	}
	args := append(unitArgs(t), seconds(i.opt.ScanBudget),
		p.String(), p.Addr().String(), port(p), seconds(limit), probe, secret)
	return command.Cmd{
		Name: NameLogin, Script: loginScript,
		Args:    append(args, i.settings(t)...),
		Stdin:   lines,
		Timeout: limit + i.opt.ScanBudget + grace,
	}
}

// settings are the options of the node record that no secret is in.
func (i *Initiator) settings(t onevolume.Target) []string {
	var args []string
	set := func(name, value string) { args = append(args, "-n", name, "-v", value) }
	// Only the unit we ask for may appear.
	set("node.session.scan", "manual")
	// After a reboot the daemon knows best what belongs on the host.
	set("node.startup", "manual")
	set("node.conn[0].startup", "manual")
	set("node.session.nr_sessions", "1")
	set("node.session.initial_login_retry_max", strconv.Itoa(i.opt.LoginRetries))
	set("node.conn[0].timeo.login_timeout", seconds(i.opt.LoginTimeout))
	set("node.session.timeo.replacement_timeout", seconds(i.opt.ReplacementTimeout))
	if t.CHAP.User != "" && t.CHAP.UserIn == "" {
		// The host's iscsid.conf may have a pair for all targets.
		set("node.session.auth.username_in", "")
		set("node.session.auth.password_in", "")
	}
	return args
}

// secretLines are the lines of the node record with the credentials.
func secretLines(c onevolume.CHAP) command.Secret {
	if c.User == "" {
		return nil
	}
	var b strings.Builder
	line := func(name, value string) { b.WriteString("node.session.auth." + name + " = " + value + "\n") }
	line("authmethod", "CHAP")
	line("username", c.User)
	line("password", c.Secret)
	if c.UserIn != "" {
		line("username_in", c.UserIn)
		line("password_in", c.SecretIn)
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

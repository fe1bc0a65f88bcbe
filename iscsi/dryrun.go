package iscsi

import (
	"fmt"

	"onevolume"
	"onevolume/command"
)

// ConnectCommands gives the commands with which Connect changes the host in
// the usual case: no session yet, and the first portal answers. What stands
// in angle brackets is known only then. Secrets are not shown.
func (i *Initiator) ConnectCommands(t onevolume.Target) []command.Cmd {
	if len(t.Portals) == 0 {
		return nil
	}
	p := t.Portals[0]
	node := func(words ...string) command.Cmd {
		return root(append([]string{"iscsiadm", "-m", "node", "-T", string(t.IQN), "-p", p.String()}, words...)...)
	}
	set := root("tee", "-a", fmt.Sprintf("/etc/iscsi/nodes/%s/%s,%s", t.IQN, p.Addr(), port(p)))
	set.Stdin = i.record(t.CHAP)
	scan := root("tee", "/sys/class/scsi_host/host<H>/scan")
	scan.Stdin, scan.Plain = command.Secret(fmt.Sprintf("0 0 %d\n", t.LUN)), true
	return []command.Cmd{node("-o", "new"), set, node("--login"), scan}
}

// ReleaseCommands gives the commands with which Release changes the host in
// the usual case: one disk, and the session is needed by no other.
func (i *Initiator) ReleaseCommands(t onevolume.Target) []command.Cmd {
	list := []command.Cmd{
		root("blockdev", "--flushbufs", "/dev/<sdX>"),
		root("tee", fmt.Sprintf("/sys/class/iscsi_session/session<S>/device/target<H:C:T>/<H:C:T>:%d/delete", t.LUN)),
		root("iscsiadm", "-m", "session", "-r", "<S>", "-u"),
	}
	list[1].Stdin, list[1].Plain = command.Secret("1\n"), true
	for _, p := range t.Portals {
		list = append(list, root("iscsiadm", "-m", "node", "-T", string(t.IQN), "-p", p.String(), "-o", "delete"))
	}
	return list
}

func root(argv ...string) command.Cmd { return command.Cmd{Argv: argv, Sudo: true} }

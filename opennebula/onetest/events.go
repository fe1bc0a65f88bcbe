package onetest

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/go-zeromq/zmq4"
)

// Names of states, as oned's events have them (include/VirtualMachine.h and
// include/Host.h, 7.4).
var (
	vmStates  = strings.Fields("INIT PENDING HOLD ACTIVE STOPPED SUSPENDED DONE FAILED POWEROFF UNDEPLOYED CLONING CLONING_FAILURE")
	lcmStates = map[int]string{0: "LCM_INIT", 1: "PROLOG", 2: "BOOT", 3: "RUNNING", 4: "MIGRATE", 5: "SAVE_STOP", 6: "SAVE_SUSPEND",
		7: "SAVE_MIGRATE", 8: "PROLOG_MIGRATE", 9: "PROLOG_RESUME", 10: "EPILOG_STOP", 11: "EPILOG", 12: "SHUTDOWN",
		15: "CLEANUP_RESUBMIT", 16: "UNKNOWN", 17: "HOTPLUG", 18: "SHUTDOWN_POWEROFF", 19: "BOOT_UNKNOWN", 20: "BOOT_POWEROFF",
		21: "BOOT_SUSPENDED", 22: "BOOT_STOPPED", 29: "SHUTDOWN_UNDEPLOY", 30: "EPILOG_UNDEPLOY", 31: "PROLOG_UNDEPLOY",
		32: "BOOT_UNDEPLOY", 35: "BOOT_MIGRATE", 36: "BOOT_FAILURE"}
	hostStates = []string{"INIT", "MONITORED", "MONITORED", "ERROR", "DISABLED", "MONITORED", "INIT", "DISABLED", "OFFLINE"}
)

// StartEvents has the stand-in publish its events on loopback until the test
// ends, as oned's HM_MAD does: each change of a state under two keys, in two
// frames, the second the document in base64. It gives the address.
func (o *Oned) StartEvents(t testing.TB) string {
	t.Helper()
	return o.StartEventsAt(t, "tcp://127.0.0.1:0")
}

// StartEventsAt does so at an address.
func (o *Oned) StartEventsAt(t testing.TB, address string) string {
	t.Helper()
	pub := zmq4.NewPub(context.Background())
	if err := pub.Listen(address); err != nil {
		t.Fatal(err)
	}
	o.lock(func() { o.pub = pub })
	t.Cleanup(o.StopEvents)
	return "tcp://" + pub.Addr().String()
}

// StopEvents ends the publishing, with all its connections.
func (o *Oned) StopEvents() {
	o.lock(func() {
		if o.pub != nil {
			_ = o.pub.Close() // nobody is served any more, whatever it says
		}
		o.pub = nil
	})
}

// Announce publishes a message with any key and document.
func (o *Oned) Announce(key, document string) {
	o.lock(func() { o.announce(key, document) })
}

func (o *Oned) announce(key, document string) {
	if o.pub == nil {
		return
	}
	body := base64.StdEncoding.EncodeToString([]byte(document))
	if err := o.pub.SendMulti(zmq4.NewMsgFrom([]byte(key), []byte(body))); err != nil {
		panic(fmt.Sprintf("onetest: publishing %q: %v", key, err))
	}
}

// tell publishes the state that a VM has come into; the lock is held.
func (o *Oned) tell(m *machine) {
	if o.pub == nil {
		return
	}
	state, lcm, remote := vmStates[m.State], lcmName(m), "<REMOTE_HOST/>"
	if m.Host != "" {
		remote = "<REMOTE_HOST>" + m.Host + "</REMOTE_HOST>"
	}
	document := fmt.Sprintf("<HOOK_MESSAGE><HOOK_TYPE>STATE</HOOK_TYPE><HOOK_OBJECT>VM</HOOK_OBJECT><STATE>%s</STATE><LCM_STATE>%s</LCM_STATE>"+
		"<RESOURCE_ID>%d</RESOURCE_ID>%s%s</HOOK_MESSAGE>", state, lcm, m.ID, remote, o.vmXML(m))
	o.announce(fmt.Sprintf("EVENT VM %d/%s/%s ", m.ID, state, lcm), document)
	o.announce(fmt.Sprintf("EVENT STATE VM/%s/%s/%d ", state, lcm, m.ID), document)
}

func lcmName(m *machine) string {
	if name, ok := lcmStates[m.LCMState]; ok {
		return name
	}
	panic(fmt.Sprintf("onetest: no name for LCM_STATE %d", m.LCMState))
}

// SetHostState puts a host in a state; it panics when there is no such host.
func (o *Oned) SetHostState(name string, state int) {
	o.lock(func() {
		h := o.host(name)
		for i := range o.hosts {
			if o.hosts[i].ID == h.ID {
				o.hosts[i].State, h.State = state, state
			}
		}
		word := hostStates[state]
		document := fmt.Sprintf("<HOOK_MESSAGE><HOOK_TYPE>STATE</HOOK_TYPE><HOOK_OBJECT>HOST</HOOK_OBJECT><STATE>%s</STATE>"+
			"<REMOTE_HOST>%s</REMOTE_HOST><RESOURCE_ID>%d</RESOURCE_ID>%s</HOOK_MESSAGE>", word, h.Name, h.ID, o.hostXML(h))
		o.announce(fmt.Sprintf("EVENT HOST %d/%s/ ", h.ID, word), document)
		o.announce(fmt.Sprintf("EVENT STATE HOST/%s//%d ", word, h.ID), document)
	})
}

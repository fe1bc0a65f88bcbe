package iscsi

import (
	"fmt"

	"onevolume"
)

// Exit statuses of iscsiadm that something depends on (open-iscsi 2.1.8,
// include/iscsi_err.h and iscsiadm(8)).
const (
	exitSessNotFound  = 2
	exitTrans         = 4 // also: the address was not understood
	exitLogin         = 5
	exitIDBM          = 6
	exitInval         = 7
	exitTransTimeout  = 8
	exitInternal      = 9
	exitLogout        = 10
	exitPDUTimeout    = 11
	exitAccess        = 13
	exitSessExists    = 15
	exitISCSIDComm    = 18
	exitFatalLogin    = 19
	exitISCSIDNotConn = 20
	exitNoObjects     = 21
	exitAuth          = 24
	exitBusy          = 28
	exitAgain         = 29
	exitNotConnected  = 32
	exitReqTimedOut   = 33
	exitTimedOut      = 124 // timeout(1): it did not end in time
	exitNotFound      = 127 // the shell's: no such command
)

// outcome is what an exit status means: to the person who reads it, to the
// caller, and to whoever thinks of trying another portal.
type outcome struct {
	text string
	code onevolume.Code
	stop bool // no other portal will do better
	hint string
}

const (
	hintPortal = "check that the target listens on this address and that the host's network leads there"
	hintISCSID = "start it on the host: systemctl enable --now iscsid.socket iscsid"
	hintACL    = "allow this initiator on the array, and check the target's name"
	hintCHAP   = "correct the volume's CHAP credentials, or the array's; they are not tried again, since arrays lock initiators out"
	hintOld    = "open-iscsi 2.0.874 or newer is needed (node.session.scan)"
	hintBusy   = "try again; if it stays so, look after the records: iscsiadm -m node"
)

// outcomes names what a login can end with. Others are failures of the
// portal at hand.
var outcomes = map[int]outcome{
	exitTrans:         {"the portal cannot be reached", onevolume.Unreachable, false, hintPortal},
	exitTransTimeout:  {"the portal did not answer", onevolume.Unreachable, false, hintPortal},
	exitPDUTimeout:    {"the portal did not answer", onevolume.Unreachable, false, hintPortal},
	exitReqTimedOut:   {"the portal did not answer", onevolume.Unreachable, false, hintPortal},
	exitNotConnected:  {"the connection broke", onevolume.Unreachable, false, hintPortal},
	exitLogin:         {"the login failed", onevolume.Refused, false, hintACL},
	exitFatalLogin:    {"the target is unknown there or refuses this initiator", onevolume.Refused, false, hintACL},
	exitAuth:          {"the target refuses the CHAP credentials", onevolume.Refused, true, hintCHAP},
	exitAccess:        {"iscsiadm was refused access", onevolume.Refused, true, hintSudo},
	exitInval:         {"iscsiadm does not know one of the settings", onevolume.Refused, true, hintOld},
	exitIDBM:          {"the record data base is damaged or locked", onevolume.Busy, true, hintBusy},
	exitBusy:          {"iscsid is busy", onevolume.Busy, true, hintBusy},
	exitAgain:         {"iscsid is busy", onevolume.Busy, true, hintBusy},
	exitISCSIDComm:    {"iscsid does not answer", onevolume.Refused, true, hintISCSID},
	exitISCSIDNotConn: {"iscsid is not running", onevolume.Refused, true, hintISCSID},
	exitNoObjects:     {"the node record vanished", onevolume.Busy, true, hintBusy},
	exitNotFound:      {"iscsiadm is not installed", onevolume.Refused, true, "install open-iscsi on the host"},
}

// meaning gives the outcome of an exit status.
func meaning(code int) outcome {
	if o, ok := outcomes[code]; ok {
		return o
	}
	return outcome{fmt.Sprintf("iscsiadm ended with status %d", code), onevolume.Refused, false, "look at the log of iscsid on the host"}
}

// hintSudo names what OpenNebula's own sudoers file already allows.
const hintSudo = "let the user run iscsiadm, tee and blockdev without a password: the alias ONE_SCSI of OpenNebula's sudoers file has them (opennebula-node packages)"

package opennebula

import "fmt"

// State is what oned calls a VM's state.
type State int

// The states that matter here; the numbers are oned's.
const (
	Pending    State = 1
	Active     State = 3
	Stopped    State = 4
	Suspended  State = 5
	Done       State = 6
	Poweroff   State = 8
	Undeployed State = 9
)

// LCMState tells the steps of an active VM's life apart (LCM is oned's
// life-cycle manager).
type LCMState int

// The LCM states that matter here.
const (
	LCMInit LCMState = 0
	Running LCMState = 3
	Unknown LCMState = 16
)

// states are oned's names (include/VirtualMachine.h, 7.4); 7 was FAILED once.
var states = [...]string{"INIT", "PENDING", "HOLD", "ACTIVE", "STOPPED", "SUSPENDED", "DONE", "", "POWEROFF",
	"UNDEPLOYED", "CLONING", "CLONING_FAILURE"}

func (s State) String() string { return name(states[:], int(s), "STATE") }

var lcmStates = [...]string{"LCM_INIT", "PROLOG", "BOOT", "RUNNING", "MIGRATE", "SAVE_STOP", "SAVE_SUSPEND", "SAVE_MIGRATE",
	"PROLOG_MIGRATE", "PROLOG_RESUME", "EPILOG_STOP", "EPILOG", "SHUTDOWN", "", "", "CLEANUP_RESUBMIT", "UNKNOWN", "HOTPLUG",
	"SHUTDOWN_POWEROFF", "BOOT_UNKNOWN", "BOOT_POWEROFF", "BOOT_SUSPENDED", "BOOT_STOPPED", "CLEANUP_DELETE",
	"HOTPLUG_SNAPSHOT", "HOTPLUG_NIC", "HOTPLUG_SAVEAS", "HOTPLUG_SAVEAS_POWEROFF", "HOTPLUG_SAVEAS_SUSPENDED",
	"SHUTDOWN_UNDEPLOY", "EPILOG_UNDEPLOY", "PROLOG_UNDEPLOY", "BOOT_UNDEPLOY", "HOTPLUG_PROLOG_POWEROFF",
	"HOTPLUG_EPILOG_POWEROFF", "BOOT_MIGRATE", "BOOT_FAILURE", "BOOT_MIGRATE_FAILURE", "PROLOG_MIGRATE_FAILURE",
	"PROLOG_FAILURE", "EPILOG_FAILURE", "EPILOG_STOP_FAILURE", "EPILOG_UNDEPLOY_FAILURE", "PROLOG_MIGRATE_POWEROFF",
	"PROLOG_MIGRATE_POWEROFF_FAILURE", "PROLOG_MIGRATE_SUSPEND", "PROLOG_MIGRATE_SUSPEND_FAILURE", "BOOT_UNDEPLOY_FAILURE",
	"BOOT_STOPPED_FAILURE", "PROLOG_RESUME_FAILURE", "PROLOG_UNDEPLOY_FAILURE", "DISK_SNAPSHOT_POWEROFF",
	"DISK_SNAPSHOT_REVERT_POWEROFF", "DISK_SNAPSHOT_DELETE_POWEROFF", "DISK_SNAPSHOT_SUSPENDED",
	"DISK_SNAPSHOT_REVERT_SUSPENDED", "DISK_SNAPSHOT_DELETE_SUSPENDED", "DISK_SNAPSHOT", "", "DISK_SNAPSHOT_DELETE",
	"PROLOG_MIGRATE_UNKNOWN", "PROLOG_MIGRATE_UNKNOWN_FAILURE", "DISK_RESIZE", "DISK_RESIZE_POWEROFF",
	"DISK_RESIZE_UNDEPLOYED", "HOTPLUG_NIC_POWEROFF", "HOTPLUG_RESIZE", "HOTPLUG_SAVEAS_UNDEPLOYED",
	"HOTPLUG_SAVEAS_STOPPED", "BACKUP", "BACKUP_POWEROFF", "RESTORE"}

func (s LCMState) String() string { return name(lcmStates[:], int(s), "LCM_STATE") }

// HostState is what oned calls a host's state.
type HostState int

// The host states that matter here.
const (
	HostError           HostState = 3
	HostMonitoringError HostState = 5 // in ERROR, and being monitored again
	HostOffline         HostState = 8 // set so by an administrator
)

var hostStates = [...]string{"INIT", "MONITORING_MONITORED", "MONITORED", "ERROR", "DISABLED", "MONITORING_ERROR",
	"MONITORING_INIT", "MONITORING_DISABLED", "OFFLINE"}

func (s HostState) String() string { return name(hostStates[:], int(s), "STATE") }

// name is the state's name, or its number for one of a later version.
func name(names []string, n int, what string) string {
	if n < 0 || n >= len(names) || names[n] == "" {
		return fmt.Sprintf("%s %d", what, n)
	}
	return names[n]
}

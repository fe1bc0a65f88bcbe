package xmlrpc_test

// reference is what docs/api.md says of a method beside what the method's
// table knows: its name, help, and the types of its parameters.
type reference struct {
	method string
	params []param // after the session
	needs  string  // who may
	gives  string  // the answer's value
	errors []failure
	// The example is really called, as this session, in the order of the
	// references, on one inventory.
	session string
	args    []any
}

type param struct{ name, about string }

// failure is a code that is not among those that all methods have.
type failure struct{ code, when string }

const (
	theVolume   = "the volume's id"
	anOperation = "the operation's id"
	admins      = "oneadmin's group"
	manage      = "MANAGE on the volume"
	anID        = "the volume's id"
)

var (
	id      = param{"id", "the volume's"}
	op      = param{"operation", "its id"}
	gen     = param{"generation", "which its owner holds"}
	pooling = []param{{"filter", "-4 the primary group's, -3 one's own, -2 all, -1 one's own and one's groups', or a user's id"},
		{"first", "the lowest id, -1 for all; with last below -1 the offset of a page"},
		{"last", "the highest id, -1 for no bound; below -1 the size of a page, negated"},
		{"state", "the number of a state; -1 or -2 for all"}, {"search", "`NAME=…` or `VM_ID=…`"}}
	stale   = failure{"LOCKED", "the operation was taken over or has ended: stop"}
	invalid = failure{"RPC_API", "a value cannot be read"}
	state   = failure{"ACTION", "not possible in the volume's state"}
)

const unit = "NAME = disk3\nIQN = \"iqn.2026-11.org.example:disk3\"\nPORTALS = \"10.0.0.1,10.0.0.2\"\nSIZE = 65536\nCOLOUR = red"

const reserveRequest = "<REQUEST><KIND>attach</KIND><VM><ID>17</ID><NAME>web</NAME><HOSTNAME>node4</HOSTNAME><VM_MAD>kvm</VM_MAD>" +
	"<DEPLOY_ID>one-17</DEPLOY_ID><OWNER><UID>5</UID><GID>100</GID><UNAME>alice</UNAME><GNAME>users</GNAME></OWNER><RUNNING>true</RUNNING></VM>" +
	"<VOLUME>0</VOLUME><SIZE_BYTES>0</SIZE_BYTES><EXACT>false</EXACT><ARRAY></ARRAY><LEAVE></LEAVE><OWNER>onevolume@admin pid 4242</OWNER>" +
	"<LEASE_MS>30000</LEASE_MS><DRY_RUN>false</DRY_RUN></REQUEST>"

const emptyNote = "<NOTE><STATUS></STATUS><HOST></HOST><DEVICE></DEVICE><SOURCE></SOURCE><SERIAL></SERIAL><UNIT_SERIAL></UNIT_SERIAL><WWID></WWID></NOTE>"

// What OpenNebula's scripts say of a VM that moves.
var (
	moving     = []param{{"vm", "its id"}, {"host", "the host that it goes to, by oned's name; what was said before to one.volume.postmigrate and one.volume.failmigrate"}}
	cannotMove = []failure{{"ACTION", "a volume is in another state or held, it is another logical unit there, or would have another name"},
		{"INTERNAL", "a host or the target does not answer, or not all are ready within 90 seconds"}, {"NO_EXISTS", "oned has no such VM"}}
	goesOn = []failure{{"INTERNAL", "not all have settled within 30 seconds, which goes on"}, {"ACTION", "a volume is in ERROR"}}
)

const moved = "the number of volumes "

// references are in the order of docs/api.md, and of the examples.
var references = []reference{
	{"one.volume.allocate", []param{{"template", "NAME, IQN, PORTALS and SIZE (exact; MB unless it has a unit); LUN, ARRAY, UNIT_SERIAL, WWID, CHAP_USER, CHAP_SECRET, CHAP_USER_IN, CHAP_SECRET_IN; what else is there is kept as it is. Without IQN and PORTALS, with ARRAY and SIZE (at least), and perhaps SNAPSHOT, the volume is made"}},
		admins + "; for a volume that is made everybody, where the array's configuration says so", theVolume, []failure{{"ALLOCATE", "the name is taken or breaks the rules, something is missing, or the logical unit is registered already"},
			{"INTERNAL", "the template cannot be parsed"}, invalid}, asRoot, []any{unit}},
	{"one.volume.info", []param{id, {"decrypt", "with it administrators see the CHAP secrets, which the audit keeps"}},
		"USE on the volume; no lock keeps from it", "`VOLUME`", nil, asRoot, []any{0}},
	{"one.volume.update", []param{id, {"template", "attributes; of the inventory's own all but NAME, IQN and LUN"}, {"mode", "0 replaces what is there, 1 joins it"}},
		manage + "; ADMIN and " + admins + " for the inventory's own attributes", anID, []failure{{"INTERNAL", "the template cannot be parsed"}, invalid, state}, asRoot, []any{0, "COLOUR = blue", 1}},
	{"one.volume.rename", []param{id, {"name", "128 characters at most, without those that oned refuses in names, and no number"}}, manage, anID,
		[]failure{{"ACTION", "the name breaks the rules, or another volume of the owner's has it"}}, asRoot, []any{0, "data"}},
	{"one.volume.chown", []param{id, {"user", "-1 leaves it"}, {"group", "-1 leaves it"}},
		manage + ", MANAGE on another user, USE on another group", anID, []failure{{"INTERNAL", "the new owner has a volume of that name"}}, asRoot, []any{0, 5, 100}},
	{"one.volume.chmod", []param{id, {"owner_use", "1, 0, or -1 to leave it, as all that follow"}, {"owner_manage", ""}, {"owner_admin", ""}, {"group_use", ""}, {"group_manage", ""},
		{"group_admin", ""}, {"other_use", ""}, {"other_manage", ""}, {"other_admin", ""}}, manage + "; ADMIN when an admin bit changes", anID,
		[]failure{{"INTERNAL", "a bit is something else"}}, asAlice, []any{0, -1, -1, -1, 1, -1, -1, 0, 0, -1}},
	{"one.volume.lock", []param{id, {"level", "1 USE, 2 MANAGE, 3 ADMIN, 4 ALL, which is USE"}, {"test", "refuse when it is locked already; the message is the lock's time"}},
		manage + "; no lock keeps from it", anID, []failure{{"ACTION", "no such level, or somebody else has locked it"}}, asAlice, []any{0, 2}},
	{"one.volume.unlock", []param{id}, manage + ", and to be who locked it or an administrator", anID, []failure{{"ACTION", "somebody else has locked it"}}, asAlice, []any{0}},
	{"one.volume.enable", []param{id, {"enable", "false keeps a free volume from being picked and attached"}}, manage, anID,
		[]failure{{"INTERNAL", "it is in a VM, or in an operation"}}, asAlice, []any{0, true}},
	{"one.volume.resize", []param{id, {"size", "at least so much on an array that made it; of a registered one what the logical unit has now, exactly; MB unless it has a unit"}}, manage + "; ADMIN and " + admins + " for a registered one", anID,
		[]failure{invalid, {"ACTION", "it would shrink, or is in a VM or in an operation"}}, asRoot, []any{0, "128G"}},
	{"one.volumepool.info", pooling, "everybody: one's own volumes and those that one may USE", "`VOLUME_POOL`, the newest first",
		[]failure{{"RPC_API", "no such filter, state or search"}}, asAlice, []any{-2, 0, -200}},
	{"one.volume.attach", []param{{"vm", "its id"}, {"volume", "its id, or -1 to pick the smallest free one that fits"}, {"size", "at least so many MB, for -1"},
		{"template", "EXACT = YES, ARRAY, and SIZE_BYTES instead of the MB"}}, "MANAGE on the VM, USE on the volume",
		theVolume + ", when it is reserved; its OPERATION tells how it goes on", []failure{{"ACTION", "none fits, or the VM or the volume is in another state"}, {"RPC_API", "neither a volume nor a size"}},
		asAlice, []any{17, 0}},
	{"one.volume.detach", []param{{"vm", "its id"}, {"volume", "its id"}, {"template", "FORMAT = zero (the default), ext4, xfs or none; FORCE = YES takes it from a guest that does not let go (Xen)"}},
		"MANAGE on the VM; a lock of USE keeps from it, one of MANAGE from what wipes", theVolume + ", when the operation has begun", []failure{state, invalid}, asAlice, []any{17, 0, "FORMAT = none"}},
	{"one.volume.reserve", []param{{"request", "`REQUEST`"}}, admins, "`RESERVATION`, with the CHAP secrets", []failure{{"ACTION", "none fits, or the volume is in another state or held"}, invalid},
		asRoot, []any{reserveRequest}},
	{"one.volume.journal", []param{op, gen, {"record", "`RECORD`"}}, admins, anOperation, []failure{stale, invalid}, asRoot,
		[]any{1, 1, "<RECORD><ENTRY><SEQ>1</SEQ><STEP>connect</STEP><EVENT>STARTED</EVENT><TIME>1795197725000</TIME><GENERATION>1</GENERATION><OWNER></OWNER><DETAIL></DETAIL></ENTRY>" + emptyNote + "</RECORD>"}},
	{"one.volume.grant", []param{op, gen, {"initiator", "the host's iSCSI name"}}, admins, "`ACCESS`: credentials that are new, and what the logical unit will say of itself",
		[]failure{stale, {"ACTION", "another host is logged in, or the array refuses"}, {"NO_EXISTS", "no such array is configured"}, {"INTERNAL", "the array does not answer"}, invalid},
		asRoot, []any{1, 1, "iqn.2026-11.org.example:node4"}},
	{"one.volume.revoke", []param{op, gen, {"initiator", "the host's iSCSI name; empty for everybody's right"}}, admins, anOperation,
		[]failure{stale, {"ACTION", "a host is logged in, or the array refuses"}, {"NO_EXISTS", "no such array is configured"}, {"INTERNAL", "the array does not answer"}},
		asRoot, []any{1, 1, ""}},
	{"one.volume.premigrate", moving, admins, moved + "that are proven to be on the host, under the names that the VM knows them by, and wait for it there; 0 is nothing to do. It may be repeated: a second call waits for what the first began. With an error nothing of it is left on that host, and the VM must not move", cannotMove, asRoot, []any{17, "node5"}},
	{"one.volume.postmigrate", moving, admins, moved + "that have settled. The caller is not believed: where the VM's domain is, its hosts are asked", goesOn, asRoot, []any{17, "node5"}},
	{"one.volume.failmigrate", moving, admins, moved + "that have settled, as of one.volume.postmigrate", goesOn, asRoot, []any{17, "node5"}},
	{"one.volume.prerestore", moving, admins, moved + "that the saved VM can be restored with on the host, which may be the one where it was saved; otherwise as one.volume.premigrate", cannotMove, asRoot, []any{17, "node4"}},
	{"one.volume.predeploy", moving, admins, moved + "that another host was logged out of; their disks are plugged when the VM runs", []failure{{"ACTION", "a domain on another host has a volume: the VM must not be started"}, {"NO_EXISTS", "oned has no such VM"}}, asRoot, []any{17, "node4"}},
	{"one.volume.hint", []param{{"kind", "VM or HOST"}, {"id", "its id"}}, admins, "the id. It is as good as an event of oned's: what happened is looked for, as it is from time to time without any",
		[]failure{invalid, {"ACTION", "this daemon does not follow VMs"}}, asRoot, []any{"VM", 17}},
	{"one.volume.migratecheck", moving, admins, "`CHECK_POOL`: what was looked at, whether it is right, and what to do. Each volume is prepared as by one.volume.premigrate, and that is taken back", []failure{{"NO_EXISTS", "oned has no such VM"}}, asRoot, []any{17, "node5"}},
	{"one.volumepool.infoextended", pooling, "everybody: one's own volumes and those that one may USE",
		"`VOLUME_POOL`, each volume with its `NEWEST_OPERATION`", []failure{{"RPC_API", "no such filter, state or search"}}, asAlice, []any{-2, -1, -1, -1, "VM_ID=17"}},
	{"one.volume.running", nil, admins, "`OPERATION_POOL` of those that have not ended", nil, asRoot, nil},
	{"one.volume.confirm", []param{op, gen, {"ending", "`ENDING` with the status DONE"}}, admins, anOperation, []failure{stale, invalid}, asRoot,
		[]any{1, 1, "<ENDING><STATUS>DONE</STATUS><VOLUME_STATUS>ATTACHED</VOLUME_STATUS><ERROR></ERROR><NOTE><STATUS></STATUS><HOST>node4</HOST><DEVICE>sdiv</DEVICE><SOURCE></SOURCE><SERIAL>onevolume-0</SERIAL><UNIT_SERIAL></UNIT_SERIAL><WWID></WWID></NOTE></ENDING>"}},
	{"one.volume.release", []param{op, gen, {"ending", "`ENDING` with the status UNDONE or PARKED"}}, admins, anOperation, []failure{stale, invalid}, asRoot,
		[]any{2, 1, "<ENDING><STATUS>PARKED</STATUS><VOLUME_STATUS>ERROR</VOLUME_STATUS><ERROR>node4 does not answer</ERROR>" + emptyNote + "</ENDING>"}},
	{"one.volume.operation", []param{op}, "whoever began it, USE on its volume", "`OPERATION`; commands on hosts are for " + admins, nil, asRoot, []any{1}},
	{"one.volume.resume", []param{op}, admins, theVolume + ", when the parked operation is being carried on", []failure{{"ACTION", "it is not parked"}}, asRoot, []any{2}},
	{"one.volume.abort", []param{op}, admins, theVolume + ", when the parked operation is being taken back", []failure{{"ACTION", "it is not parked, or there is no way back"}}, asRoot, []any{2}},
	{"one.volume.recover", []param{id, {"recovery", "`RECOVERY` with the status AVAILABLE, RETAINED, ATTACHED or ERROR"}}, admins, anID, []failure{{"ACTION", "an operation runs on it"}, invalid}, asRoot,
		[]any{1, "<RECOVERY><STATUS>RETAINED</STATUS><VM_ID>-1</VM_ID><HOST></HOST><DEVICE></DEVICE><SOURCE></SOURCE><SERIAL></SERIAL><REASON>node4 was taken down</REASON></RECOVERY>"}},
	{"one.volume.history", []param{{"volume", "-1 for all"}, {"vm", "-1 for all"}, {"user", "who asked; -1 for all"}, {"before", "only deeds with a smaller id; 0 for all"}, {"limit", "1000 at most"}},
		"everybody: one's own deeds and those on volumes that one may MANAGE", "`DEED_POOL`, the newest first", nil, asRoot, []any{0, -1, -1, 0, 2}},
	{"one.volume.health", nil, "everybody; findings are for " + admins, "`CHECKUP`: the last comparison with the hosts, and why the inventory is held", nil, asAlice, nil},
	{"one.volume.lift", nil, admins, "0", nil, asRoot, nil},
	{"one.volumequota.update", []param{{"of", "USER, GROUP, DEFAULT_USER or DEFAULT_GROUP"}, {"id", "of the user or the group"}, {"template", "`VOLUME = [ VOLUMES = …, SIZE = … ]`, the size in MB, -1 for the default, -2 for no limit"}},
		admins, "the user's or the group's id, -1 for the defaults", []failure{{"INTERNAL", "the template cannot be parsed"}, invalid}, asRoot, []any{"USER", 5, "VOLUME = [ VOLUMES = 10, SIZE = 204800 ]"}},
	{"one.volumequota.info", []param{{"of", "USER, GROUP, DEFAULT_USER or DEFAULT_GROUP"}, {"id", "of the user or the group; -1 for the caller's own"}},
		"one's own and one's groups', and the defaults; all for " + admins, "`USER`, `GROUP`, `DEFAULT_USER_QUOTAS` or `DEFAULT_GROUP_QUOTAS` with `VOLUME_QUOTA`", []failure{invalid}, asAlice, []any{"USER", -1}},
	{"one.volume.arraysync", []param{{"array", "its name in the daemon's configuration"}}, admins, "`SYNC`: what was done about each logical unit", []failure{{"NO_EXISTS", "no such array is configured"}}, asRoot, []any{"of1"}},
	{"one.volume.fence", []param{{"host", "its name at oned"}, {"off", "your word that it is off: for volumes that no array of ours cuts it off from"}}, admins,
		"`FENCED`: of each volume on record there whether the host is cut off, or why not", []failure{{"ACTION", "oned has the host in sight"}}, asRoot, []any{"node4", false}},
	{"one.volume.fences", nil, admins, "`FENCE_POOL`", nil, asRoot, nil},
	{"one.volume.arrayinfo", nil, "everybody", "`ARRAY_POOL`; -1 is unknown", nil, asAlice, nil},
	{"one.volume.arraychoose", []param{{"template", "as of one.volume.allocate, without IQN and PORTALS"}}, "nothing", "`ARRAY_POOL`: the array that would be taken comes first, and WHY says what speaks against others; nothing is made",
		[]failure{{"NO_EXISTS", "no such array or type, or none makes volumes"}, invalid}, asRoot, []any{"NAME = disk5\nSIZE = 1024\nTYPE = fast"}},
	{"one.volume.arraycheck", []param{{"array", "its name in the daemon's configuration"}}, admins, "`ARRAY_POOL` of the one, and in what it differs from the inventory", []failure{{"NO_EXISTS", "no such array is configured"}}, asRoot, []any{"san1"}},
	{"one.volume.snapshotcreate", []param{id, {"name", "as of a volume"}}, manage, "the snapshot's id", []failure{state, {"ALLOCATE", "the volume has one of that name"}}, asAlice, []any{0, "before"}},
	{"one.volume.snapshotdelete", []param{id, {"snapshot", "its id"}}, manage, "the snapshot's id", []failure{{"ACTION", "volumes that were made from it need it"}}, asAlice, []any{0, 0}},
	{"one.volume.snapshotrevert", []param{id, {"snapshot", "its id"}}, manage + ", and to have owned the volume then", "the snapshot's id", []failure{state}, asAlice, []any{0, 0}},
	{"one.volume.clone", []param{id, {"name", "of the new volume"}}, manage + "; and who may have volumes made on its array", theVolume, []failure{state, {"ALLOCATE", "the name is taken or breaks the rules"}}, asAlice, []any{0, "copy"}},
	{"one.volume.delete", []param{id}, manage, anID, []failure{state}, asRoot, []any{1}},
}

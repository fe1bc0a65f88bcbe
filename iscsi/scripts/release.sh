# shellcheck shell=sh disable=SC2034,SC2154
# Args: IQN LUN ALT LIMIT MODE COUNT, then COUNT session ids, then portals.
# Takes the unit's disks off the sessions, logs out of those that no other
# disk needs, and deletes the records of the portals. MODE "force" goes on
# when a disk cannot be flushed; "disk" leaves sessions and records alone.
iqn=$1 lun=$2 alt=$3 limit=$4 mode=$5 count=$6 brief=brief
shift 6

# flush UNIT-DIR
flush() {
	for p in "$1"/block/*; do
		[ -e "$p" ] || continue
		# timeout(1) waits for what it cannot kill: a root process, or one
		# that hangs in the kernel. So it gets a shell to kill, and the
		# flush goes on without us.
		# shellcheck disable=SC2086 # "sudo -n" or nothing
		timeout "$limit" sh -c '"$@"; exit $?' flush $SUDO blockdev --flushbufs "/dev/${p##*/}" </dev/null
		rc=$?
		echo "did flush $rc"
		[ "$rc" = 0 ] || [ -n "$mode" ] || [ ! -e "$p" ] || return 1
	done
}

# needed SESSION-DIR: whether any disk is left on the session. What cannot be
# read counts as a disk.
needed() {
	[ -r "$1/device/" ] && [ -x "$1/device/" ] || return 0
	for p in "$1"/device/target*; do
		[ -e "$p" ] || continue
		[ -r "$p/" ] && [ -x "$p/" ] || return 0
		for b in "$p"/*:*:*:*/block/*; do
			[ -e "$b" ] && return 0
		done
	done
	return 1
}

# leave SESSION-DIR: by the session's number, which names this one and no
# other. Whether it is gone is what sysfs says, not the exit status: iscsiadm
# also fails over sessions of others that end meanwhile.
leave() {
	for _ in 1 2 3 4 5; do
		$SUDO iscsiadm -m session -r "${1##*/session}" -u </dev/null >/dev/null
		rc=$?
		echo "did logout $rc"
		if [ $rc = 0 ] || [ ! -e "$1" ]; then break; fi
		sleep 0.2
	done
	now
	polls=0 patience=$((now + 1000))
	while [ -e "$1" ] && [ "$rc" = 0 ] && [ "$now" -lt $patience ]; do
		poll
		now
	done
	[ ! -e "$1" ]
}

# take_off: everything about the sessions; 1 when something stopped it.
take_off() {
	links=
	while [ "$count" -gt 0 ]; do
		s=/sys/class/iscsi_session/session$1
		shift
		count=$((count - 1))
		[ -e "$s" ] || continue
		for u in "$s"/device/target*/*:*:*:"$lun" "$s"/device/target*/*:*:*:"$alt"; do
			[ -e "$u" ] || continue
			link "$s" "${u##*:}"
			links="$links $link"
			flush "$u" && remove "$u" || return 1
		done
		if [ "$mode" = disk ] || needed "$s"; then
			echo "kept ${s##*/session}"
			kept=1
		else
			leave "$s" || return 1
		fi
	done
}

kept=0
all=$count
if take_off "$@"; then
	shift "$all"
	# A record is what iscsid needs to bring a lost session back.
	if [ $kept = 0 ]; then
		for portal; do
			patient -o delete
			echo "did forget $rc"
		done
	fi
	# udev is slower than the kernel: a link left behind could be taken for
	# a disk.
	now
	patience=$((now + 500)) polls=0
	for link in $links; do
		while [ -L "$link" ]; do
			now
			[ "$now" -lt $patience ] || break
			poll
		done
	done
fi
find_sessions
sessions
disks
echo end

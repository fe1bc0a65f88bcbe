# shellcheck shell=sh disable=SC2034,SC2154
# Functions: iscsiadm, and making the logical unit's disk appear and go.

# node ARG…: iscsiadm on the record of our target at $portal.
node() {
	$SUDO iscsiadm -m node -T "$iqn" -p "$portal" "$@" </dev/null >/dev/null
}

# patient ARG…: the same, again while the record data base fails (6), as it
# does when others change it at the same time, or iscsid is busy (28, 29).
# open-iscsi locks each of its steps, but not the walk through all records.
patient() {
	for _ in 1 2 3 4 5; do
		node "$@"
		rc=$?
		case $rc in
		6 | 28 | 29) sleep 0.2 ;;
		*) return ;;
		esac
	done
}

# appear SESSION-DIR BUDGET: asks the kernel to look at exactly our logical
# unit, never at all of the target (that would bring back disks which others
# have just removed), and waits for the disk. Some targets show units from
# 256 up in flat addressing ($alt). A disk that is there already is asked for
# its identity and size again: what the kernel remembers of it may be old.
appear() {
	attr "$1/target_id"; tid=${v:-0}
	sid=${1##*/session}
	host=
	for p in /sys/class/iscsi_host/host*/device/"session$sid"; do
		[ -e "$p" ] || continue
		host=${p#/sys/class/iscsi_host/host}
		host=${host%%/*}
	done
	now
	start=$now due=0 polls=0
	patience=$((start + $2 * 100))
	if shown "$1"; then
		echo 1 | $SUDO tee "$unit/rescan" >/dev/null
		echo "did rescan $?"
		return
	fi
	echo "fresh $sid"
	while :; do
		if [ $((now - start)) -ge $due ]; then
			scan "$lun"
			shown "$1" && return
			[ "$alt" = - ] || scan "$alt"
			case $due in
			0) due=400 ;;
			400) due=900 ;;
			900) due=1600 ;;
			*) due=999999 ;;
			esac
		fi
		shown "$1" && return
		now
		[ "$now" -lt "$patience" ] || return
		poll
	done
}

# scan LUN: on the channel and target of the session.
scan() {
	echo "0 $tid $1" | $SUDO tee "/sys/class/scsi_host/host$host/scan" >/dev/null
	echo "did scan $?"
}

# shown SESSION-DIR: whether the session has a disk of our unit; it is $unit
# then. The kernel shows it only when its size is known.
shown() {
	for unit in "$1"/device/target*/*:*:*:"$lun" "$1"/device/target*/*:*:*:"$alt"; do
		for p in "$unit"/block/*; do
			[ -e "$p" ] && return 0
		done
	done
	return 1
}

# purge SESSION-DIR: forgets the disks of our unit in the session, unless some
# process has one open, such as a guest.
purge() {
	for u in "$1"/device/target*/*:*:*:"$lun" "$1"/device/target*/*:*:*:"$alt"; do
		[ -e "$u" ] || continue
		for p in "$u"/block/*; do
			[ ! -e "$p" ] || ! opened "${p##*/}" || return 1
		done
		remove "$u" || return 1
	done
}

# permit SESSION-DIR: has udev set the rights of our unit's disks again, which
# its rules do only for what is added, and waits two seconds at the most until
# they are ours to read.
permit() {
	for p in "$1"/device/target*/*:*:*:"$lun"/block/* "$1"/device/target*/*:*:*:"$alt"/block/*; do
		[ -e "$p" ] || continue
		echo add | $SUDO tee "$p/uevent" >/dev/null
		now
		polls=0 limit=$((now + 200))
		until [ -r "/dev/${p##*/}" ]; do
			now
			[ "$now" -lt $limit ] || break
			poll
		done
	done
}

# opened DISK: whether any process has the disk or a partition open, as far as
# can be seen. When it cannot, it is taken for open. find complains about the
# processes that end meanwhile, and so always fails.
opened() {
	if [ -n "$(guests "$1")" ]; then
		echo "did open 1"
		return 0
	fi
	# shellcheck disable=SC2016 # $SUDO is "sudo -n" or nothing
	holders=$($SUDO find /proc -maxdepth 3 -path '/proc/[0-9]*/fd/*' \
		\( -lname "*/$1" -o -lname "*/$1[0-9]*" \) -print 2>/dev/null </dev/null; echo "$?")
	case $holders in
	0 | 1) [ -n "$SUDO" ] && ! $SUDO find /proc -maxdepth 0 >/dev/null 2>&1 </dev/null ;;
	*) echo "did open 1" ;;
	esac
}

# remove UNIT-DIR: makes the kernel forget the unit, and waits for it. The
# directory may go at any moment, then all is well.
remove() {
	echo 1 | $SUDO tee "$1/delete" >/dev/null
	rc=$?
	now
	polls=0 patience=$((now + 3000))
	while [ -e "$1" ]; do
		now
		if [ "$now" -ge $patience ]; then
			echo "stuck ${1##*/}"
			return 1
		fi
		[ $rc = 0 ] || break
		poll
	done
	[ ! -e "$1" ] || echo "did delete $rc"
	[ ! -e "$1" ]
}

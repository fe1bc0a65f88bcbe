# shellcheck shell=sh disable=SC2034,SC2154
# What sysfs says of the sessions with the target $iqn and of the devices of
# its logical unit $lun (or $alt, see LUN in Go; "-" when there is none).
# Functions only. They print lines for Go to read and start as few processes
# as they can: a process costs more than everything else here.

# attr FILE: the first line of the file, or nothing, in $v.
attr() {
	v=
	{ read -r v <"$1"; } 2>/dev/null
}

# now: hundredths of a second since boot, in $now.
now() {
	read -r v _ </proc/uptime
	now=${v%.*}${v#*.}
}

# find_sessions: the sessions with the target, as the paths of their files
# targetname, in $found. The kernel shows the name as the node record had it,
# so that of somebody else's may be in upper case.
find_sessions() {
	found=
	for f in /sys/class/iscsi_session/session*/targetname; do
		[ ! -e "$f" ] || found=$(grep -lsixF -e "$iqn" /sys/class/iscsi_session/session*/targetname)
		return 0
	done
}

# session DIR: one line on the session, one on each logical unit that the
# kernel has of it.
session() {
	sid=${1##*/session}
	attr "$1/target_id"; tid=${v:-0}
	attr "$1/state"; state=$v
	host=-
	for p in /sys/class/iscsi_host/host*/device/"session$sid"; do
		[ -e "$p" ] || continue
		host=${p#/sys/class/iscsi_host/host}
		host=${host%%/*}
	done
	attr "/sys/class/iscsi_connection/connection$sid:0/persistent_address"; at=${v:--}
	attr "/sys/class/iscsi_connection/connection$sid:0/persistent_port"; at="$at ${v:--}"
	attr "/sys/class/iscsi_connection/connection$sid:0/address"; at="$at ${v:--}"
	attr "/sys/class/iscsi_connection/connection$sid:0/port"; at="$at ${v:--}"
	echo "session $sid $host $tid $at $state"
	for u in "$1"/device/target*/*:*:*:*; do
		[ -e "$u" ] || continue
		block=-
		for p in "$u"/block/*; do
			[ -e "$p" ] && block=${p##*/}
		done
		echo "unit $sid ${u##*/} $block"
	done
}

# sessions and disks: all that $found names.
sessions() {
	for f in $found; do
		[ ! -e "$f" ] || session "${f%/targetname}"
	done
}
disks() {
	for f in $found; do
		devices "${f%/targetname}"
	done
}

# link SESSION-DIR LUN: the name udev gives to the disk (path_id of systemd:
# numbers from 256 up are hexadecimal), in $link.
link() {
	n=${1##*/session}
	attr "$1/targetname"; link=$v
	attr "/sys/class/iscsi_connection/connection$n:0/persistent_port"; link=$v-iscsi-$link
	attr "/sys/class/iscsi_connection/connection$n:0/persistent_address"; link=/dev/disk/by-path/ip-$v:$link
	if [ "$2" -lt 256 ]; then
		link=$link-lun-$2
	else
		link=$link-lun-$(printf '0x%04x%04x00000000' $(($2 & 0xffff)) $(($2 >> 16)))
	fi
}

# identity UNIT-DIR DISK: what the disk says of itself.
identity() {
	for f in size ro dev; do
		attr "/sys/block/$2/$f"; echo "$f $v"
	done
	attr "$1/state"; echo "state $v"
	attr "$1/wwid"; echo "wwid $v"
	# shellcheck disable=SC2046 # the words of od, joined by blanks
	[ ! -e "$1/vpd_pg80" ] || echo pg80 $(od -An -v -tx1 "$1/vpd_pg80" 2>/dev/null)
}

# users DISK: what has the disk or a partition of it in use on this host:
# lines "holder NAME", and as they are the lines of mountinfo, swaps and loop
# devices that speak of it (some file systems show no device number of ours
# in mountinfo, but all show the path).
users() {
	numbers='' names=''
	for p in "/sys/block/$1" "/sys/block/$1/$1"*; do
		[ -e "$p/dev" ] || continue
		attr "$p/dev"; numbers="$numbers|$v"
		names="$names|${p##*/}"
		for h in "$p"/holders/*; do
			[ -e "$h" ] || continue
			attr "$h/dm/name"; echo "holder ${v:-${h##*/}}"
		done
	done
	[ -n "$numbers" ] || return 0
	grep -shE -e "^[0-9]+ [0-9]+ (${numbers#|}) " -e " - [^ ]+ /dev/(${names#|}) " \
		-e "^/dev/(${names#|})([[:space:]]|\$)" \
		/proc/self/mountinfo /proc/swaps /sys/block/loop*/loop/backing_file
	return 0
}

# guests DISK: the backends by which the kernel itself has the disk open for a
# guest of Xen, as lines "guest NAME". No process has it open then.
guests() {
	attr "/sys/block/$1/dev"
	[ -n "$v" ] || return 0
	number=$(printf '%x:%x' "${v%:*}" "${v#*:}")
	for p in /sys/bus/xen-backend/devices/vbd-*/physical_device; do
		[ -e "$p" ] || continue
		attr "$p"
		[ "$v" != "$number" ] || { p=${p%/*} && echo "guest ${p##*/}"; }
	done
}

# reads DISK: whether its first block can be read past the page cache. A read
# that hangs cannot be interrupted, so no timeout(1) could help.
reads() {
	dd "if=/dev/$1" of=/dev/null bs=4096 count=1 iflag=direct status=none </dev/null
	echo "read $?"
}

# device SESSION-DIR UNIT-DIR: everything about one disk, or who uses it if
# $brief is set. What sysfs knows is read while udev is still at work. Only
# when it is done has the disk its group, and whatever udev's rules start has
# laid hands on it.
device() {
	for p in "$2"/block/*; do
		[ -e "$p" ] || return 0
		disk=${p##*/}
	done
	echo "device ${1##*/session} ${2##*/} $disk"
	if [ -n "${brief-}" ]; then
		users "$disk"
		guests "$disk"
		return
	fi
	identity "$2" "$disk"
	link "$1" "${2##*:}"
	if [ -n "${patience-}" ]; then
		await_link
	fi
	# shellcheck disable=SC3013 # dash, bash and busybox have -ef
	if [ "$link" -ef "/dev/$disk" ]; then echo "link $link"; fi
	[ ! -b "/dev/$disk" ] || reads "$disk"
	users "$disk"
}

# await_link: until udev has made $link of $disk, or hundredths of a second
# since boot reach $patience.
await_link() {
	polls=0
	# shellcheck disable=SC3013
	until [ "$link" -ef "/dev/$disk" ]; do
		now
		[ "$now" -lt "$patience" ] || break
		poll
	done
}

# poll: a pause that is short the first times, $polls counts them.
poll() {
	polls=$((polls + 1))
	if [ $polls -lt 40 ]; then sleep 0.05; else sleep 0.25; fi
}

# devices SESSION-DIR: every disk of the logical unit in the session.
devices() {
	for u in "$1"/device/target*/*:*:*:"$lun" "$1"/device/target*/*:*:*:"$alt"; do
		[ ! -e "$u" ] || device "$1" "$u"
	done
}

# shellcheck shell=sh disable=SC2034,SC2154
# No arguments. Prints everything that the host has of iSCSI, of whatever
# target: its own name, the sessions with their disks and who on the host uses
# those, the node records, and the names under /dev/disk/by-path that lead to
# no disk. Changes nothing; of the disks it reads only what sysfs keeps, so
# that none which hangs can hold it up.

# disk UNIT-DIR: one disk of the session $s.
disk() {
	for p in "$1"/block/*; do
		[ -e "$p" ] || return 0
		disk=${p##*/}
	done
	echo "device ${s##*/session} ${1##*/} $disk"
	identity "$1" "$disk"
	link "$s" "${1##*:}"
	# shellcheck disable=SC3013
	if [ "$link" -ef "/dev/$disk" ]; then echo "link $link"; fi
	users "$disk"
}

# records: the node records, as iscsiadm shows them without secrets. It fails
# (6, 21) over those that others delete while it goes through them.
records() {
	for _ in 1 2 3 4 5; do
		shown=$($SUDO iscsiadm -m node -o show </dev/null)
		rc=$?
		case $rc in
		6 | 28 | 29) sleep 0.2 ;;
		*) break ;;
		esac
	done
	echo "did records $rc"
	echo "$shown" | grep -E '^node\.(name|startup|conn\[0\]\.(address|port)) = '
}

attr /proc/sys/kernel/random/boot_id; echo "boot $v"
us=$($SUDO cat /etc/iscsi/initiatorname.iscsi </dev/null 2>/dev/null | grep '^InitiatorName=')
echo "initiator ${us#InitiatorName=}"
for f in /sys/class/iscsi_session/session*/targetname; do
	[ -e "$f" ] || continue
	s=${f%/targetname}
	attr "$f"; echo "target $v"
	session "$s"
	for u in "$s"/device/target*/*:*:*:*; do
		[ ! -e "$u" ] || disk "$u"
	done
done
for f in /dev/disk/by-path/ip-*-iscsi-*-lun-*; do
	if [ -b "$f" ]; then
		continue
	elif [ -L "$f" ]; then
		echo "stale link $f"
	elif [ -e "$f" ]; then
		echo "stale file $f"
	fi
done
records
echo end

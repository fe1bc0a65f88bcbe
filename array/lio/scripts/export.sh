# shellcheck shell=sh disable=SC2154
# Args: as common, then DEVICE SERIAL INITIATOR PORTAL.... Standard input: user
# and secret, and for mutual CHAP user and secret, a line each. Makes what is
# missing. Exit status 10: the name is somebody else's; 11: the device is in
# use.
device=$4 serial=$5 initiator=$6
shift 6
IFS= read -r user
IFS= read -r secret
IFS= read -r user_in
IFS= read -r secret_in

other() {
	echo "$*" >&2
	exit 10
}

# put FILE TEXT: the kernel takes a text as it is, with a newline and all.
put() {
	[ -e "$1" ] || { echo "the kernel has no $1" >&2 && return 1; }
	printf %s "$2" >"$1"
}

# want FILE TEXT: put, unless it is so. The kernel refuses some of them while
# there are sessions.
want() {
	attr "$1"
	[ "$v" = "$2" ] || put "$1" "$2"
}

[ -b "$device" ] || { echo "$device is no block device" >&2 && exit 1; }
[ -d "$root" ] || modprobe -a target_core_mod || exit
[ -d "$root/iscsi" ] || modprobe -a target_core_iblock iscsi_target_mod || exit
[ -d "$root/iscsi" ] || mkdir "$root/iscsi" || exit

if find_backstore; then
	attr "$so/udev_path"
	[ -z "$v" ] || [ "$v" = "$device" ] || other "the backstore $name is there with $v"
else
	n=0
	until mkdir "$root/core/iblock_$n" 2>/dev/null; do
		n=$((n + 1))
		[ $n -lt 100000 ] || exit 1
	done
	hba=$root/core/iblock_$n so=$root/core/iblock_$n/$name
	mkdir "$so" || exit
fi
attr "$so/enable"
if [ "$v" != 1 ]; then
	if ! put "$so/control" "udev_path=$device" || ! put "$so/udev_path" "$device" || ! put "$so/enable" 1; then
		rmdir "$so" "$hba"
		exit 11
	fi
fi
# Serial number, then what makes thin volumes shrink when guests discard; a
# device that cannot discard does not take that.
attr "$so/wwn/vpd_unit_serial"
[ "${v##*: }" = "$serial" ] || put "$so/wwn/vpd_unit_serial" "$serial" || exit
want "$so/attrib/emulate_tpu" 1 2>/dev/null || :

[ -d "$target" ] || mkdir "$target" || exit
[ -d "$tpg" ] || mkdir "$tpg" || exit
want "$tpg/attrib/authentication" 1 && want "$tpg/attrib/generate_node_acls" 0 &&
	want "$tpg/attrib/cache_dynamic_acls" 0 && want "$tpg/attrib/demo_mode_write_protect" 1 &&
	want "$tpg/attrib/demo_mode_discovery" 0 || exit
[ -d "$tpg/lun/lun_0" ] || mkdir "$tpg/lun/lun_0" || exit
found=
for link in "$tpg/lun/lun_0"/*; do
	[ -L "$link" ] || continue
	at=$(readlink "$link")
	[ "${at##*/}" = "$name" ] || other "LUN 0 of $iqn is $at"
	found=1
done
[ -n "$found" ] || ln -s "$so" "$tpg/lun/lun_0/$name" || exit

# The credentials come before the unit: an initiator that is quick finds
# nothing else.
acl=$tpg/acls/$initiator
[ -d "$acl" ] || mkdir "$acl" || exit
put "$acl/auth/userid" "$user" && put "$acl/auth/password" "$secret" || exit
attr "$acl/auth/userid_mutual"
if [ -n "$user_in" ]; then
	put "$acl/auth/userid_mutual" "$user_in" && put "$acl/auth/password_mutual" "$secret_in" || exit
elif [ -n "$v" ] && [ "$v" != NULL ]; then
	put "$acl/auth/userid_mutual" NULL && put "$acl/auth/password_mutual" NULL || exit
fi
[ -d "$acl/lun_0" ] || mkdir "$acl/lun_0" || exit
found=
for link in "$acl/lun_0"/*; do
	[ ! -L "$link" ] || found=1
done
[ -n "$found" ] || ln -s "$tpg/lun/lun_0" "$acl/lun_0/$name" || exit

for portal; do
	[ -d "$tpg/np/$portal" ] || mkdir "$tpg/np/$portal" || exit
done
want "$tpg/enable" 1 || exit
echo end

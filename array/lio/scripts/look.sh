# shellcheck shell=sh disable=SC2154,SC2086
# Args: as common. Prints what there is of the volume's export.
if find_backstore; then
	attr "$so/udev_path"
	device=$v
	attr "$so/enable"
	echo "backstore $v $device"
fi
if [ -d "$tpg" ]; then
	attr "$tpg/enable"
	echo "target $v"
	for l in "$tpg"/lun/lun_*; do
		for link in "$l"/*; do
			[ ! -L "$link" ] || { at=$(readlink "$link") && echo "lun ${l##*lun_} ${at##*/}"; }
		done
	done
	for np in "$tpg"/np/*; do
		[ ! -d "$np" ] || echo "portal ${np##*/}"
	done
	for acl in "$tpg"/acls/*; do
		[ -d "$acl" ] || continue
		attr "$acl/auth/userid"
		user=$v
		attr "$acl/auth/userid_mutual"
		echo "acl ${acl##*/} $user $v"
		sessions "$acl" || :
	done
fi
echo end

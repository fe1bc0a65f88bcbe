# shellcheck shell=sh disable=SC2154
# Args: as common, then INITIATOR, and "force" or nothing. Takes the
# initiator's right away, and with the last one the target and the backstore.
# Exit status 12: the initiator is logged in.
initiator=$4 force=$5
acl=$tpg/acls/$initiator

# empty DIR: removes the links in it.
empty() {
	for link in "$1"/*; do
		[ ! -L "$link" ] || rm "$link" || return
	done
}

if [ -n "$initiator" ] && [ -d "$acl" ]; then
	# The kernel would throw the session out without a word.
	if sessions "$acl" && [ "$force" != force ]; then
		exit 12
	fi
	for l in "$acl"/lun_*; do
		[ ! -d "$l" ] || { empty "$l" && rmdir "$l"; } || exit
	done
	rmdir "$acl" || exit
fi
left=
for acl in "$tpg"/acls/*; do
	[ ! -d "$acl" ] || left=1
done
if [ -z "$left" ]; then
	if [ -d "$tpg" ]; then
		attr "$tpg/enable"
		[ "$v" != 1 ] || echo 0 >"$tpg/enable" || exit
		for l in "$tpg"/lun/lun_*; do
			[ ! -d "$l" ] || { empty "$l" && rmdir "$l"; } || exit
		done
		for np in "$tpg"/np/*; do
			[ ! -d "$np" ] || rmdir "$np" || exit
		done
		rmdir "$tpg" || exit
	fi
	[ ! -d "$target" ] || rmdir "$target" || exit
	if find_backstore; then
		rmdir "$so" || exit
		rmdir "$hba" || exit
	fi
fi
echo end

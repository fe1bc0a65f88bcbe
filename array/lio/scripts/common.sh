# shellcheck shell=sh disable=SC2034
# The kernel's target in configfs. Args of each script begin with ROOT NAME
# IQN: where configfs has it, the backstore's name, the target's. What is
# printed has a line a fact, and "end".
root=$1 name=$2 iqn=$3
target=$root/iscsi/$iqn
tpg=$target/tpgt_1

# attr FILE: its first line in $v, without a process.
attr() {
	v=
	[ ! -r "$1" ] || IFS= read -r v <"$1" || :
}

# find_backstore: the directory of the backstore with our name in $so, and of
# what contains it in $hba.
find_backstore() {
	for so in "$root"/core/iblock_*/"$name"; do
		[ ! -d "$so" ] || { hba=${so%/*} && return 0; }
	done
	so='' hba=''
	return 1
}

# sessions ACL: prints the sessions of the initiator that has it, and succeeds
# if there are any.
sessions() {
	seen=1
	while IFS= read -r line; do
		case $line in
		"LIO Session ID:"*) seen=0 && address= && echo "session ${1##*/}" ;;
		*Address*)
			address=${line#*Address }
			echo "address ${1##*/} ${address%% *}"
			;;
		esac
	done <"$1/info"
	return $seen
}

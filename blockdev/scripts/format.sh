# shellcheck shell=sh disable=SC2034,SC2154
# Args: LINK DISK NUMBER SIZE FS. Makes an empty file system on a disk that
# has been wiped.
disk=$2 size=$4
hold "$1" "$2" "$3" "$4"

# tool NAME…: the tools that are needed.
tool() {
	for t; do
		command -v "$t" >/dev/null || gone missing "$t is not installed"
	done
}

# try COMMAND…: runs it, or says why it failed.
try() {
	text=$("$@" 2>&1 </dev/null) || explain "$disk" "$1: $text"
}

# make_xfs: mkfs.xfs wants root for a block device (BLKBSZSET), which we are
# not. It makes an image, in a file that is nearly all holes, and what is in
# it is put on the disk, which is nothing but zeroes.
make_xfs() {
	tool mkfs.xfs
	{ read -r sector <"/sys/block/$disk/queue/physical_block_size"; } 2>/dev/null
	umask 077
	image=$(mktemp /var/tmp/onevolume-xfs.XXXXXX) || gone error "no temporary file in /var/tmp"
	trap 'rm -f "$image"' EXIT
	try truncate -s "$size" "$image"
	try mkfs.xfs -q -f -K -s "size=${sector:-512}" "$image"
	if command -v qemu-img >/dev/null; then
		# It knows the holes and does not read them.
		try qemu-img convert -n --target-is-zero -f raw -O raw "$image" "/dev/$disk"
	else
		try dd "if=$image" "of=/dev/$disk" bs=1M conv=sparse,notrunc status=none
	fi
}

case $5 in
ext4)
	tool mkfs.ext4
	try mkfs.ext4 -q -F -E nodiscard "/dev/$disk"
	;;
xfs) make_xfs ;;
*) gone error "no file system $5" ;;
esac
try sync "/dev/$disk"
same "$1" "$2" "$3" "$4"
echo end

# shellcheck shell=sh disable=SC2034,SC2154
# Args: LINK DISK NUMBER SIZE CHUNK. Overwrites the disk with zeroes, chunk by
# chunk, then reads all of it back. After each chunk a line "done BYTES".
disk=$2 size=$4 chunk=$5
hold "$1" "$2" "$3" "$4"

# zero OFFSET LENGTH: the kernel's own command first, which an array can do
# by itself (WRITE SAME) and the kernel does well for those that cannot. It
# refuses a disk that the host has in use.
zero() {
	[ "$way" = kernel ] || return 1
	text=$(blkdiscard --zeroout --offset "$1" --length "$2" "/dev/$disk" 2>&1) && return
	case $?,$text in
	127,* | *ot\ supported* | *unrecognized\ option*) way=copy ;;
	*) explain "$disk" "$text" ;;
	esac
	return 1
}

# copy OFFSET LENGTH
copy() {
	text=$(dd if=/dev/zero "of=/dev/$disk" bs=4M seek="$1" count="$2" conv=notrunc \
		iflag=count_bytes oflag=seek_bytes,direct status=none 2>&1) || explain "$disk" "$text"
}

echo "phase write"
way=kernel at=0
while [ "$at" -lt "$size" ]; do
	part=$((size - at < chunk ? size - at : chunk))
	zero $at $part || copy $at $part
	at=$((at + part))
	echo "done $at"
done
text=$(sync "/dev/$disk" 2>&1) || explain "$disk" "$text"

# Past the page cache, or it would only show what we wrote ourselves. With
# conv=sparse dd passes over blocks of zeroes at the speed of memory, and
# whatever else it finds it cannot write to /dev/full. That takes less than half
# the time of a pipe to cmp(1).
[ -c /dev/full ] || gone error "there is no /dev/full"
echo "phase read"
at=0
while [ "$at" -lt "$size" ]; do
	part=$((size - at < chunk ? size - at : chunk))
	text=$(dd "if=/dev/$disk" of=/dev/full bs=4M skip=$at count=$part \
		iflag=skip_bytes,count_bytes,direct conv=sparse status=none 2>&1) || {
		case $text in
		*No\ space\ left*) gone dirty "something other than zeroes between bytes $at and $((at + part))" ;;
		*) explain "$disk" "$text" ;;
		esac
	}
	at=$((at + part))
	echo "done $at"
done
same "$1" "$2" "$3" "$4"
echo end

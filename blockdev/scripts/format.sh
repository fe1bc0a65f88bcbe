# shellcheck shell=sh disable=SC2034,SC2154
# Args: LINK DISK NUMBER SIZE FS. Makes an empty file system.
hold "$1" "$2" "$3" "$4"
case $5 in
ext4) set -- "$2" mkfs.ext4 -q -F -E nodiscard ;;
xfs) set -- "$2" mkfs.xfs -q -f -K ;;
*) gone error "no file system $5" ;;
esac
disk=$1
shift
command -v "$1" >/dev/null || gone missing "$1 is not installed"
text=$("$@" "/dev/$disk" 2>&1 </dev/null) || explain "$disk" "$1: $text"
text=$(sync "/dev/$disk" 2>&1) || explain "$disk" "$text"
echo end

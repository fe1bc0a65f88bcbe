# shellcheck shell=sh disable=SC2034,SC2154
# Functions: hold on to one disk, and know that it still is the one.

# gone WORD TEXT…: says why nothing more is done, and ends.
gone() {
	echo "failed $*"
	exit 1
}

# hold LINK DISK NUMBER SIZE: opens the disk at descriptor 3, then checks
# that link, name, number and size belong together. While it is open the
# kernel gives its name and number to no other disk, even if it is removed:
# nothing that is done to /dev/DISK from here on can meet another one.
hold() {
	[ -b "/dev/$2" ] || gone vanished "/dev/$2 is not there"
	command exec 3<"/dev/$2" || gone denied "/dev/$2 cannot be opened"
	same "$@"
	{ read -r v <"/sys/block/$2/ro"; } 2>/dev/null
	[ "$v" = 0 ] || gone readonly "/dev/$2 is read-only"
}

# same LINK DISK NUMBER SIZE
same() {
	number='' sectors=''
	{ read -r number <"/sys/block/$2/dev"; } 2>/dev/null
	{ read -r sectors <"/sys/block/$2/size"; } 2>/dev/null
	[ -n "$sectors" ] || gone vanished "/dev/$2 went away"
	# shellcheck disable=SC3013 # dash, bash and busybox have -ef
	[ "$1" -ef "/dev/$2" ] || gone other "$1 is not /dev/$2"
	[ "$number" = "$3" ] || gone other "/dev/$2 is $number, not $3"
	[ $((sectors * 512)) = "$4" ] || gone other "/dev/$2 has $((sectors * 512)) bytes, not $4"
}

# explain DISK TEXT…: why a command on the disk failed.
explain() {
	[ -e "/sys/block/$1/size" ] || gone vanished "/dev/$1 went away"
	disk=$1
	shift
	case "$*" in
	*[Rr]esource\ busy*) gone busy "/dev/$disk is in use on the host" ;;
	*[Pp]ermission\ denied*) gone denied "$*" ;;
	*arger\ than* | *oo\ small* | *minimum*) gone small "$*" ;;
	*) gone error "$*" ;;
	esac
}

# shellcheck shell=sh disable=SC2034,SC2154
# Args: IQN LUN ALT SESSION-ID BUDGET RECOVERY FIRST. Makes the disk appear in
# a session that exists, after waiting RECOVERY seconds at the most for one
# that was lost to come back. With FIRST "purge" what the kernel has of the
# disk is forgotten first, if nobody has it open; with "permit" its rights are
# set again.
iqn=$1 lun=$2 alt=$3
s=/sys/class/iscsi_session/session$4
now
patience=$((now + $6 * 100)) polls=0
while attr "$s/state" && [ "$v" != LOGGED_IN ] && [ "$now" -lt $patience ]; do
	poll
	now
done
if [ "$v" = LOGGED_IN ]; then
	case $7 in
	purge) purge "$s" ;;
	permit) permit "$s" ;;
	esac
	appear "$s" "$5"
	devices "$s"
fi
find_sessions
sessions
echo end

# shellcheck shell=sh disable=SC2034,SC2154
# Args: IQN LUN ALT BRIEF. Prints the sessions with the target, and the disks
# of the logical unit: with BRIEF only who uses them. Changes nothing, needs
# no root.
iqn=$1 lun=$2 alt=$3 brief=$4
find_sessions
sessions
disks
echo end

# shellcheck shell=sh disable=SC2034,SC2154
# Args: IQN LUN ALT. Prints the sessions with the target, and the disks of
# the logical unit. Changes nothing, needs no root.
iqn=$1 lun=$2 alt=$3
found=$(ours)
for f in $found; do
	session "${f%/targetname}"
done
for f in $found; do
	devices "${f%/targetname}"
done
echo end

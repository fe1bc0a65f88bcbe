# shellcheck shell=sh
# Args: ROOT TID TARGET WHAT INITIATOR. WHAT is "sessions", to cut those of the
# initiator; "target", to remove the target, which is refused while there are
# sessions; or "all", to cut them all first. A session is gone a moment after
# its last connection. Exit status 12: there are sessions.
root=$1 tid=$2 target=$3 what=$4 initiator=$5

# connections: those of the target, by session and number.
connections() {
	awk -v target="name:$target" -v initiator="initiator:$initiator" '
		/^tid:/ { here = tolower($2) == target }
		/^\tsid:/ { sid = substr($1, 5); wanted = here && (initiator == "initiator:" || tolower($2) == initiator) }
		/^\t\tcid:/ { if (wanted) print sid, substr($1, 5) }' "$root/proc/net/iet/session"
}

# there: the target still has the number.
there() { grep -qixF -e "tid:$tid name:$target" "$root/proc/net/iet/volume"; }

for wait in 0 0.1 0.5 1 2; do
	sleep $wait
	there || exit 0
	[ "$what" = target ] || connections | while read -r sid cid; do
		ietadm --op delete --tid="$tid" --sid="$sid" --cid="$cid"
	done
	if [ "$what" = sessions ]; then
		[ -n "$(connections)" ] || exit 0
	else
		said=$(ietadm --op delete --tid="$tid" 2>&1)
		there || exit 0
	fi
done
[ -z "$(connections)" ] || exit 12
echo "$said" >&2
exit 1

# shellcheck shell=sh disable=SC2034,SC2154
# Args: IQN LUN ALT BUDGET PORTAL ADDRESS PORT FIRST PROBE MARK. Standard
# input: lines for the node record, which no argument list shows. Logs in and
# makes the disk appear. What fails leaves no record behind. With FIRST
# "first" it only looks, as look.sh does, when there is any session already.
iqn=$1 lun=$2 alt=$3 budget=$4 portal=$5 addr=$6 port=$7 first=$8 probe=$9
shift 9
mark=$1
lines=
while IFS= read -r line; do
	lines="$lines$line
"
done

# write TEXT [-a]: writes or adds to the record. One made by -o new has no
# portal group tag and is a single file; where the data base lies depends on
# the distribution.
write() {
	rc=1
	for db in /var/lib/iscsi /etc/iscsi; do
		[ $db = /etc/iscsi ] || [ -d $db/nodes ] || continue
		printf %s "$1" | $SUDO tee ${2:+"$2"} "$db/nodes/$iqn/$addr,$port" >/dev/null
		rc=$?
		[ $rc != 0 ] || return
	done
}

# create: makes the record. A host that lost its power may have kept an empty
# file of an old one, which iscsiadm can then neither read, write nor delete
# (6), until there is something in it.
create() {
	patient -o new
	[ $rc = 6 ] || return
	write "node.name = $iqn
node.tpgt = -1
node.conn[0].address = $addr
node.conn[0].port = $port
"
	patient -o new
}

# attempt: record and login, once. The session's directory is in $s then.
# Ours go behind the record's other lines, where they overrule those before.
attempt() {
	if find_ours; then
		rc=0
		return
	fi
	create
	echo "did new $rc"
	[ $rc = 0 ] || return
	if [ -n "$blank" ]; then
		patient -o update -n node.session.auth.username_in -v '' -n node.session.auth.password_in -v ''
	fi
	write "$lines" -a
	echo "did set $rc"
	[ $rc = 0 ] || return
	# iscsid gives up by itself, after the times in the record. What
	# counts is whether the session is there: iscsiadm also fails over
	# records of others that vanish while it goes through them (6, 21), or
	# over a second record of our portal (15).
	for _ in 1 2 3 4 5; do
		node --login
		rc=$?
		echo "did login $rc"
		if find_ours; then
			made=${s##*/session} rc=0
			return
		fi
		case $rc in
		6 | 21 | 28 | 29) sleep 0.2 ;;
		15) rc=0 && return ;;
		*) return ;;
		esac
	done
}

# find_ours: the session that goes to the portal, and works. Its record was
# made with the name as it is, and this is cheaper than a process.
find_ours() {
	for f in /sys/class/iscsi_session/session*/targetname; do
		attr "$f"
		[ "$v" = "$iqn" ] || continue
		s=${f%/targetname}
		at=/sys/class/iscsi_connection/connection${s##*/session}:0
		attr "$at/persistent_address"
		[ "$v" = "$addr" ] || continue
		attr "$at/persistent_port"
		[ "$v" = "$port" ] || continue
		attr "$s/state"
		[ "$v" != LOGGED_IN ] || return 0
	done
	s=
	return 1
}

# proven: whether the session that we made shows the mark in our lines. If
# not, another record of this portal, made by a discovery, went before ours,
# and the session is not what we asked for.
proven() {
	[ -n "$made" ] || return 0
	attr "$s/tgt_reset_tmo"
	[ -n "$v" ] && [ "$v" != "$mark" ] || return 0
	echo "did hidden 1"
	$SUDO iscsiadm -m session -r "$made" -u </dev/null >/dev/null
	made=
	return 1
}

# again: whether to try once more, after a login that did not go by our lines.
again() {
	case $rc in
	0) proven && return 1 ;;
	24)
		# The record that counts: ours has no portal group tag. And the
		# host's iscsid.conf may ask all targets to prove themselves,
		# which shows as credentials that our lines do not have.
		shown=$($SUDO iscsiadm -m node -T "$iqn" -p "$portal" -o show </dev/null 2>/dev/null | grep -E '^node\.(tpgt|session\.auth\.username_in) = ')
		case $shown in
		*"node.tpgt = -1"*"username_in = <empty>"*) return 1 ;;
		*"node.tpgt = -1"*)
			case $lines in *username_in*) return 1 ;; esac
			blank=blank
			;;
		esac
		;;
	*) return 1 ;;
	esac
	patient -o delete
}

# log_in: all of it.
log_in() {
	blank='' made=''
	attempt
	if again; then
		attempt
		[ $rc != 0 ] || proven || rc=1
	fi
	if [ $rc = 0 ]; then
		[ -z "$made" ] || echo "made $made"
		return 0
	fi
	us=
	case $rc in
	19 | 24) us=$($SUDO cat /etc/iscsi/initiatorname.iscsi </dev/null 2>/dev/null | grep '^InitiatorName=') ;;
	esac
	[ -z "$us" ] || echo "initiator ${us#InitiatorName=}"
	patient -o delete
	echo "did forget $rc"
	return 1
}

found=
[ "$first" != first ] || find_sessions
rc=0
if [ -n "$found" ]; then
	disks
	rc=1
elif [ "$probe" = probe ]; then
	# shellcheck disable=SC2016 # for bash, which knows how to connect
	timeout 3 bash -c 'exec 3<>"/dev/tcp/$1/$2"' probe "$addr" "$port" </dev/null
	rc=$?
	echo "did probe $rc"
	# Only what says that nobody is there counts, not that bash is not.
	case $rc in 1 | 124) ;; *) rc=0 ;; esac
fi
if [ $rc = 0 ] && log_in; then
	if [ -n "$s" ]; then
		appear "$s" "$budget"
		devices "$s"
		found=$s/targetname
	else
		find_sessions
	fi
fi
sessions
echo end

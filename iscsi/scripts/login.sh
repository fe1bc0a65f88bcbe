# shellcheck shell=sh disable=SC2034,SC2154
# Args: IQN LUN ALT BUDGET PORTAL ADDRESS PORT LIMIT PROBE SECRET, then the
# settings of the node record as -n NAME -v VALUE. Standard input: lines for
# the record that no argument list may show, when SECRET is "secret". Logs in
# and makes the disk appear. What fails leaves no record behind.
iqn=$1 lun=$2 alt=$3 budget=$4 portal=$5 addr=$6 port=$7 limit=$8 probe=$9
shift 9
secret=$1
shift
lines=
if [ "$secret" = secret ]; then
	while IFS= read -r line; do
		lines="$lines$line
"
	done
fi

# node ARG…: iscsiadm on the record of our target at our portal.
node() {
	$SUDO iscsiadm -m node -T "$iqn" -p "$portal" "$@" </dev/null >/dev/null
}

# patient ARG…: the same, again while the record data base is busy (6), as
# also after a crash that left half a record, or iscsid is (28, 29).
patient() {
	for _ in 1 2 3; do
		node "$@"
		rc=$?
		case $rc in
		6 | 28 | 29) sleep 0.3 ;;
		*) break ;;
		esac
	done
}

# write_secrets: behind the record's lines, where they overrule those before.
# A record made by -o new has no portal group tag and is one file; where the
# data base lies depends on the distribution.
write_secrets() {
	rc=1
	for db in /var/lib/iscsi/nodes /etc/iscsi/nodes; do
		[ -d $db ] || continue
		printf %s "$lines" | $SUDO tee -a "$db/$iqn/$addr,$port" >/dev/null
		rc=$?
		[ $rc != 0 ] || return
	done
}

# attempt SETTING…: record and login, once.
attempt() {
	patient -o new
	echo "did new $rc"
	[ $rc = 0 ] || return
	patient -o update "$@"
	echo "did update $rc"
	[ $rc = 0 ] || return
	if [ -n "$lines" ]; then
		write_secrets
		echo "did secret $rc"
		[ $rc = 0 ] || return
	fi
	bounded "$limit" node --login
	echo "did login $rc"
	# Somebody was faster, or a login long given up has come through.
	[ $rc != 15 ] || rc=0
}

# hidden: whether another record of the same portal, made by a discovery, is
# the one that counts. Ours has no portal group tag.
hidden() {
	tag=$($SUDO iscsiadm -m node -T "$iqn" -p "$portal" -o show </dev/null 2>/dev/null | grep '^node\.tpgt = ')
	[ -n "$tag" ] && [ "$tag" != "node.tpgt = -1" ]
}

rc=0
if [ "$probe" = probe ]; then
	# shellcheck disable=SC2016 # for bash, which knows how to connect
	timeout 3 bash -c 'exec 3<>"/dev/tcp/$1/$2"' probe "$addr" "$port" </dev/null
	rc=$?
	echo "did probe $rc"
	# Only what says that nobody is there counts, not that bash is not.
	case $rc in 1 | 124) ;; *) rc=0 ;; esac
fi
if [ $rc = 0 ]; then
	attempt "$@"
	if [ $rc = 24 ] && [ -n "$lines" ] && hidden; then
		patient -o delete
		attempt "$@"
	fi
	if [ $rc != 0 ]; then
		case $rc in
		19 | 24)
			us=$($SUDO cat /etc/iscsi/initiatorname.iscsi </dev/null 2>/dev/null | grep '^InitiatorName=')
			[ -z "$us" ] || echo "initiator ${us#InitiatorName=}"
			;;
		esac
		patient -o delete
		echo "did forget $rc"
	else
		for f in $(ours); do
			s=${f%/targetname}
			c=/sys/class/iscsi_connection/connection${s##*/session}:0
			attr "$c/persistent_address"; at=$v
			attr "$c/persistent_port"
			if [ "$at,$v" = "$addr,$port" ]; then
				appear "$s" "$budget"
				devices "$s"
				break
			fi
		done
	fi
fi
sessions
echo end

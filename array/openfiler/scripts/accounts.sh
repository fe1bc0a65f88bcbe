# shellcheck shell=sh
# Args: TID. Standard input: the user and the secret of each account that the
# target shall have, a line each. Makes them, and removes all others.
#
# ietd takes the same user twice, and then asks for the newest. A target with
# no account at all lets in whoever its rules let in, so new ones come before
# old ones go, and one that nobody knows the secret of stands in while a secret
# changes.
tid=$1 guard=onevolume-guard
set -f
# shellcheck disable=SC2046 # words have no blanks, and none is a pattern now
set -- $(cat)

add() { ietadm --op new --tid="$tid" --user --params="IncomingUser=$1,Password=$2" || exit; }
drop() { ietadm --op delete --tid="$tid" --user --params="IncomingUser=$1" || exit; }
# has WORD LIST...: how often the list has it, in $times; it succeeds if once.
has() {
	word=$1 times=0
	shift
	for w; do
		[ "$w" != "$word" ] || times=$((times + 1))
	done
	[ $times = 1 ]
}

list=$(ietadm --op show --tid="$tid" --user) || exit
names='' kind=''
for word in $list; do
	case $kind in
	'') kind=$word ;;
	IncomingUser) names="$names $word" kind='' ;;
	*) kind='' ;;
	esac
done

# good is what may stay, once each, new and changed are pairs to be made.
good='' new='' changed=''
while [ $# -gt 0 ]; do
	# shellcheck disable=SC2086
	has "$1" $names
	if [ $times = 0 ]; then
		new="$new $1 $2"
	elif [ $times = 1 ] && [ "$(ietadm --op show --tid="$tid" --user --params="IncomingUser=$1")" = "IncomingUser $1 $2" ]; then
		good="$good $1"
	else
		changed="$changed $1 $2"
	fi
	shift 2
done
# shellcheck disable=SC2086
set -- $new
while [ $# -gt 0 ]; do
	add "$1" "$2"
	shift 2
done
if [ -n "$changed" ]; then
	secret=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
	[ ${#secret} = 32 ] || exit
	add $guard "$secret"
fi
for name in $names; do
	# shellcheck disable=SC2086
	has "$name" $good || drop "$name"
done
# shellcheck disable=SC2086
set -- $changed
while [ $# -gt 0 ]; do
	add "$1" "$2"
	shift 2
done
[ -z "$changed" ] || drop $guard

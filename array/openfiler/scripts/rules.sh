# shellcheck shell=sh
# Args: ROOT TARGET, then "deny" to let nobody in to the target but INITIATORS,
# which is the rest of a line of initiators.allow and may be empty, or "forget"
# to have no rule for it. ietd reads the files at each login; of /etc/iet and
# /etc it takes the first that has the file.
#
# Without initiators.deny, what initiators.allow does not name is refused, for
# every target: a file that is not there is made only when neither is.
root=$1 target=$2 what=$3 initiators=$4

find_file() {
	for file in "$root/etc/iet/initiators.$1" "$root/etc/initiators.$1"; do
		[ ! -e "$file" ] || return 0
	done
	return 1
}

# put LINE: puts it before all others, of which those for the target go.
put() {
	[ ! -L "$file" ] || file=$(readlink -f "$file") || exit
	[ -e "$file" ] || { umask 022 && : >"$file"; } || exit
	was='' now=$1
	[ -z "$1" ] || now="$1
"
	while IFS= read -r line || [ -n "$line" ]; do
		was="$was$line
"
		case $line in
		"$target" | "$target "* | "$target	"*) ;;
		*)
			now="$now$line
"
			;;
		esac
	done <"$file"
	[ "$was" != "$now" ] || return 0
	new=$file.onevolume
	[ ! -e "$new" ] || rm -f "$new"
	cp -p "$file" "$new" && printf %s "$now" >"$new" && sync && mv -f "$new" "$file" && sync || exit
}

deny_line='' allow_line=''
if [ "$what" = deny ]; then
	deny_line="$target ALL"
	[ -z "$initiators" ] || allow_line="$target $initiators"
fi
has_allow='' has_deny=''
find_file allow && has_allow=$file
find_file deny && has_deny=$file
if [ -z "$has_allow$has_deny" ]; then
	[ "$what" = deny ] || exit 0
	has_deny=$root/etc/initiators.deny
fi
# Nothing is let in between the two that was not before.
if [ -n "$has_deny" ]; then
	file=$has_deny && put "$deny_line"
fi
if [ -n "$has_allow" ] || [ -n "$allow_line" ]; then
	file=${has_allow:-$root/etc/initiators.allow} && put "$allow_line"
fi

# shellcheck shell=sh
# Args: FILE SUM. Standard input: what shall be in it. Replaces the file at
# once, if it still has the sum; exit status 75 if not. What is in it after a
# power cut is the old or the new.
file=$1 old=$2 new=$1.onevolume
umask 077
cat >"$new" && sync "$new" || exit
sum=none
[ ! -e "$file" ] || sum=$(sha256sum <"$file")
if [ "${sum%% *}" != "$old" ]; then
	rm -f "$new"
	exit 75
fi
mv -f "$new" "$file" && sync "${file%/*}"

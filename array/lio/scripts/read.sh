# shellcheck shell=sh
# Args: FILE. Prints its sum, and what is in it. One that is not there has the
# sum "none".
file=$1
if [ -e "$file" ]; then
	sum=$(sha256sum <"$file") && echo "${sum%% *}" && cat "$file"
else
	[ -d "${file%/*}" ] || { echo "there is no directory ${file%/*}" >&2 && exit 1; }
	echo none
fi

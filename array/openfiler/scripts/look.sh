# shellcheck shell=sh
# Args: ROOT. Prints the version of IET and its two files. Exit status 44: the
# service does not run.
dir=$1/proc/net/iet
[ -e "$dir/volume" ] && [ -e "$dir/session" ] || exit 44
ietadm --version || exit
echo volume && cat "$dir/volume" && echo session && cat "$dir/session" && echo end

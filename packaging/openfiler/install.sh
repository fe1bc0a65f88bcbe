#!/bin/sh
# install.sh [--root DIR] [--unknown] [--remove]: has this Openfiler tell onevolumed what it exports. Run it here as
# root, from a copy of this folder. It puts onevolume.php into /opt/openfiler/onevolume, a line into /etc/cron.d, and one
# line into each of two web pages. A page that it does not know is refused; with --unknown, one that has the lines which
# make it what it seems to be, each exactly once, is taken. --remove takes all of it out again but the configuration.
# --root is for a copy of an array's files.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root='' unknown='' remove=''
while [ $# -gt 0 ]; do
    case $1 in
    --root) root=${2:?--root needs a folder}; shift ;;
    --unknown) unknown=1 ;;
    --remove) remove=1 ;;
    *) sed -n '2,7s/^# //p' "$0" >&2; exit 2 ;;
    esac
    shift
done

dir=$root/opt/openfiler/onevolume
pages=$root/opt/openfiler/var/www/htdocs/admin
mark='/* onevolume */'
fail() {
    rm -f "$pages"/*.onevolume
    echo "install.sh: $*. Nothing was changed." >&2
    exit 1
}
[ -d "$pages" ] || fail "there is no $pages: is this an Openfiler?"

# Of each page: its SHA-256 in Openfiler 2.99, the line behind which ours goes, and lines that it must have.
sum() {
    case $1 in
    volumes_iscsi_targets.html) echo 93022268ce20b1d45c2b411a093081f1c72c513b6860523ef4d748ce1c572a79 ;;
    volumes_edit.html) echo 7fd3da21501425eac894e36e142b902522c20c9913d6b7d2b4c9385638d55acf ;;
    esac
}
anchor() {
    case $1 in
    volumes_iscsi_targets.html) echo 'include("ietIscsi.inc");' ;;
    volumes_edit.html) echo 'require("ietIscsi.inc");' ;;
    esac
}
# shellcheck disable=SC2016 # these are PHP's variables
musts() {
    anchor "$1"
    case $1 in
    volumes_iscsi_targets.html)
        echo '$targetObjs->addTarget('
        echo '$targetObjs->delTarget('
        echo '$targetObjs->addLunToTarget('
        echo '$targetObjs->delLunFromTarget('
        ;;
    volumes_edit.html) echo '$ietObj->resizeIscsiVolume(' ;;
    esac
}

# check PAGE: fails unless it may be patched, or says "patched" when it is.
check() {
    page=$pages/$1
    if [ ! -f "$page" ] || [ -L "$page" ]; then fail "$page is not there"; fi
    case $(grep -cF "$mark" "$page") in
    0) ;;
    1) echo patched; return ;;
    *) fail "$page has the line of onevolume more than once" ;;
    esac
    [ "$(sha256sum <"$page" | cut -d' ' -f1)" = "$(sum "$1")" ] || [ "$unknown" ] ||
        fail "$page is not that of Openfiler 2.99; look at it, and say --unknown"
    musts "$1" | while read -r must; do
        [ "$(grep -cF "$must" "$page")" = 1 ] || fail "$page does not have $must exactly once"
    done
}

# unpatched PAGE prints it without our line. sed leaves the end of the last line as it is.
unpatched() { sed "$(grep -nF "$mark" "$1" | cut -d: -f1)d" "$1"; }

# patch PAGE writes the patched page beside it, and makes sure that it is PHP and that the line can be taken out again.
patch() {
    page=$pages/$1 line="@include_once('$dir/hook.inc'); $mark"
    cp -p "$page" "$page.onevolume"
    sed "$(grep -nF "$(anchor "$1")" "$page" | cut -d: -f1)a\\
$line" "$page" >"$page.onevolume"
    if ! unpatched "$page.onevolume" | cmp -s - "$page" || ! "$php" -l "$page.onevolume" >/dev/null 2>&1; then
        fail "$page cannot be patched so that it is PHP and the patch can be undone"
    fi
}

all='volumes_iscsi_targets.html volumes_edit.html'
if [ "$remove" ]; then
    for name in $all; do
        page=$pages/$name
        if [ -f "$page" ] && grep -qF "$mark" "$page"; then
            cp -p "$page" "$page.onevolume"
            unpatched "$page" >"$page.onevolume"
            mv "$page.onevolume" "$page"
        fi
    done
    rm -f "$root/etc/cron.d/onevolume" "$dir/onevolume.php" "$dir/hook.inc"
    echo "Taken out. $dir/onevolume.conf, which holds a login token, is still there."
    exit
fi

php=$(command -v php) || fail "there is no php command"
todo=''
for name in $all; do
    said=$(check "$name") || exit 1
    [ "$said" = patched ] || todo="$todo $name"
done
for name in $todo; do patch "$name"; done

umask 077
mkdir -p "$dir" "$root/etc/cron.d"
chmod 755 "$dir"
cp "$here/onevolume.php" "$dir/onevolume.php"
sed "s,@PHP@,$php," "$here/hook.inc" >"$dir/hook.inc"
chmod 644 "$dir/onevolume.php" "$dir/hook.inc"
if [ ! -e "$dir/onevolume.conf" ]; then
    cp "$here/onevolume.conf" "$dir/onevolume.conf"
    chmod 600 "$dir/onevolume.conf"
fi
echo "*/5 * * * * root $php $dir/onevolume.php --log" >"$root/etc/cron.d/onevolume"
chmod 644 "$root/etc/cron.d/onevolume"
for name in $todo; do mv "$pages/$name.onevolume" "$pages/$name"; done
echo "Installed. Fill in $dir/onevolume.conf, and try: $php $dir/onevolume.php"

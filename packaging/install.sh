#!/bin/sh
# install.sh [DESTDIR]: puts the two programs, the service and the configuration in place, and never overwrites a
# configuration that is there. Run by make install.
set -eu
cd "$(dirname "$0")/.."
dest=${1:-}
install -D -m 755 bin/onevolume "$dest/usr/bin/onevolume"
install -D -m 755 bin/onevolumed "$dest/usr/bin/onevolumed"
install -D -m 644 packaging/onevolumed.service "$dest/lib/systemd/system/onevolumed.service"
conf=$dest/etc/one/onevolumed.conf
if [ -e "$conf" ]; then
    install -m 640 packaging/onevolumed.conf "$conf.new"
    echo "$conf is kept; the new defaults are in $conf.new"
else
    install -D -m 640 packaging/onevolumed.conf "$conf"
fi
# The file may hold the database's password: oneadmin alone reads it.
if id oneadmin >/dev/null 2>&1; then chgrp oneadmin "$conf"; fi

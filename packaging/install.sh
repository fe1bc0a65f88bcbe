#!/bin/sh
# install.sh [DESTDIR]: puts the two programs, the service, the configuration, the manual, completion and onevolume-setup in place, and never overwrites a
# configuration that is there. Run by make install.
set -eu
cd "$(dirname "$0")/.."
dest=${1:-}
install -D -m 755 bin/onevolume "$dest/usr/bin/onevolume"
install -D -m 755 bin/onevolumed "$dest/usr/bin/onevolumed"
install -D -m 644 packaging/onevolumed.service "$dest/lib/systemd/system/onevolumed.service"
# Where OpenNebula keeps the schemas of its documents.
for f in packaging/xsd/*.xsd; do install -D -m 644 "$f" "$dest/usr/share/one/schemas/xsd/$(basename "$f")"; done
# What onevolume-setup puts into the way of OpenNebula and libvirt; where it is there already, it is renewed.
install -D -m 755 packaging/opennebula/onevolume-setup "$dest/usr/sbin/onevolume-setup"
install -D -m 755 packaging/opennebula/libvirt/qemu "$dest/usr/share/onevolume/libvirt/qemu"
for name in onevolume-migrate onevolume-restore; do
    wrapper=packaging/opennebula/remotes/vmm/kvm/$name
    install -D -m 755 $wrapper "$dest/usr/share/onevolume/remotes/vmm/kvm/$name"
    active=$dest/var/lib/one/remotes/vmm/kvm/$name
    if [ -e "$active" ]; then
        install -m 755 $wrapper "$active.new"
        mv "$active.new" "$active" # in one step: oned may be running it
    fi
done
conf=$dest/etc/one/onevolumed.conf
if [ -e "$conf" ]; then
    install -m 640 packaging/onevolumed.conf "$conf.new"
    echo "$conf is kept; the new defaults are in $conf.new"
else
    install -D -m 640 packaging/onevolumed.conf "$conf"
fi
# Columns of tables: like OpenNebula's own files there, an administrator's to change.
columns=$dest/etc/one/cli/onevolume.yaml
if [ -e "$columns" ] && ! cmp -s packaging/onevolume.yaml "$columns"; then
    install -m 644 packaging/onevolume.yaml "$columns.new"
    echo "$columns is kept; the new defaults are in $columns.new"
else
    install -D -m 644 packaging/onevolume.yaml "$columns"
fi
# The manual, and completion for shells, which the program makes of its own commands.
for page in bin/man/*.1; do
    install -D -m 644 "$page" "$dest/usr/share/man/man1/${page##*/}"
    gzip -9nf "$dest/usr/share/man/man1/${page##*/}"
done
zsh=usr/share/zsh/site-functions
if [ -e /etc/debian_version ]; then zsh=usr/share/zsh/vendor-completions; fi
completion() {
    mkdir -p "$dest/${2%/*}"
    bin/onevolume completion "$1" >"$dest/$2"
}
completion bash usr/share/bash-completion/completions/onevolume
completion zsh $zsh/_onevolume
completion fish usr/share/fish/vendor_completions.d/onevolume.fish
# The file may hold the database's password: oneadmin alone reads it.
if id oneadmin >/dev/null 2>&1; then chgrp oneadmin "$conf"; fi

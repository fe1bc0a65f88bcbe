#!/bin/bash
# floor.sh HOST TARGET PORTAL LUN DOMAIN: the shortest script that attaches a logical unit by hand: the same commands,
# over one ssh connection, with none of the proofs. It prints the milliseconds of attach and of detach. What it leaves
# out on purpose: locks, the identity of the device, other users of it, a journal, undoing.
set -euo pipefail
host=$1 target=$2 portal=$3 lun=$4 domain=$5 config=$6
xml="<disk type='block' device='disk' snapshot='no'><driver name='qemu' type='raw' cache='none' io='native' discard='unmap' error_policy='stop'/><source dev='/dev/disk/by-path/ip-$portal-iscsi-$target-lun-$lun'/><target dev='sdiv' bus='scsi'/><serial>floor</serial><address type='drive' controller='0' bus='0' target='255' unit='0'/></disk>"
ms() { echo $((${EPOCHREALTIME/./} / 1000)); }
over() { ssh -F "$config" -o ControlMaster=no -o ControlPath=none -l oneadmin "$host" LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin sh; }

start=$(ms)
over <<REMOTE >/dev/null
set -e
sudo -n iscsiadm -m node -o new -T $target -p $portal
sudo -n iscsiadm -m node -T $target -p $portal --login
until [ -e /dev/disk/by-path/ip-$portal-iscsi-$target-lun-$lun ]; do sleep 0.02; done
virsh -c qemu:///system attach-device $domain /dev/stdin --live <<'XML'
$xml
XML
virsh -c qemu:///system dumpxml $domain | grep -q '<serial>floor</serial>'
REMOTE
attached=$(ms)
over <<REMOTE >/dev/null
set -e
virsh -c qemu:///system detach-disk $domain sdiv --live
while virsh -c qemu:///system dumpxml $domain | grep -q '<serial>floor</serial>'; do sleep 0.05; done
sudo -n blockdev --flushbufs /dev/disk/by-path/ip-$portal-iscsi-$target-lun-$lun
sudo -n iscsiadm -m node -T $target -p $portal --logout
sudo -n iscsiadm -m node -T $target -p $portal -o delete
REMOTE
echo "$((attached - start)) $(($(ms) - attached))"

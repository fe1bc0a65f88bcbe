# shellcheck shell=sh disable=SC2034,SC2154
# Prints what a host needs for all this and whether it is there, one fact a
# line. Changes nothing.
for tool in iscsiadm tee blockdev; do
	if ! command -v $tool >/dev/null; then
		echo "missing $tool"
	elif [ -n "$SUDO" ] && ! $SUDO -l $tool >/dev/null 2>&1 </dev/null; then
		echo "forbidden $tool"
	fi
done
for tool in grep od dd timeout sleep; do
	command -v $tool >/dev/null || echo "missing $tool"
done
us=$($SUDO cat /etc/iscsi/initiatorname.iscsi </dev/null 2>/dev/null | grep '^InitiatorName=')
echo "initiator ${us#InitiatorName=}"
version=$(iscsiadm --version 2>/dev/null)
echo "version ${version##* }"
# iscsiadm asks iscsid, or whoever starts it on demand, by this socket.
if grep -q '@ISCSIADM_ABSTRACT_NAMESPACE' /proc/net/unix 2>/dev/null; then echo "iscsid yes"; else echo "iscsid no"; fi
startup=$(grep -s '^node\.startup[[:space:]]*=' /etc/iscsi/iscsid.conf)
echo "startup ${startup##*[= ]}"
[ -d /dev/disk ] || [ -d /run/udev ] || echo "missing udev"
echo "groups $(id -Gn)"
echo end

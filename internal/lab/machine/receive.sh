#!/bin/sh
# The first process of a machine that receives an image. Everything is told by the kernel's
# command line: ip= as in the kernel's Documentation/admin-guide/nfs/nfsroot.rst,
# without its DHCP, and multiclient's flags.
set -f
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev

while read -r module; do
	insmod "/modules/$module" || echo "machine: module $module cannot be loaded"
done </modules/order

ifconfig lo 127.0.0.1 up
for word in $(cat /proc/cmdline); do
	case $word in
	ip=*)
		IFS=: read -r address _ gateway mask name device _ <<-END
			${word#ip=}
		END
		hostname "$name"
		ifconfig "$device" "$address" netmask "$mask" up
		[ -z "$gateway" ] || route add default gw "$gateway"
		;;
	esac
done

# Through a pipe it prints lines, and no bar for a terminal.
set -o pipefail
multiclient 2>&1 | cat
status=$?
echo "machine: multiclient ended with status $status"
# stty waits until the serial line has taken all. poweroff does not.
stty -echo </dev/console
poweroff -f

#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# The rig's init: a host with /dev/kvm; "rig=WORDS" on the kernel's command line says what to do there.
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/root PYTHONPATH=/lpar/src:/lpar TERM=dumb LPAR_TEST_CONSOLE_BYTES=65536
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
ifconfig lo 127.0.0.1
dmesg -n 4
for module in kvm kvm-hv; do [ ! -e /modules/$module.ko ] || insmod /modules/$module.ko; done
cd /lpar
what=$(sed -n 's/.*rig=\([^ ]*\).*/\1/p' /proc/cmdline)
echo "rig: $(uname -r) on $(grep -m1 '^cpu' /proc/cpuinfo | tr -s '\t ' ' '), $(ls /dev/kvm 2>&1)"
case $what in
shell) exec setsid cttyhack sh ;;
*) python3 -u -m tests.kvm.rig.inside $what; echo "rig: done $?" ;;
esac
poweroff -f

# SPDX-License-Identifier: GPL-2.0-only
"""Debian's kernel for ppc64el, and the small initramfs that makes it usable as it is.

Debian keeps virtio, 9p and ext4 as modules.  The initramfs has those modules from the kernel package,
a static busybox, and an init that loads what the machine's devices ask for, mounts ``root=`` and goes
on there; without ``root=`` it gives a shell.
"""

from __future__ import annotations

import hashlib
import json
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lpar.cli import apt, guests, modules
from lpar.cli.cpio import Entry, archive, regular
from lpar.errors import HostError

ARCHITECTURE = "ppc64el"
META_PACKAGE = "linux-image-powerpc64le"
#: What the initramfs has; dependencies come by themselves.  crc32c is found by name, not by dependency.
MODULES = (
    *("virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "virtio_balloon"),
    *("9p", "9pnet_virtio", "ext4", "overlay", "crc32c_generic", "crc32c_vpmsum"),
)
PARAMS = "console=hvc0"
_KERNEL, _PACKAGE, _BUSYBOX, _STAMP = "vmlinux", "linux-image.deb", "busybox.deb", "stamp.json"

#: ``root=`` is a device, LABEL= or UUID=, or with ``rootfstype=9p`` a tag.
INIT = """\
#!/bin/busybox sh
# Written by lpar: load what the devices ask for, mount root=, go on there.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
/bin/busybox mkdir -p /proc /sys /dev /run /root /tmp /mnt
/bin/busybox --install -s /bin
ln -sf /bin/modprobe /sbin/modprobe
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
root= fstype= flags= mode=ro init=/sbin/init tty=hvc0
for word in $(cat /proc/cmdline); do
    case $word in
        root=*) root=${word#root=} ;;
        rootfstype=*) fstype=${word#rootfstype=} ;;
        rootflags=*) flags=${word#rootflags=} ;;
        init=*) init=${word#init=} ;;
        console=*) tty=${word#console=} ;;
        ro|rw) mode=$word ;;
    esac
done
modprobe virtio_pci
for device in /sys/bus/virtio/devices/*/modalias; do
    [ -e "$device" ] && modprobe "$(cat "$device")" 2>/dev/null
done
shell() {
    [ -z "$1" ] || echo "lpar: $1"
    mount -t tmpfs tmpfs /run
    hostname debian
    echo 'root:x:0:0:root:/root:/bin/sh' > /etc/passwd
    echo 'export HOME=/root; cd' > /etc/profile
    for _ in 1 2 3 4 5 6 7 8 9 10; do [ -e "/dev/$tty" ] || sleep 0.5; done
    printf '%s\\n' "$tty::wait:-/bin/sh" '::once:/bin/poweroff -f' > /etc/inittab
    exec /bin/busybox init
}
[ -n "$root" ] || shell
case $fstype in
    9p) modprobe 9pnet_virtio; flags=trans=virtio,version=9p2000.L${flags:+,$flags} ;;
    '') modprobe ext4 ;;
    *) modprobe "$fstype" 2>/dev/null ;;
esac
case $root in
    LABEL=*|UUID=*) device=$(findfs "$root") && root=$device ;;
esac
mount -o "$mode${flags:+,$flags}" ${fstype:+-t "$fstype"} "$root" /root || shell "cannot mount $root"
if [ ! -x "/root$init" ] && [ ! -L "/root$init" ]; then
    umount /root
    shell "$root has no $init"
fi
mkdir -p /root/dev /root/proc /root/sys /root/run 2>/dev/null
for each in dev proc sys; do mount -o move "/$each" "/root/$each"; done
exec switch_root /root "$init"
"""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel with its initramfs; ``package`` is the Debian package it comes from."""

    kernel: Path
    initrd: Path
    package: Path
    version: str
    params: str = PARAMS


def debian_kernel() -> Kernel:
    """Debian 12's kernel for ppc64el; fetched when the cache has none.

    The initramfs is made when the cache has none of this version of lpar.  Raises HostError when the
    kernel cannot be had.
    """
    where = guests.cache_dir() / "debian-12-kernel-ppc64el"
    initrd = where / f"initrd-{_made_by()}"
    with guests.locked(where):
        stamp = _read_stamp(where)
        if stamp is None or not _whole(where, stamp):
            guests.renew(where, lambda to: _fetch(to, where.parent))
            stamp = _read_stamp(where)
        if stamp is None:
            raise HostError(f"the cache {where} cannot be read")
        if not initrd.is_file():
            _make_initrd(where, initrd, stamp["version"])
    return Kernel(where / _KERNEL, initrd, where / _PACKAGE, stamp["version"])


def _made_by() -> str:
    """Changes when the initramfs must be made anew."""
    return hashlib.sha256((INIT + " ".join(MODULES)).encode()).hexdigest()[:16]


def _read_stamp(where: Path) -> dict[str, str] | None:
    try:
        stamp = json.loads((where / _STAMP).read_text())
        return stamp if {"version", "sizes"} <= set(stamp) else None
    except (OSError, ValueError, TypeError):
        return None


def _sizes(where: Path) -> str:
    return " ".join(str((where / name).stat().st_size) for name in (_KERNEL, _BUSYBOX, _PACKAGE))


def _whole(where: Path, stamp: dict[str, str]) -> bool:
    try:
        return _sizes(where) == stamp["sizes"]
    except OSError:
        return False


def _fetch(to: Path, cache: Path) -> None:
    """The packages, the kernel out of them, and the stamp."""
    index = apt.Foreign(cache / "apt-ppc64el", ARCHITECTURE)
    package = index.show(META_PACKAGE, "Depends").split()[0]
    version = package.removeprefix("linux-image-")
    with tempfile.TemporaryDirectory(dir=to) as work:
        for deb in index.fetch([package, "busybox-static"], Path(work)):
            deb.rename(to / (_PACKAGE if deb.name.startswith("linux-image") else _BUSYBOX))
        apt.unpack(to / _PACKAGE, Path(work))
        (Path(work) / "boot" / f"vmlinux-{version}").rename(to / _KERNEL)
    (to / _STAMP).write_text(json.dumps({"version": version, "sizes": _sizes(to)}) + "\n")


def _make_initrd(where: Path, initrd: Path, version: str) -> None:
    """Put a new initramfs beside the others: other versions of lpar may use theirs."""
    with tempfile.TemporaryDirectory(prefix="initrd.", dir=where) as work:
        apt.unpack(where / _PACKAGE, Path(work))
        apt.unpack(where / _BUSYBOX, Path(work))
        fresh = Path(work) / "initrd"
        fresh.write_bytes(archive(_entries(Path(work), version)))
        fresh.rename(initrd)


def _entries(work: Path, version: str) -> Iterator[Entry]:
    base = work / "lib" / "modules" / version
    files = {modules.canonical(path.stem): path for path in base.rglob("*.ko")}
    chosen = modules.closure(MODULES, files, base)
    folders = {parent for module in chosen for parent in Path(f"lib/modules/{version}/{module.path}").parents}
    fixed = {Path(name) for name in ("bin", "sbin", "etc", "dev")}
    for folder in sorted((folders | fixed) - {Path(".")}):
        yield Entry(str(folder), stat.S_IFDIR | 0o755)
    yield regular("bin/busybox", (work / "bin" / "busybox").read_bytes(), 0o755)
    yield regular("init", INIT.encode(), 0o755)
    yield Entry("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    for module in chosen:
        yield regular(f"lib/modules/{version}/{module.path}", (base / module.path).read_bytes())
    yield regular(f"lib/modules/{version}/modules.dep", modules.dependencies(chosen).encode())
    yield regular(f"lib/modules/{version}/modules.alias", modules.aliases(chosen).encode())

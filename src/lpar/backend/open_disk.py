# SPDX-License-Identifier: GPL-2.0-only
"""From what the user wrote after ``-d`` to an open, locked disk."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import struct

from lpar import log
from lpar.backend.disk import SECTOR, Disk
from lpar.backend.overlay import OverlayDisk
from lpar.backend.raw import RawDisk
from lpar.config.disk import DiskConfig
from lpar.errors import ConfigError, HostError
from lpar.host import files
from lpar.units import human_size

#: (offset, bytes, format) of images that are not raw
_FORMATS = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"KDMV", "VMDK"),
    (0, b"vhdxfile", "VHDX"),
    (0, b"conectix", "VPC"),
    (64, b"\x7f\x10\xda\xbe", "VDI"),
    (0, b"\x1f\x8b", "gzip-compressed"),
    (0, b"\xfd7zXZ\x00", "xz-compressed"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed"),
    (0, b"\x7fELF", "an ELF file"),
    (0, b"!<arch>\n", "a Debian package"),
)


def open_disk(config: DiskConfig) -> Disk:
    """Open and lock it.  Raises ConfigError for what is no disk, HostError if the host refuses."""
    read_only = config.read_only or config.overlay
    fd = _open(config, read_only)
    try:
        head = _head(fd, config.direct)
        _refuse_formats(head, config)
        size = _size(fd, config.path)
        _warn_of_truncation(head, size, config.path)
        _lock(fd, config, exclusive=not read_only)
        disk = RawDisk(fd, size, read_only=read_only, direct=config.direct)
    except BaseException:
        os.close(fd)
        raise
    if not config.overlay:
        return disk
    try:
        return OverlayDisk(disk)
    except BaseException:
        disk.close()
        raise


_OPEN_HINTS = {
    errno.ENOENT: "make one: truncate -s 8G FILE, or lpar setup debian",
    errno.EACCES: "chmod it, or give ,ro if it may only be read",
    errno.EROFS: "give ,ro or ,overlay",
    errno.EPERM: "give ,ro or ,overlay",
    errno.EISDIR: "a folder is shared with --9p",
    errno.EBUSY: "unmount the device, or give ,ro",
}


def _open(config: DiskConfig, read_only: bool) -> int:
    flags = os.O_CLOEXEC | (os.O_RDONLY if read_only else os.O_RDWR) | os.O_NONBLOCK
    try:
        mode = os.stat(config.path).st_mode
        if stat.S_ISDIR(mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            why = f"disk {config.path} is neither a file nor a block device"
            raise ConfigError(why, hint="make a file: truncate -s 8G FILE")
        if stat.S_ISBLK(mode) and not read_only:
            flags |= os.O_EXCL
        return _open_direct(config.path, flags) if config.direct else os.open(config.path, flags)
    except OSError as error:
        number = error.errno or 0
        why = f"cannot open disk {config.path}: {error.strerror}"
        kind = ConfigError if number in _OPEN_HINTS or number == errno.ENOTDIR else HostError
        raise kind(why, hint=_OPEN_HINTS.get(number)) from None


def _open_direct(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ConfigError(
            f"disk {path}: no direct I/O on this file system", hint="leave ,direct out"
        ) from None


def _size(fd: int, path: str) -> int:
    size = os.lseek(fd, 0, os.SEEK_END)
    if size == 0:
        raise ConfigError(f"disk {path} is empty", hint="give it a size: truncate -s 8G FILE")
    if size % SECTOR:
        raise ConfigError(
            f"disk {path} is truncated: {size} bytes are no whole number of sectors",
            hint=f"truncate -s %{SECTOR} FILE, if that is all of it",
        )
    return size


def _refuse_formats(head: bytes, config: DiskConfig) -> None:
    """Others than raw, unless the user says raw."""
    for offset, magic, name in _FORMATS if config.format == "auto" else ():
        if head[offset : offset + len(magic)] == magic:
            raise ConfigError(
                f"disk {config.path} is {name}, not a raw image",
                hint="qemu-img convert -O raw turns images into raw ones; ,format=raw takes it as it is",
            )


def _warn_of_truncation(head: bytes, size: int, path: str) -> None:
    """An image that is shorter than its content says."""
    said = _size_by_content(head)
    if said > size:
        log.warning(
            f"disk {path} seems truncated: its content takes {human_size(said)}, it has {human_size(size)}"
        )


def _head(fd: int, direct: bool) -> bytes:
    """The first 4 KiB."""
    if not direct:
        return os.pread(fd, 4096, 0)
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        os.preadv(fd, [page], 0)
        return page[:4096]


def _size_by_content(head: bytes) -> int:
    """Bytes that an ext4 file system, or a partition table, says the disk has; 0 if there is none."""
    if head[1080:1082] == b"\x53\xef":
        blocks, shift = int.from_bytes(head[1028:1032], "little"), head[1048]
        return blocks << (10 + min(shift, 6))
    if head[512:520] == b"EFI PART":
        return (int.from_bytes(head[544:552], "little") + 1) * SECTOR
    if head[510:512] == b"\x55\xaa":
        ends = [sum(struct.unpack_from("<II", head, 446 + 16 * i + 8)) for i in range(4)]
        return int(max(ends)) * SECTOR
    return 0


def _lock(fd: int, config: DiskConfig, *, exclusive: bool) -> None:
    try:
        free = files.lock(fd, exclusive=exclusive)
    except OSError as error:
        log.warning(f"disk {config.path} cannot be locked: {error.strerror}")
        return
    if not free:
        raise ConfigError(
            f"disk {config.path} is in use by another guest",
            hint="end that guest; several may use one image with ,ro or ,overlay",
        )

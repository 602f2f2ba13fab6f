# SPDX-License-Identifier: GPL-2.0-only
"""System calls on files that Python's ``os`` has not, or has without a mode."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 1, 2, 16  # linux/falloc.h
_LOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, process
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def _fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    while _libc.fallocate(fd, mode, offset, length) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Give the storage of a range back; it reads as zero.

    Raises OSError (EOPNOTSUPP where it is not to be had).
    """
    _fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length)


def zero_range(fd: int, offset: int, length: int) -> None:
    """Make a range read as zero, its storage kept.  Raises OSError, as ``punch_hole``."""
    _fallocate(fd, _ZERO_RANGE | _KEEP_SIZE, offset, length)


def lock(fd: int, *, exclusive: bool) -> bool:
    """Lock all of an open file until it is closed; False if another open file has a lock in the way.

    An open file description lock (fcntl(2)): it is not lost when some other descriptor of the same
    file is closed, and other programs that lock images see it.  Raises OSError.
    """
    kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _LOCK.pack(kind, os.SEEK_SET, 0, 0, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True

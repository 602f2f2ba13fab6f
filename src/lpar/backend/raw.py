# SPDX-License-Identifier: GPL-2.0-only
"""Raw disks: the bytes of a file or of a block device."""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Callable, Sequence

from lpar.backend.disk import IOV_MAX, SECTOR, read_all, write_all
from lpar.host.files import punch_hole, zero_range

SLOW = 0.005  #: seconds after which a write into the page cache was not one
SLOW_FIRST, SLOW_MOST = 0.05, 1.0  #: seconds in which it is not tried again: twice as long each time
_ZERO = memoryview(bytes(1 << 20))
_NOT_TO_BE_HAD = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY, errno.EPERM)


class RawDisk:
    """The file behind descriptor ``fd``, which it owns; ``direct`` says that it is opened O_DIRECT."""

    def __init__(self, fd: int, size: int, *, read_only: bool, direct: bool = False) -> None:
        self.fd = fd
        self.size = size
        self.read_only = read_only
        self.block_size = _direct_block(fd, size) if direct else SECTOR
        self.can_discard = not read_only
        self._direct = direct
        self._cached_reads = True
        self._slow_until = 0.0
        self._slow_for = SLOW_FIRST

    def read(self, views: Sequence[memoryview], offset: int) -> None:
        """Fill the views."""
        if self._direct:
            self._read_direct(views, offset)
        else:
            read_all(self.fd, views, offset)

    def write(self, views: Sequence[memoryview], offset: int) -> None:
        """Write the views."""
        if self._direct:
            self._write_direct(views, offset)
        else:
            write_all(self.fd, views, offset)

    def read_now(self, views: Sequence[memoryview], offset: int) -> bool:
        """From the host's page cache."""
        if self._direct or not self._cached_reads:
            return False
        try:
            return os.preadv(self.fd, views[:IOV_MAX], offset, os.RWF_NOWAIT) == sum(map(len, views))
        except OSError as error:
            self._cached_reads = error.errno == errno.EAGAIN
            return False

    def write_now(self, views: Sequence[memoryview], offset: int) -> bool:
        """Into the host's page cache, unless that was slow a moment ago: the host is writing back then."""
        begin = time.monotonic()
        if self._direct or begin < self._slow_until:
            return False
        write_all(self.fd, views, offset)
        if time.monotonic() - begin > SLOW:
            self._was_slow(begin)
        return True

    def _was_slow(self, now: float) -> None:
        """Once may be anybody's doing (another process had the processor); again and again is the disk."""
        again = now < self._slow_until + self._slow_for
        self._slow_for = min(2 * self._slow_for, SLOW_MOST) if again else SLOW_FIRST
        self._slow_until = now + self._slow_for

    def _read_direct(self, views: Sequence[memoryview], offset: int) -> None:
        """Without a copy where the guest's buffers are aligned as the host wants it."""
        try:
            read_all(self.fd, views, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            with mmap.mmap(-1, sum(map(len, views))) as bounce, memoryview(bounce) as whole:
                read_all(self.fd, [whole], offset)
                at = 0
                for view in views:
                    view[:] = whole[at : at + len(view)]
                    at += len(view)

    def _write_direct(self, views: Sequence[memoryview], offset: int) -> None:
        try:
            write_all(self.fd, views, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            with mmap.mmap(-1, sum(map(len, views))) as bounce, memoryview(bounce) as whole:
                at = 0
                for view in views:
                    whole[at : at + len(view)] = view
                    at += len(view)
                write_all(self.fd, [whole], offset)

    def flush(self) -> None:
        """On stable storage."""
        os.fdatasync(self.fd)

    def discard(self, offset: int, length: int) -> None:
        """Storage goes back to the host where it can; a discard is only advice."""
        try:
            punch_hole(self.fd, offset, length)
        except OSError as error:
            if error.errno not in _NOT_TO_BE_HAD:
                raise

    def write_zeroes(self, offset: int, length: int, *, unmap: bool) -> None:
        """By the file system where it can, else by hand."""
        for way in (punch_hole, zero_range) if unmap else (zero_range,):
            if self._zeroed_by(way, offset, length):
                return
        while length:
            step = min(length, len(_ZERO))
            self.write([_ZERO[:step]], offset)
            offset, length = offset + step, length - step

    def _zeroed_by(self, way: Callable[[int, int, int], None], offset: int, length: int) -> bool:
        try:
            way(self.fd, offset, length)
        except OSError as error:
            if error.errno not in _NOT_TO_BE_HAD:
                raise
            return False
        return True

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)


def _direct_block(fd: int, size: int) -> int:
    """The smallest block that direct I/O takes here."""
    for block in (512, 4096):
        if size % block or size < 2 * block:
            continue
        with mmap.mmap(-1, mmap.PAGESIZE) as page, memoryview(page) as view, view[:block] as part:
            try:
                os.preadv(fd, [part], block)
                return block
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
    return SECTOR

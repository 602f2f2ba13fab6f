# SPDX-License-Identifier: GPL-2.0-only
"""What a disk device needs of whatever holds the data.

Formats are behind this protocol: raw files and block devices here, an overlay in ``overlay``; others
(qcow2) take their place beside them and in ``open_disk``.

Methods may be called by several threads at a time; the guest is told of overlapping requests in any
order, as with a real disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Protocol

SECTOR = 512
IOV_MAX = 1024  #: views in one system call


class Disk(Protocol):
    """Bytes 0 to ``size``.  Offsets and lengths in bytes, inside the disk, multiples of ``block_size``.

    All methods raise OSError; the guest is told of an I/O error then.
    """

    size: int
    block_size: int
    read_only: bool
    can_discard: bool

    def read(self, views: Sequence[memoryview], offset: int) -> None:
        """Fill the views from ``offset`` on."""

    def write(self, views: Sequence[memoryview], offset: int) -> None:
        """Write the views from ``offset`` on."""

    def read_now(self, views: Sequence[memoryview], offset: int) -> bool:
        """Fill the views if that waits for nothing; False if it would (the views may be filled in part)."""

    def write_now(self, views: Sequence[memoryview], offset: int) -> bool:
        """Write the views if that is likely to wait for nothing; False if nothing was written."""

    def flush(self) -> None:
        """What was written before is on stable storage on return."""

    def discard(self, offset: int, length: int) -> None:
        """The guest does not need a range any more."""

    def write_zeroes(self, offset: int, length: int, *, unmap: bool) -> None:
        """A range reads as zero; with ``unmap`` its storage may go."""

    def close(self) -> None:
        """Free what is the host's."""


def pieces(views: Sequence[memoryview]) -> Sequence[Sequence[memoryview]]:
    """Lists of views that one system call takes."""
    if len(views) <= IOV_MAX:
        return (views,)
    return [views[i : i + IOV_MAX] for i in range(0, len(views), IOV_MAX)]


def skip(views: Sequence[memoryview], count: int) -> list[memoryview]:
    """The views behind their first ``count`` bytes."""
    rest = []
    for view in views:
        if count >= len(view):
            count -= len(view)
        else:
            rest.append(view[count:] if count else view)
            count = 0
    return rest


def read_all(fd: int, views: Sequence[memoryview], offset: int) -> None:
    """Fill all views.  Raises OSError; EIO where the file ends too early."""
    for batch in pieces(views):
        while batch:
            done = os.preadv(fd, batch, offset)
            if done == 0:
                raise OSError(errno.EIO, "the file ends before the disk does")
            offset += done
            batch = skip(batch, done)


def write_all(fd: int, views: Sequence[memoryview], offset: int) -> None:
    """Write all views.  Raises OSError."""
    for batch in pieces(views):
        while batch:
            done = os.pwritev(fd, batch, offset)
            if done == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if done == sum(map(len, batch)):  # nearly always
                offset += done
                break
            offset += done
            batch = skip(batch, done)

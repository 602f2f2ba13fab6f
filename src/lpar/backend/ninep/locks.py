# SPDX-License-Identifier: GPL-2.0-only
"""Byte-range locks: one guest's processes hold them in this table, the host sees their union.

Linux decides between the processes of one guest before it asks the server, and tells of an unlock only
afterwards; so they never conflict here.  Against the rest of the world (other guests, programs of the
host) each file has one open file description, whose locks (F_OFD_SETLK) are the strongest of all owners'.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from itertools import pairwise

READ, WRITE, NONE = 0, 1, 2  #: lock types of the protocol
SUCCESS, BLOCKED, ERROR, GRACE = 0, 1, 2, 3  #: answers to Tlock
MAX_LOCKS = 4096  #: ranges that all owners of one file may hold
END = 1 << 63  #: past the last byte

_F_OFD_GETLK, _F_OFD_SETLK = 36, 37  # asm-generic/fcntl.h
_FLOCK = struct.Struct("hhqqi4x")  # type, whence, start, length, pid
_TYPES = {READ: fcntl.F_RDLCK, WRITE: fcntl.F_WRLCK, NONE: fcntl.F_UNLCK}
_BACK = {value: key for key, value in _TYPES.items()}

Who = tuple[int, bytes]  #: process number and client name


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes ``start`` to ``end`` (not included), locked as ``type`` by ``who``."""

    type: int
    start: int
    end: int
    who: Who


def span(start: int, length: int) -> tuple[int, int]:
    """Begin and end of the bytes that a message means: length 0 is all that follows."""
    if start >= END or length >= END:
        raise OSError(errno.EINVAL, "no such range")
    return start, min(start + length, END) if length else END


class LockFile:
    """The locks of one file.  Raises OSError if the host does not let us open it."""

    def __init__(self, path: str) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
            self._types = _TYPES
        except PermissionError:  # what we can only read, we can only lock for reading
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            self._types = {**_TYPES, WRITE: fcntl.F_RDLCK}
        self._ranges: list[Range] = []

    def close(self) -> None:
        """Let all locks go."""
        os.close(self._fd)

    def lock(self, wanted: Range) -> int:
        """Lock, or unlock (NONE), a range for an owner; the status for the guest."""
        if wanted.type not in _TYPES:
            raise OSError(errno.EINVAL, "no such lock")
        after = _without(self._ranges, wanted)
        if wanted.type != NONE:
            after.append(wanted)
        if len(after) > MAX_LOCKS:
            raise OSError(errno.ENOLCK, "too many locks")
        if not self._apply(after, wanted.start, wanted.end):
            self._apply(self._ranges, wanted.start, wanted.end)
            return BLOCKED
        self._ranges = after
        return SUCCESS

    def _apply(self, ranges: list[Range], start: int, end: int) -> bool:
        """Make the host's locks in a span those of ``ranges``; False when somebody else's are in the way."""
        edges = {start, end} | {edge for r in ranges for edge in (r.start, r.end) if start < edge < end}
        points = sorted(edges)
        return all(self._set(_strongest(ranges, low), low, high) for low, high in pairwise(points))

    def _set(self, type_: int, start: int, end: int) -> bool:
        try:
            fcntl.fcntl(self._fd, _F_OFD_SETLK, _flock(self._types[type_], start, end))
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: locked by another
            return False
        return True

    def conflict(self, wanted: Range) -> tuple[int, int, int]:
        """(type, start, length) of a lock of the host that is in the way; type NONE if there is none."""
        type_ = self._types.get(wanted.type)
        if type_ is None or wanted.type == NONE:
            raise OSError(errno.EINVAL, "no such lock")
        asked = _flock(type_, wanted.start, wanted.end)
        found, _, start, length, _ = _FLOCK.unpack(fcntl.fcntl(self._fd, _F_OFD_GETLK, asked))
        return _BACK[found], start, length

    @property
    def empty(self) -> bool:
        """Whether nothing is locked."""
        return not self._ranges


def _flock(type_: int, start: int, end: int) -> bytes:
    return _FLOCK.pack(type_, os.SEEK_SET, start, 0 if end == END else end - start, 0)


def _strongest(ranges: list[Range], at: int) -> int:
    types = {r.type for r in ranges if r.start <= at < r.end}
    return WRITE if WRITE in types else READ if types else NONE


def _without(ranges: list[Range], taken: Range) -> list[Range]:
    """The ranges without what ``taken`` covers of its own owner's."""
    left: list[Range] = []
    for each in ranges:
        if each.who != taken.who or each.end <= taken.start or taken.end <= each.start:
            left.append(each)
            continue
        if each.start < taken.start:
            left.append(Range(each.type, each.start, taken.start, each.who))
        if taken.end < each.end:
            left.append(Range(each.type, taken.end, each.end, each.who))
    return left

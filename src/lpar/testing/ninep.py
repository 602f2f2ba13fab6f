# SPDX-License-Identifier: GPL-2.0-only
"""The other side of the 9P server: a client for tests, one request at a time."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from lpar.backend.ninep import messages
from lpar.backend.ninep.messages import HEADER, NOFID, Kind

TAG = 1


class Handler(Protocol):
    """What answers requests: a server, or a device with one behind it."""

    def handle(self, request: list[memoryview], reply: list[memoryview]) -> int:
        """Write the reply; its size."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What Tgetattr tells."""

    qid: bytes
    mode: int
    uid: int
    gid: int
    nlink: int
    rdev: int
    size: int


@dataclass(frozen=True, slots=True)
class DirEntry:
    """One entry of a directory."""

    qid: bytes
    next: int
    type: int
    name: bytes


class Client:
    """Talks to ``server``; fids are numbers that the caller chooses.  Errors are OSErrors."""

    def __init__(self, server: Handler, *, msize: int = 65536, uid: int = 0) -> None:
        self.server = server
        self.msize = msize
        body = self.call(Kind.VERSION, msize, messages.VERSION)
        (self.msize,) = struct.unpack_from("<I", body)
        self.version = body[6:]
        self.root = 0
        self.call(Kind.ATTACH, self.root, NOFID, b"root", b"", uid)

    def call(self, kind: Kind, *fields: int | bytes | list[bytes], data: bytes = b"") -> bytes:
        """One request; the body of its reply."""
        return self.raw(
            messages.message(kind, TAG, messages.encode(kind, TAG, *fields)[HEADER.size :] + data)
        )

    def raw(self, request: bytes) -> bytes:
        """Any bytes as a request; the body of the reply."""
        reply = bytearray(max(self.msize, messages.MIN_MSIZE))
        size = self.server.handle([memoryview(request)], [memoryview(reply)])
        told, kind, tag = HEADER.unpack_from(reply)
        assert told == size, f"reply of {size} bytes says {told}"
        body = bytes(reply[HEADER.size : size])
        if kind == Kind.LERROR + 1:
            number = struct.unpack("<I", body)[0]
            raise OSError(number, os.strerror(number))
        assert (kind, tag) == (request[4] + 1, struct.unpack_from("<H", request, 5)[0])
        return body

    def walk(self, new: int, *names: bytes, fid: int = 0) -> int:
        """Walk from ``fid`` to a new one; FileNotFoundError if only a part of the way exists."""
        body = self.call(Kind.WALK, fid, new, list(names))
        if struct.unpack_from("<H", body)[0] < len(names):
            raise FileNotFoundError(b"/".join(names))
        return new

    def clunk(self, fid: int) -> None:
        """Give a fid back."""
        self.call(Kind.CLUNK, fid)

    def getattr(self, fid: int) -> Attributes:
        """The basic attributes."""
        _, qid, *rest = struct.unpack_from("<Q13sIIIQQQ", self.call(Kind.GETATTR, fid, 0x7FF))
        return Attributes(qid, *rest)

    def create(self, directory: int, name: bytes, fid: int, mode: int = 0o644, flags: int = os.O_RDWR) -> int:
        """Make a file and have it open as ``fid``."""
        self.walk(fid, fid=directory)
        self.call(Kind.LCREATE, fid, name, flags | os.O_CREAT, mode, 0)
        return fid

    def open(self, fid: int, flags: int = os.O_RDONLY) -> int:
        """Open a fid."""
        self.call(Kind.LOPEN, fid, flags)
        return fid

    def read(self, fid: int, offset: int = 0, count: int = 4096) -> bytes:
        """Some bytes."""
        return self.call(Kind.READ, fid, offset, count)[4:]

    def write(self, fid: int, data: bytes, offset: int = 0) -> int:
        """Write; how much was."""
        done: int = struct.unpack("<I", self.call(Kind.WRITE, fid, offset, len(data), data=data))[0]
        return done

    def read_directory(self, fid: int, count: int = 4096) -> Iterator[DirEntry]:
        """All entries of a directory that is open."""
        offset = 0
        while body := self.call(Kind.READDIR, fid, offset, count)[4:]:
            while body:
                qid, offset, kind, length = struct.unpack_from("<13sQBH", body)
                yield DirEntry(qid, offset, kind, body[24 : 24 + length])
                body = body[24 + length :]

    def set_xattr(self, fid: int, name: bytes, value: bytes, flags: int = 0) -> None:
        """Set an attribute (or, empty and without flags, remove it); 1 << 30 is used as a fid."""
        spare = self.walk(1 << 30, fid=fid)
        try:
            self.call(Kind.XATTRCREATE, spare, name, len(value), flags)
            if value:
                self.write(spare, value)
        except OSError:
            self.clunk(spare)
            raise
        self.clunk(spare)

    def get_xattr(self, fid: int, name: bytes) -> bytes:
        """An attribute; the list of names without one."""
        spare = 1 << 30
        size = struct.unpack("<Q", self.call(Kind.XATTRWALK, fid, spare, name))[0]
        try:
            return self.read(spare, 0, size)
        finally:
            self.clunk(spare)

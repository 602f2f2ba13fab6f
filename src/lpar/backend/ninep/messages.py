# SPDX-License-Identifier: GPL-2.0-only
"""9P2000.L messages: their numbers, their fields, bytes to values and back.

Source: the protocol's description (diod's protocol.md) and include/net/9p/9p.h of Linux.  A message
is size[4] type[1] tag[2] and its fields, little-endian; a reply has the type of its request plus one.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

HEADER = struct.Struct("<IBH")  #: size (all of the message), type, tag
NOTAG = 0xFFFF
NOFID = 0xFFFF_FFFF
VERSION = b"9P2000.L"
MIN_MSIZE = 4096
MAX_MSIZE = 1 << 20
MAX_WALK = 16
READ_REPLY = HEADER.size + 4  #: where the data of a reply to Tread or Treaddir begins
WRITE_REQUEST = HEADER.size + 16  #: where the data of a Twrite begins


class Kind(IntEnum):
    """Requests; ``Kind + 1`` is the reply."""

    LERROR = 6  # only its reply exists
    STATFS = 8
    LOPEN = 12
    LCREATE = 14
    SYMLINK = 16
    MKNOD = 18
    RENAME = 20
    READLINK = 22
    GETATTR = 24
    SETATTR = 26
    XATTRWALK = 30
    XATTRCREATE = 32
    READDIR = 40
    FSYNC = 50
    LOCK = 52
    GETLOCK = 54
    LINK = 70
    MKDIR = 72
    RENAMEAT = 74
    UNLINKAT = 76
    VERSION = 100
    AUTH = 102
    ATTACH = 104
    FLUSH = 108
    WALK = 110
    READ = 116
    WRITE = 118
    CLUNK = 120
    REMOVE = 122


#: The fields of each request: b, h, i, q are 1, 2, 4, 8 bytes, s a string, n a count of strings and these.
FIELDS: dict[int, str] = {
    Kind.STATFS: "i",  # fid
    Kind.LOPEN: "ii",  # fid flags
    Kind.LCREATE: "isiii",  # fid name flags mode gid
    Kind.SYMLINK: "issi",  # directory name target gid
    Kind.MKNOD: "isiiii",  # directory name mode major minor gid
    Kind.RENAME: "iis",  # fid directory name
    Kind.READLINK: "i",  # fid
    Kind.GETATTR: "iq",  # fid mask
    Kind.SETATTR: "iiiiiqqqqq",  # fid valid mode uid gid size atime (s, ns) mtime (s, ns)
    Kind.XATTRWALK: "iis",  # fid new-fid name
    Kind.XATTRCREATE: "isqi",  # fid name size flags
    Kind.READDIR: "iqi",  # fid offset count
    Kind.FSYNC: "i",  # fid; Linux adds a word: data only
    Kind.LOCK: "ibiqqis",  # fid type flags start length process client
    Kind.GETLOCK: "ibqqis",  # fid type start length process client
    Kind.LINK: "iis",  # directory fid name
    Kind.MKDIR: "isii",  # directory name mode gid
    Kind.RENAMEAT: "isis",  # old directory, name, new directory, name
    Kind.UNLINKAT: "isi",  # directory name flags
    Kind.VERSION: "is",  # msize version
    Kind.AUTH: "issi",  # auth-fid user name uid
    Kind.ATTACH: "iissi",  # fid auth-fid user name uid
    Kind.FLUSH: "h",  # old tag
    Kind.WALK: "iin",  # fid new-fid names
    Kind.READ: "iqi",  # fid offset count
    Kind.WRITE: "iqi",  # fid offset count, then the data
    Kind.CLUNK: "i",  # fid
    Kind.REMOVE: "i",  # fid
}

_SIZES = {"b": "B", "h": "H", "i": "I", "q": "Q"}
_FIXED = {
    kind: struct.Struct("<" + "".join(_SIZES[c] for c in f))
    for kind, f in FIELDS.items()
    if f.isalpha() and not set(f) & {"s", "n"}
}
_SINGLE = {code: struct.Struct("<" + letter) for code, letter in _SIZES.items()}


class Malformed(OSError):
    """A message that is none; answered with EINVAL."""

    def __init__(self, what: str) -> None:
        super().__init__(errno.EINVAL, what)


@dataclass(frozen=True, slots=True)
class Qid:
    """The server's name for a file: type byte (QTDIR, QTSYMLINK), version, path."""

    type: int
    version: int
    path: int

    def pack(self) -> bytes:
        """The 13 bytes of the protocol."""
        return _QID.pack(self.type, self.version, self.path)


_QID = struct.Struct("<BIQ")
QTDIR, QTSYMLINK, QTFILE = 0x80, 0x02, 0x00


def decode(kind: int, body: bytes) -> list[Any]:
    """The fields of a request whose bytes behind the header are ``body``; more bytes are no error.

    Raises Malformed for too few, and OSError(EOPNOTSUPP) for a message that does not exist.
    """
    fixed = _FIXED.get(kind)
    if fixed is not None:
        if len(body) < fixed.size:
            raise Malformed("short message")
        return list(fixed.unpack_from(body))
    if kind not in FIELDS:
        raise OSError(errno.EOPNOTSUPP, f"message {kind}")
    return _Reader(body).fields(FIELDS[kind])


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def fields(self, codes: str) -> list[Any]:
        return [self._field(code) for code in codes]

    def _field(self, code: str) -> int | bytes | list[bytes]:
        if code == "s":
            return self._string()
        if code == "n":
            count = self._number("h")
            if count > MAX_WALK:
                raise Malformed("too many names")
            return [self._string() for _ in range(count)]
        return self._number(code)

    def _number(self, code: str) -> int:
        which = _SINGLE[code]
        end = self._at + which.size
        if end > len(self._body):
            raise Malformed("short message")
        value: int = which.unpack_from(self._body, self._at)[0]
        self._at = end
        return value

    def _string(self) -> bytes:
        length = self._number("h")
        end = self._at + length
        if end > len(self._body):
            raise Malformed("short string")
        value = self._body[self._at : end]
        self._at = end
        return value


def encode(kind: int, tag: int, *fields: int | bytes | list[bytes]) -> bytes:
    """A request with these fields: for tests and guests of our own; the data of a Twrite is added behind."""
    body = b"".join(_encoded(code, value) for code, value in zip(FIELDS[kind], fields, strict=True))
    return message(kind, tag, body)


def message(kind: int, tag: int, body: bytes) -> bytes:
    """A whole message."""
    return HEADER.pack(HEADER.size + len(body), kind, tag) + body


def _encoded(code: str, value: int | bytes | list[bytes]) -> bytes:
    if isinstance(value, list):
        return struct.pack("<H", len(value)) + b"".join(string(each) for each in value)
    return string(value) if isinstance(value, bytes) else _SINGLE[code].pack(value)


def string(text: bytes) -> bytes:
    """A string as the protocol has it."""
    return struct.pack("<H", len(text)) + text

# SPDX-License-Identifier: GPL-2.0-only
"""Bytes of a file, whether still on disk or already decompressed.

A kernel of 46 MB is never held in Python: its segments are read from the file straight into
guest memory.  Files are opened anew for each read and must still be the same then.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Protocol

from lpar.errors import ConfigError

PIPE_LIMIT = 1 << 30  #: bytes; how much is read from something that is no regular file


class Blob(Protocol):
    """Readable bytes with a name for messages ("kernel vmlinux")."""

    name: str
    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes at ``offset``; fewer only at the end.  Raises ConfigError."""

    def read_into(self, target: memoryview, offset: int) -> None:
        """Fill ``target`` from ``offset`` on.  Raises ConfigError if the bytes end before."""


class BytesBlob:
    """Bytes in memory."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.size = len(data)
        self._data = memoryview(data)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._data[offset : offset + length])

    def read_into(self, target: memoryview, offset: int) -> None:
        if offset + len(target) > self.size:
            raise _cut_off(self.name)
        target[:] = self._data[offset : offset + len(target)]


class FileBlob:
    """A regular file, or part of it."""

    def __init__(self, name: str, path: Path, status: os.stat_result) -> None:
        self.name = name
        self.size = status.st_size
        self._path = path
        self._identity = _identity(status)

    def read(self, offset: int, length: int) -> bytes:
        buffer = bytearray(max(0, min(length, self.size - offset)))
        self.read_into(memoryview(buffer), offset)
        return bytes(buffer)

    def read_into(self, target: memoryview, offset: int) -> None:
        with _Reporting(self.name), open(self._path, "rb", buffering=0) as file:
            if _identity(os.fstat(file.fileno())) != self._identity:
                raise ConfigError(f"{self.name} changed while it was used", hint="run the command again")
            while len(target):
                count = os.preadv(file.fileno(), [target], offset)
                if not count:
                    raise _cut_off(self.name)
                target, offset = target[count:], offset + count


class SliceBlob:
    """A range of another blob, such as a section of a wrapper.  The range must be inside it."""

    def __init__(self, name: str, whole: Blob, offset: int, size: int) -> None:
        self.name = name
        self.size = size
        self._whole = whole
        self._offset = offset

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        return self._whole.read(self._offset + offset, length)

    def read_into(self, target: memoryview, offset: int) -> None:
        if offset + len(target) > self.size:
            raise _cut_off(self.name)
        self._whole.read_into(target, self._offset + offset)


def open_blob(role: str, path: Path) -> Blob:
    """The file at ``path``, which is the ``role`` ("kernel", "initrd") of the machine.

    Raises ConfigError if it cannot be read, is a directory or is empty.
    """
    name = f"{role} {path}"
    with _Reporting(name), open(path, "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode):
            blob: Blob = FileBlob(name, path, status)
        else:
            blob = BytesBlob(name, _drain(name, file.fileno()))
    if not blob.size:
        raise ConfigError(f"{name} is empty", hint=f"give a {role} file that has something in it")
    return blob


def _drain(name: str, fd: int) -> bytes:
    """All of a pipe (or other file that cannot be read twice)."""
    data = bytearray()
    while piece := os.read(fd, 1 << 20):
        data += piece
        if len(data) > PIPE_LIMIT:
            raise ConfigError(f"{name} has no end", hint="give a regular file")
    return bytes(data)


class _Reporting:
    """Turns OSError into a ConfigError that names the file."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, IsADirectoryError):
            raise ConfigError(f"{self._name} is a directory", hint="give a file") from error
        if isinstance(error, OSError | ValueError):
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"{self._name}: {reason}", hint="check the path and its permissions") from error


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _cut_off(name: str) -> ConfigError:
    return ConfigError(f"{name} is truncated", hint="fetch or build the file again")

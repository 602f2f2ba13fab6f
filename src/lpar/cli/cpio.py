# SPDX-License-Identifier: GPL-2.0-only
"""A writer of cpio archives, the ``newc`` kind that Linux unpacks (its buffer-format document)."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

MAGIC = b"070701"
ALIGN = 4
TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: ``mode`` with the file type bits, as ``st_mode``."""

    name: str
    mode: int
    data: bytes = b""


def regular(name: str, data: bytes, permissions: int = 0o644) -> Entry:
    """A plain file."""
    return Entry(name, stat.S_IFREG | permissions, data)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGN)


def _member(ino: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    fields = (ino, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, 0, 0, len(name), 0)
    header = MAGIC + b"".join(b"%08X" % field for field in fields)
    return _pad(header + name) + _pad(entry.data)


def archive(entries: Iterable[Entry]) -> bytes:
    """The archive with its trailer; always the same bytes for the same entries."""
    members = [_member(ino, entry) for ino, entry in enumerate(entries, 1)]
    return b"".join(members) + _member(0, Entry(TRAILER, 0))


def append_to(initrd: bytes, entries: Iterable[Entry]) -> bytes:
    """``initrd`` (compressed or not) with one more archive behind it, at the alignment Linux looks for."""
    return _pad(initrd) + archive(entries)

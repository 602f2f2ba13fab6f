# SPDX-License-Identifier: GPL-2.0-only
"""Compiled regions kept across runs: what one run compiled, the next starts with.

One SQLite file per engine build and host (it is a library that already knows about several processes, torn
writes and full disks).  A row is a region's machine code under the digest of the guest page that it was made
from and its entry; who installs it compares the words it was made from with RAM once more.  Machine code that
is damaged must never run: each row carries a digest of itself.

Rules of this file: nothing here may fail a run.  Any error turns the cache off; a damaged file is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import struct
from dataclasses import dataclass
from pathlib import Path

LIMIT = 256 << 20  #: bytes of machine code kept; then the oldest half goes
SCHEMA = """CREATE TABLE IF NOT EXISTS regions(
    page BLOB, entry INTEGER, words BLOB, cuts BLOB, start INTEGER, image BLOB, digest BLOB,
    PRIMARY KEY(page, entry))"""
_WORD, _CUT = struct.Struct("<HQ"), struct.Struct("<H")


@dataclass(frozen=True, slots=True)
class Stored:
    """A region as it is kept: the words it was made from by number, and its position-independent code."""

    entry: int
    words: dict[int, int]
    cuts: tuple[int, ...]
    start: int  #: offset of the function in the image
    image: bytes


def page_digest(isa: int, page: bytes) -> bytes:
    """The key of a guest page's regions: its content and the ISA level that decodes it."""
    return hashlib.blake2b(page, digest_size=16, salt=isa.to_bytes(2, "little")).digest()


class RegionCache:
    """The store at ``path``; each thread uses an instance of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
        except sqlite3.DatabaseError:
            self._start_anew()

    def _open(self) -> None:
        db = sqlite3.connect(self._path, timeout=0.5, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(SCHEMA)
        self._db = db

    def _start_anew(self) -> None:
        """The file is no database of ours: replace it, or do without."""
        with contextlib.suppress(OSError, sqlite3.Error):
            for tail in ("", "-wal", "-shm"):
                Path(f"{self._path}{tail}").unlink(missing_ok=True)
            self._open()

    def pages(self) -> set[bytes]:
        """The digests of all pages that have regions."""
        rows = self._rows("SELECT DISTINCT page FROM regions")
        return {page for (page,) in rows if isinstance(page, bytes)}

    def find(self, page: bytes) -> list[Stored]:
        """The regions of a page, by its digest."""
        query = "SELECT entry, words, cuts, start, image, digest FROM regions WHERE page = ?"
        return [stored for row in self._rows(query, (page,)) if (stored := _load(page, row)) is not None]

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        if self._db is None:
            return []
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error:
            self._db = None
            return []

    def add(self, page: bytes, region: Stored) -> None:
        """Keep a region."""
        words = b"".join(_WORD.pack(i, w) for i, w in region.words.items())
        cuts = b"".join(_CUT.pack(i) for i in region.cuts)
        values = (page, region.entry, words, cuts, region.start, region.image)
        self._rows("INSERT OR REPLACE INTO regions VALUES(?, ?, ?, ?, ?, ?, ?)", (*values, _digest(*values)))

    def trim(self) -> None:
        """Keep the store below its limit: the older half goes."""
        size = self._rows("SELECT COALESCE(SUM(LENGTH(image)), 0) FROM regions")
        if size and isinstance(size[0][0], int) and size[0][0] > LIMIT:
            self._rows(
                "DELETE FROM regions WHERE rowid IN (SELECT rowid FROM regions ORDER BY rowid"
                " LIMIT (SELECT COUNT(*) / 2 FROM regions))"
            )

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None


def _digest(page: bytes, entry: int, words: bytes, cuts: bytes, start: int, image: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in (page, struct.pack("<qq", entry, start), words, cuts, image):
        digest.update(struct.pack("<q", len(part)) + part)
    return digest.digest()


def _load(page: bytes, row: tuple[object, ...]) -> Stored | None:
    """A row as a region; None if it is damaged."""
    entry, words, cuts, start, image, digest = row
    if not (isinstance(entry, int) and isinstance(start, int)):
        return None
    if not (isinstance(words, bytes) and isinstance(cuts, bytes) and isinstance(image, bytes)):
        return None
    if _digest(page, entry, words, cuts, start, image) != digest:
        return None
    made = dict(_WORD.iter_unpack(words))
    return Stored(entry, made, tuple(c for (c,) in _CUT.iter_unpack(cuts)), start, image)

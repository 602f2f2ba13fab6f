# SPDX-License-Identifier: GPL-2.0-only
"""What the engine keeps on disk: to be shown, removed, or made before it is needed."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from lpar.cpu.build import Progress, cache_directory

_NAME = re.compile(r"(handlers|regions)-([0-9a-f]+)(?:-\w+)?\.(?:bin|part|lock|db)(?:-wal|-shm)?")


@dataclass(frozen=True, slots=True)
class Kept:
    """One build of the engine with what guests made it compile: bytes on disk, how many regions."""

    key: str
    engine_bytes: int
    region_bytes: int
    regions: int | None  #: None: the file cannot be read
    used: float  #: seconds since 1970: last change


def current_key() -> str:
    """The key of the build that runs now."""
    from lpar.cpu import build

    return build.source_key(build.host_description())


def inventory() -> list[Kept]:
    """What is kept, the newest first."""
    groups: dict[str, list[Path]] = {}
    for path in _files():
        if found := _NAME.fullmatch(path.name):
            groups.setdefault(found[2], []).append(path)
    return sorted((_kept(key, paths) for key, paths in groups.items()), key=lambda kept: -kept.used)


def clear() -> int:
    """Remove all of it; the bytes that were freed.  Guests that run keep what is loaded.  Raises OSError."""
    freed = 0
    for path in _files():
        size = _size(path)
        path.unlink(missing_ok=True)
        freed += size
    return freed


def warm(progress: Progress | None = None) -> bool:
    """Build the engine's own code, if it is not there; whether it was built."""
    from lpar.cpu import build

    kind = build.compiled_kind()
    path = build.bundle_path(kind)
    before = _stamp(path)
    bundle, pending = build.load_bundle(kind, progress)
    while pending is not None and not bundle.complete:
        bundle = pending.next()
    return _stamp(path) != before


def _files() -> list[Path]:
    """Our files, and what interrupted writers left."""
    with contextlib.suppress(OSError):
        return [path for path in cache_directory().iterdir() if path.is_file()]
    return []


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _kept(key: str, paths: list[Path]) -> Kept:
    sizes = {True: 0, False: 0}
    for path in paths:
        sizes[path.name.startswith("handlers")] += _size(path)
    written = [path for path in paths if path.suffix != ".db-shm"]  # that one changes when it is read
    stamps = [stamp[0] / 1e9 for path in written if (stamp := _stamp(path))]
    counts = [_count(path) for path in paths if path.suffix == ".db"]
    regions = None if None in counts else sum(n for n in counts if n)
    return Kept(key, sizes[True], sizes[False], regions, max(stamps, default=0.0))


def _count(path: Path) -> int | None:
    """How many regions a store has; it is not changed, nor made."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.5)) as db:
            return int(db.execute("SELECT COUNT(*) FROM regions").fetchone()[0])
    except sqlite3.Error:
        return None

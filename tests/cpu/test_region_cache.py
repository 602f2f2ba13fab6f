# SPDX-License-Identifier: GPL-2.0-only
"""The store of compiled regions: what it keeps, and what damage does to it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from lpar.cpu import region_cache
from lpar.cpu.region_cache import RegionCache, Stored, page_digest

REGION = Stored(5, {5: 0x38600001, 6: 0x06000000_38600002, 8: 0x4E800020}, (9, 12), 16, b"\x90" * 64)
PAGE = page_digest(300, bytes(4096))


def test_keeps_regions_across_instances(tmp_path: Path) -> None:
    """What one instance adds, another finds, by page content and ISA level."""
    first = RegionCache(tmp_path / "r.db")
    first.add(PAGE, REGION)
    first.close()
    second = RegionCache(tmp_path / "r.db")
    assert second.pages() == {PAGE}
    assert second.find(PAGE) == [REGION]
    assert second.find(page_digest(310, bytes(4096))) == []
    assert second.find(page_digest(300, b"\1" + bytes(4095))) == []


def test_two_instances_at_once(tmp_path: Path) -> None:
    """Two processes may write the same store."""
    one, two = RegionCache(tmp_path / "r.db"), RegionCache(tmp_path / "r.db")
    one.add(PAGE, REGION)
    other = page_digest(300, b"x" * 4096)
    two.add(other, REGION)
    assert one.pages() == two.pages() == {PAGE, other}


def test_damaged_code_is_not_found(tmp_path: Path) -> None:
    """A row whose machine code changed is as good as absent."""
    cache = RegionCache(tmp_path / "r.db")
    cache.add(PAGE, REGION)
    cache.close()
    with sqlite3.connect(tmp_path / "r.db") as db:
        db.execute("UPDATE regions SET image = ?", (b"\xcc" * 64,))
    assert RegionCache(tmp_path / "r.db").find(PAGE) == []


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_foreign_file_is_replaced(tmp_path: Path, content: bytes) -> None:
    """An empty, foreign or torn file costs what it held and nothing else."""
    path = tmp_path / "r.db"
    path.write_bytes(content)
    cache = RegionCache(path)
    cache.add(PAGE, REGION)
    assert cache.find(PAGE) == [REGION]


def test_no_directory(tmp_path: Path) -> None:
    """Where nothing can be written, nothing is kept and nothing fails."""
    (tmp_path / "file").write_text("")
    cache = RegionCache(tmp_path / "file" / "r.db")
    cache.add(PAGE, REGION)
    assert cache.find(PAGE) == []
    cache.trim()
    cache.close()


def test_trim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older half goes when there is too much."""
    cache = RegionCache(tmp_path / "r.db")
    pages = [page_digest(300, bytes([n]) * 4096) for n in range(10)]
    for page in pages:
        cache.add(page, REGION)
    cache.trim()
    assert len(cache.pages()) == 10
    monkeypatch.setattr(region_cache, "LIMIT", 100)
    cache.trim()
    assert cache.pages() == set(pages[5:])

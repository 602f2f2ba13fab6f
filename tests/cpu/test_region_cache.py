# SPDX-License-Identifier: GPL-2.0-only
"""The store of compiled regions: what it keeps, and what damage does to it."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
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


def in_another_process(body: str, path: Path, *, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run ``body`` in a process of its own, with the names of this module's head and ``path``."""
    head = f"""
import os, resource, signal, sys
from pathlib import Path
{before}
from lpar.cpu.region_cache import RegionCache, Stored, page_digest
path = Path({str(path)!r})
"""
    text = head + textwrap.dedent(body)
    return subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False
    )


def test_many_processes_at_once(tmp_path: Path) -> None:
    """Four writers and their readers: every region of every one is there in the end, whole."""
    body = """
        cache = RegionCache(path)
        me = int(sys.argv[1])
        for n in range(50):
            page = page_digest(300, bytes([me, n]) * 2048)
            cache.add(page, Stored(n, {n: n}, (), 0, bytes([me]) * 500))
            assert all(s.image == bytes([s.image[0]]) * 500 for p in cache.pages() for s in cache.find(p))
        cache.trim()
        cache.close()
    """
    path = tmp_path / "r.db"
    head = f"from pathlib import Path\nimport sys\npath = Path({str(path)!r})\n"
    head += "from lpar.cpu.region_cache import RegionCache, Stored, page_digest\n"
    command = [sys.executable, "-c", head + textwrap.dedent(body)]
    writers = [subprocess.Popen([*command, str(n)]) for n in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert len(RegionCache(path).pages()) == 200


def test_a_full_disk(tmp_path: Path) -> None:
    """Writing fails from some size on: no error comes out, and what was kept before is still right."""
    limit = """
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
"""
    body = """
        cache = RegionCache(path)
        for n in range(100):
            cache.add(page_digest(300, bytes([n, 7]) * 2048), Stored(n, {n: n}, (), 0, bytes(4000)))
        cache.trim()
        cache.close()
    """
    done = in_another_process(body, tmp_path / "r.db", before=limit)
    assert done.returncode == 0, done.stderr
    cache = RegionCache(tmp_path / "r.db")
    kept = [stored for page in cache.pages() for stored in cache.find(page)]
    assert 0 < len(kept) < 100
    assert all(stored.image == bytes(4000) for stored in kept)
    cache.add(PAGE, REGION)
    assert cache.find(PAGE) == [REGION]


def test_a_read_only_directory(tmp_path: Path) -> None:
    """What is there is used or not, but nothing fails and nothing is written."""
    path = tmp_path / "r.db"
    cache = RegionCache(path)
    cache.add(PAGE, REGION)
    cache.close()
    before = path.read_bytes()
    for each in (path, tmp_path, *tmp_path.parents[:2]):
        each.chmod(each.stat().st_mode & ~0o222 | 0o555 if each in (path, tmp_path) else 0o755)
    nobody = "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)"
    body = """
        cache = RegionCache(path)
        found = [s for p in cache.pages() for s in cache.find(p)]
        cache.add(page_digest(300, bytes(1)), Stored(0, {}, (), 0, b"x"))
        cache.trim()
        cache.close()
        print(len(found))
    """
    # what root alone may read of Python must be loaded before
    early = "import lpar.cpu.region_cache, sqlite3, hashlib\n"
    done = in_another_process(body, path, before=early + nobody)
    tmp_path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout in ("0\n", "1\n")
    assert path.read_bytes() == before


def test_a_killed_writer(tmp_path: Path) -> None:
    """A process that dies in the middle leaves a store that works."""
    path = tmp_path / "r.db"
    body = """
        cache = RegionCache(path)
        for n in range(20):
            cache.add(page_digest(300, bytes([n, 7]) * 2048), Stored(n, {n: n}, (), 0, bytes(4000)))
        cache._db.execute("BEGIN")
        cache.add(page_digest(300, b"half"), Stored(0, {}, (), 0, bytes(4000)))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert in_another_process(body, path).returncode == -signal.SIGKILL
    cache = RegionCache(path)
    assert len(cache.pages()) == 20
    cache.add(PAGE, REGION)
    assert cache.find(PAGE) == [REGION]


@pytest.mark.parametrize("seed", range(8))
def test_random_damage(tmp_path: Path, seed: int) -> None:
    """Bytes of the file changed at random: what is found is what was kept, or nothing."""
    path = tmp_path / "r.db"
    cache = RegionCache(path)
    pages = [page_digest(300, bytes([n]) * 4096) for n in range(20)]
    for n, page in enumerate(pages):
        cache.add(page, Stored(n, {n: n}, (n,), n, bytes([n]) * 3000))
    cache.close()
    chosen, data = random.Random(seed), bytearray(path.read_bytes())
    for _ in range(30):
        data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
    path.write_bytes(data[: chosen.choice((len(data), chosen.randrange(len(data))))])
    damaged = RegionCache(path)
    for n, page in enumerate(pages):
        for stored in damaged.find(page):
            assert stored == Stored(n, {n: n}, (n,), n, bytes([n]) * 3000)
    damaged.add(PAGE, REGION)
    damaged.trim()
    damaged.close()


def test_it_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the older half goes; the file's room is used again."""
    monkeypatch.setattr(region_cache, "LIMIT", 200_000)
    path = tmp_path / "r.db"
    sizes = []
    for run in range(12):
        cache = RegionCache(path)
        for n in range(20):
            page = page_digest(300, bytes([run, n]) * 2048)
            cache.add(page, Stored(n, {n: n}, (), 0, bytes(4000)))
        newest = page
        cache.trim()
        cache.close()
        sizes.append(path.stat().st_size)
    assert max(sizes) < 3 * 200_000
    assert RegionCache(path).find(newest)

# SPDX-License-Identifier: GPL-2.0-only
"""``lpar cache``: what it shows, removes and makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lpar.cli import main as cli
from lpar.cpu import build, cache_files
from lpar.cpu.build import Bundle
from lpar.cpu.region_cache import RegionCache, Stored, page_digest


class AtOnce:
    """A build that takes no time."""

    def __init__(self, kind: str, progress: build.Progress) -> None:
        self.kind, self.progress = kind, progress

    def next(self) -> Bundle:
        """The bundle, kept as the builder's process does."""
        self.progress("compiling", 1, 1)
        made = Bundle(image=b"object code")
        build.write_bundle(build.bundle_path(self.kind), made)
        return made


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and an engine that is built at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "Pending", AtOnce)
    return build.cache_directory()


def cache(*args: str) -> int:
    return cli.main(["cache", *args])


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert cache("show", "--json") == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def fill() -> None:
    """One build's code and two regions."""
    build.load_bundle(build.UNITS)
    store = RegionCache(build.cache_directory() / f"regions-{cache_files.current_key()}.db")
    for entry in (1, 2):
        store.add(page_digest(300, bytes(4096)), Stored(entry, {}, (), 0, bytes(100)))
    store.close()


def test_an_empty_cache(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys) == {"directory": str(directory), "bytes": 0, "builds": []}
    assert cache("clear") == 0
    assert capsys.readouterr().out == "freed 0.0 MiB\n"
    assert not directory.exists()


def test_show(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill()
    [row] = shown(capsys)["builds"]  # type: ignore[misc, has-type]
    assert (row["current"], row["regions"]) == (True, 2)
    assert row["engine_bytes"] > 0
    assert row["region_bytes"] > 0
    assert cache() == 0
    assert "2 regions  (this build)" in capsys.readouterr().out


def test_show_a_damaged_store(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill()
    [path] = directory.glob("*.db")
    path.write_bytes(b"garbage" * 1000)
    assert cache() == 0
    assert "damaged" in capsys.readouterr().out
    assert path.read_bytes().startswith(b"garbage"), "only the engine replaces it"


def test_clear_while_a_guest_runs(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything goes, litter as well; who has the store open goes on, without effect on the next one."""
    fill()
    (directory / "tmpabc").write_bytes(bytes(1000))
    running = RegionCache(next(directory.glob("*.db")))
    assert cache("clear") == 0
    assert list(directory.iterdir()) == []
    running.add(page_digest(300, b"x" * 4096), Stored(3, {}, (), 0, bytes(100)))
    running.close()
    fill()
    [row] = shown(capsys)["builds"]  # type: ignore[misc, has-type]
    assert row["regions"] == 2


def test_warm(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for built in (True, False):
        capsys.readouterr()
        assert cache("warm", "--json") == 0
        assert json.loads(capsys.readouterr().out)["built"] is built
    assert len(list(directory.glob("handlers-*.bin"))) == 1


def test_wrong_action(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cache("freeze") == 2
    assert capsys.readouterr().err.splitlines() == [
        "lpar: error: unknown action 'freeze'",
        "  hint: one of: show, clear, warm",
    ]

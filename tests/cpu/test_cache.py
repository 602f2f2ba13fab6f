# SPDX-License-Identifier: GPL-2.0-only
"""The cache of compiled handlers: found again, and never in the way when damaged or not writable."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lpar.cpu import build
from lpar.cpu.build import Bundle


class Builder:
    """Counts builds; stands in for the real one, which takes long."""

    def __init__(self) -> None:
        self.built = 0

    def __call__(self, kind: str, progress: object) -> Builder:
        self.built += 1
        return self

    def next(self) -> Bundle:
        """The bundle, kept as the builder's process does."""
        made = Bundle(image=b"code", symbols={"lp_decode": 0})
        build.write_bundle(build.bundle_path(build.UNITS), made)
        return made


def load() -> Bundle:
    """The bundle to start with."""
    return build.load_bundle(build.UNITS)[0]


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Builder:
    """An empty cache of our own."""
    made = Builder()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "Pending", made)
    return made


def files() -> list[Path]:
    """What is in the cache."""
    return sorted(build.cache_directory().glob("*"))


def test_the_second_load_builds_nothing(builder: Builder) -> None:
    first = load()
    assert load() == first
    assert builder.built == 1
    assert len(files()) == 1


def test_cache_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.cache_directory() == tmp_path / "lpar" / "engine"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert build.cache_directory() == tmp_path / "home" / ".cache" / "lpar" / "engine"


def signed(body: bytes) -> bytes:
    """A file body with a right checksum."""
    return hashlib.sha256(body).digest() + body


def flip(data: bytes) -> bytes:
    """One bit of the middle flipped."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "short": lambda data: data[:16],
    "checksum only": lambda data: data[:32],
    "truncated": lambda data: data[: len(data) // 2],
    "one byte less": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "a bit flipped": flip,
    "zeros": lambda data: bytes(len(data)),
    "text": lambda data: b"not a cache file\n" * 100,
    "incomplete": lambda data: signed(pickle.dumps(Bundle(complete=False, image=b"code"))),
    "another type": lambda data: signed(pickle.dumps({"objects": []})),
    "no pickle": lambda data: signed(b"garbage"),
    "unknown class": lambda data: signed(b"cno.such.module\nThing\n."),
    "empty body": lambda data: signed(b""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_built_anew(builder: Builder, damage: str) -> None:
    wanted = load()
    [path] = files()
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert load() == wanted
    assert builder.built == 2
    assert load() == wanted
    assert builder.built == 2  # and mended


def test_a_directory_in_the_file_s_place(builder: Builder) -> None:
    load()
    [path] = files()
    path.unlink()
    path.mkdir()
    assert load().image == b"code"
    assert builder.built == 2


def test_a_cache_directory_that_is_a_file(builder: Builder, tmp_path: Path) -> None:
    (tmp_path / "lpar").write_text("in the way")
    assert load().image == b"code"
    assert load().image == b"code"
    assert builder.built == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_directory_without_permission(builder: Builder, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert load().image == b"code"
    tmp_path.chmod(0o700)


def test_a_full_disk_leaves_no_litter(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert load().image == b"code"
    assert files() == []


def test_old_files_go(builder: Builder) -> None:
    directory = build.cache_directory()
    directory.mkdir(parents=True)
    for n in range(12):
        (directory / f"handlers-{n}.bin").write_bytes(b"old")
        os.utime(directory / f"handlers-{n}.bin", (n, n))
    load()
    names = [p.name for p in files()]
    assert len(names) == 8
    assert "handlers-11.bin" in names
    assert "handlers-3.bin" not in names


def test_the_key_depends_on_host_and_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = build.source_key(build.host_description())
    assert here == build.source_key(build.host_description())
    assert here != build.source_key("another host")
    room = tmp_path / "lpar" / "cpu"
    room.mkdir(parents=True)
    source = room / "build.py"
    source.write_text("x = 1\n")
    monkeypatch.setattr(build, "__file__", str(source))
    first = build.source_key("host")
    source.write_text("x = 2\n")
    assert build.source_key("host") != first


def begin_elsewhere() -> build.Elsewhere:
    """Load while another builds who has the beginning of a bundle by now."""
    path = build.bundle_path(build.UNITS)
    build.write_bundle(path.with_suffix(build.PART), Bundle(complete=False, image=b"beginning"))
    first, pending = build.load_bundle(build.UNITS)
    assert (first.complete, first.image) == (False, b"beginning")
    assert isinstance(pending, build.Elsewhere)
    return pending


def test_a_bundle_that_another_builds(builder: Builder) -> None:
    """Its beginning, then all of it, once it is there; nothing is built here."""
    path = build.bundle_path(build.UNITS)
    with build.build_lock(path):
        pending = begin_elsewhere()
        finish = threading.Timer(3 * build.POLL, build.write_bundle, (path, Bundle(image=b"all of it")))
        finish.start()
        assert pending.next() == Bundle(image=b"all of it")
        finish.join()
    assert builder.built == 0


def test_another_ends_before_its_bundle_is_built(builder: Builder) -> None:
    with build.build_lock(build.bundle_path(build.UNITS)):
        pending = begin_elsewhere()
    assert pending.next().image == b"code"
    assert builder.built == 1

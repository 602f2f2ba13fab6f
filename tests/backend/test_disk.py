# SPDX-License-Identifier: GPL-2.0-only
"""Disks without a device: what is opened, what is refused, overlays against a model."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpar.backend.open_disk import open_disk
from lpar.backend.overlay import CLUSTER, OverlayDisk
from lpar.backend.raw import RawDisk
from lpar.config.disk import DiskConfig, parse_disk
from lpar.errors import ConfigError

MIB = 1 << 20


def test_parse() -> None:
    assert parse_disk("a,,b.img,ro,serial=x") == DiskConfig("a,b.img", read_only=True, serial="x")
    assert parse_disk("/dev/sdb,direct,queues=4,format=raw") == DiskConfig(
        "/dev/sdb", direct=True, queues=4, format="raw"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (",ro", "names no file"),
        ("a,rw", "'rw' is no option"),
        ("a,ro,overlay", "exclude each other"),
        ("a,queues=0", "1 to 16"),
        ("a,queues=x", "1 to 16"),
        ("a,format=qcow2", "format 'qcow2' is not known"),
        ("a,serial=" + "x" * 21, "at most 20 bytes"),
    ],
)
def test_parse_refuses(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_disk(text)


def refused(path: Path | str, options: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        open_disk(parse_disk(f"{path}{options}"))
    return caught.value.message


def test_no_disk(tmp_path: Path) -> None:
    """What is not there, no file, empty, or ends inside a sector."""
    assert "No such file" in refused(tmp_path / "absent")
    assert "Is a directory" in refused(tmp_path)
    assert "neither a file nor a block device" in refused("/dev/null")
    (tmp_path / "empty").touch()
    assert "is empty" in refused(tmp_path / "empty")
    (tmp_path / "short").write_bytes(bytes(1000))
    assert "is truncated" in refused(tmp_path / "short")
    (tmp_path / "file").write_bytes(bytes(512))
    assert "Not a directory" in refused(tmp_path / "file" / "disk")


@pytest.mark.parametrize("magic", [b"QFI\xfb", b"KDMV", b"\x1f\x8b", b"\x7fELF"])
def test_foreign_formats(tmp_path: Path, magic: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(magic.ljust(MIB, b"\0"))
    assert "not a raw image" in refused(path)
    open_disk(parse_disk(f"{path},format=raw")).close()


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root everything may be opened: the host's answer is made up."""
    path = tmp_path / "image"
    path.write_bytes(bytes(MIB))

    def no(*args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", no)
    assert "Permission denied" in refused(path)


def test_truncated_content(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An ext4 file system larger than its image: a warning, since one may want to repair it."""
    path, head = tmp_path / "image", bytearray(MIB)
    struct.pack_into("<II", head, 1024, 100, 4096)
    struct.pack_into("<I", head, 1048, 2)
    struct.pack_into("<H", head, 1080, 0xEF53)
    path.write_bytes(head)
    open_disk(parse_disk(str(path))).close()
    assert "seems truncated: its content takes 16.0 MiB, it has 1.0 MiB" in capsys.readouterr().err


def test_locks(tmp_path: Path) -> None:
    """One writer, or readers and overlays."""
    path = tmp_path / "image"
    path.write_bytes(bytes(MIB))
    writer = open_disk(parse_disk(str(path)))
    for options in ("", ",ro", ",overlay"):
        assert "in use by another guest" in refused(path, options)
    writer.close()
    readers = [open_disk(parse_disk(f"{path}{options}")) for options in (",ro", ",overlay", ",ro")]
    assert "in use by another guest" in refused(path)
    for reader in readers:
        reader.close()
    open_disk(parse_disk(str(path))).close()


def test_a_file_that_shrinks(tmp_path: Path) -> None:
    """Reads behind its new end fail, nothing else does."""
    path = tmp_path / "image"
    path.write_bytes(b"x" * MIB)
    disk = open_disk(parse_disk(str(path)))
    os.truncate(path, MIB // 2)
    buffer = memoryview(bytearray(4096))
    disk.read([buffer], 0)
    with pytest.raises(OSError, match="ends before"):
        disk.read([buffer], MIB // 2 + 4096)
    disk.close()


CLUSTERS = 8
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "zero", "discard", "read"]),
        st.integers(0, CLUSTERS * CLUSTER // 512 - 1),
        st.integers(1, 24),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_overlay_is_like_a_disk(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int, int]]
) -> None:
    """Any writes, zeroes and discards read back as from a copy; the image stays as it is."""
    path = tmp_path_factory.getbasetemp() / "overlay.img"
    size = CLUSTERS * CLUSTER - 512
    before = bytes(i * 13 & 0xFF for i in range(size))
    path.write_bytes(before)
    model = bytearray(before)
    disk = OverlayDisk(RawDisk(os.open(path, os.O_RDONLY), size, read_only=True))
    for number, (action, sector, count) in enumerate(actions):
        start, end = sector * 512, min((sector + count) * 512, size)
        if start >= end:
            continue
        data = bytes((number + 1,)) * (end - start)
        match action:
            case "write":
                disk.write([memoryview(data)[:100], memoryview(data)[100:]], start)
                model[start:end] = data
            case "zero" | "discard":
                disk.write_zeroes(start, end - start, unmap=action == "discard")
                model[start:end] = bytes(end - start)
            case "read":
                buffer = bytearray(end - start)
                disk.read([memoryview(buffer)[:7], memoryview(buffer)[7:]], start)
                assert buffer == model[start:end]
    whole = bytearray(size)
    disk.read([memoryview(whole)], 0)
    assert whole == model
    disk.close()
    assert path.read_bytes() == before

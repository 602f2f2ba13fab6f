# SPDX-License-Identifier: GPL-2.0-only
"""Guest memory: bounds, byte order, host memory actually taken, hugetlbfs, snapshots."""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpar.errors import ConfigError, GuestError, HostError
from lpar.host import memory as module
from lpar.host.memory import HUGETLBFS_MAGIC, GuestAccessError, GuestMemory, check_ram_size

MIB = 1 << 20
GIB = 1 << 30


def rss() -> int:
    """Resident bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.fixture
def ram() -> Iterator[GuestMemory]:
    with GuestMemory(4 * MIB) as memory:
        yield memory


def test_big_endian_accessors(ram: GuestMemory) -> None:
    ram.write(0x1000, bytes(range(1, 9)))
    assert ram.read_u16(0x1000) == 0x0102
    assert ram.read_u32(0x1000) == 0x01020304
    assert ram.read_u64(0x1000) == 0x0102030405060708
    ram.write_u16(0x2000, 0x1_BEEF)
    ram.write_u32(0x2002, 0x1_12345678)
    ram.write_u64(0x2006, -2)
    assert ram.read(0x2000, 14).hex() == "beef12345678fffffffffffffffe"


def test_view_is_the_same_memory(ram: GuestMemory) -> None:
    window = ram.view(ram.size - 4, 4)
    window[:] = b"tail"
    assert ram.read(ram.size - 4, 4) == b"tail"


def test_address_is_the_host_address(ram: GuestMemory) -> None:
    ram.write(0x123, b"seen from the host\0")
    assert ctypes.string_at(ram.address + 0x123) == b"seen from the host"


@pytest.mark.parametrize(
    ("addr", "length"), [(4 * MIB, 1), (4 * MIB - 3, 4), (-1, 1), (0, -1), (1 << 70, 4), (0, 4 * MIB + 1)]
)
def test_outside_ram(ram: GuestMemory, addr: int, length: int) -> None:
    assert not ram.contains(addr, length)
    for attempt in (ram.read, ram.view, ram.fill, ram.discard):
        with pytest.raises(GuestAccessError):
            attempt(addr, length)
    if length > 0:
        with pytest.raises(GuestError, match="is outside RAM"):
            ram.write(addr, bytes(length))


@pytest.mark.parametrize("name", ["read_u16", "read_u32", "read_u64"])
def test_integer_reads_outside_ram(ram: GuestMemory, name: str) -> None:
    with pytest.raises(GuestAccessError):
        getattr(ram, name)(ram.size - 1)
    with pytest.raises(GuestAccessError):
        getattr(ram, name)(-8)
    with pytest.raises(GuestAccessError):
        getattr(ram, name.replace("read", "write"))(ram.size - 1, 0)


@given(addr=st.integers(-10, 70000), data=st.binary(max_size=300))
def test_write_then_read_or_refuse(addr: int, data: bytes) -> None:
    with GuestMemory(65536) as memory:
        if memory.contains(addr, len(data)):
            memory.write(addr, data)
            assert memory.read(addr, len(data)) == data
            assert memory.read(0, addr) == bytes(addr)
        else:
            with pytest.raises(GuestAccessError):
                memory.write(addr, data)


def test_16g_costs_only_what_is_touched() -> None:
    before = rss()
    with GuestMemory(16 * GIB) as memory:
        for addr in range(0, 16 * GIB, GIB):
            memory.write_u64(addr, addr)
        assert rss() - before < 64 * MIB
        assert memory.read_u64(15 * GIB) == 15 * GIB


def test_fill_and_discard(ram: GuestMemory) -> None:
    ram.fill(100, 2 * MIB, 0x55)
    assert ram.read(99, 2) == b"\0\x55"
    assert ram.read(100 + 2 * MIB - 1, 2) == b"\x55\0"
    ram.discard(100, 2 * MIB)
    assert ram.read(100, 1) == b"\x55"  # only whole pages go
    assert ram.read(65536, 65536) == bytes(65536)
    ram.clear()
    assert not any(ram.read(0, ram.size))


def test_clear_with_a_size_that_is_no_multiple_of_a_page() -> None:
    with GuestMemory(4096 * 3 + 5) as memory:
        memory.fill(0, memory.size, 1)
        memory.clear()
        assert not any(memory.read(0, memory.size))


def test_save_holds_only_what_was_written_and_restores() -> None:
    with GuestMemory(2 * GIB) as memory, GuestMemory(2 * GIB) as other:
        memory.write(0, b"first")
        memory.write(GIB + 65536 * 3 - 2, b"across")
        memory.write(2 * GIB - 1, b"!")
        saved = memory.save()
        chunks = saved["chunks"]
        assert isinstance(chunks, list)
        assert [addr for addr, _ in chunks] == [0, GIB + 65536 * 2, GIB + 65536 * 3, 2 * GIB - 65536]
        other.write(512 * MIB, b"to be forgotten")
        other.restore(saved)
        assert other.save() == saved
        assert other.read(512 * MIB, 15) == bytes(15)


def test_restore_of_another_size(ram: GuestMemory) -> None:
    with pytest.raises(ConfigError, match="snapshot has 1 bytes of RAM"):
        ram.restore({"size": 1, "chunks": []})


def test_close_with_a_view_in_use() -> None:
    memory = GuestMemory(MIB)
    window = memory.view(0, 4)
    memory.close()
    window[:] = b"safe"  # still mapped: no crash
    with pytest.raises(ValueError, match="released"):
        memory.read(0, 1)


@pytest.mark.parametrize("size", [0, -1])
def test_no_ram(size: int) -> None:
    with pytest.raises(ConfigError, match="RAM of"):
        GuestMemory(size)


def test_ram_limit_is_the_mmio_start() -> None:
    check_ram_size((63 << 40) - 1)
    for size in (63 << 40, 64 << 40, 1 << 80):
        with pytest.raises(ConfigError, match="overlaps the MMIO range at 63 TiB"):
            GuestMemory(size)


def test_host_refusal_names_the_reason() -> None:
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (64 * GIB, limits[1]))
    try:
        with pytest.raises(HostError, match=r"cannot map .* bytes for RAM: Cannot allocate memory") as caught:
            GuestMemory(1 << 40)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert caught.value.hint


def test_hugetlbfs_path_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not on a hugetlbfs file system"):
        GuestMemory(16 * MIB, hugetlbfs=str(tmp_path))
    with pytest.raises(ConfigError, match="No such file or directory"):
        GuestMemory(16 * MIB, hugetlbfs=str(tmp_path / "absent"))


def test_hugetlbfs_default_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HUGETLBFS_DEFAULT", "/nowhere/pagesize-16MB/")
    with pytest.raises(ConfigError, match="/nowhere/pagesize-16MB"):
        GuestMemory(16 * MIB, hugetlbfs="default")


@pytest.fixture
def fake_hugetlbfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An ordinary directory that says it is hugetlbfs."""
    monkeypatch.setattr(module, "_filesystem_type", lambda path: HUGETLBFS_MAGIC)
    return str(tmp_path)


def test_hugetlbfs_mapping_leaves_no_file(fake_hugetlbfs: str) -> None:
    with GuestMemory(MIB, hugetlbfs=fake_hugetlbfs) as memory:
        memory.write(MIB - 3, b"end")
        assert memory.read(MIB - 3, 3) == b"end"
        assert list(Path(fake_hugetlbfs).iterdir()) == []
        memory.clear()
        assert memory.read(MIB - 3, 3) == bytes(3)


def test_hugetlbfs_size_must_be_whole_pages(fake_hugetlbfs: str) -> None:
    with pytest.raises(ConfigError, match="no multiple of the huge page size"):
        GuestMemory(MIB + 1, hugetlbfs=fake_hugetlbfs)


def test_hugetlbfs_unwritable(fake_hugetlbfs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("mmap.mmap", refuse)
    with pytest.raises(HostError, match=r"cannot map 1048576 bytes from hugetlbfs .*Cannot alloc") as caught:
        GuestMemory(MIB, hugetlbfs=fake_hugetlbfs)
    assert "huge pages" in str(caught.value.hint)

# SPDX-License-Identifier: GPL-2.0-only
"""virtio-blk with the driver of ``testing``: data, errors, flushes, ranges."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from lpar.backend.disk import Disk
from lpar.backend.open_disk import open_disk
from lpar.config.disk import parse_disk
from lpar.testing.virtio import VirtioDriver
from lpar.virtio.blk import (
    DISCARD,
    F_FLUSH,
    F_MQ,
    F_RO,
    FLUSH,
    GET_ID,
    IN,
    IOERR,
    MAX_RANGE,
    OK,
    OUT,
    UNSUPP,
    WRITE_ZEROES,
    Blk,
)  # fmt: skip

SIZE = 1 << 20
Make = Callable[..., VirtioDriver]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(i * 7 & 0xFF for i in range(SIZE)))
    return path


@pytest.fixture
def make(image: Path) -> Iterator[Make]:
    """Drivers of disks on the image; closed at the end."""
    made: list[tuple[VirtioDriver, Disk]] = []

    def start(options: str = "", features: int | None = None, queues: int = 1) -> VirtioDriver:
        disk = open_disk(parse_disk(f"{image}{options}"))
        driver = VirtioDriver(Blk(disk, serial="lpar-1", queues=queues))
        made.append((driver, disk))
        return driver.start(features)

    yield start
    for driver, disk in made:
        driver.close()
        disk.close()


def header(kind: int, sector: int = 0) -> bytes:
    return struct.pack("<IIQ", kind, 0, sector)


def read(driver: VirtioDriver, sector: int, count: int, queue: int = 0) -> bytes:
    written, (data, status) = driver.request(queue, [header(IN, sector)], [count * 512, 1])
    assert (status[0], written) == (OK, count * 512 + 1)
    return data


def write(driver: VirtioDriver, sector: int, data: bytes, queue: int = 0) -> int:
    written, (status,) = driver.request(queue, [header(OUT, sector), data], [1])
    assert written == 1
    return status[0]


@pytest.mark.parametrize("options", ["", ",direct", ",overlay", ",overlay,direct"])
def test_reads_and_writes(make: Make, image: Path, options: str) -> None:
    before = image.read_bytes()
    driver = make(options)
    assert driver.config(0, 4) == SIZE // 512
    assert read(driver, 3, 5) == before[3 * 512 : 8 * 512]
    model = bytearray(before)
    for sector, data in ((1, b"a" * 512), (7, b"bc" * 2048), (2047, b"end!" * 128), (0, b"x" * 1024)):
        assert write(driver, sector, data) == OK
        model[sector * 512 : sector * 512 + len(data)] = data
    for sector in range(0, 2048, 64):
        assert read(driver, sector, 64) == model[sector * 512 : (sector + 64) * 512]
    assert driver.request(0, [header(FLUSH)], [1])[1] == [bytes((OK,))]
    assert image.read_bytes() == (before if "overlay" in options else model)


def test_parts_may_be_cut_anywhere(make: Make, image: Path) -> None:
    """Header, data and status in odd pieces (2.7.4)."""
    driver, before = make(), image.read_bytes()
    head = header(IN, 1)
    written, data = driver.request(0, [head[:5], head[5:]], [1, 600, 424])
    joined = b"".join(data)
    assert (written, joined[:1024], joined[1024]) == (1025, before[512:1536], OK)
    assert driver.request(0, [header(OUT, 0) + b"q" * 100, b"r" * 412], [1])[1] == [b"\0"]
    assert read(driver, 0, 1) == b"q" * 100 + b"r" * 412


@pytest.mark.parametrize(
    ("kind", "sector", "size", "status"),
    [
        pytest.param(IN, SIZE // 512, 512, IOERR, id="behind the end"),
        pytest.param(IN, SIZE // 512 - 1, 1024, IOERR, id="over the end"),
        pytest.param(IN, (1 << 64) - 1, 512, IOERR, id="the last sector there can be"),
        pytest.param(IN, 0, 100, IOERR, id="part of a sector"),
        pytest.param(OUT, SIZE // 512, 512, IOERR, id="write behind the end"),
        pytest.param(99, 0, 512, UNSUPP, id="unknown type"),
    ],
)
def test_refused(make: Make, image: Path, kind: int, sector: int, size: int, status: int) -> None:
    driver, before = make(), image.read_bytes()
    out, into = ([b"z" * size], []) if kind == OUT else ([], [size])
    assert driver.request(0, [header(kind, sector), *out], [*into, 1])[1][-1] == bytes((status,))
    assert image.read_bytes() == before
    assert read(driver, 0, 1) == before[:512]


def test_read_only(make: Make, image: Path) -> None:
    before = image.read_bytes()
    driver = make(",ro")
    assert driver.device.offered & F_RO
    assert write(driver, 0, b"z" * 512) == IOERR
    ranges = struct.pack("<QII", 0, 8, 0)
    assert driver.request(0, [header(DISCARD), ranges], [1])[1] == [bytes((IOERR,))]
    assert driver.request(0, [header(WRITE_ZEROES), ranges], [1])[1] == [bytes((IOERR,))]
    assert image.read_bytes() == before


def test_serial(make: Make) -> None:
    assert make().request(0, [header(GET_ID)], [20, 1])[1] == [b"lpar-1".ljust(20, b"\0"), b"\0"]


@pytest.mark.parametrize("options", ["", ",overlay"])
@pytest.mark.parametrize("kind", [DISCARD, WRITE_ZEROES])
@pytest.mark.parametrize("flags", [0, 1])
def test_zeroes(make: Make, image: Path, kind: int, flags: int, options: str) -> None:
    """Two ranges, neither of whole clusters."""
    driver, model = make(options), bytearray(image.read_bytes())
    ranges = struct.pack("<QIIQII", 3, 30, flags, 100, 2, flags)
    expected = UNSUPP if kind == DISCARD and flags else OK
    assert driver.request(0, [header(kind), ranges], [1])[1] == [bytes((expected,))]
    if expected == OK:
        model[3 * 512 : 33 * 512] = bytes(30 * 512)
        model[100 * 512 : 102 * 512] = bytes(1024)
    assert read(driver, 0, 200) == model[: 200 * 512]


@pytest.mark.parametrize(
    "ranges",
    [(SIZE // 512, 1, 0), (0, MAX_RANGE + 1, 0), ((1 << 64) - 1, 2, 0)],
    ids=["end", "long", "wraps"],
)
def test_ranges_refused(make: Make, image: Path, ranges: tuple[int, int, int]) -> None:
    driver, before = make(), image.read_bytes()
    data = struct.pack("<QII", *ranges)
    assert driver.request(0, [header(WRITE_ZEROES), data], [1])[1] == [bytes((IOERR,))]
    assert driver.request(0, [header(WRITE_ZEROES), data[:9]], [1])[1] == [bytes((IOERR,))]
    assert image.read_bytes() == before


def test_several_queues(make: Make, image: Path) -> None:
    driver, before = make(queues=4), image.read_bytes()
    assert driver.device.offered & F_MQ
    assert driver.config(34, 2) == 4
    for queue in (3, 1, 0, 2):
        assert read(driver, queue, 2, queue) == before[queue * 512 : queue * 512 + 1024]
        assert driver.interrupts[queue + 1] >= 1


class Recorder:
    """A disk that remembers what was asked of it, and fails when told."""

    size, block_size, read_only, can_discard = SIZE, 512, False, True

    def __init__(self) -> None:
        self.done: list[str] = []
        self.error = 0

    def _do(self, what: str) -> None:
        if self.error:
            raise OSError(self.error, "as told")
        self.done.append(what)

    def read(self, views: Sequence[memoryview], offset: int) -> None:
        self._do("read")

    def write(self, views: Sequence[memoryview], offset: int) -> None:
        self._do("write")

    def read_now(self, views: Sequence[memoryview], offset: int) -> bool:
        return False

    def write_now(self, views: Sequence[memoryview], offset: int) -> bool:
        return False

    def flush(self) -> None:
        self._do("flush")

    def discard(self, offset: int, length: int) -> None:
        self._do("discard")

    def write_zeroes(self, offset: int, length: int, *, unmap: bool) -> None:
        self._do(f"zero {unmap}")

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def recorded() -> Iterator[tuple[Recorder, VirtioDriver]]:
    disk = Recorder()
    driver = VirtioDriver(Blk(disk))
    yield disk, driver
    driver.close()


def test_a_driver_without_flush_gets_stable_writes(recorded: tuple[Recorder, VirtioDriver]) -> None:
    disk, driver = recorded
    driver.start(0)
    assert write(driver, 0, bytes(512)) == OK
    assert disk.done == ["write", "flush"]
    driver.start(F_FLUSH)
    assert write(driver, 0, bytes(512)) == OK
    assert disk.done == ["write", "flush", "write"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_the_hosts_error_is_the_guests_error(recorded: tuple[Recorder, VirtioDriver], number: int) -> None:
    """A full disk of the host: the request fails, the next one does not."""
    disk, driver = recorded
    driver.start()
    disk.error = number
    assert write(driver, 0, bytes(512)) == IOERR
    assert driver.request(0, [header(FLUSH)], [1])[1] == [bytes((IOERR,))]
    assert driver.device.counters["failures"] == 2
    disk.error = 0
    assert write(driver, 0, bytes(512)) == OK


def test_completions_are_batched(recorded: tuple[Recorder, VirtioDriver]) -> None:
    """Many requests with one notification: fewer interrupts than requests, all of them used."""
    _, driver = recorded
    driver.start()
    ring = driver.rings[0]
    for sector in range(60):
        driver.add(ring, [header(IN, sector)], [512, 1])
    driver.notify(0)
    assert sorted(driver.wait_used(ring)[0] for _ in range(60)) == sorted(ring.heads)
    assert 1 <= driver.interrupts[1] <= 10


def test_saved_and_restored(make: Make) -> None:
    """Another disk on the same image goes on in the middle of two rings, with the features agreed on."""
    driver = make(queues=2)
    for queue in (0, 1, 1):
        assert write(driver, 8 + queue, bytes((queue + 1,)) * 512, queue) == OK
    state = driver.function.save()
    other = VirtioDriver(Blk(driver.device.disk, queues=2), driver.memory)  # type: ignore[attr-defined]
    other.function.restore(state)
    other.rings, other._buffers = driver.rings, driver._buffers
    assert other.device.has(F_FLUSH) and other.device.has(F_MQ)
    assert [queue.next_avail for queue in other.device.queues] == [1, 2]
    assert other.function.msix is not None
    other.function.msix.look_up_all()
    for queue in (0, 1):
        assert read(other, 8 + queue, 1, queue) == bytes((queue + 1,)) * 512
    other.device.close()

# SPDX-License-Identifier: GPL-2.0-only
"""virtio-9p, driven as a guest drives it, by the same client as the server alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lpar.backend.ninep import Export
from lpar.testing.ninep import Client
from lpar.testing.virtio import VirtioDriver
from lpar.virtio.ninep import NineP


class Channel:
    """A client's requests as chains of the queue."""

    def __init__(self, driver: VirtioDriver) -> None:
        self.driver = driver

    def handle(self, request: list[memoryview], reply: list[memoryview]) -> int:
        """Header and rest of the request apart, the room in two pieces."""
        data = b"".join(request)
        room = len(reply[0])
        written, pieces = self.driver.request(0, [data[:7], data[7:] or b"\0"], [11, room - 11])
        reply[0][:written] = b"".join(pieces)[:written]
        return written


@pytest.fixture
def export(tmp_path: Path) -> Iterator[Export]:
    shared = Export(str(tmp_path), mapped=True)
    yield shared
    shared.close()


@pytest.fixture
def driver(export: Export) -> Iterator[VirtioDriver]:
    made = VirtioDriver(NineP(export, "tag")).start()
    yield made
    made.close()


def test_configuration(driver: VirtioDriver) -> None:
    assert driver.config(0, 2) == 3
    assert bytes(driver.config(2 + n, 1) for n in range(3)) == b"tag"


def test_files(driver: VirtioDriver, tmp_path: Path) -> None:
    client = Client(Channel(driver), msize=32768)
    fid = client.create(0, b"file", 1)
    data = bytes(range(256)) * 100
    assert client.write(fid, data) == len(data)
    assert (tmp_path / "file").read_bytes() == data
    assert client.read(fid, 100, 20000) == data[100:20100]
    assert driver.device.counters["bytes written"] == len(data)


def test_a_reset_lets_everything_go(driver: VirtioDriver, export: Export) -> None:
    client = Client(Channel(driver), msize=8192)
    client.create(0, b"file", 1)
    assert export.nodes.open_files == 1
    driver.status = 0
    assert (len(export.nodes), export.nodes.open_files) == (1, 0)


def test_state(driver: VirtioDriver, export: Export, tmp_path: Path) -> None:
    """Fids go on by their path, open ones with their flags; one whose file is gone is unknown."""
    client = Client(Channel(driver), msize=8192)
    (tmp_path / "d").mkdir()
    client.walk(1, b"d")
    client.create(1, b"file", 2)
    client.write(2, b"before")
    client.create(0, b"gone", 3)
    data = driver.device.save()
    (tmp_path / "gone").unlink()
    other = VirtioDriver(NineP(export, "tag"), driver.memory)
    other.device.restore(data)
    other.rings = driver.rings
    client.server = Channel(other)
    assert client.read(2) == b"before"
    client.write(2, b"after!")
    assert (tmp_path / "d" / "file").read_bytes() == b"after!"
    with pytest.raises(OSError, match="Errno 9"):
        client.read(3)
    other.device.close()

# SPDX-License-Identifier: GPL-2.0-only
"""virtio-net, driven as a guest drives it; the network is a piece of wire."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from lpar.backend.network import F_CSUM, F_MTU, HEADER_SIZE, MAX_FRAME, Loop, Received
from lpar.testing.virtio import VirtioDriver
from lpar.virtio.net import F_MRG_RXBUF, RX, TX, Net

MAC = b"\x02\x15\x15\x15\x15\x15"
HEADER = bytes(HEADER_SIZE)


class Wire:
    """A network that keeps what is sent, and sends what it is told."""

    features = F_CSUM | F_MTU
    mtu: int | None = 9000

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bytes]] = []
        self.resumed = threading.Event()
        self.started = threading.Event()
        self.loop: Loop | None = None
        self.received: Received | None = None

    def start(self, loop: Loop, received: Received) -> None:
        self.loop, self.received = loop, received
        self.started.set()

    def stop(self) -> None:
        self.loop = None

    def agreed(self, features: int) -> None:
        """Nothing depends on it."""

    def send(self, header: bytes, frame: Sequence[memoryview]) -> None:
        self.sent.append((header, b"".join(frame)))

    def flush(self) -> None:
        """Nothing waits."""

    def resume(self) -> None:
        self.resumed.set()

    def close(self) -> None:
        """Nothing to free."""

    def deliver(self, device: Net, *frames: bytes) -> list[bool]:
        """Have frames arrive, in the worker, all at once."""
        assert self.started.wait(20)
        answers: list[bool] = []
        done = threading.Event()

        def work() -> None:
            assert self.received is not None
            answers.extend(self.received(HEADER, frame) for frame in frames)
            done.set()

        device.worker.post(work)
        assert done.wait(20)
        return answers


Start = Callable[..., tuple[VirtioDriver, Wire]]


@pytest.fixture
def start() -> Iterator[Start]:
    drivers: list[VirtioDriver] = []

    def begin(features: int = F_MRG_RXBUF | F_CSUM | F_MTU) -> tuple[VirtioDriver, Wire]:
        wire = Wire()
        driver = VirtioDriver(Net(wire, MAC))
        driver.start(features)
        drivers.append(driver)
        return driver, wire

    yield begin
    for driver in drivers:
        driver.close()


def test_configuration(start: Start) -> None:
    driver, _ = start()
    assert bytes(driver.config(n, 1) for n in range(6)) == MAC
    assert driver.config(6, 2) == 1, "the link is up"
    assert driver.config(10, 2) == 9000


def test_frames_out(start: Start) -> None:
    """Header and frame in one buffer, or in pieces anywhere."""
    driver, wire = start()
    header = b"\x01" + bytes(11)
    for pieces in (
        [header + b"a" * 60],
        [header, b"a" * 60],
        [header[:5], header[5:] + b"a" * 10, b"a" * 50],
    ):
        assert driver.request(TX, pieces, [])[0] == 0
        assert wire.sent.pop() == (header, b"a" * 60)
    for pieces in ([header], [header[:3]], [header, bytes(MAX_FRAME + 1)]):
        driver.request(TX, pieces, [])
    assert wire.sent == []
    assert driver.device.counters["dropped"] == 3
    assert driver.device.counters["tx frames"] == 3


def test_a_frame_in(start: Start) -> None:
    driver, wire = start()
    ring = driver.rings[RX]
    head = driver.add(ring, [], [2000])
    driver.notify(RX)
    wire.deliver(driver.device, b"frame" * 20)
    assert driver.wait_used(ring) == (head, HEADER_SIZE + 100)
    content = driver.memory.read(*ring.heads[head][0])
    assert content[:HEADER_SIZE] == bytes(10) + b"\x01\x00"
    assert content[HEADER_SIZE : HEADER_SIZE + 100] == b"frame" * 20


def test_a_frame_over_several_buffers(start: Start) -> None:
    driver, wire = start()
    ring = driver.rings[RX]
    frame = bytes(range(250)) * 20
    heads = [driver.add(ring, [], [1000, 500]) for _ in range(2)]
    driver.notify(RX)
    wire.deliver(driver.device, frame)
    heads += [driver.add(ring, [], [1500]) for _ in range(3)]  # only now there are enough
    driver.notify(RX)
    data = b""
    for number in range(4):
        head, written = driver.wait_used(ring)
        assert head == heads[number]
        data += b"".join(driver.memory.read(*space) for space in ring.heads[head])[:written]
    assert data[:HEADER_SIZE] == bytes(10) + b"\x04\x00"
    assert data[HEADER_SIZE:] == frame
    assert driver.used(ring) is None


def test_without_merging_a_long_frame_is_lost(start: Start) -> None:
    driver, wire = start(features=0)
    ring = driver.rings[RX]
    driver.add(ring, [], [500])
    head = driver.add(ring, [], [500])
    driver.notify(RX)
    wire.deliver(driver.device, bytes(600), b"short")
    assert driver.wait_used(ring)[1] == 0
    assert driver.wait_used(ring) == (head, HEADER_SIZE + 5)
    assert driver.device.counters["dropped"] == 1


def test_frames_wait_up_to_a_limit(start: Start) -> None:
    driver, wire = start()
    frame = bytes(60000)
    answers = wire.deliver(driver.device, *[frame] * 100)
    assert answers[:20] == [True] * 20
    assert answers[-1] is False
    waiting = 100 - driver.device.counters["dropped"]
    assert 60 <= waiting < 75
    ring = driver.rings[RX]
    for _ in range(waiting):
        driver.add(ring, [], [65000])
        driver.notify(RX)
        driver.wait_used(ring)
    assert wire.resumed.wait(20)
    assert driver.device.counters["rx frames"] == waiting


def test_reset_forgets_frames(start: Start) -> None:
    driver, wire = start()
    wire.deliver(driver.device, b"old" * 20)
    driver.start()
    ring = driver.rings[RX]
    driver.add(ring, [], [2000])
    driver.notify(RX)
    wire.deliver(driver.device, b"new!")
    assert driver.wait_used(ring)[1] == HEADER_SIZE + 4


def test_state(start: Start) -> None:
    """A restored card goes on with the rings of the one before."""
    driver, _ = start()
    data = driver.device.save()
    wire = Wire()
    other = VirtioDriver(Net(wire, MAC), driver.memory)
    other.device.restore(data)
    other.rings = driver.rings
    other.request(TX, [bytes(12) + b"x" * 60], [])
    assert wire.sent == [(bytes(12), b"x" * 60)]
    other.device.close()

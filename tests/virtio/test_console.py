# SPDX-License-Identifier: GPL-2.0-only
"""virtio-console with the driver of ``testing``: ports, control messages, resize, a busy output."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator

import pytest

from lpar.testing.virtio import VirtioDriver
from lpar.virtio.console import (
    CONSOLE_PORT,
    DEVICE_ADD,
    DEVICE_READY,
    F_MULTIPORT,
    F_SIZE,
    INPUT_LIMIT,
    PORT_NAME,
    PORT_OPEN,
    PORT_READY,
    RESIZE,
    Channel,
    Console,
)  # fmt: skip


class Heard:
    """An output that remembers, and is busy when told."""

    def __init__(self) -> None:
        self.data = b""
        self.busy = threading.Event()

    def __call__(self, data: bytes) -> bool:
        if self.busy.is_set():
            return False
        self.data += data
        return True


@pytest.fixture
def outputs() -> list[Heard]:
    return [Heard(), Heard()]


@pytest.fixture
def driver(outputs: list[Heard]) -> Iterator[VirtioDriver]:
    channels = [Channel(outputs[0], console=True), Channel(outputs[1], name="org.lpar.test")]
    made = VirtioDriver(Console(channels, (132, 50)))
    yield made
    made.close()


def console(driver: VirtioDriver) -> Console:
    assert isinstance(driver.device, Console)
    return driver.device


def give_buffers(driver: VirtioDriver, queue: int, count: int = 4, size: int = 64) -> None:
    for _ in range(count):
        driver.add(driver.rings[queue], [], [size])
    driver.notify(queue)


def take(driver: VirtioDriver, queue: int) -> bytes:
    """What the device put into the next buffer."""
    ring = driver.rings[queue]
    head, written = driver.wait_used(ring)
    return driver.memory.read(ring.heads.pop(head)[0][0], written)


def tell(driver: VirtioDriver, port: int, event: int, value: int) -> None:
    driver.request(3, [struct.pack("<IHH", port, event, value)], [])


def test_output_and_input(driver: VirtioDriver, outputs: list[Heard]) -> None:
    driver.start()
    driver.request(1, [b"to the ", b"host"], [])
    driver.request(5, [b"second"], [])
    assert [heard.data for heard in outputs] == [b"to the host", b"second"]
    assert console(driver).ports[0].send(b"to the guest") == 12
    give_buffers(driver, 0, size=5)
    assert b"".join(take(driver, 0) for _ in range(3)) == b"to the guest"


def test_input_is_bounded(driver: VirtioDriver) -> None:
    """What is too much is not taken; when the driver has read, there is room again."""
    driver.start()
    port = console(driver).ports[1]
    room = threading.Event()
    port.channel.ready = room.set
    assert port.send(b"x" * (INPUT_LIMIT + 100)) == INPUT_LIMIT
    assert port.send(b"y") == 0
    give_buffers(driver, 4, count=4, size=1024)
    assert b"".join(take(driver, 4) for _ in range(4)) == b"x" * INPUT_LIMIT
    assert room.wait(10)
    assert port.send(b"y") == 1


def test_a_busy_output_is_asked_again(driver: VirtioDriver, outputs: list[Heard]) -> None:
    """Bytes stay in the driver's buffer until the host takes them."""
    driver.start()
    outputs[0].busy.set()
    ring = driver.rings[1]
    driver.add(ring, [b"a" * 6000], [])
    driver.add(ring, [b"b"], [])
    driver.notify(1)
    for _ in range(5):
        driver.wait()
    assert driver.used(ring) is None
    outputs[0].busy.clear()
    driver.wait_used(ring)
    driver.wait_used(ring)
    assert outputs[0].data == b"a" * 6000 + b"b"


def test_control(driver: VirtioDriver) -> None:
    """Ports are announced, named and opened as the driver asks; the size is told when it changes."""
    driver.start()
    opened: list[bool] = []
    console(driver).ports[1].channel.opened = opened.append
    give_buffers(driver, 2, count=12)
    tell(driver, 0xFFFF_FFFF, DEVICE_READY, 1)
    assert [take(driver, 2) for _ in range(2)] == [struct.pack("<IHH", n, DEVICE_ADD, 0) for n in (0, 1)]
    tell(driver, 0, PORT_READY, 1)
    assert take(driver, 2) == struct.pack("<IHH", 0, CONSOLE_PORT, 1)
    assert take(driver, 2) == struct.pack("<IHHHH", 0, RESIZE, 0, 132, 50)
    assert take(driver, 2) == struct.pack("<IHH", 0, PORT_OPEN, 1)
    tell(driver, 1, PORT_READY, 1)
    assert take(driver, 2) == struct.pack("<IHH", 1, PORT_NAME, 1) + b"org.lpar.test"
    assert take(driver, 2) == struct.pack("<IHH", 1, PORT_OPEN, 1)
    tell(driver, 0, PORT_OPEN, 1)
    tell(driver, 1, PORT_OPEN, 1)
    console(driver).resize(100, 30)
    assert take(driver, 2) == struct.pack("<IHHHH", 0, RESIZE, 0, 100, 30)
    assert (driver.config(0, 2), driver.config(2, 2)) == (100, 30)
    assert driver.interrupts[0] >= 1
    tell(driver, 1, PORT_OPEN, 0)
    assert opened == [True, False]


def test_without_ports(outputs: list[Heard]) -> None:
    """A driver that knows one port only, and one that writes before it has any queue."""
    driver = VirtioDriver(Console([Channel(outputs[0], console=True)]))
    driver.start(F_SIZE)
    assert driver.device.offered & F_MULTIPORT
    driver.write(0x2008, 4, ord("!"))
    driver.request(1, [b"hello"], [])
    assert outputs[0].data == b"!hello"
    driver.close()


def test_saved_and_restored(driver: VirtioDriver, outputs: list[Heard]) -> None:
    """Input that waits and output that could not go on are there in the other console."""
    driver.start()
    outputs[0].busy.set()
    ring = driver.rings[1]
    driver.add(ring, [b"late"], [])
    driver.notify(1)
    while console(driver).ports[0].unsent is None:
        driver.wait()
    console(driver).ports[1].send(b"waits")
    state = driver.function.save()
    driver.device.close()
    heard = [Heard(), Heard()]
    other = VirtioDriver(Console([Channel(heard[0], console=True), Channel(heard[1])]), driver.memory)
    other.function.restore(state)
    other.rings, other._buffers = driver.rings, driver._buffers
    other.wait_used(ring)
    assert heard[0].data == b"late"
    give_buffers(other, 4)
    assert take(other, 4) == b"waits"
    other.device.close()

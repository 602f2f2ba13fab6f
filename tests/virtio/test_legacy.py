# SPDX-License-Identifier: GPL-2.0-only
"""virtio over PCI before 1.0: ports, layout of the rings, vectors that move the configuration."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lpar.pci.function import BAR0
from lpar.testing.virtio import LegacyDriver
from lpar.virtio import legacy
from lpar.virtio.device import DRIVER_OK, F_EVENT_IDX, F_INDIRECT_DESC, F_VERSION_1, NEEDS_RESET
from lpar.virtio.pci import NO_VECTOR
from lpar.virtio.rng import Rng


@pytest.fixture
def driver() -> Iterator[LegacyDriver]:
    made = LegacyDriver(Rng(lambda count: bytes(i & 0xFF for i in range(count))))
    yield made
    made.close()


def test_what_it_says_it_is(driver: LegacyDriver) -> None:
    """A number of before 1.0, revision 0, the device's own number as subsystem; ports in the first BAR."""
    space = driver.function
    assert (space.get(0, 2), space.get(2, 2), space.get(8, 1)) == (0x1AF4, 0x1005, 0)
    assert (space.get(0x2C, 2), space.get(0x2E, 2)) == (0x1AF4, 4)
    assert space.get(BAR0, 4) & 3 == 1
    assert driver.features() & F_VERSION_1 == 0


@pytest.mark.parametrize("features", [0, F_EVENT_IDX, F_INDIRECT_DESC, F_EVENT_IDX | F_INDIRECT_DESC])
@pytest.mark.parametrize("msix", [True, False])
def test_requests(driver: LegacyDriver, features: int, msix: bool) -> None:
    """More of them than the ring has places."""
    driver.start(features, msix=msix)
    for i in range(100):
        written, data = driver.request(0, [], [100, 3], indirect=bool(features & F_INDIRECT_DESC and i % 2))
        assert (written, b"".join(data)) == (103, bytes(range(103)))
        if not msix:
            assert driver.isr() == 1
            assert not driver.line
    assert (driver.interrupts.get(1, 0) > 0) == msix


def test_reset_and_again(driver: LegacyDriver) -> None:
    for _ in range(3):
        driver.start()
        assert driver.read(legacy.ADDRESS, 4) == driver.rings[0].desc // 4096
        assert driver.request(0, [], [10])[0] == 10
        driver.status = 0
        assert driver.status == 0
        assert driver.read(legacy.ADDRESS, 4) == 0
        assert driver.read(legacy.ACCEPTED, 4) == 0


def test_a_queue_taken_away(driver: LegacyDriver) -> None:
    driver.start()
    driver.write(legacy.ADDRESS, 4, 0)
    driver.notify(0)
    assert not driver.device.queues[0].ready
    driver.set_up(0)
    assert driver.request(0, [], [10])[0] == 10


def test_vectors_lie_before_the_configuration(driver: LegacyDriver) -> None:
    """And only while MSI-X is on."""
    driver.device.config[:] = b"\x11\x22\x33\x44\x55\x66\x77\x88"
    assert driver.read(legacy.CONFIG, 4) == 0x44332211
    driver.use_msix()
    assert driver.read(legacy.CONFIG, 2) == 0
    driver.write(legacy.CONFIG, 2, 9)  # there are two vectors
    assert driver.read(legacy.CONFIG, 2) == NO_VECTOR
    driver.write(legacy.CONFIG + 2, 2, 1)
    assert driver.read(legacy.CONFIG + 2, 2) == 1
    driver.write(legacy.SELECT, 2, 7)  # no such queue
    assert driver.read(legacy.CONFIG + 2, 2) == NO_VECTOR
    assert driver.read(legacy.SIZE, 2) == 0
    assert driver.config(0, 4) == 0x44332211


def test_features_stay_once_rings_are_there(driver: LegacyDriver) -> None:
    driver.start(F_EVENT_IDX)
    driver.accept(F_INDIRECT_DESC)
    assert driver.read(legacy.ACCEPTED, 4) == F_EVENT_IDX


def test_a_ring_outside_ram(driver: LegacyDriver) -> None:
    driver.status = 3
    driver.write(legacy.ADDRESS, 4, 0xFFFF_FFFF)
    assert driver.read(legacy.ADDRESS, 4) == 0
    driver.status = 3 | DRIVER_OK
    driver.notify(0)
    assert driver.status == 3 | DRIVER_OK


def test_broken_rules(driver: LegacyDriver) -> None:
    """A descriptor that cannot be: the device wants a reset, and works after it."""
    ring = driver.start().rings[0]
    driver.make_available(ring, 0xFFFF)
    driver.notify(0)
    while not driver.status & NEEDS_RESET:
        driver.wait()
    driver.status = 0
    assert driver.start().request(0, [], [10])[0] == 10


def test_save_and_restore(driver: LegacyDriver) -> None:
    """The state goes into another device, which goes on with the same rings."""
    driver.start()
    driver.request(0, [], [10])
    saved = driver.function.save()
    other = LegacyDriver(Rng(lambda count: bytes(count)), driver.memory)
    other.function.restore(saved)
    other.rings = driver.rings
    assert other.function.save() == saved
    assert other.read(legacy.CONFIG, 2) == 0
    assert other.request(0, [], [10])[1] == [bytes(10)]
    other.device.close()

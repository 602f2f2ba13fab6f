# SPDX-License-Identifier: GPL-2.0-only
"""virtio over PCI as a driver sees it, with the entropy device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lpar.pci.function import COMMAND, COMMAND_MEMORY
from lpar.testing.virtio import VirtioDriver
from lpar.virtio.device import (
    ACKNOWLEDGE,
    DRIVER,
    DRIVER_OK,
    F_EVENT_IDX,
    F_INDIRECT_DESC,
    F_RING_RESET,
    F_VERSION_1,
    FEATURES_OK,
    NEEDS_RESET,
)  # fmt: skip
from lpar.virtio.pci import COMMON, NO_VECTOR
from lpar.virtio.rng import Rng


@pytest.fixture
def driver() -> Iterator[VirtioDriver]:
    made = VirtioDriver(Rng(lambda count: bytes(i & 0xFF for i in range(count))))
    yield made
    made.close()


def expected(count: int) -> bytes:
    return bytes(i & 0xFF for i in range(count))


@pytest.mark.parametrize("features", [0, F_EVENT_IDX, F_INDIRECT_DESC, F_EVENT_IDX | F_INDIRECT_DESC])
@pytest.mark.parametrize("msix", [True, False])
def test_requests(driver: VirtioDriver, features: int, msix: bool) -> None:
    """Buffers of several parts, more of them than the ring has places."""
    driver.start(features, msix=msix, size=8)
    for i in range(40):
        indirect = bool(features & F_INDIRECT_DESC and i % 2)
        written, data = driver.request(0, [], [100, 3, 50], indirect=indirect)
        assert (written, b"".join(data)) == (153, expected(153))
        if not msix:
            assert driver.isr() == 1
            assert not driver.line
    assert (driver.interrupts.get(1, 0) > 0) == msix
    assert driver.device.queues[0].counters["chains"] == 40


def test_the_engine_hears_of_what_was_written(driver: VirtioDriver) -> None:
    driver.start(size=8)
    driver.request(0, [], [100, 50])
    assert [length for _, length in driver.written] == [100, 50]


def test_feature_negotiation(driver: VirtioDriver) -> None:
    driver.status = ACKNOWLEDGE
    driver.accept(F_VERSION_1 | 1 << 20)  # never offered
    driver.status = ACKNOWLEDGE | DRIVER | FEATURES_OK
    assert not driver.status & FEATURES_OK
    driver.accept(F_EVENT_IDX)  # not modern
    driver.status = ACKNOWLEDGE | DRIVER | FEATURES_OK
    assert not driver.status & FEATURES_OK
    driver.accept(F_VERSION_1)
    driver.status = ACKNOWLEDGE | DRIVER | FEATURES_OK
    assert driver.status & FEATURES_OK
    driver.accept(F_VERSION_1 | F_EVENT_IDX)  # too late
    assert driver.device.features == F_VERSION_1


def test_reset(driver: VirtioDriver) -> None:
    """Reset forgets all; the driver begins again."""
    for _ in range(3):
        driver.start(size=16)
        assert driver.request(0, [], [10])[0] == 10
        driver.status = 0
        assert driver.status == 0
        driver.write(COMMON + 0x16, 2, 0)
        assert driver.read(COMMON + 0x18, 2) == 64
        assert driver.read(COMMON + 0x1C, 2) == 0
        assert driver.read(COMMON + 0x1A, 2) == NO_VECTOR


def test_queue_reset(driver: VirtioDriver) -> None:
    """One queue begins again, the device goes on (F_RING_RESET)."""
    driver.start(F_RING_RESET, size=16)
    driver.request(0, [], [10])
    driver.write(COMMON + 0x3A, 2, 1)
    assert driver.read(COMMON + 0x1C, 2) == 0
    driver.set_up(0, 8)
    assert driver.status & DRIVER_OK
    assert driver.request(0, [], [10])[0] == 10


def test_a_vector_that_is_not_there(driver: VirtioDriver) -> None:
    driver.write(COMMON + 0x10, 2, 5)
    assert driver.read(COMMON + 0x10, 2) == NO_VECTOR
    driver.write(COMMON + 0x10, 2, 1)
    assert driver.read(COMMON + 0x10, 2) == 1


def test_a_masked_vector_remembers(driver: VirtioDriver) -> None:
    driver.start(size=16)
    msix = driver.function.msix
    assert msix is not None
    msix.store(16 + 12, bytes((1, 0, 0, 0)))
    driver.request(0, [], [10])
    assert driver.interrupts.get(1, 0) == 0
    assert msix.load_pending(0, 8)[0] == 2
    msix.store(16 + 12, bytes(4))
    assert driver.interrupts[1] == 1
    assert msix.load_pending(0, 8)[0] == 0


def test_the_window_in_configuration_space(driver: VirtioDriver) -> None:
    """VIRTIO_PCI_CAP_PCI_CFG reaches the registers without the BAR."""
    at, function = driver.function._pci_cfg, driver.function
    function.config_write(at + 4, 1, 4)
    function.config_write(at + 8, 4, COMMON + 0x14)
    function.config_write(at + 12, 4, 1)
    function.config_write(at + 16, 1, ACKNOWLEDGE)
    assert driver.status == ACKNOWLEDGE
    assert function.config_read(at + 16, 1) == ACKNOWLEDGE
    function.config_write(at + 8, 4, 0xFFFF_FFFE)  # outside
    function.config_write(at + 16, 4, 0xFFFF_FFFF)
    assert driver.status == ACKNOWLEDGE


def test_a_bar_moves(driver: VirtioDriver) -> None:
    """The driver's writes follow the BAR; switched off it answers nowhere."""
    function = driver.function
    function.config_write(0x20, 4, 0x0080_0000)
    assert driver.addresses.read(driver._main, 4) is None
    driver._main += 0x0080_0000
    assert driver.status == 0
    function.config_write(COMMAND, 2, 0)
    assert driver.addresses.read(driver._main, 4) is None
    function.config_write(COMMAND, 2, COMMAND_MEMORY)
    assert driver.status == 0


def test_saved_and_restored(driver: VirtioDriver) -> None:
    """Another device goes on in the middle of the ring."""
    driver.start(size=16)
    for _ in range(5):
        driver.request(0, [], [10])
    state = driver.function.save()
    other = VirtioDriver(Rng(driver.device._entropy), driver.memory)  # type: ignore[attr-defined]
    other.function.restore(state)
    other.rings, other._buffers = driver.rings, driver._buffers
    assert other.function.msix is not None
    other.function.msix.look_up_all()
    for _ in range(20):
        assert other.request(0, [], [10])[0] == 10
    assert other.function.save()["device"]["status"] == state["device"]["status"]
    assert other.interrupts[1] == 20
    other.device.close()


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param((1 << 40, 16, 2, 0), id="outside RAM"),
        pytest.param((0x200000, 0xFFFF_FFFF, 2, 0), id="longer than RAM"),
        pytest.param((0x200000, 16, 3, 0), id="loop"),
        pytest.param((0x200000, 16, 3, 999), id="next outside the table"),
        pytest.param((0x200000, 17, 4, 0), id="indirect table of 17 bytes"),
        pytest.param((0x200000, 0, 4, 0), id="empty indirect table"),
        pytest.param((0x200000, 16, 5, 0), id="indirect with next"),
        pytest.param(((1 << 64) - 8, 16, 2, 0), id="address wraps"),
    ],
)
def test_broken_descriptors(driver: VirtioDriver, fields: tuple[int, int, int, int]) -> None:
    """The device asks for a reset, and works after it."""
    driver.start(size=8)
    ring = driver.rings[0]
    driver.put_descriptor(ring.desc, 0, fields)
    driver.make_available(ring, 0)
    driver.notify(0)
    for _ in range(1000):
        if driver.status & NEEDS_RESET:
            break
        driver.wait()
    assert driver.status & NEEDS_RESET
    assert driver.interrupts[0] >= 1
    driver.start(size=8)
    assert driver.request(0, [], [10])[0] == 10


@pytest.mark.parametrize(
    ("at", "value"), [(0x18, 3), (0x18, 0), (0x20, 8), (0x28, 1), (0x30, 2), (0x34, 1 << 20)]
)
def test_broken_rings(driver: VirtioDriver, at: int, value: int) -> None:
    """Sizes and addresses that cannot be leave the queue off."""
    driver.status = ACKNOWLEDGE | DRIVER
    driver.accept(F_VERSION_1)
    driver.status = ACKNOWLEDGE | DRIVER | FEATURES_OK
    driver.write(COMMON + at, 2 if at == 0x18 else 4, value)
    driver.write(COMMON + 0x1C, 2, 1)
    assert driver.read(COMMON + 0x1C, 2) == 0

# SPDX-License-Identifier: GPL-2.0-only
"""A guest that means harm: any register, any descriptor, any ring, at any time.

A program is a list of steps that hypothesis makes and shrinks.  After it the device must have done
nothing outside RAM, reported no bug of ours, come to rest, and work for a driver that behaves.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from lpar.testing.virtio import LegacyDriver, NotDecoded, VirtioDriver
from lpar.virtio import legacy
from lpar.virtio.device import Device
from lpar.virtio.pci import BAR_SIZE, COMMON, DEVICE, NOTIFY

EXAMPLES = int(os.environ.get("LPAR_FUZZ_EXAMPLES", "40"))  #: programs for each device
RESET_LIMIT = 10.0  #: seconds that a reset may wait for the work at hand

Step = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Target:
    """A kind of device: how to make one, and the proof that it works (it gets a started driver)."""

    name: str
    make: Callable[[], Device]
    works: Callable[[VirtioDriver], None]


_BYTES = st.integers(0, 255)
_U64 = st.one_of(
    st.sampled_from([0, 1, 2, 3, 0xFF, 0xFFFF, 0xFFFF_FFFF, (1 << 64) - 1, 1 << 63, 0x10000, 0x200000]),
    st.integers(0, (1 << 64) - 1),
)
_ADDRESS = st.one_of(
    st.integers(0, 0x7F_FFFF),
    st.sampled_from(
        [0, 0x10000, 0x18000, 0x7F_FFF0, 0x7F_FFFF, 0x80_0000, 1 << 40, (1 << 64) - 1, (1 << 64) - 16]
    ),
)
_LENGTH = st.one_of(
    st.sampled_from([0, 1, 7, 15, 16, 17, 512, 4096, 1 << 20, 0x7FFF_FFFF, 0xFFFF_FFFF]), _BYTES
)
_FLAGS = st.one_of(st.sampled_from([0, 1, 2, 3]), st.integers(0, 7), st.integers(0, 0xFFFF))
_SMALL = st.integers(0, 15)


def _step(name: str, *parts: st.SearchStrategy[int]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(name), st.tuples(*parts))


STEPS = st.one_of(
    _step("descriptor", _SMALL, _SMALL, _ADDRESS, _LENGTH, _FLAGS, st.one_of(_SMALL, st.integers(0, 0xFFFF))),
    _step("header", _SMALL, _SMALL, st.integers(0, 20), _U64),
    _step("available", _SMALL, st.one_of(_SMALL, st.integers(0, 0xFFFF))),
    _step("index", _SMALL, st.integers(0, 0xFFFF)),
    _step("notify", _SMALL),
    _step("common", st.integers(0, 0x40), st.sampled_from([1, 2, 4, 8]), _U64),
    _step("config", st.integers(0, 64), st.sampled_from([1, 2, 4, 8]), _U64),
    _step("main", st.integers(0, 0xFFF8), st.sampled_from([1, 2, 4, 8]), _U64),
    _step("space", st.integers(0, 63), st.sampled_from([1, 2, 4]), _U64),
    _step("vector", st.integers(0, 0x900), st.sampled_from([1, 2, 4, 8]), _U64),
    _step("memory", _ADDRESS, _U64, _LENGTH),
    _step("start", st.sampled_from([0, 1, 8, 16])),
    _step("pause", _SMALL),
)
PROGRAMS = st.lists(STEPS, min_size=1, max_size=40)


class Hostile:
    """Plays programs on one device."""

    def __init__(self, target: Target, interface: type[VirtioDriver] = VirtioDriver) -> None:
        self.target = target
        self.driver = interface(target.make())
        self.legacy = isinstance(self.driver, LegacyDriver)
        self._bars = [(bar.register, bar.address) for bar in self.driver.function.bars]
        self._main_size = legacy.PORTS if self.legacy else BAR_SIZE
        self.driver.start(size=8)

    def play(self, program: list[Step]) -> None:
        """All steps."""
        for name, args in program:
            getattr(self, f"_{name}")(*args)

    def check(self) -> None:
        """What must hold after any program."""
        driver = self.driver
        space = driver.function
        space.config_write(4, 2, 7)
        for register, address in self._bars:
            space.config_write(register, 4, address & 0xFFFF_FFFF)
            if address >> 32:
                space.config_write(register + 4, 4, address >> 32)
        begin = time.monotonic()
        driver.status = 0
        assert time.monotonic() - begin < RESET_LIMIT
        assert driver.status == 0
        assert all(at >= 0 and at + length <= driver.memory.size for at, length in driver.written)
        driver.written.clear()
        driver.rings.clear()
        driver._buffers = 0x200000
        self.target.works(driver.start(size=16))

    def close(self) -> None:
        """End the device."""
        self.driver.close()

    # -- steps ---------------------------------------------------------------------------------------

    def _ring(self, which: int):  # noqa: ANN202
        rings = list(self.driver.rings.values())
        return rings[which % len(rings)]

    def _descriptor(
        self, which: int, index: int, address: int, length: int, flags: int, following: int
    ) -> None:
        fields = address, length, flags & 0xFFFF, following
        self.driver.put_descriptor(self._ring(which).desc, index % 8, fields)

    def _header(self, which: int, index: int, kind: int, value: int) -> None:
        """A whole chain with a header that may make sense to the device."""
        ring, at = self._ring(which), 0x200000 + 0x1000 * index
        self.driver.memory.write(at, struct.pack("<IIQ", kind, 0, value))
        parts = ((at, 16, 1, 1), (at + 512, 512, 1 | (kind & 2), 2), (at + 2048, 1, 2, 0))
        for i, fields in enumerate(parts):
            self.driver.put_descriptor(ring.desc, i, fields)
        self.driver.make_available(ring, 0)
        self._notify(ring.index)

    def _available(self, which: int, head: int) -> None:
        ring = self._ring(which)
        self.driver.make_available(ring, head)
        self._notify(ring.index)

    def _index(self, which: int, value: int) -> None:
        ring = self._ring(which)
        self.driver.memory.write(ring.avail + 2, struct.pack("<H", value))
        self._notify(ring.index)

    def _notify(self, which: int) -> None:
        self._store(legacy.NOTIFY if self.legacy else NOTIFY + 4 * which, 2, which)

    def _store(self, offset: int, size: int, value: int) -> None:
        """Where the BAR is not decoded nobody answers."""
        address = self.driver._main + (offset & (self._main_size - 1) & -size)
        self.driver.addresses.write(address, size, value & (1 << 8 * size) - 1)
        self.driver.addresses.read(address, size)

    def _common(self, offset: int, size: int, value: int) -> None:
        self._store(COMMON + offset, size, value)

    def _config(self, offset: int, size: int, value: int) -> None:
        self._store((legacy.CONFIG if self.legacy else DEVICE) + offset, size, value)

    def _main(self, offset: int, size: int, value: int) -> None:
        self._store(offset, size, value)

    def _space(self, register: int, size: int, value: int) -> None:
        offset = 4 * register & -size
        self.driver.function.config_write(offset, size, value & (1 << 8 * size) - 1)
        self.driver.function.config_read(offset, size)

    def _vector(self, offset: int, size: int, value: int) -> None:
        msix = self.driver.function.msix
        assert msix is not None
        msix.store(offset, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))
        msix.load(offset, size)

    def _memory(self, address: int, value: int, length: int) -> None:
        memory = self.driver.memory
        if memory.contains(address, 8):
            memory.write(
                address, struct.pack("<Q", value) * min((memory.size - address) // 8, length % 64 + 1)
            )

    def _start(self, size: int) -> None:
        """All that a driver does, as far as it comes: another vCPU may move the BAR meanwhile."""
        self.driver._buffers = 0x200000
        with contextlib.suppress(NotDecoded):
            self._set_all_up(size)

    def _set_all_up(self, size: int) -> None:
        if self.legacy:
            self.driver.start()
            return
        self.driver.status = 0
        self.driver.status = 3
        self.driver.accept(self.driver.features())
        self.driver.status = 11
        for index in range(len(self.driver.device.queues)):
            self.driver.set_up(index, size or 4)
        self.driver.status = 15

    def _pause(self, turns: int) -> None:
        self.driver.wait(turns / 1000)

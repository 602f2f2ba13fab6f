# SPDX-License-Identifier: GPL-2.0-only
"""The host bridge against a guest that means harm: configuration space, messages, DMA windows, BARs.

Part of ``make fuzz-devices``.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lpar.host.memory import GuestMemory
from lpar.papr import numbers as n
from lpar.papr.partition import Partition
from lpar.papr.phb import BUID, LIOBN, MMIO_START, MSI_LIMIT, HostBridge
from lpar.pci import AddressMap
from lpar.testing.fake_vcpu import FakeGuest, FakeVcpu
from lpar.virtio import Device, DmaMemory
from lpar.virtio.legacy import LegacyFunction
from lpar.virtio.pci import VirtioFunction
from lpar.virtio.rng import Rng

EXAMPLES = int(os.environ.get("LPAR_FUZZ_EXAMPLES", "40"))
RAM = 1 << 20
HIGH, LOW = BUID >> 32, BUID & 0xFFFF_FFFF
CALLS = (
    ("read-pci-config", 2, 2),
    ("write-pci-config", 3, 1),
    ("ibm,read-pci-config", 4, 2),
    ("ibm,write-pci-config", 5, 1),
    ("ibm,change-msi", 6, 4),
    ("ibm,query-interrupt-source-number", 4, 3),
)
HCALLS = (n.H_GET_TCE, n.H_PUT_TCE, n.H_STUFF_TCE, n.H_PUT_TCE_INDIRECT)

_U32 = st.one_of(
    st.integers(0, 15),
    st.sampled_from([0xFF, 0xFFFF, 1 << 16, 1 << 31, 0xFFFF_FFFF]),
    st.integers(0, 0xFFFF_FFFF),
)
_U64 = st.one_of(_U32, st.sampled_from([1 << 40, 1 << 63, (1 << 64) - 1]), st.integers(0, (1 << 64) - 1))
#: register, function and slot of a configuration address that may be one
_PLACE = st.builds(lambda slot, function, register: (slot << 3 | function) << 8 | register,
                   st.integers(0, 3), st.sampled_from([0, 0, 0, 1]), st.integers(0, 255))  # fmt: skip


@st.composite
def _rtas(draw: st.DrawFn) -> tuple[str, tuple[int, ...]]:
    """A call with arguments that are mostly of a kind that goes further than the first check."""
    which = draw(st.integers(0, len(CALLS) - 1))
    name, count, _ = CALLS[which]
    args = [draw(st.one_of(_PLACE, _U32)), *(draw(_U32) for _ in range(count - 1))]
    if count >= 4 and draw(st.integers(0, 7)):
        args[1:3] = HIGH, LOW
    if name.endswith("config") and draw(st.integers(0, 7)):
        args[3 if name.startswith("ibm") else 1] = draw(st.sampled_from([1, 2, 4]))
    return f"{which}", tuple(args)


@st.composite
def _tce(draw: st.DrawFn) -> tuple[str, tuple[int, ...]]:
    number = draw(st.sampled_from(HCALLS))
    liobn = draw(st.sampled_from([LIOBN, LIOBN, LIOBN, 0, (1 << 64) - 1]))
    ioba = draw(st.one_of(_U64, st.integers(0, 1 << 18).map(lambda page: page << 12)))
    return "tce", (number, liobn, ioba, draw(_U64), draw(st.one_of(st.integers(0, 520), _U64)))


_BAR = st.tuples(
    st.just("bar"), st.tuples(st.integers(0, 7), st.integers(0, 0xFFFF), st.integers(0, 3), _U64)
)
_PULSE = st.tuples(st.just("pulse"), st.tuples(st.integers(0, 3), st.integers(0, 70)))
PROGRAMS = st.lists(st.one_of(_rtas(), _tce(), _BAR, _PULSE), min_size=1, max_size=40)


class World:
    """A partition with a bridge and four devices, two of them legacy."""

    def __init__(self) -> None:
        self.memory = GuestMemory(RAM)
        vcpus = [FakeVcpu(i) for i in range(2)]
        self.partition = Partition(
            self.memory,
            vcpus,
            lambda data: None,
            allocate_hpt=lambda order: memoryview(bytearray(1 << order)),
        )
        addresses = AddressMap()
        self.bridge = HostBridge(self.partition.xics, addresses)
        self.devices: list[Device] = [Rng() for _ in range(4)]
        for index, device in enumerate(self.devices):
            kind = LegacyFunction if index % 2 else VirtioFunction
            self.bridge.add(kind(device, DmaMemory(self.memory)))
        self.partition.mmio, self.partition.bridges = addresses, [self.bridge]
        self.guest = FakeGuest(self.partition)
        self.bases = [
            bar.address if bar.address > MMIO_START else MMIO_START + bar.address
            for _, function in self.bridge.bus
            for bar in function.bars
        ]

    def play(self, program: list[tuple[str, tuple[int, ...]]], cpu: int = 0) -> None:
        for name, args in program:
            if name == "tce":
                self.guest.hcall(*args, cpu=cpu)
            elif name == "bar":
                self._access(*args)
            elif name == "pulse":
                msix = self.bridge.bus.functions[args[0] << 3].msix
                assert msix is not None
                msix.notify(args[1])
            else:
                call, _, nret = CALLS[int(name)]
                self.guest.rtas(call, *args, nret=nret, cpu=cpu)

    def _access(self, which: int, offset: int, size: int, value: int) -> None:
        address, size = self.bases[which % len(self.bases)] + (offset & -(1 << size)), 1 << size
        self.partition.mmio_write(address, size, value & (1 << 8 * size) - 1)
        self.partition.mmio_read(address, size)

    def check(self) -> None:
        """Sources are counted right, none is lost; the window is the size it was; the bridge works."""
        bridge = self.bridge
        given = [source for devfn, _ in bridge.bus if (m := bridge.messages(devfn)) for source in m.sources]
        assert len(given) == len({source.number for source in given}) == MSI_LIMIT - bridge.spare_messages()
        where = [devfn << 8 for devfn, _ in bridge.bus]
        for address in where:
            assert self.guest.rtas("ibm,change-msi", address, HIGH, LOW, 4, 0, 1, nret=4)[:2] == (0, 0)
        assert bridge.spare_messages() == MSI_LIMIT
        assert len(bridge.save()["window"]["entries"]) <= bridge.window.size >> 12
        for address in where:
            assert self.guest.rtas("ibm,read-pci-config", address, HIGH, LOW, 2, nret=2) == (0, 0x1AF4)
            assert self.guest.rtas("ibm,change-msi", address, HIGH, LOW, 4, 2, 1, nret=4)[:2] == (0, 2)

    def close(self) -> None:
        for device in self.devices:
            device.close()
        self.partition.shut_down()
        self.memory.close()


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(PROGRAMS)
def test_hostile(program: list[tuple[str, tuple[int, ...]]]) -> None:
    world = World()
    try:
        world.memory.write(0x9000, struct.pack(">64Q", *range(64)))
        world.play(program)
        world.check()
    finally:
        world.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def test_two_cpus_ask_for_messages_at_once(world: World) -> None:
    """Whatever comes between, all sources can be had again afterwards."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    problems: list[BaseException] = []

    def storm(cpu: int) -> None:
        bridge = world.bridge
        try:
            for turn in range(2000):
                bridge.give_messages(0, 1 + (turn + cpu) % 2)
                bridge.take_messages(0)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=storm, args=(cpu,)) for cpu in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    assert not problems
    world.bridge.take_messages(0)
    assert world.bridge.spare_messages() == MSI_LIMIT

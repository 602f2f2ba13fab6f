# SPDX-License-Identifier: GPL-2.0-only
"""Which device answers where, and BARs that a guest moves about."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpar.errors import InternalError
from lpar.pci import AddressMap, BarKind, Bus, Function, Identity, Window
from lpar.pci.address_map import Region


class Memory:
    """A target that remembers."""

    def __init__(self, size: int = 0x4000) -> None:
        self.data = bytearray(size)

    def load(self, offset: int, size: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    def store(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data


def test_reads_and_writes() -> None:
    """Bytes are in address order, numbers big-endian, as the Exit protocol has them."""
    addresses, memory = AddressMap(), Memory()
    addresses.add(0x10000, 0x4000, memory)
    assert addresses.write(0x10010, 4, 0x01020304)
    assert memory.data[0x10:0x14] == b"\1\2\3\4"
    assert addresses.read(0x10010, 4) == 0x01020304
    assert addresses.read(0x10012, 2) == 0x0304
    assert addresses.read(0xFFFF, 1) is None
    assert addresses.read(0x13FFE, 4) is None
    assert not addresses.write(0x14000, 1, 0)


def test_two_regions_in_a_page() -> None:
    addresses, one, two = AddressMap(), Memory(), Memory()
    addresses.add(0x1000, 0x800, one)
    addresses.add(0x1800, 0x10, two)
    addresses.write(0x1000, 1, 1)
    addresses.write(0x1800, 1, 2)
    assert (one.data[0], two.data[0]) == (1, 2)
    with pytest.raises(InternalError):
        addresses.add(0x1810 - 1, 8, two)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "look"]), st.integers(0, 31), st.integers(1, 12)), max_size=40
)


@settings(deadline=None)
@given(OPERATIONS)
def test_like_a_list(operations: list[tuple[str, int, int]]) -> None:
    """Whatever is added and removed, an address is answered by the region that has it, or by none."""
    addresses, known = AddressMap(), dict[int, Region]()
    for action, start, length in operations:
        base, size = start * 0x800, length * 0x800
        if action == "add" and addresses.free(base, size):
            known[base] = addresses.add(base, size, Memory(size))
        elif action == "remove" and base in known:
            addresses.remove(known.pop(base))
        for at in range(0, 0x20000, 0x7FC):
            owner = next((r for r in known.values() if r.base <= at and at + 4 <= r.end), None)
            assert (addresses.read(at, 4) is not None) == (owner is not None)


def function(*kinds: BarKind) -> Function:
    made, index = Function(Identity(1, 2, 0)), 0
    for kind in kinds:
        made.add_bar(index, kind, 0x4000, Memory())
        index += 2 if kind is BarKind.MEM64 else 1
    return made


@pytest.fixture
def bus() -> Bus:
    windows = [
        Window(BarKind.IO, 0, 0x1000_0000, 0x10_0000),
        Window(BarKind.MEM32, 0x8000_0000, 0x8000_0000, 0x10_0000),
        Window(BarKind.MEM64, 1 << 40, 1 << 40, 0x10_0000),
    ]
    return Bus(windows, AddressMap())


def test_bars_of_each_kind(bus: Bus) -> None:
    bus.add(function(BarKind.IO, BarKind.MEM32, BarKind.MEM64))
    for base in (0x1000_0000, 0x8000_0000, 1 << 40):
        assert bus._addresses.read(base, 4) == 0
    bus.functions[0].config_write(4, 2, 1)  # I/O alone
    assert bus._addresses.read(0x1000_0000, 4) == 0
    assert bus._addresses.read(0x8000_0000, 4) is None


def test_a_bar_on_top_of_another_answers_nowhere(bus: Bus) -> None:
    first, second = function(BarKind.MEM32), function(BarKind.MEM32)
    bus.add(first)
    bus.add(second)
    bus._addresses.write(first.bars[0].address, 1, 7)
    second.config_write(0x10, 4, first.bars[0].address)
    assert bus._addresses.read(first.bars[0].address, 1) == 7
    assert bus._addresses.read(second.bars[0].address, 1) is None
    second.config_write(0x10, 4, 0x8004_0000)
    assert bus._addresses.read(0x8004_0000, 1) == 0
    second.config_write(0x10, 4, 0x1000_0000)  # outside the window
    assert bus._addresses.read(0x1000_0000, 1) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 63), st.integers(0, 0xFFFF_FFFF)), max_size=30))
def test_any_configuration_writes(writes: list[tuple[int, int, int]]) -> None:
    """Read-only bits stay; nothing is decoded outside the windows; BARs put back answer again."""
    bus = Bus([Window(BarKind.MEM32, 0x8000_0000, 0x8000_0000, 0x10_0000)], AddressMap())
    functions = [function(BarKind.MEM32), function(BarKind.MEM32)]
    for each in functions:
        bus.add(each)
    for which, register, value in writes:
        functions[which].config_write(4 * register, 4, value)
        assert functions[which].config_read(0, 4) == 0x00020001
        assert all(r.base >= 0x8000_0000 and r.end <= 0x8010_0000 for r in bus._addresses._regions)
    for each in functions:
        each.config_write(0x10, 4, 0x8010_0000)
    for each in functions:
        each.config_write(0x10, 4, each.bars[0].address)
        each.config_write(4, 2, 2)
        assert bus._addresses.read(each.bars[0].address, 1) is not None

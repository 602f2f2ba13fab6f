# SPDX-License-Identifier: GPL-2.0-only
"""The PCI host bridge: RTAS calls, messages, level interrupts, DMA windows, device tree."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from lpar.errors import ConfigError
from lpar.fdt import Node, Tree
from lpar.papr import numbers as n
from lpar.papr import phb_tree
from lpar.papr.partition import Partition
from lpar.papr.phb import BUID, LIOBN, MSI_ADDRESS, MSI_LIMIT, HostBridge
from lpar.pci import AddressMap
from lpar.testing.fake_vcpu import FakeGuest
from lpar.virtio import Device, DmaMemory
from lpar.virtio.pci import VirtioFunction
from lpar.virtio.rng import Rng

HIGH, LOW = BUID >> 32, BUID & 0xFFFFFFFF


class Many(Device):
    """A device with more queues than most."""

    name, id = "many", 42

    def __init__(self) -> None:
        super().__init__([16] * 8)


@pytest.fixture
def bridge(partition: Partition) -> Iterator[HostBridge]:
    addresses = AddressMap()
    made = HostBridge(partition.xics, addresses)
    memory = DmaMemory(partition.memory)
    devices: list[Device] = [Rng(), Many(), Rng()]
    for device in devices:
        made.add(VirtioFunction(device, memory))
    partition.mmio, partition.bridges = addresses, [made]
    yield made
    for device in devices:
        device.close()


def address(slot: int, register: int, function: int = 0, bus: int = 0) -> int:
    return (register & 0xF00) << 20 | bus << 16 | (slot << 3 | function) << 8 | register & 0xFF


def read(guest: FakeGuest, where: int, size: int) -> tuple[int, ...]:
    return guest.rtas("ibm,read-pci-config", where, HIGH, LOW, size, nret=2)


def write(guest: FakeGuest, where: int, size: int, value: int) -> int:
    return guest.rtas("ibm,write-pci-config", where, HIGH, LOW, size, value)[0]


def test_configuration_space(guest: FakeGuest, bridge: HostBridge) -> None:
    assert read(guest, address(0, 0), 4) == (0, 0x10441AF4)
    assert read(guest, address(1, 2), 2) == (0, 0x106A)
    assert guest.rtas("read-pci-config", address(0, 0), 2, nret=2) == (0, 0x1AF4)
    assert write(guest, address(0, 0), 4, 0) == 0
    assert read(guest, address(0, 0), 2) == (0, 0x1AF4)
    assert write(guest, address(0, 0x3C), 1, 0x55) == 0
    assert read(guest, address(0, 0x3C), 1) == (0, 0x55)
    assert guest.rtas("write-pci-config", address(0, 0x3C), 1, 0x66) == (0,)
    assert read(guest, address(0, 0x3C), 1) == (0, 0x66)


@pytest.mark.parametrize(
    ("where", "size"),
    [
        (address(5, 0), 4),
        (address(0, 0, function=1), 4),
        (address(0, 0, bus=1), 4),
        (address(0, 0x100), 4),
        (address(0, 1), 2),
        (address(0, 0xFE), 4),
        (address(0, 0), 3),
        (address(0, 0), 8),
        (address(0, 0), 0),
    ],
)
def test_nothing_there(guest: FakeGuest, bridge: HostBridge, where: int, size: int) -> None:
    assert read(guest, where, size) == (n.RTAS_HW_ERROR, 0xFFFFFFFF)
    assert write(guest, where, size, 0) == n.RTAS_HW_ERROR


def test_another_bridge(guest: FakeGuest, bridge: HostBridge) -> None:
    assert guest.rtas("ibm,read-pci-config", 0, HIGH, LOW + 1, 4, nret=2)[0] == n.RTAS_HW_ERROR
    assert guest.rtas("ibm,change-msi", 0, HIGH, LOW + 1, 4, 1, 0, nret=4)[0] == n.RTAS_PARAM_ERROR


def test_sizing_a_bar(guest: FakeGuest, bridge: HostBridge) -> None:
    """Ones read back as the size; the address can be restored."""
    before = read(guest, address(0, 0x20), 4)[1], read(guest, address(0, 0x24), 4)[1]
    for register in (0x20, 0x24):
        assert write(guest, address(0, register), 4, 0xFFFFFFFF) == 0
    assert read(guest, address(0, 0x20), 4) == (0, 0xFFFF000C)
    assert read(guest, address(0, 0x24), 4) == (0, 0xFFFFFFFF)
    for register, value in zip((0x20, 0x24), before, strict=True):
        write(guest, address(0, register), 4, value)
    bar = bridge.bus.functions[0].bars[1]
    assert guest.partition.mmio_read(bar.address + 0x12, 2) == 0x0100  # one queue, little-endian


def change(guest: FakeGuest, slot: int, count: int, function: int = 4) -> tuple[int, ...]:
    return guest.rtas("ibm,change-msi", address(slot, 0), HIGH, LOW, function, count, 1, nret=4)


def query(guest: FakeGuest, slot: int, vector: int) -> tuple[int, ...]:
    where = address(slot, 0)
    return guest.rtas("ibm,query-interrupt-source-number", where, HIGH, LOW, vector, nret=3)


def test_messages(guest: FakeGuest, bridge: HostBridge) -> None:
    """Sources are given, told, routed and taken away."""
    assert change(guest, 1, 20) == (0, 9, 2, 2)  # no more than the function has vectors
    assert query(guest, 1, 0)[0] == n.RTAS_HW_ERROR
    assert change(guest, 1, 9) == (0, 9, 2, 2)
    numbers = [query(guest, 1, vector)[1] for vector in range(9)]
    assert numbers == list(range(numbers[0], numbers[0] + 9))
    assert query(guest, 1, 9)[0] == n.RTAS_HW_ERROR
    msix = bridge.bus.functions[1 << 3].msix
    assert msix is not None
    assert struct.unpack_from("<QI", msix.load(16 * 3, 16)) == (MSI_ADDRESS, numbers[3])
    guest.hcall(n.H_CPPR, 0xFF)
    assert guest.rtas("ibm,set-xive", numbers[3], 0, 5) == (0,)
    msix.set_control(True, False)
    msix.store(16 * 3 + 12, bytes(4))
    msix.notify(3)
    assert guest.hcall(n.H_XIRR)[1] & 0xFFFFFF == numbers[3]
    assert change(guest, 1, 0)[:2] == (0, 0)
    assert query(guest, 1, 0)[0] == n.RTAS_HW_ERROR
    assert guest.rtas("ibm,set-xive", numbers[3], 0, 5) == (n.RTAS_PARAM_ERROR,)
    msix.notify(3)
    assert guest.hcall(n.H_XIRR)[1] & 0xFFFFFF == 0


def test_messages_that_cannot_be(guest: FakeGuest, bridge: HostBridge) -> None:
    assert change(guest, 9, 1)[0] == n.RTAS_PARAM_ERROR
    assert change(guest, 0, 1, function=3)[0] == n.RTAS_HW_ERROR  # MSI without X
    assert change(guest, 0, 1, function=7)[0] == n.RTAS_PARAM_ERROR
    assert query(guest, 9, 0)[0] == n.RTAS_PARAM_ERROR


def test_a_message_reaches_only_the_bridges_sources(guest: FakeGuest, bridge: HostBridge) -> None:
    """A guest that writes the table itself cannot raise the terminal's interrupt."""
    change(guest, 0, 2)
    vty = guest.partition.vtys[0].irq
    guest.hcall(n.H_CPPR, 0xFF)
    guest.rtas("ibm,set-xive", vty.number, 0, 5)
    msix = bridge.bus.functions[0].msix
    assert msix is not None
    msix.set_control(True, False)
    msix.store(8, struct.pack("<I", vty.number))
    msix.store(12, bytes(4))
    msix.notify(0)
    assert guest.hcall(n.H_XIRR)[1] & 0xFFFFFF == 0


def test_messages_run_out(guest: FakeGuest, bridge: HostBridge) -> None:
    """A guest gets no more sources than there are, and none are lost when it gives them back."""
    for _ in range(3 * MSI_LIMIT // 9):
        assert change(guest, 1, 9)[:2] == (0, 9)
    assert bridge.spare_messages() == MSI_LIMIT - 9
    change(guest, 1, 0)
    assert bridge.spare_messages() == MSI_LIMIT


def test_level_interrupts(guest: FakeGuest, bridge: HostBridge) -> None:
    """A line stays until the device lets it go: an EOI presents it again."""
    function = bridge.bus.functions[0]
    source = bridge.line(0).source
    guest.hcall(n.H_CPPR, 0xFF)
    guest.rtas("ibm,set-xive", source.number, 0, 5)
    function.set_intx_level(True)
    for _ in range(2):
        xirr = guest.hcall(n.H_XIRR)[1]
        assert xirr & 0xFFFFFF == source.number
        guest.hcall(n.H_EOI, xirr)
    assert read(guest, address(0, 6), 2)[1] & 8  # interrupt status
    write(guest, address(0, 4), 2, 0x406)  # masked by the command register
    xirr = guest.hcall(n.H_XIRR)[1]
    guest.hcall(n.H_EOI, xirr)
    assert guest.hcall(n.H_XIRR)[1] & 0xFFFFFF == 0


def test_a_shared_line(bridge: HostBridge) -> None:
    """Slots 0 and 4 share a line: it is free when both let it go."""
    line = bridge.line(0)
    assert bridge.line(4 << 3) is line
    line.set_level(0, True)
    line.set_level(4 << 3, True)
    line.set_level(0, False)
    assert line.source.asserted
    line.set_level(4 << 3, False)
    assert not line.source.asserted


def test_dma_window(guest: FakeGuest, bridge: HostBridge) -> None:
    assert guest.hcall(n.H_PUT_TCE, LIOBN, 0x5000, 0x123003)[0] == 0
    assert guest.hcall(n.H_GET_TCE, LIOBN, 0x5000)[:2] == (0, 0x123003)
    assert bridge.window.translate(0x5678, 3) == 0x123678
    guest.partition.memory.write(0x9000, struct.pack(">2Q", 0x1001, 0x2002))
    assert guest.hcall(n.H_PUT_TCE_INDIRECT, LIOBN, 0x6000, 0x9000, 2)[0] == 0
    assert guest.hcall(n.H_GET_TCE, LIOBN, 0x7000)[1] == 0x2002
    assert bridge.window.translate(0x7000, 1) is None
    assert guest.hcall(n.H_STUFF_TCE, LIOBN, 0x5000, 0, 3)[0] == 0
    assert [guest.hcall(n.H_GET_TCE, LIOBN, at)[1] for at in (0x5000, 0x6000, 0x7000)] == [0] * 3


@pytest.mark.parametrize(
    ("liobn", "ioba", "count"),
    [(1, 0, 1), (LIOBN, 0x4000_0000, 1), (LIOBN, 0x3FFF_F000, 2), (LIOBN, 1, 1), (LIOBN, 0, 513)],
)
def test_dma_window_refuses(guest: FakeGuest, bridge: HostBridge, liobn: int, ioba: int, count: int) -> None:
    assert guest.hcall(n.H_STUFF_TCE, liobn, ioba, 0, count)[0] == n.H_PARAMETER
    assert guest.hcall(n.H_PUT_TCE_INDIRECT, liobn, ioba, 0x9000, count)[0] == n.H_PARAMETER
    if count == 1:
        assert guest.hcall(n.H_PUT_TCE, liobn, ioba, 0)[0] == n.H_PARAMETER
        assert guest.hcall(n.H_GET_TCE, liobn, ioba)[0] == n.H_PARAMETER


def test_the_list_of_entries_lies_in_memory(guest: FakeGuest, bridge: HostBridge) -> None:
    assert guest.hcall(n.H_PUT_TCE_INDIRECT, LIOBN, 0, 1 << 40, 1)[0] == n.H_PARAMETER


def test_device_tree(bridge: HostBridge) -> None:
    tree = Tree(Node(""))
    phb_tree.adder(bridge, 0x1111)(tree)
    node = tree.root.find(f"/pci@{BUID:x}")
    assert [child.name for child in node.children] == [f"unknown-legacy-device@{i}" for i in range(3)]
    numbers = node.numbers("interrupt-map")
    assert [numbers[7 * i : 7 * i + 4] for i in range(3)] == [(i << 11, 0, 0, 1) for i in range(3)]
    assert len({numbers[7 * i + 5] for i in range(3)}) == 3
    child = node.children[1]
    assert child.number("ibm,req#msi-x") == 9
    assigned, bars = child.props["assigned-addresses"], bridge.bus.functions[8].bars
    for i, bar in enumerate(bars):
        where, at, size = struct.unpack_from(">IQQ", assigned, 20 * i)
        assert (where & 0xFFFF, at, size) == (0x800 | bar.register, bar.address, bar.size)


def test_several_functions_in_a_slot(partition: Partition) -> None:
    bridge = HostBridge(partition.xics, AddressMap())
    memory = DmaMemory(partition.memory)
    devices = [Rng(), Rng()]
    for number, device in enumerate(devices):
        bridge.add(VirtioFunction(device, memory), slot=3, number=number)
    for function in bridge.bus.functions.values():
        assert function.config_read(0x0E, 1) == 0x80
    tree = Tree(Node(""))
    phb_tree.adder(bridge, 1)(tree)
    names = [child.name for child in tree.root.children[0].children]
    assert names == ["unknown-legacy-device@3", "unknown-legacy-device@3,1"]
    for device in devices:
        device.close()


def test_a_full_bus(partition: Partition) -> None:
    bridge = HostBridge(partition.xics, AddressMap())
    devices = [Rng() for _ in range(33)]
    functions = [VirtioFunction(device, DmaMemory(partition.memory)) for device in devices]
    for function in functions[:32]:
        bridge.add(function)
    with pytest.raises(ConfigError, match="32 slots"):
        bridge.add(functions[32])
    for device in devices:
        device.close()


def test_saved_and_restored(guest: FakeGuest, bridge: HostBridge) -> None:
    """Messages, the window and configuration space come back."""
    change(guest, 1, 3)
    number = query(guest, 1, 2)[1]
    guest.hcall(n.H_PUT_TCE, LIOBN, 0x5000, 0x123003)
    write(guest, address(0, 0x3C), 1, 0x77)
    state = guest.partition.save()
    change(guest, 1, 0)
    guest.hcall(n.H_PUT_TCE, LIOBN, 0x5000, 0)
    write(guest, address(0, 0x3C), 1, 0)
    guest.partition.restore(state)
    assert query(guest, 1, 2) == (0, number, 1)
    assert guest.hcall(n.H_GET_TCE, LIOBN, 0x5000)[1] == 0x123003
    assert read(guest, address(0, 0x3C), 1) == (0, 0x77)

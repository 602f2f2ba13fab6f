# SPDX-License-Identifier: GPL-2.0-only
"""Device tree nodes of a PCI host bridge and the functions on its bus.

Sources: IEEE 1275 PCI bus binding 2.1; Linux reads the functions
from here and not from configuration space (arch/powerpc/kernel/pci_of_scan.c).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from lpar.fdt import EMPTY, Node, Tree, cells, string, u32, u64
from lpar.papr.phb import MSI_LIMIT, HostBridge
from lpar.pci import Bar, BarKind, Function
from lpar.pci.function import IRQ_PIN

_SPACE = {BarKind.IO: 0x0100_0000, BarKind.MEM32: 0x0200_0000, BarKind.MEM64: 0x0300_0000}
_PREFETCHABLE, _NOT_RELOCATABLE = 0x4000_0000, 0x8000_0000
_LEVEL_LOW = 1  #: second cell of an XICS interrupt
#: Names by class and subclass, as firmware gives them (IEEE 1275 PCI bus binding, "name")
_NAMES = {0x0200: "ethernet", 0x0100: "scsi", 0x0280: "network", 0x0780: "communication-controller"}
_OTHER = "unknown-legacy-device"


def adder(bridge: HostBridge, interrupt_controller: int) -> Callable[[Tree], None]:
    """What adds the bridge's nodes to a tree; the controller's phandle is the interrupts' parent."""
    return lambda tree: _add_bridge(tree, bridge, interrupt_controller)


def _add_bridge(tree: Tree, bridge: HostBridge, controller: int) -> None:
    node = tree.root.add(
        f"pci@{bridge.buid:x}",
        {
            "device_type": string("pci"),
            "compatible": string("IBM,Logical_PHB"),
            "#address-cells": u32(3),
            "#size-cells": u32(2),
            "#interrupt-cells": u32(1),
            "used-by-rtas": EMPTY,
            "bus-range": cells(0, 0xFF),
            "reg": u64(bridge.buid) + u64(0),
            "ranges": b"".join(_range(window.kind, window.bus_base, window.cpu_base, window.size)
                               for window in bridge.windows),
            "interrupt-map-mask": cells(0xF800, 0, 0, 7),
            "interrupt-map": _interrupt_map(bridge, controller),
            "ibm,pci-config-space-type": u32(0),
            "ibm,dma-window": cells(bridge.window.liobn, 0, 0, 0, bridge.window.size),
            "ibm,#dma-address-cells": u32(2),
            "ibm,#dma-size-cells": u32(2),
            "ibm,pe-total-#msi": u32(MSI_LIMIT),
        },
    )  # fmt: skip
    for devfn, function in bridge.bus:
        _add_function(node, devfn, function)


def _range(kind: BarKind, bus: int, cpu: int, size: int) -> bytes:
    return struct.pack(">IQQQ", _SPACE[kind], bus, cpu, size)


def _interrupt_map(bridge: HostBridge, controller: int) -> bytes:
    """INTA of each slot in use to its source."""
    slots = sorted({devfn >> 3 for devfn, _ in bridge.bus})
    rows = [(slot << 11, 0, 0, 1, controller, bridge.line(slot << 3).source.number, _LEVEL_LOW)
            for slot in slots]  # fmt: skip
    return b"".join(cells(*row) for row in rows)


def _add_function(parent: Node, devfn: int, function: Function) -> None:
    identity, at = function.identity, devfn << 8
    slot, number = devfn >> 3, devfn & 7
    name = _NAMES.get(identity.class_code >> 8, _OTHER)
    node = parent.add(f"{name}@{slot:x},{number:x}" if number else f"{name}@{slot:x}")
    node.props.update(
        {
            "vendor-id": u32(identity.vendor),
            "device-id": u32(identity.device),
            "revision-id": u32(identity.revision),
            "class-code": u32(identity.class_code),
            "subsystem-id": u32(identity.subsystem),
            "subsystem-vendor-id": u32(identity.subsystem_vendor),
            "reg": struct.pack(">IQQ", at, 0, 0) + b"".join(_address(at, bar, 0) for bar in function.bars),
            "assigned-addresses": b"".join(
                _address(at | _NOT_RELOCATABLE, bar, bar.address) for bar in function.bars
            ),
        }
    )
    if function.get(IRQ_PIN, 1):
        node.props["interrupts"] = u32(1)
    if function.msix is not None:
        node.props["ibm,req#msi-x"] = u32(function.msix.count)


def _address(at: int, bar: Bar, address: int) -> bytes:
    flags = _SPACE[bar.kind] | (_PREFETCHABLE if bar.kind is BarKind.MEM64 else 0)
    return struct.pack(">IQQ", at | flags | bar.register, address, bar.size)

# SPDX-License-Identifier: GPL-2.0-only
"""Tree to blob: Devicetree Specification 0.4, chapter 5 (version 17, compatible with 16).

The same tree always gives the same bytes: nodes and properties keep their order, property
names are put in the strings block when first met, names that end another are not shared.
"""

from __future__ import annotations

import struct

from lpar.fdt.tree import Node, Tree

MAGIC = 0xD00DFEED
VERSION = 17
LAST_COMPATIBLE = 16
HEADER = struct.Struct(">10I")
RESERVATION = struct.Struct(">2Q")

BEGIN_NODE, END_NODE, PROP, NOP, END = 1, 2, 3, 4, 9  # structure block tokens, section 5.4.1

_TOKEN = struct.Struct(">I")
_PROP_HEADER = struct.Struct(">3I")


def flatten(tree: Tree) -> bytes:
    """The blob of ``tree``.  Raises ValueError for a name that cannot be in one."""
    writer = _Writer()
    writer.node(tree.root)
    writer.out += _TOKEN.pack(END)
    reservations = b"".join(RESERVATION.pack(*pair) for pair in [*tree.reservations, (0, 0)])
    off_struct = HEADER.size + len(reservations)
    off_strings = off_struct + len(writer.out)
    total = off_strings + len(writer.strings)
    header = HEADER.pack(
        MAGIC,
        total,
        off_struct,
        off_strings,
        HEADER.size,
        VERSION,
        LAST_COMPATIBLE,
        tree.boot_cpuid_phys,
        len(writer.strings),
        len(writer.out),
    )
    return header + reservations + bytes(writer.out) + bytes(writer.strings)


class _Writer:
    """Structure and strings block under construction."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.strings = bytearray()
        self._offsets: dict[str, int] = {}

    def node(self, node: Node) -> None:
        self.out += _TOKEN.pack(BEGIN_NODE)
        self.out += _name(node.name)
        self._align()
        for name, value in node.props.items():
            self.out += _PROP_HEADER.pack(PROP, len(value), self._string_offset(name))
            self.out += value
            self._align()
        for child in node.children:
            self.node(child)
        self.out += _TOKEN.pack(END_NODE)

    def _string_offset(self, name: str) -> int:
        if name not in self._offsets:
            encoded = _name(name)
            self._offsets[name] = len(self.strings)
            self.strings += encoded
        return self._offsets[name]

    def _align(self) -> None:
        self.out += bytes(-len(self.out) % 4)


def _name(name: str) -> bytes:
    """A node's or property's name with its NUL; "/" separates names and cannot be in one."""
    if "\0" in name or "/" in name or not name.isascii():
        raise ValueError(f"{name!r} cannot be a name in a device tree")
    return name.encode() + b"\0"

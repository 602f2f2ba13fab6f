# SPDX-License-Identifier: GPL-2.0-only
"""The unflattened tree: nodes in order, properties as the bytes the guest will see.

Numbers in a device tree are big-endian cells of 32 bits (Devicetree Specification 0.4,
section 2.2.4); the helpers here make property values from Python's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

EMPTY = b""  #: value of a property whose presence is the message


def u32(value: int) -> bytes:
    """One cell.  Raises ValueError unless 0 <= value < 2**32."""
    return cells(value)


def u64(value: int) -> bytes:
    """Two cells, the high one first.  Raises ValueError unless 0 <= value < 2**64."""
    if not 0 <= value < 1 << 64:
        raise ValueError(f"{value:#x} does not fit in two cells")
    return value.to_bytes(8, "big")


def cells(*values: int) -> bytes:
    """An array of cells.  Raises ValueError for a value that is no unsigned 32-bit number."""
    for value in values:
        if not 0 <= value < 1 << 32:
            raise ValueError(f"{value:#x} does not fit in a cell")
    return struct.pack(f">{len(values)}I", *values)


def string(text: str) -> bytes:
    """A NUL-terminated string.  Raises ValueError if it has a NUL inside."""
    if "\0" in text:
        raise ValueError("NUL inside a device tree string")
    return text.encode(errors="surrogateescape") + b"\0"


def stringlist(texts: Iterable[str]) -> bytes:
    """Strings one after the other, each with its NUL."""
    return b"".join(string(text) for text in texts)


@dataclass(slots=True)
class Node:
    """A node: name with unit address (the root's is empty), properties and children in order.

    ``props`` maps names to values in bytes; what the guest sees keeps the order of insertion.
    """

    name: str
    props: dict[str, bytes] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)

    def add(self, name: str, props: dict[str, bytes] | None = None, /, **more: bytes) -> Node:
        """Append a child and return it.  Keywords are properties whose name is an identifier."""
        child = Node(name, {**(props or {}), **more})
        self.children.append(child)
        return child

    def child(self, name: str) -> Node | None:
        """The child of that name, with its unit address; or, as guests may, without."""
        for node in self.children:
            if node.name == name:
                return node
        return next((node for node in self.children if node.name.partition("@")[0] == name), None)

    def find(self, path: str) -> Node:
        """The node at ``path`` ("/" is this one).  Raises KeyError if there is none."""
        node = self
        for part in filter(None, path.split("/")):
            below = node.child(part)
            if below is None:
                raise KeyError(path)
            node = below
        return node

    def walk(self, path: str = "") -> Iterator[tuple[str, Node]]:
        """(path, node) of this node and all below it, parents first."""
        yield path or "/", self
        for child in self.children:
            yield from child.walk(f"{path}/{child.name}")

    def number(self, name: str) -> int:
        """A property of one or two cells as a number.  KeyError if absent, ValueError if of another size."""
        value = self.props[name]
        if len(value) not in (4, 8):
            raise ValueError(f"property {name} has {len(value)} bytes, not one or two cells")
        return int.from_bytes(value, "big")

    def numbers(self, name: str) -> tuple[int, ...]:
        """A property as an array of cells.  KeyError if absent, ValueError if not whole cells."""
        value = self.props[name]
        if len(value) % 4:
            raise ValueError(f"property {name} has {len(value)} bytes, not whole cells")
        return struct.unpack(f">{len(value) // 4}I", value)

    def texts(self, name: str) -> list[str]:
        """A property as a list of strings.  KeyError if absent, ValueError if it is none."""
        value = self.props[name]
        if not value.endswith(b"\0"):
            raise ValueError(f"property {name} is no string")
        return [part.decode(errors="surrogateescape") for part in value[:-1].split(b"\0")]

    def text(self, name: str) -> str:
        """A property that is one string.  KeyError if absent, ValueError if it is none or several."""
        texts = self.texts(name)
        if len(texts) != 1:
            raise ValueError(f"property {name} is a list of {len(texts)} strings")
        return texts[0]


@dataclass(slots=True)
class Tree:
    """A device tree with its header's facts.

    ``reservations`` are (address, size) pairs in bytes of memory that the guest must not use;
    ``boot_cpuid_phys`` is the hardware number of the boot processor.
    """

    root: Node
    reservations: list[tuple[int, int]] = field(default_factory=list)
    boot_cpuid_phys: int = 0

    def by_phandle(self, phandle: int) -> Node:
        """The node with that ``phandle``.  Raises KeyError if there is none."""
        want = u32(phandle)
        for _, node in self.root.walk():
            if want in (node.props.get("phandle"), node.props.get("linux,phandle")):
                return node
        raise KeyError(phandle)

    def ensure_phandle(self, node: Node) -> int:
        """The phandle of ``node``, given the lowest free number if it has none."""
        if "phandle" not in node.props:
            used = {n.number("phandle") for _, n in self.root.walk() if "phandle" in n.props}
            node.props["phandle"] = u32(next(i for i in range(1, len(used) + 2) if i not in used))
        return node.number("phandle")

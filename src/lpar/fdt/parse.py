# SPDX-License-Identifier: GPL-2.0-only
"""Blob to tree, for blobs that nobody vouches for.

Every offset and length is checked before use; anything that Devicetree Specification 0.4,
chapter 5 does not allow raises :class:`FdtError`, and nothing else is ever raised.
"""

from __future__ import annotations

import struct

from lpar.errors import ConfigError
from lpar.fdt.flatten import BEGIN_NODE, END, END_NODE, HEADER, LAST_COMPATIBLE, MAGIC, NOP, PROP, RESERVATION
from lpar.fdt.tree import Node, Tree

MAX_DEPTH = 64  #: levels of nodes; deeper is hostile (dtc and Linux's unflattening stop at 64, too)
_V16_HEADER_SIZE = 36  # bytes: version 16 has no size_dt_struct


class FdtError(ConfigError):
    """A blob that is no device tree."""


def parse(blob: bytes | bytearray | memoryview) -> Tree:
    """The tree in ``blob`` (which may be longer than the tree's total size).  Raises FdtError."""
    blob = bytes(blob)
    header = _Header(blob)
    blob = blob[: header.total]
    reservations = _reservations(blob, header.off_reservations)
    return Tree(_Structure(blob, header).read(), reservations, header.boot_cpuid)


class _Header:
    """The checked header; all offsets are inside the first ``total`` bytes."""

    def __init__(self, blob: bytes) -> None:
        if len(blob) < HEADER.size:
            raise FdtError(f"{len(blob)} bytes are no device tree blob: its header has {HEADER.size}")
        fields = HEADER.unpack_from(blob)
        magic, self.total, self.off_struct, self.off_strings, self.off_reservations = fields[:5]
        version, compatible, self.boot_cpuid, size_strings, size_struct = fields[5:]
        if magic != MAGIC:
            raise FdtError(f"no device tree blob: magic {magic:#010x}, not {MAGIC:#010x}")
        if version < LAST_COMPATIBLE or compatible > 17:
            raise FdtError(f"device tree blob of version {version}, compatible {compatible}; 16 or 17 wanted")
        if not _V16_HEADER_SIZE <= self.total <= len(blob):
            raise FdtError(f"device tree of {self.total} bytes in a blob of {len(blob)}")
        self.end_struct = self.off_struct + size_struct if version >= 17 else self.total
        self.end_strings = self.off_strings + size_strings
        if self.off_struct % 4 or self.off_reservations % 8:
            raise FdtError("device tree blocks are not aligned")
        if max(self.end_struct, self.end_strings, self.off_struct, self.off_reservations) > self.total:
            raise FdtError("device tree blocks lie outside the blob")


def _reservations(blob: bytes, offset: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    while offset + RESERVATION.size <= len(blob):
        address, size = RESERVATION.unpack_from(blob, offset)
        if not address and not size:
            return found
        found.append((address, size))
        offset += RESERVATION.size
    raise FdtError("memory reservation block has no end")


class _Structure:
    """A cursor on the structure block."""

    def __init__(self, blob: bytes, header: _Header) -> None:
        self._data = blob[: header.end_struct]
        self._at = header.off_struct
        self._strings = blob[header.off_strings : header.end_strings]

    def read(self) -> Node:
        """The root and all below it; the END token must follow."""
        if self._token() != BEGIN_NODE:
            raise FdtError("device tree structure does not begin with a node")
        root = Node(self._node_name())
        if root.name:
            raise FdtError(f"the root node has a name: {root.name!r}")
        open_nodes = [root]
        while open_nodes:
            self._step(open_nodes)
        if self._token() != END:
            raise FdtError("device tree structure goes on after the root node")
        return root

    def _step(self, open_nodes: list[Node]) -> None:
        token, node = self._token(), open_nodes[-1]
        if token == END_NODE:
            open_nodes.pop()
        elif token == BEGIN_NODE:
            if len(open_nodes) >= MAX_DEPTH:
                raise FdtError(f"device tree deeper than {MAX_DEPTH} levels")
            open_nodes.append(node.add(self._child_name(node)))
        elif token == PROP and not node.children:
            self._property(node)
        else:
            raise FdtError(f"unexpected token {token:#x} in the device tree")

    def _child_name(self, parent: Node) -> str:
        name = self._node_name()
        if not name:
            raise FdtError(f"a child of {parent.name!r} has no name")
        return name

    def _property(self, node: Node) -> None:
        length, offset = self._cell(), self._cell()
        end = self._strings.find(b"\0", offset)
        if end < 0:
            raise FdtError("property name outside the strings block")
        name = _text(self._strings[offset:end])
        if not name or name in node.props:
            raise FdtError(f"property {name!r} of node {node.name!r} twice or without a name")
        node.props[name] = self._take(length)

    def _token(self) -> int:
        token = NOP
        while token == NOP:
            token = self._cell()
        return token

    def _cell(self) -> int:
        return int(struct.unpack(">I", self._take(4))[0])

    def _take(self, length: int) -> bytes:
        """``length`` bytes; the cursor then skips the padding to the next cell."""
        end = self._at + length
        if end > len(self._data):
            raise FdtError("device tree structure is cut off")
        taken = self._data[self._at : end]
        self._at = end + -end % 4
        return taken

    def _node_name(self) -> str:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise FdtError("node name without an end")
        return _text(self._take(end + 1 - self._at)[:-1])


def _text(raw: bytes) -> str:
    if not raw.isascii() or b"/" in raw:
        raise FdtError(f"{raw[:40]!r} cannot be a name in a device tree")
    return raw.decode("ascii")

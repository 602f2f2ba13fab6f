# SPDX-License-Identifier: GPL-2.0-only
"""Device trees: writer and reader against each other, against dtc, and against malformed blobs."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpar.errors import ConfigError
from lpar.fdt import EMPTY, FdtError, Node, Tree, cells, flatten, parse, string, stringlist, u32, u64
from lpar.fdt.parse import MAX_DEPTH

needs_dtc = pytest.mark.skipif(shutil.which("dtc") is None, reason="dtc is not installed")

NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789,._+-", min_size=1, max_size=20)
PROPS = st.dictionaries(NAME, st.binary(max_size=40), max_size=4)
NODES = st.recursive(
    st.builds(Node, NAME, PROPS),
    lambda below: st.builds(Node, NAME, PROPS, st.lists(below, max_size=4, unique_by=lambda node: node.name)),
    max_leaves=12,
)
U64 = st.integers(0, 2**64 - 1)
TREES = st.builds(
    lambda node, reservations, boot: Tree(Node("", node.props, node.children), reservations, boot),
    NODES,
    st.lists(st.tuples(U64, st.integers(1, 2**64 - 1)), max_size=3),
    st.integers(0, 2**32 - 1),
)


def sample() -> Tree:
    """A small tree with every kind of property."""
    root = Node("", {"#address-cells": u32(2), "#size-cells": u32(2), "compatible": stringlist(["a,b", "c"])})
    memory = root.add("memory@0", {"reg": cells(0, 0, 1, 0)}, device_type=string("memory"))
    memory.props["ibm,associativity"] = cells(4, 0, 0, 0, 0)
    cpus = root.add("cpus", {"#address-cells": u32(1), "#size-cells": u32(0)})
    cpus.add("PowerPC,POWER9@0", {"reg": u32(0), "64-bit": EMPTY, "ibm,slb-size": u32(32)})
    root.add("chosen", {"rng-seed": bytes(range(7)), "linux,initrd-start": u64(0x1_0000_0000)})
    return Tree(root, reservations=[(0x3FFF0000, 0x10000)], boot_cpuid_phys=0)


def dtc(source: bytes, into: str) -> bytes:
    """The other form of a tree, warnings being errors of the test."""
    came = "dts" if into == "dtb" else "dtb"
    done = subprocess.run(
        ["dtc", "-q", "-q", "-I", came, "-O", into, "-"], input=source, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_property_helpers() -> None:
    assert u32(0x01020304) == b"\1\2\3\4"
    assert u64(1) == bytes(7) + b"\1"
    assert cells(1, 2) == b"\0\0\0\1\0\0\0\2"
    assert string("hvc0") == b"hvc0\0"
    assert stringlist(["a", "bc"]) == b"a\0bc\0"


@pytest.mark.parametrize("value", [-1, 1 << 32])
def test_cells_refuse_what_does_not_fit(value: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        u32(value)
    with pytest.raises(ValueError, match="does not fit"):
        u64(value << 32)
    with pytest.raises(ValueError, match="does not fit"):
        cells(0, value)


def test_strings_refuse_nul() -> None:
    with pytest.raises(ValueError, match="NUL"):
        string("a\0b")


@pytest.mark.parametrize("name", ["a/b", "a\0b", "é"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a name"):
        flatten(Tree(Node("", {name: b""})))
    with pytest.raises(ValueError, match="cannot be a name"):
        flatten(Tree(Node("", {}, [Node(name)])))


def test_header_is_version_17() -> None:
    blob = flatten(sample())
    magic, total, _, _, off_rsv, version, compatible = struct.unpack_from(">7I", blob)
    assert (magic, total, off_rsv, version, compatible) == (0xD00DFEED, len(blob), 40, 17, 16)


def test_blob_by_hand() -> None:
    """The smallest interesting blob, written out from section 5.4 of the specification."""
    blob = flatten(Tree(Node("", {"ab": b"\x11"})))
    structure = struct.pack(">5I", 1, 0, 3, 1, 0) + b"\x11\0\0\0" + struct.pack(">2I", 2, 9)
    header = struct.pack(">10I", 0xD00DFEED, 56 + 32 + 3, 56, 56 + 32, 40, 17, 16, 0, 3, 32)
    assert blob == header + bytes(16) + structure + b"ab\0"


def test_tree_access() -> None:
    tree = sample()
    root = parse(flatten(tree)).root
    assert root.find("/") is root
    assert root.find("/cpus/PowerPC,POWER9@0").number("ibm,slb-size") == 32
    assert root.find("/memory").numbers("reg") == (0, 0, 1, 0)
    assert root.texts("compatible") == ["a,b", "c"]
    assert root.find("/memory@0").text("device_type") == "memory"
    assert root.find("/chosen").number("linux,initrd-start") == 1 << 32
    assert [path for path, _ in root.walk()] == [
        "/", "/memory@0", "/cpus", "/cpus/PowerPC,POWER9@0", "/chosen",
    ]  # fmt: skip


def test_tree_access_that_fails() -> None:
    root = sample().root
    with pytest.raises(KeyError, match="/cpus/nothing"):
        root.find("/cpus/nothing")
    with pytest.raises(ValueError, match="not one or two cells"):
        root.find("/chosen").number("rng-seed")
    with pytest.raises(ValueError, match="not whole cells"):
        root.find("/chosen").numbers("rng-seed")
    with pytest.raises(ValueError, match="is no string"):
        root.find("/chosen").text("rng-seed")
    with pytest.raises(ValueError, match="list of 2 strings"):
        root.text("compatible")


def test_phandles() -> None:
    tree = sample()
    cpus, chosen = tree.root.find("/cpus"), tree.root.find("/chosen")
    cpus.props["phandle"] = u32(1)
    assert tree.ensure_phandle(cpus) == 1
    assert tree.ensure_phandle(chosen) == 2
    assert tree.by_phandle(2) is chosen
    with pytest.raises(KeyError):
        tree.by_phandle(3)


def test_two_flattenings_are_equal() -> None:
    assert flatten(sample()) == flatten(sample())


@given(TREES)
def test_round_trip(tree: Tree) -> None:
    blob = flatten(tree)
    assert parse(blob) == tree
    assert parse(blob + b"behind") == tree
    assert flatten(parse(blob)) == blob


@needs_dtc
def test_dtc_reads_and_writes_the_same_tree() -> None:
    tree = sample()
    source = dtc(flatten(tree), "dts")
    assert b"/memreserve/\t0x000000003fff0000 0x0000000000010000;" in source
    assert parse(dtc(source, "dtb")) == tree


@needs_dtc
@settings(max_examples=15, deadline=None)
@given(TREES)
def test_dtc_round_trip(tree: Tree) -> None:
    again = parse(dtc(dtc(flatten(tree), "dts"), "dtb"))
    assert (again.root, again.reservations) == (tree.root, tree.reservations)


def test_version_16_and_nops() -> None:
    """No structure size in the header, NOP tokens anywhere between nodes and properties."""
    nop = struct.pack(">I", 4)
    structure = nop.join([b"", struct.pack(">2I", 1, 0), struct.pack(">3I", 3, 0, 0), struct.pack(">I", 2)])
    structure += nop + struct.pack(">I", 9)
    strings = b"x\0"
    total = 56 + len(structure) + len(strings)
    header = struct.pack(">10I", 0xD00DFEED, total, 56, 56 + len(structure), 40, 16, 16, 7, len(strings), 0)
    tree = parse(header + bytes(16) + structure + strings)
    assert tree == Tree(Node("", {"x": b""}), boot_cpuid_phys=7)


def patched(offset: int, value: int) -> bytes:
    blob = bytearray(flatten(sample()))
    struct.pack_into(">I", blob, offset, value)
    return bytes(blob)


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", "0 bytes are no device tree blob"),
        (b"\x7fELF" * 10, "magic 0x7f454c46"),
        (patched(20, 15), "version 15"),
        (patched(24, 18), "compatible 18"),
        (patched(4, 1 << 31), "bytes in a blob of"),
        (patched(4, 0), "device tree of 0 bytes"),
        (patched(8, 57), "not aligned"),
        (patched(12, 0xFFFFFFF0), "outside the blob"),
        (patched(16, 0xFFFFFFF8), "outside the blob"),
        (patched(36, 8), "cut off"),
        (patched(72, 9), "does not begin with a node"),
        (flatten(sample())[:-1], "bytes in a blob of"),
    ],
)
def test_malformed(blob: bytes, message: str) -> None:
    with pytest.raises(FdtError, match=message):
        parse(blob)


def nested(levels: int) -> Node:
    node = Node("n")
    for _ in range(levels - 2):
        node = Node("n", {}, [node])
    return Node("", {}, [node])


def test_depth_is_bounded() -> None:
    assert parse(flatten(Tree(nested(MAX_DEPTH)))).root == nested(MAX_DEPTH)
    with pytest.raises(FdtError, match="deeper than 64 levels"):
        parse(flatten(Tree(nested(MAX_DEPTH + 1))))


def test_property_after_child_and_twice() -> None:
    def structure(*words: int) -> bytes:
        body = struct.pack(f">{len(words)}I", *words)
        end = 56 + len(body)
        header = struct.pack(">10I", 0xD00DFEED, end + 2, 56, end, 40, 17, 16, 0, 2, len(body))
        return header + bytes(16) + body + b"x\0"

    with pytest.raises(FdtError, match="unexpected token 0x3"):
        parse(structure(1, 0, 1, 0x61000000, 2, 3, 0, 0, 2, 9))
    with pytest.raises(FdtError, match="'x' of node '' twice"):
        parse(structure(1, 0, 3, 0, 0, 3, 0, 0, 2, 9))
    with pytest.raises(FdtError, match="goes on after the root"):
        parse(structure(1, 0, 2, 1, 0, 2, 9))
    with pytest.raises(FdtError, match="has no name"):
        parse(structure(1, 0, 1, 0, 2, 2, 9))
    with pytest.raises(FdtError, match="property name outside"):
        parse(structure(1, 0, 3, 0, 2, 2, 9))


@given(data=st.data())
def test_mutated_blobs_never_raise_anything_else(data: st.DataObject) -> None:
    blob = bytearray(flatten(sample()))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(blob) - 1))
        blob[position] = data.draw(st.integers(0, 255))
    del blob[data.draw(st.integers(0, len(blob))) or len(blob) :]
    try:
        tree = parse(bytes(blob))
    except ConfigError as error:
        assert "\n" not in error.message
    else:
        assert parse(flatten(tree)) == tree


@given(st.binary(max_size=400))
def test_any_bytes(junk: bytes) -> None:
    with pytest.raises(FdtError):
        parse(junk)
    with pytest.raises(FdtError):
        parse(flatten(sample())[:56] + junk)

# SPDX-License-Identifier: GPL-2.0-only
"""Profiles: names from a kernel's tables, stacks, pictures and files."""

from __future__ import annotations

import json
import random
import struct
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from lpar.accel.protocol import Stack
from lpar.boot.kallsyms import find_names
from lpar.errors import ConfigError
from lpar.host.memory import GuestMemory
from lpar.machine import flamegraph, profile
from lpar.machine.profile import Symbols, named

BASE = 0xC000000000000000
FUNCTIONS = [(BASE + 0x100, "outer"), (BASE + 0x200, "middle"), (BASE + 0x300, "leaf")]


def kallsyms(names: list[tuple[int, str]], order: str = "<", *, with_order: bool = True) -> bytes:
    """The tables as the kernel's build makes them, with a token for each character and a few pairs."""
    tokens = {chr(n): n for n in range(33, 127)} | {"ab": 1, "_s": 2, "sch": 3}
    table, index, by_number = b"", [], {n: text for text, n in tokens.items()}
    for n in range(256):
        index.append(len(table))
        table += by_number.get(n, "").encode() + b"\0"
    packed, markers = b"", []
    for n, (_, name) in enumerate(names):
        if n % 256 == 0:
            markers.append(len(packed))
        packed += encode("T" + name, tokens)

    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % 8)

    offsets = struct.pack(f"{order}{len(names)}I", *(address - BASE for address, _ in names))
    parts = [offsets, struct.pack(order + "Q", BASE), struct.pack(order + "I", len(names)), packed]
    parts.append(struct.pack(f"{order}{len(markers)}I", *markers))
    if with_order:
        parts.append(random.Random(1).randbytes(3 * len(names)))
    parts += [table, struct.pack(f"{order}256H", *index)]
    return b"".join(map(padded, parts))


def encode(text: str, tokens: Mapping[str, int]) -> bytes:
    out = []
    while text:
        piece = next(text[:size] for size in (3, 2, 1) if text[:size] in tokens)
        out.append(tokens[piece])
        text = text[len(piece) :]
    length = bytes([len(out)]) if len(out) < 128 else bytes([len(out) & 0x7F | 0x80, len(out) >> 7])
    return length + bytes(out)


def some_names(count: int) -> list[tuple[int, str]]:
    chosen = random.Random(count)
    letters = "abcdefghs_schxyz0123456789."
    return [
        (BASE + 16 * n, "".join(chosen.choices(letters, k=chosen.choice((5, 20, 150))))) for n in range(count)
    ]


@pytest.mark.parametrize("count", [300, 512, 2000])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("with_order", [True, False])
def test_kallsyms(count: int, order: str, with_order: bool) -> None:
    names = some_names(count)
    noise = random.Random(0).randbytes(4096)
    memory = noise + kallsyms(names, order, with_order=with_order) + noise
    assert find_names(memory, big_endian=order == ">") == names


def test_what_is_no_table_gives_no_names() -> None:
    good = bytearray(bytes(4096) + kallsyms(some_names(600)))
    chosen = random.Random(3)
    for _ in range(30):
        torn = bytearray(good)
        for _ in range(200):
            torn[chosen.randrange(len(torn))] = chosen.randrange(256)
        find_names(torn[: chosen.randrange(len(torn))])
    assert find_names(b"") == find_names(bytes(10000)) == []
    digits = b"".join(b"%d\0" % n for n in range(10))
    assert find_names(digits * 50) == []


def stacks(*each: tuple[Stack, int]) -> Counter[Stack]:
    return Counter(dict(each))


def test_stacks_have_names() -> None:
    symbols = Symbols(FUNCTIONS)
    outer, middle, leaf = (address + 8 for address, _ in FUNCTIONS)
    seen = stacks(
        ((7, False, leaf, middle, (outer,)), 5),  # a leaf: its caller is in the link register alone
        ((7, False, middle, middle + 4, (outer,)), 2),  # LR is left from a call that came back
        ((7, False, middle, outer, (outer,)), 1),  # LR not changed yet
        ((9, True, 0x10000, 0x20000, (0x20000, 3)), 1),
    )
    assert named(seen, symbols) == {
        ("process 7", "outer", "middle", "leaf"): 5,
        ("process 7", "outer", "middle"): 3,
        ("process 9", "0x20000", "0x10000"): 1,
    }


def test_kernel_threads_belong_to_no_process() -> None:
    symbols = Symbols([*FUNCTIONS, (BASE + 0x400, "ret_from_kernel_thread")])
    seen = stacks(((3, False, BASE + 0x300, 0, (BASE + 0x400,)), 1), ((0, False, BASE + 0x300, 0, ()), 1))
    assert set(named(seen, symbols)) == {("kernel", "ret_from_kernel_thread", "leaf"), ("kernel", "leaf")}


HOSTILE = {("a", "<script>&\"'"): 3, ("a", "b"): 1, ("c" * 500,): 2, ("d", "\x01"): 0}


def test_the_picture_is_well_formed_whatever_the_names() -> None:
    seen = {stack: count for stack, count in HOSTILE.items() if "\x01" not in stack}
    root = ElementTree.fromstring(flamegraph.svg(seen, "a & b"))
    titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "all (6 samples, 100.0%)" in titles
    assert "<script>&\"' (3 samples, 50.0%)" in titles
    widths = {
        group[0].text: float(group[1].get("width", 0)) for group in root.iter("{http://www.w3.org/2000/svg}g")
    }
    assert widths["a (4 samples, 66.7%)"] == pytest.approx(800, abs=0.01)
    assert flamegraph.svg({}, "nothing")


def test_speedscope() -> None:
    made = json.loads(flamegraph.speedscope({"guest": HOSTILE, "engine": {("x",): 5}}, "name"))
    frames = [frame["name"] for frame in made["shared"]["frames"]]
    guest, engine = made["profiles"]
    found = {
        tuple(frames[n] for n in sample): weight
        for sample, weight in zip(guest["samples"], guest["weights"], strict=True)
    }
    assert found == HOSTILE
    assert (guest["endValue"], engine["endValue"], engine["type"]) == (6, 5, "sampled")


class Taken:
    """A profile that is done."""

    stacks = stacks(((0, False, BASE + 0x304, 0, ()), 4))

    def stop(self) -> None:
        """Nothing is under way."""

    def engine_seconds(self) -> dict[str, float]:
        return {"units": 0.25, "compiling": 0.75}


@pytest.mark.parametrize("target", ["out/", "out", "out/profile.svg"])
def test_files(tmp_path: Path, target: str) -> None:
    (tmp_path / "out").mkdir()
    with GuestMemory(1 << 20) as memory:
        memory.write(0x1000, kallsyms([*FUNCTIONS, *((BASE + 0x1000 + n, f"f{n}") for n in range(600))]))
        lines = profile.write(str(tmp_path / target), Taken(), memory, "g")
    assert "leaf (4 samples" in (tmp_path / "out" / "profile.svg").read_text()
    assert json.loads((tmp_path / "out" / "profile.speedscope.json").read_text())["name"] == "g"
    assert "4 samples" in lines[0]
    assert lines[1].split() == ["compiling", "0.75", "s", "75.0", "%"]


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--profile"):
        profile.paths(str(tmp_path / "file" / "x"))

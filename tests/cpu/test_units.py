# SPDX-License-Identifier: GPL-2.0-only
"""Units: what holes evaluate to, what stencils patch, ways in and out, an arena that is full."""

from __future__ import annotations

import ctypes
import random
import struct

import pytest
from tests.cpu.runner import CODE, HAS_UNITS, LE, ME, ROOM, SF, Bench, assembled

from lpar.cpu.holes import Node, bounds, evaluate
from lpar.cpu.stencil_table import OPERATION, Unsupported, _Program

pytestmark = pytest.mark.skipif(not HAS_UNITS, reason="stencils are for x86-64 hosts")
KERNEL = SF | ME | LE
UNITS = ROOM  #: of the bench
WORD: Node = ("word",)


def constant(value: int) -> Node:
    return ("const", value & ((1 << 64) - 1))


def random_node(rng: random.Random, depth: int, width: int = 64) -> Node:
    """An expression of ``width`` bits over the instruction word."""
    if depth == 0:
        return WORD if width == 64 and rng.random() < 0.7 else constant(rng.getrandbits(width))
    choice = rng.choice(("binary", "shift", "extend", "compare", "select", "field"))
    if choice == "field" and width == 64:
        return (
            "and",
            64,
            64,
            ("lshr", 64, 64, WORD, constant(rng.randrange(32))),
            constant(rng.choice((31, 63))),
        )
    if choice == "shift":
        operator = rng.choice(
            ("shl", "lshr", "ashr", "rotl") if width in (32, 64) else ("shl", "lshr", "ashr")
        )
        return (operator, width, width, random_node(rng, depth - 1, width), constant(rng.randrange(width)))
    if choice == "extend" and width > 8:
        narrow = rng.choice((1, 5, 8, width // 2))
        inner = ("trunc", narrow, 64, random_node(rng, depth - 1))
        return (rng.choice(("zext", "sext")), width, narrow, inner)
    if choice == "select":
        return (
            "select",
            width,
            width,
            compare_node(rng, depth - 1),
            *(random_node(rng, depth - 1, width),) * 1,
            random_node(rng, depth - 1, width),
        )
    if choice == "compare":
        return ("zext", width, 1, compare_node(rng, depth - 1)) if width > 1 else compare_node(rng, depth - 1)
    operator = rng.choice(("add", "sub", "mul", "and", "or", "xor"))
    return (operator, width, width, random_node(rng, depth - 1, width), random_node(rng, depth - 1, width))


def compare_node(rng: random.Random, depth: int) -> Node:
    width = rng.choice((8, 32, 64))
    operator = rng.choice(("eq", "ne", "ult", "ule", "ugt", "uge", "slt", "sle", "sgt", "sge"))
    return (operator, 1, width, random_node(rng, depth, width), random_node(rng, depth, width))


def native_value(bench: Bench, program: _Program, number: int, word: int) -> int:
    """What the native code makes of a program."""
    state = bench.thread.state
    table = ctypes.create_string_buffer(64 + len(program.code) + 16)
    struct.pack_into("<IHH", table, 64 - 32 + 8, 64, len(program.code) // OPERATION, 0)
    ctypes.memmove(ctypes.addressof(table) + 64, bytes(program.code), len(program.code))
    state.set("stencil_table", ctypes.addressof(table))
    run = bench.engine.code.routine("make_values", ctypes.c_uint64, ctypes.c_uint64)
    run(state.address, ctypes.addressof(table) + 32, word)
    return state.get("unit_values", number)


def test_native_values_are_those_of_the_expression(bench: Bench) -> None:
    rng, seen = random.Random(1), 0
    while seen < 400:
        node = random_node(rng, rng.randrange(1, 5))
        program = _Program()
        try:
            number = program.value(node)
        except Unsupported:
            continue
        seen += 1
        word = rng.getrandbits(32)
        expected = evaluate(node, word)
        assert native_value(bench, program, number, word) == expected, (node, hex(word))
        low, high = bounds(node, 64)
        assert low <= (expected - (1 << 64) if expected >> 63 else expected) <= high, (node, hex(word))


def test_records_lead_into_a_unit(bench: Bench) -> None:
    """Each instruction up to the branch has its own way in, with and without something pending."""
    bench.execute(["li 3, 1", "addi 3, 3, 2", "ld 4, 0(5)", "addi 3, 3, 4", "addi 3, 3, 8", "b .+4"],
                  msr=KERNEL, at=0x5000, r5=0x8000)  # fmt: skip
    assert bench["r3"] == 15
    units = range(bench.engine.shared_value("units_start"), bench.engine.shared_value("units_end"))
    base = bench.engine.code.base
    for n, left in enumerate((15, 14, 12, 12, 8, 0)):
        record = bench.record(0x5000 + 4 * n)
        assert base + (record >> 32) - (1 << 32 if record >> 63 else 0) in units
        bench.cpu.set_reg("r3", 0)
        bench.cpu.set_reg("pc", 0x5000 + 4 * n)
        bench.go()
        assert bench["r3"] == left


#: the last two record a mask that does not wrap around, and one that does: a pair, and none
COMPARISONS = ["cmpwi 5, 4, 3", "cmpld 5, 4, 6", "andi. 5, 4, 4"]
COMPARISONS += ["rlwinm. 5, 4, 1, 28, 31", "rlwinm. 5, 4, 1, 31, 28"]


@pytest.mark.parametrize("distance", [8, 0x100, 0x700, -0x80, -0x700])
@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("bit", range(3))
@pytest.mark.parametrize("branch", ["bt", "bf"])
def test_a_comparison_and_its_branch(
    bench: Bench, distance: int, compare: str, bit: int, branch: str
) -> None:
    """As one stencil they go where the interpreter goes, however far that is."""
    at, field = 0x7800, 5 if compare.startswith("cmp") else 0
    ends = [*assembled("li 3, 1", "ba 0x100")], [*assembled("li 3, 2", "ba 0x100")]
    interpreter = Bench()
    for value in (1, 3, 5):
        found = []
        for each in (bench, interpreter):
            each.fill_vectors()
            words = [*assembled(compare, f"{branch} {4 * field + bit}, .+{distance}"), *ends[0]]
            each.put_code(at, words, little=True)
            if distance != 8:
                each.put_code(at + 4 + distance, ends[1], little=True)
            each.put_code(0x100, assembled("sc 1"), little=True)
            for name, v in {"msr": KERNEL, "pc": at, "r3": 0, "r4": value, "r6": 3}.items():
                each.cpu.set_reg(name, v)
            each.cpu.flush_tlb()
            each.go()
            found.append((each["r3"], each["cr"]))
        assert found[0] == found[1], (value, found)
    interpreter.close()


def test_a_store_into_the_middle_of_a_unit(bench: Bench) -> None:
    """The unit began long before the word that changes, and is left through isync."""
    lines = [*["addi 3, 3, 1"] * 40, "blr"]
    bench.put_code(0x6000, assembled(*lines), little=True)
    call = ["mtctr 30", "bctrl"]
    bench.execute(call, msr=KERNEL, r30=0x6000, r3=0)
    assert bench["r3"] == 40
    bench.execute(
        ["stw 6, 0(4)", "isync", *call], msr=KERNEL, r30=0x6000, r3=0, r4=0x6000 + 4 * 39, r6=0x38630064
    )
    assert bench["r3"] == 139


def test_a_full_arena_starts_over() -> None:
    """Code of several times the arena's size runs, twice, and gives what it should."""
    bench = Bench(ram=1 << 22, units=1 << 17)
    bench.fill_vectors()
    body = [f"addi {3 + n % 8}, {3 + n % 8}, {n % 100}" for n in range(60)] + ["b .+4"]
    bench.put_code(0x10000, [*assembled(*body) * 100, *assembled("blr")], little=True)
    bench.execute(["mtctr 30", "bctrl", "bctrl"], msr=KERNEL, r30=0x10000, r3=0)
    assert bench.thread.state.get("n_unit_flushes") > 0
    expected = 2 * 100 * sum(n % 100 for n in range(60) if n % 8 == 0)
    assert bench["r3"] == expected
    bench.close()


def test_units_of_two_engines_are_apart(bench: Bench) -> None:
    other = Bench(units=ROOM)
    other.fill_vectors()
    for each, value in ((bench, 5), (other, 7), (bench, 9)):
        each.execute([f"li 3, {value}"], msr=KERNEL, at=CODE)
        assert each["r3"] == value
    ours = bench.engine.shared_value("units_start"), bench.engine.shared_value("units_end")
    theirs = other.engine.shared_value("units_start"), other.engine.shared_value("units_end")
    assert ours[1] <= theirs[0] or theirs[1] <= ours[0]
    other.close()

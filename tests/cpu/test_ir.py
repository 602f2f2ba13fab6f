# SPDX-License-Identifier: GPL-2.0-only
"""Values on LLVM (``lpar.cpu.ir``) against values on Python integers (``lpar.isa.values``)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cpu.native import Native

from lpar.cpu.ir import Function, IrBits, Module
from lpar.isa.values import Bits, concat, from_lanes, lanes, map_lanes, select, shuffle

WIDTHS = (1, 8, 16, 32, 64, 128)
DIVISIONS = ("udiv", "urem", "sdiv", "srem")
COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "slt", "sle", "sgt", "sge")
ARITHMETIC = ("__add__", "__sub__", "__mul__", "__and__", "__or__", "__xor__", "umulh", "smulh", *DIVISIONS)
BINARY = ARITHMETIC + COMPARISONS
SHIFTS = ("__lshift__", "__rshift__", "sar", "rotl")
UNARY = ("__invert__", "__neg__", "clz", "ctz", "popcount", "bitreverse")


def values(rng: random.Random, width: int) -> list[int]:
    """Corner values and some random ones."""
    top = (1 << width) - 1
    found = [0, 1, top, top >> 1, top // 2 + 1, top - 1, *(rng.getrandbits(width) for _ in range(6))]
    return [v & top for v in found]


def method(name: str) -> Callable[..., Any]:
    """A body that calls a method."""
    return lambda cpu, a, *rest: getattr(a, name)(*rest)


def with_constant(name: str, constant: int) -> Callable[..., Any]:
    """A body whose second operand is a Python int."""
    return lambda cpu, a: getattr(a, name)(constant)


def check(bodies: list[tuple[Callable[..., Any], tuple[int, ...]]], names: list[str]) -> None:
    """Fail unless each body gives natively what it gives on ``Bits``, for corner values and random ones."""
    native, rng, wrong = Native(bodies), random.Random(1), []
    for n, (body, widths) in enumerate(bodies):
        for _ in range(40):
            args = [rng.choice(values(rng, w)) for w in widths]
            wanted = body(None, *(Bits(a, w) for a, w in zip(args, widths, strict=True)))
            wanted = list(wanted) if isinstance(wanted, tuple) else [wanted]
            got = native(n, *args)
            if [(x.v, x.w) for x in got] != [(x.v, x.w) for x in wanted]:
                wrong.append(f"{names[n]}{widths} of {[hex(a) for a in args]}: {got}, not {wanted}")
                break
    assert not wrong, "\n".join(wrong)


def test_operations_of_two_values() -> None:
    cases = [(name, w) for name in BINARY for w in WIDTHS if w <= 64 or name not in DIVISIONS]
    check([(method(n), (w, w)) for n, w in cases], [n for n, _ in cases])


def test_shifts_by_amounts_of_any_width() -> None:
    cases = [(name, w, a) for name in SHIFTS for w in WIDTHS for a in (1, 8, 64, 128)]
    check([(method(n), (w, a)) for n, w, a in cases], [n for n, *_ in cases])


def test_operations_of_one_value() -> None:
    cases = [(name, w) for name in UNARY for w in WIDTHS] + [("bswap", w) for w in WIDTHS[1:]]
    check([(method(n), (w,)) for n, w in cases], [n for n, _ in cases])


def test_python_ints_take_the_other_width() -> None:
    cases = [(n, w, k) for n in BINARY + SHIFTS for w in (8, 64) for k in (0, 1, -1, 7, 0x80, 1 << 63)]
    check([(with_constant(n, k), (w,)) for n, w, k in cases], [f"{n} {k}" for n, w, k in cases])


def test_widths() -> None:
    cases: list[tuple[Callable[..., Any], tuple[int, ...]]] = []
    for w in WIDTHS:
        cases += [(with_constant("zext", v), (w,)) for v in WIDTHS if v >= w]
        cases += [(with_constant("sext", v), (w,)) for v in WIDTHS if v >= w]
        cases += [(with_constant("trunc", v), (w,)) for v in WIDTHS if v <= w]
        cases += [(with_constant("bit", n), (w,)) for n in (0, w - 1)]
        cases += [(part(low, v), (w,)) for low in (0, 1, w // 2, w - 1) for v in (1, 8, w)]
    check(cases, [f"width {n}" for n in range(len(cases))])


def part(low: int, width: int) -> Callable[..., Any]:
    """A body that takes out bits."""
    return lambda cpu, a: a.bits(low, width)


@pytest.mark.parametrize("low", [64, 65, 127, 128])
def test_bits_beyond_the_top_are_zero(low: int) -> None:
    check([(part(low, 8), (64,))], ["bits"])


def test_selection_and_joining() -> None:
    check(
        [
            (lambda cpu, c, a, b: select(c, a, b), (1, 64, 64)),
            (lambda cpu, c, a: select(c, a, 5), (1, 64)),
            (lambda cpu, c, a: select(c, -1, a), (1, 128)),
            (lambda cpu, a, b, c: concat(a, b, c), (8, 32, 64)),
            (lambda cpu, a, b: concat(Bits(5, 8), a, Bits(0, 16), b), (8, 32)),
            (lambda cpu, a: from_lanes(lanes(a, 32)[::-1]), (128,)),
        ],
        ["select", "select int", "int select", "concat", "concat with constants", "lanes"],
    )


LANES: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "compare": lambda a, b: a.sgt(b),
    "choose": lambda a, b: select(a < b, a, b),
    "shift": lambda a, b: a << b,
    "constants": lambda a, b: (a & 0x0F) | (b ^ -1),
    "rotate": lambda a, b: a.rotl(b),
    "count": lambda a, b: a.clz() + b.popcount(),
    "wide": lambda a, b: ((a.zext(2 * a.w) + b.zext(2 * b.w) + 1) >> 1).trunc(a.w),
    "reverse": lambda a, b: a.bswap() if a.w > 8 else a,
    "mixed": lambda a, b: select((a == 0) & (b != 1), -a, ~b),
}


def over_lanes(width: int, fn: Callable[..., Any]) -> Callable[..., Any]:
    """A body that maps ``fn``."""
    return lambda cpu, a, b: map_lanes(width, fn, a, b)


def test_lanes() -> None:
    cases = [(n, w) for n in LANES for w in (8, 16, 32, 64, 128)]
    check([(over_lanes(w, LANES[n]), (128, 128)) for n, w in cases], [f"{n} {w}" for n, w in cases])


def test_shuffles() -> None:
    sbox = bytes((7 * n + 3) % 256 for n in range(256))
    pattern = bytes(range(15, -1, -1))
    check(
        [
            (lambda cpu, a, b: shuffle(a, b), (128, 128)),
            (lambda cpu, a, b, c: shuffle(concat(a, b), c), (128, 128, 128)),
            (lambda cpu, a: shuffle(a, pattern), (128,)),
            (lambda cpu, a: shuffle(a, bytes([0, 1, 2, 3])), (128,)),
            (lambda cpu, a: shuffle(sbox, a), (128,)),
            (lambda cpu, a: shuffle(sbox[:16], a), (128,)),
            (lambda cpu, a: shuffle(sbox[:32], a), (128,)),
            (lambda cpu, a, b: shuffle(a, b), (64, 64)),
            (lambda cpu, a, b: shuffle(a, b), (128, 64)),
        ],
        ["16", "32", "fixed", "fixed 4", "s-box", "table 16", "table 32", "64", "128 by 64"],
    )


# -- random expressions -------------------------------------------------------------------------------

Tree = tuple[Any, ...]
LEAVES = st.one_of(
    st.tuples(st.just("argument"), st.integers(0, 2)),
    st.tuples(st.just("constant"), st.integers(0, (1 << 64) - 1)),
    st.tuples(st.just("constant"), st.integers(0, 70)),
)


def grow(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    """One operation more; comparisons only where a condition is wanted."""
    return st.one_of(
        st.tuples(st.sampled_from(ARITHMETIC + SHIFTS), children, children),
        st.tuples(st.sampled_from([*UNARY, "bswap"]), children),
        st.tuples(st.just("select"), st.sampled_from(COMPARISONS), children, children, children, children),
        st.tuples(st.just("narrow"), st.sampled_from([1, 8, 32]), st.booleans(), children),
    )


class Expression:
    """A tree as a body of three 64-bit arguments."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def __call__(self, cpu: Any, *args: Any) -> Any:
        return self._value(self.tree, args)

    def _value(self, tree: Tree, args: tuple[Any, ...]) -> Any:
        kind, *rest = tree
        if kind == "argument":
            return args[rest[0]]
        if kind == "constant":
            return Bits(rest[0], 64)
        if kind == "select":
            a, b, c, d = (self._value(t, args) for t in rest[1:])
            condition = self._call(a, rest[0], b)
            return select(condition, c, d)
        if kind == "narrow":
            narrow = self._value(rest[2], args).trunc(rest[0])
            return narrow.sext(64) if rest[1] else narrow.zext(64)
        first, *others = (self._value(t, args) for t in rest)
        return self._call(first, kind, *others)

    @staticmethod
    def _call(a: Any, name: str, *others: Any) -> Any:
        """``a.name(...)``, with ``a`` made an LLVM constant where it meets an LLVM value."""
        traced = next((o for o in others if isinstance(o, IrBits)), None)
        if isinstance(a, Bits) and traced is not None:
            a = traced._const(a.v, a.w)
        return getattr(a, name)(*others)


@given(
    trees=st.lists(st.recursive(LEAVES, grow, max_leaves=12), min_size=1, max_size=12),
    seed=st.integers(0, 1 << 32),
)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_expressions(trees: list[Tree], seed: int) -> None:
    bodies = [Expression(t) for t in trees]
    native, rng = Native([(b, (64, 64, 64)) for b in bodies]), random.Random(seed)
    for n, body in enumerate(bodies):
        for _ in range(6):
            args = [rng.choice(values(rng, 64)) for _ in range(3)]
            wanted = body(None, *(Bits(a, 64) for a in args))
            [got] = native(n, *args)
            assert got.v == wanted.v, f"{body.tree} of {[hex(a) for a in args]}"


# -- misuse is told ------------------------------------------------------------------------------------


def function() -> Function:
    """A function under construction."""
    return Function("define void @f(i64 %a)", Module())


def test_different_widths_are_an_error() -> None:
    f = function()
    a, b = IrBits(f, "%a", 64), IrBits(f, "%b", 32)
    for wrong in (lambda: a + b, lambda: a == b, lambda: select(IrBits(f, "%c", 1), a, b)):
        with pytest.raises(TypeError, match="width"):
            wrong()


@pytest.mark.parametrize("name", DIVISIONS)
def test_wide_divisions_are_refused(name: str) -> None:
    """LLVM makes them calls of a run-time library that is not linked."""
    with pytest.raises(TypeError, match="128 bits"):
        Native([(method(name), (128, 128))])


def test_python_does_not_decide_on_run_time_values() -> None:
    with pytest.raises(TypeError, match="run-time condition"):
        bool(IrBits(function(), "%a", 1))


def test_a_block_without_end_is_an_error() -> None:
    with pytest.raises(AssertionError, match="without end"):
        function().text()

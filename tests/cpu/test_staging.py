# SPDX-License-Identifier: GPL-2.0-only
"""Staging: the same functions as plain Python on ``Bits`` and traced on LLVM values.

The functions below are in the semantics language; the tests compare what both ways give, and that what is
not part of the language is refused.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.cpu.native import Native

from lpar.isa.values import Bits, select


def nested_ifs(cpu: Any, a: Any, b: Any) -> Any:
    x = a
    if a < b:
        if (a & 1) == 0:
            x = a + b
        else:
            x = a - b
    elif a == b:
        x = a * 3
    return x


def early_returns(cpu: Any, a: Any, b: Any) -> Any:
    if a == 0:
        return b
    if b == 0:
        return a + 1
    a = a + b
    if a > 100:
        return a ^ b
    return a


def conditions(cpu: Any, a: Any, b: Any) -> Any:
    if (a > 5 and b > 5) or not (a < b):
        return a | b
    return a & b


def conditional_expression(cpu: Any, a: Any, b: Any) -> Any:
    small = a if a < b else b
    return small + (1 if True else b)


def counting_loop(cpu: Any, a: Any, b: Any) -> Any:
    n = a & 15
    total = b
    while n != 0:
        total = total + n * n
        if (total & 1) != 0:
            total = total ^ 5
        n = n - 1
    return total


def nested_loops(cpu: Any, a: Any, b: Any) -> Any:
    i = a & 7
    total = a ^ a
    while i != 0:
        j = b & 7
        while j != 0:
            total = total + i * j
            j = j - 1
        i = i - 1
    return total


def loop_with_return(cpu: Any, a: Any, b: Any) -> Any:
    n = a & 31
    while n != 0:
        if (b >> n.trunc(8)).bit(0):
            return n
        n = n - 1
    return a & 0


def loop_never_entered(cpu: Any, a: Any, b: Any) -> Any:
    while (a ^ a) != 0:
        a = a + 1
    return a


def unrolled(cpu: Any, a: Any, b: Any) -> Any:
    total = a
    for n in range(4):
        if b.bit(n):
            total = total + (1 << n)
        else:
            total = total ^ n
    return total


def static_decisions(cpu: Any, a: Any, b: Any) -> Any:
    flag = False
    n, m = 3, 1
    while n > 0:
        m = m * 2
        n = n - 1
    if not flag and m == 8:
        return a + m
    return b


def helper(a: Any, b: Any) -> Any:
    if a < b:
        return b - a, select(a == 0, a + 1, b)
    return a - b, b


def calls(cpu: Any, a: Any, b: Any) -> Any:
    difference, second = helper(a, b)
    third, _ = helper(second, a)
    return difference, second, third


def assigned_in_one_branch_only(cpu: Any, a: Any, b: Any) -> Any:
    if a > b:
        only = a - b
        a = only * 2
    return a


def augmented(cpu: Any, a: Any, b: Any) -> Any:
    if (b & 3) != 0:
        a += b
        a <<= 2
    return a


def one_path_ends(cpu: Any, a: Any, b: Any) -> Any:
    if a > b:
        a = a + 1
    elif a == b:
        return b
    else:
        a = a + 2
    return a + b


FUNCTIONS: list[Callable[..., Any]] = [
    nested_ifs, early_returns, conditions, conditional_expression, counting_loop, nested_loops,
    loop_with_return, loop_never_entered, unrolled, static_decisions, calls, assigned_in_one_branch_only,
    augmented, one_path_ends,
]  # fmt: skip


def results(value: Any) -> list[int]:
    """The numbers of what a function gave."""
    return [v.v for v in (value if isinstance(value, tuple) else (value,))]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_traced_as_run(function: Callable[..., Any]) -> None:
    native, rng = Native([(function, (64, 64))]), random.Random(1)
    pairs = [*itertools.product([0, 1, 5, 6, 7, 99, (1 << 64) - 1], repeat=2)]
    pairs += [(rng.getrandbits(64), rng.getrandbits(64)) for _ in range(50)]
    outcomes = set()
    for a, b in pairs:
        wanted = results(function(None, Bits(a, 64), Bits(b, 64)))
        assert [v.v for v in native(0, a, b)] == wanted, (a, b)
        outcomes.add(tuple(wanted))
    assert len(outcomes) > 3


# -- what is refused ------------------------------------------------------------------------------------


def different_widths(cpu: Any, a: Any) -> Any:
    x = a
    if a == 0:
        x = a.trunc(32)
    return x


def different_python_values(cpu: Any, a: Any) -> Any:
    n = 0
    if a == 0:
        n = 1
    return a + n


def wide_condition(cpu: Any, a: Any) -> Any:
    if a:
        return a
    return a + 1


def python_counter(cpu: Any, a: Any) -> Any:
    n = 0
    while a != 0:
        n = n + 1
        a = a - 1
    return a + n


def changing_width(cpu: Any, a: Any) -> Any:
    while a != 0:
        a = a.trunc(32)
    return a


def unassigned(cpu: Any, a: Any) -> Any:
    if a == 0:
        x = a
    return x


def breaks_out_of_for(cpu: Any, a: Any) -> Any:
    for _ in range(3):
        if a == 0:
            break
    return a


def continues(cpu: Any, a: Any) -> Any:
    while a != 0:
        a = a - 1
        continue
    return a


def while_else(cpu: Any, a: Any) -> Any:
    while a != 0:
        a = a - 1
    else:
        a = a + 1
    return a


def inner_function(cpu: Any, a: Any) -> Any:
    def inner() -> Any:
        return a

    return inner()


REFUSED: list[tuple[Callable[..., Any], type[Exception], str]] = [
    (different_widths, TypeError, "width"),
    (different_python_values, TypeError, "cpu.const"),
    (wide_condition, TypeError, "width 1"),
    (python_counter, TypeError, "cpu.const"),
    (changing_width, TypeError, "width"),
    (unassigned, AttributeError, "not assigned|no attribute"),
    (breaks_out_of_for, SyntaxError, "break"),
    (continues, SyntaxError, "continue"),
    (while_else, SyntaxError, "else"),
    (inner_function, SyntaxError, "inner function"),
]


@pytest.mark.parametrize(("function", "error", "text"), REFUSED, ids=lambda f: getattr(f, "__name__", ""))
def test_refused(function: Callable[..., Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Native([(function, (64,))])

# SPDX-License-Identifier: GPL-2.0-only
"""TestFloat's level 1 by sample, on every tier (all: ``make testfloat``); judge: Berkeley SoftFloat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from tests.cpu.runner import TIERS
from tests.isa.testfloat import reference as ref
from tests.isa.testfloat.__main__ import operands_of, run
from tests.isa.testfloat.guest import Guest
from tests.isa.testfloat.operands import F16, F32, F64, F128, level1, rows
from tests.isa.testfloat.operations import Operation, all_operations

SAMPLE = 1500  #: cases of each operation in each rounding mode
OPERATIONS = all_operations()
POOLS: dict[tuple[str, ...], tuple[ref.Array, ...]] = {}


def sample(op: Operation) -> tuple[ref.Array, ...]:
    """Some of the operation's level-1 cases; those of multiply-adds are drawn without making all."""
    rng = np.random.default_rng(len(op.name))
    if len(op.kinds) == 3:
        a, b = level1({f.name: f for f in (F32, F64, F128)}[op.kinds[0]], 2, rng)
        some = rng.integers(0, len(a), SAMPLE), rng.integers(0, len(a), SAMPLE)
        return a[some[0]], b[some[0]], np.where(rng.random(SAMPLE)[:, None] < 0.5, a[some[1]], b[some[1]])
    operands = POOLS.setdefault(op.kinds, operands_of(op, rng))
    some = rng.integers(0, len(operands[0]), SAMPLE)
    return tuple(o[some] for o in operands)


@pytest.fixture(scope="module", params=TIERS)
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    """A guest in each tier of this host."""
    try:
        made = Guest(request.param)
    except ValueError as error:
        pytest.skip(str(error))
    yield made
    made.close()


def test_level1_by_sample(guest: Guest, request: pytest.FixtureRequest) -> None:
    """All on the interpreter; on the others some: their routines are the same, and compiling takes long."""
    interpreted = request.node.callspec.params["guest"] == "interpreter"
    problems, cases = [], 0
    operations = OPERATIONS if interpreted else [replace(o, lines=o.lines[-1:]) for o in OPERATIONS[::4]]
    for op in operations:
        for _, count, found in run(guest, op, sample(op)):
            problems += found
            cases += count
    assert not problems, "\n".join(problems[:10])
    assert cases >= 4 * SAMPLE * len(operations)


def test_level1_has_as_many_cases_as_testfloat() -> None:
    rng = np.random.default_rng(1)
    for fmt in (F16, F32, F64, F128):
        assert [len(o) for o in level1(fmt, 2, rng)] == [46464, 46464]


def test_a_wrong_instruction_is_found(guest: Guest) -> None:
    """Subtraction is no addition, and a double rounded to single none either."""
    [add] = [o for o in all_operations() if o.lines[0][0].startswith("fadd ")]
    for line in ("fsub 4,1,2", "fadds 4,1,2"):
        wrong = Operation(add.function, add.kinds, add.result, ((line, "scalar"),))
        [(_, _, problems)] = run(guest, wrong, sample(add))
        assert len(problems) == 4  # in every mode
        assert line in problems[0]


def test_the_reference_detects_tininess_before_rounding() -> None:
    almost = rows([(1 << 52) - 1])  # the greatest denormal, times the number after 1: the least normal
    values, flags = ref.run("f64_mul", ["f64"] * 2, "f64", [almost, rows([0x3FF0000000000001])], ref.NEAREST)
    assert (int(values[0, 0]), int(flags[0])) == (1 << 52, ref.INEXACT | ref.UNDERFLOW)

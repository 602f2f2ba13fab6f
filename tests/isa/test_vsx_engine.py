# SPDX-License-Identifier: GPL-2.0-only
"""VSX on the engine's interpreter: the state that the oracle leaves, in both byte orders."""

from __future__ import annotations

import pytest
from tests.cpu.runner import run_engine
from tests.isa.harness import Case, compare, disassemble, run_oracle
from tests.isa.test_vsx import defined_in, memory_cases, register_cases
from tests.isa.test_vsx_float import DEFINED, float_cases

from lpar.isa import vsx_logical, vsx_memory, vsx_permute


def check_engine(cases: list[Case], little: bool) -> None:
    """Fail unless the engine agrees with the oracle."""
    for case in cases:
        found = compare(run_oracle(case, little=little), run_engine([case], little=little)[0])
        assert not found, f"{case!r}\n{disassemble(case.words)}\n" + "\n".join(found)


@pytest.mark.parametrize("little", [True, False])
def test_loads_and_stores(little: bool) -> None:
    check_engine([c for found in defined_in(vsx_memory) for c in memory_cases(found, 30)], little)


@pytest.mark.parametrize("little", [True, False])
def test_registers_only(little: bool) -> None:
    modules = (vsx_logical, vsx_permute)
    check_engine([c for m in modules for found in defined_in(m) for c in register_cases(found, 15)], little)


@pytest.mark.parametrize("enables", [0, 0xF8])
def test_floating_point(enables: int) -> None:
    check_engine([c for found in DEFINED for c in float_cases(found, 25, enables)], True)

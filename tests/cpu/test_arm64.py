# SPDX-License-Identifier: GPL-2.0-only
"""The engine's code for arm64 hosts: LLVM accepts it and it can be linked, for old processors and new ones.

``make test-arm64`` runs it.
"""

from __future__ import annotations

import llvmlite.binding as llvm
import pytest
from tests.cpu.arm64 import code_generator, emitted

from lpar.cpu import builder, handlers, native_flow
from lpar.cpu.ir import Function, Module
from lpar.cpu.linker import Image
from lpar.cpu.trace import TraceCpu, trace_routine
from lpar.isa.routine import ROUTINES

#: exclusive accesses only; one instruction for each atomic operation; scalable vectors
PROCESSORS = ("generic", "cortex-a72", "neoverse-n1", "neoverse-v2")
C_LIBRARY = {"clock_gettime", "getrandom", "memset", "ppoll", "read", "sched_yield", "write"}


@pytest.fixture(scope="module", params=PROCESSORS)
def machine(request: pytest.FixtureRequest) -> llvm.TargetMachine:
    """A code generator for an arm64 processor."""
    return code_generator(request.param)


def compiled(machine: llvm.TargetMachine, module: Module) -> bytes:
    """An object file."""
    return emitted(machine, module.text(machine.triple, str(machine.target_data)))


def test_code_generation(machine: llvm.TargetMachine) -> None:
    """Special handlers, all routines, a sample of the instructions; tail calls are kept (musttail)."""
    builder.import_definitions()
    fast, slow = Module("aarch64"), Module("aarch64")
    for name, body in native_flow.SPECIALS.items():
        handlers.trace_special(fast, name, body, words=True)
    for variant in handlers.all_variants()[::40]:
        handlers.trace_variant(fast, slow, variant)
    for routine in ROUTINES.values():
        trace_routine(slow, routine)
    image = Image()
    image.add([compiled(machine, fast), compiled(machine, slow)])
    assert {name for name in image.slots if not name.startswith("h")} == C_LIBRARY


@pytest.mark.parametrize(("arch", "fences"), [("x86_64", 0), ("aarch64", 1)])
def test_accesses_stay_behind_atomic_ones(arch: str, fences: int) -> None:
    """Where the host's atomic operations are no barriers by themselves, each has one behind it."""
    for operation in ("raw_atomic", "raw_cas"):
        f = Function("define void @f(ptr %s)", Module(arch))
        cpu = TraceCpu(f)
        arguments = ("add", cpu.const(0), cpu.const(1))[operation == "raw_cas" :]
        getattr(cpu, operation)(*arguments, *[cpu.const(2)] * (operation == "raw_cas"))
        lines = f.block.lines
        atomic = next(n for n, line in enumerate(lines) if "cmpxchg" in line or "atomicrmw" in line)
        assert [line for line in lines[atomic + 1 :] if "fence" in line] == ["fence seq_cst"] * fences

# SPDX-License-Identifier: GPL-2.0-only
"""The engine's code for arm64 hosts: LLVM accepts it.  (It is not run here.)"""

from __future__ import annotations

import llvmlite.binding as llvm
import pytest

from lpar.cpu import builder, handlers, native_flow
from lpar.cpu.ir import Module

TRIPLE = "aarch64-unknown-linux-gnu"


@pytest.fixture(scope="module")
def machine() -> llvm.TargetMachine:
    """A code generator for a plain arm64 processor."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(TRIPLE)
    return target.create_target_machine(cpu="generic", opt=2, reloc="static", codemodel="small")


def test_code_generation(machine: llvm.TargetMachine) -> None:
    """Special handlers and a sample of the instructions' compile; their tail calls are kept (musttail)."""
    builder.import_definitions()
    fast, slow = Module("aarch64"), Module("aarch64")
    for name, body in native_flow.SPECIALS.items():
        handlers.trace_special(fast, name, body, words=True)
    for variant in handlers.all_variants()[::40]:
        handlers.trace_variant(fast, slow, variant)
    for module in (fast, slow):
        parsed = llvm.parse_assembly(module.text(machine.triple, str(machine.target_data)))
        parsed.verify()
        assert machine.emit_object(parsed)[:4] == b"\x7fELF"

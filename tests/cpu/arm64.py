# SPDX-License-Identifier: GPL-2.0-only
"""A compiler for arm64 on any host."""

from __future__ import annotations

import llvmlite.binding as llvm

TRIPLE = "aarch64-unknown-linux-gnu"


def code_generator(processor: str = "generic") -> llvm.TargetMachine:
    """As ``compiler.target_machine(pic=True)`` on such a host."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple(TRIPLE)
    return target.create_target_machine(cpu=processor, opt=2, reloc="pic", codemodel="small")


def emitted(machine: llvm.TargetMachine, text: str) -> bytes:
    """An object file of a module's text."""
    parsed = llvm.parse_assembly(text)
    parsed.verify()
    return bytes(machine.emit_object(parsed))

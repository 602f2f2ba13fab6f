# SPDX-License-Identifier: GPL-2.0-only
"""The only importer of llvmlite: IR text to object code, object code to addresses."""

from __future__ import annotations

import enum
import platform
import threading
from collections.abc import Iterable
from typing import Any

import llvmlite.binding as llvm

from lpar.cpu.handler_cpu import HANDLER_TYPES
from lpar.cpu.ir import Module
from lpar.cpu.layout import SLOTS
from lpar.cpu.short_code import as_module, shorten

_ready = threading.Lock()
_initialized = False


def _initialize() -> None:
    global _initialized
    with _ready:
        if not _initialized:
            llvm.initialize_native_target()
            llvm.initialize_native_asmprinter()
            llvm.initialize_native_asmparser()
            _initialized = True


ARCH = platform.machine()


def target_machine(opt: int = 2, *, pic: bool = False, near: bool = False) -> Any:
    """A code generator for this host; ``pic``: position independent, for regions; ``near``: all symbols
    are within reach, for stencils.
    """
    _initialize()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=opt,
        reloc="pic" if pic else "static",
        codemodel="small" if pic or near else "jitdefault",
        jit=not (pic or near),
    )


def module_text(module: Module) -> str:
    """The module's IR for this host."""
    machine = target_machine()
    return module.text(machine.triple, str(machine.target_data))


class Effort(enum.Enum):
    """(LLVM pass pipeline's level, code generator's level) for a module; see docs/design/engine.md."""

    ROUTINES = (1, 2)
    FAST = (0, 2)
    SLOW = (0, 0)
    STENCILS = (0, 2, True)
    PAIRS = (1, 2, True)
    REGION = ROUTINES


def compile_module(module: Module, effort: Effort, pic: bool = False) -> bytes:
    """Optimise and compile; gives an object file.  ``pic``: for linker.py."""
    level, opt, *near = effort.value
    machine = target_machine(opt, pic=pic and not near, near=bool(near))
    optimized = _optimize(module, machine, level)
    if not near:
        return bytes(machine.emit_object(optimized))
    holes = {name[1:]: node for node, name in module.holes.items()}
    lines = shorten(machine.emit_assembly(optimized), holes)
    return bytes(machine.emit_object(llvm.parse_assembly(as_module(lines))))


def _optimize(module: Module, machine: Any, level: int) -> Any:
    parsed = llvm.parse_assembly(module.text(machine.triple, str(machine.target_data)))
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    passes = builder.getModulePassManager()
    passes.run(parsed, builder)
    return parsed


_region_machine: Any = None


def compile_region(module: Module) -> bytes:
    """A compiled region as a position-independent object file."""
    global _region_machine
    if _region_machine is None:
        _region_machine = target_machine(pic=True)
    optimized = _optimize(module, _region_machine, Effort.REGION.value[0])
    return bytes(_region_machine.emit_object(optimized))


def define_run(module: Module) -> None:
    """``lp_run(state, base)``: the C entry that starts handlers; comes back when one returns."""
    module.declare("@lp_begin", f"declare ghccc void @lp_begin({HANDLER_TYPES})")
    flag, running = SLOTS["in_guest"].offset, SLOTS["running"].offset
    module.define(
        "@lp_run",
        f"""define void @lp_run(ptr %s, i64 %base) nounwind {{
entry:
  %flag = getelementptr i8, ptr %s, i64 {flag}
  %old = atomicrmw xchg ptr %flag, i64 1 seq_cst
  call ghccc void @lp_begin(ptr %s, i64 0, i64 0, i64 0, i64 %base)
  %new = atomicrmw xchg ptr %flag, i64 0 seq_cst
  %running = getelementptr i8, ptr %s, i64 {running}
  store i64 0, ptr %running
  ret void
}}""",
    )


class Linker:
    """Loaded object code and its symbols."""

    def __init__(self, objects: Iterable[bytes]) -> None:
        machine = target_machine()
        backing = llvm.parse_assembly("")
        self._engine = llvm.create_mcjit_compiler(backing, machine)
        self._objects = [llvm.ObjectFileRef.from_data(data) for data in objects]
        for loaded in self._objects:
            self._engine.add_object_file(loaded)
        self._engine.finalize_object()

    def address(self, symbol: str) -> int:
        """The address of a symbol.  Raises KeyError if there is none."""
        found = int(self._engine.get_function_address(symbol))
        if not found:
            raise KeyError(symbol)
        return found

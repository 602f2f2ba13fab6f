# SPDX-License-Identifier: GPL-2.0-only
"""Compiles semantics functions made up by a test and calls them: ``native(bodies)``.

A body is ``f(cpu, *arguments)`` on widths that the test names; arguments and result travel through the VSRs
of a state block, so that 128 bits are no special case.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Sequence
from typing import Any

from lpar.cpu import compiler
from lpar.cpu.ir import Module
from lpar.cpu.layout import STATE_SIZE, State
from lpar.cpu.trace import trace_routine
from lpar.isa.routine import Routine
from lpar.isa.values import Bits


class Wrapped:
    """A body on VSRs: reads VSR 0, 1..., writes VSR 32, 33....  An object: it is not rewritten."""

    def __init__(self, body: Callable[..., Any], widths: Sequence[int]) -> None:
        self.body, self.widths = body, widths
        self.results: list[int] = []  #: the widths of the results

    def __call__(self, cpu: Any) -> None:
        arguments = [cpu.vsr[n].trunc(w) for n, w in enumerate(self.widths)]
        result = cpu.rt.call(self.body, cpu, *arguments)
        values = result if isinstance(result, tuple) else (result,)
        self.results = [v.w for v in values]
        for n, value in enumerate(values):
            cpu.vsr[32 + n] = Bits(value.v, 128) if isinstance(value, Bits) else value.zext(128)


class Native:
    """Compiled bodies; called by index."""

    def __init__(self, bodies: Sequence[tuple[Callable[..., Any], Sequence[int]]]) -> None:
        module = Module(platform.machine())
        self.wrapped = [Wrapped(*row) for row in bodies]
        for n, wrapped in enumerate(self.wrapped):
            trace_routine(module, Routine(f"test{n}", wrapped, (), None))
        self._linker = compiler.Linker([compiler.compile_module(module, compiler.Effort.ROUTINES)])
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self._entries = [prototype(self._linker.address(f"rt_test{n}")) for n in range(len(bodies))]
        self._block = (ctypes.c_ubyte * (STATE_SIZE + 64))()
        self._state = State(ctypes.addressof(self._block) + 63 & ~63)

    def __call__(self, index: int, *values: int) -> list[Bits]:
        """The results of body ``index`` for these arguments."""
        for n, value in enumerate(values):
            self._state.set("vsr", value, n)
        self._entries[index](self._state.address)
        widths = self.wrapped[index].results
        return [Bits(self._state.get("vsr", 32 + n), w) for n, w in enumerate(widths)]

# SPDX-License-Identifier: GPL-2.0-only
"""Stencils: the cheap compiled tier.  Each instruction's code is compiled once with holes (holes.py) for what
its word says, and copied and filled in when a guest instruction is first met (native_unit.py).

Stencils exist for 64-bit little-endian mode on x86-64 hosts.

Rules of this file:
* A stencil is a ``ghccc`` function that goes on by a tail call of ``st_next``: that is where the next
  instruction's copy follows.  Whatever else it calls lies within 2 GiB.
* ``%rec`` is right in stencils that use it (``USES_REC``); others leave it behind (see native_unit), and it
  is put right on the way to the handler that they leave for.
* On a TLB miss it jumps to the slow handler with nothing changed.  The code is compiled for size, so that
  LLVM makes one conditional jump of such an exit.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu.handler_cpu import HANDLER_ARGS, MSR_PR, HandlerCpu
from lpar.cpu.handlers import MASKED, Variant, arguments, trace_body
from lpar.cpu.holes import WORD, Hole
from lpar.cpu.ir import Function, IrBits, Module
from lpar.cpu.layout import NARROWEST

NEXT = "st_next"
ATTRIBUTES = 'nounwind optsize "no-jump-tables"="true" "no-builtin-memset"'
#: Keeps LLVM from making a load part of another instruction.  Hosts forward what was stored to a plain move
#: in a cycle (Zen 4: by renaming), but to `add rax, [m]` or to `movslq` in eight.
OPAQUE = 'call i{0} asm "", "=r,0"(i{0} {1})'
FACILITIES = {"FP": (1 << 13, "lp_no_fp"), "VEC": (1 << 25, "lp_no_vec"), "VSX": (1 << 23, "lp_no_vsx")}


class NoStencil(Exception):
    """This instruction stays with its handler."""


class StencilCpu(HandlerCpu):
    """The ``cpu`` that a body sees while its stencil is traced."""

    uses_rec: bool
    goes_on: bool

    def __init__(self, f: Function, *, near: bool, slow_symbol: str) -> None:
        super().__init__(f, fast=True, near=near, slow_symbol=slow_symbol, words=False)
        object.__setattr__(self, "uses_rec", False)
        object.__setattr__(self, "goes_on", False)

    @property
    def word(self) -> IrBits:
        """The instruction word: known when the code is copied."""
        return Hole(self.f, WORD, 64)

    @property
    def rec(self) -> IrBits:
        """The current record's address."""
        object.__setattr__(self, "uses_rec", True)
        return IrBits(self.f, "%rec", 64)

    def state_ptr(self, offset: int, dynamic: IrBits | None = None) -> str:
        """A pointer into the state block; with a hole, one displacement."""
        if not isinstance(dynamic, Hole):
            return super().state_ptr(offset, dynamic)
        whole = dynamic + offset
        return str(self.f.emit(f"getelementptr i8, ptr %s, i64 {whole.ref}"))

    def register_load(self, at: str, width: int) -> IrBits:
        """Load a register by a move of its own: see OPAQUE."""
        held = max(width, NARROWEST)
        value = self.state_load(at, held)
        return value if held > 64 else self._settled(value).trunc(width)

    def _settled(self, value: IrBits) -> IrBits:
        """The value, in a host register from here on."""
        return IrBits(self.f, self.f.emit(OPAQUE.format(value.w, value.ref)), value.w)

    def _host(self, ea: Any, size: int, tag_at: int) -> IrBits:
        return super()._host(self._settled(ea), size, tag_at)

    def branch_rel(self, displacement: Any) -> None:
        """Go to ``cia + displacement``."""
        if not self.near:
            super().branch_rel(displacement)
        rec = self._settled(self.rec + (displacement << 1))
        self._poll_at(rec)
        self.dispatch(rec)

    def crbit(self, n: Any) -> IrBits:
        """CR bit ``n``: with a hole, one comparison with a mask."""
        if not isinstance(n, Hole):
            return super().crbit(n)
        mask = (self.const(8, 8) >> (n & 3).trunc(8)) & 15
        return (self.cr[n >> 2] & mask) != 0  # type: ignore[no-any-return]

    def next(self) -> None:
        """Go on with the next instruction's copy."""
        object.__setattr__(self, "goes_on", True)
        self.leave(NEXT)

    def fence(self, kind: str) -> None:
        """Barriers; isync goes by the record, so that changed code is seen."""
        super().fence(kind)
        if kind == "isync":
            self.dispatch(self.rec + 8)

    def libc(self, name: str, *args: Any) -> IrBits:
        """The C library is out of reach."""
        raise NoStencil(name)

    def _fill(self, address: Any, size: Any, byte: int) -> None:
        raise NoStencil("memset")

    def require(self, needs: tuple[str, ...]) -> None:
        """Check that MSR enables the facilities."""
        if "PRIV" in needs:
            self.cold_if((self.msr & MSR_PR) != 0, "lp_privileged")
        for name, (bit, target) in FACILITIES.items():
            if name in needs:
                self.cold_if((self.msr & bit) == 0, target)


def trace_stencil(module: Module, variant: Variant, near: bool) -> StencilCpu | None:
    """Define a variant's stencil; what it uses is in the ``cpu`` it was traced with.  None: it has none."""
    if variant.instruction.prefix is not None:
        return None
    f = Function(f"define ghccc void @{symbol(variant, near)}({HANDLER_ARGS}) {ATTRIBUTES}", module)
    cpu = StencilCpu(f, near=near, slow_symbol=variant.name + "s")
    if variant.kind in MASKED.values():
        assume_order(cpu, variant, near)
    try:
        trace_body(cpu, variant)
    except NoStencil:
        return None
    module.define("@" + symbol(variant, near), f.text())
    return cpu


def assume_order(cpu: StencilCpu, variant: Variant, near: bool) -> None:
    """Whether MB is at most ME (Variant.kind): the mask's shape is known while the stencil is traced."""
    fields = [field.name for field in variant.instruction.fields]
    given = dict(zip(fields, arguments(cpu, variant), strict=True))
    cpu.f.assumed[(given["MB"] <= given["ME"]).node] = int(near)


def symbol(variant: Variant, near: bool) -> str:
    """A stencil's symbol."""
    return f"st_{variant.name}{'n' if near else 'f'}"

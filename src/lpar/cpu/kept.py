# SPDX-License-Identifier: GPL-2.0-only
"""Registers of a region under construction (region.py): allocas, which LLVM turns into values."""

from __future__ import annotations

from typing import Any

from lpar.cpu.ir import IrBits
from lpar.isa.values import Bits

#: architected fields kept in allocas: name -> LLVM type
KEPT = {
    "gpr": "i64",
    "vsr": "<2 x i64>",
    "cr": "i8",
    "lr": "i64",
    "ctr": "i64",
    "so": "i8",
    "ov": "i8",
    "ca": "i8",
    "ov32": "i8",
    "ca32": "i8",
}
HELD = {"i8": "i32"}  #: how the state block holds them, if not like that


class NotRegionable(Exception):
    """This instruction stays with the interpreter."""


class Kept:
    """A register file whose elements are allocas; constant numbers only."""

    def __init__(self, cpu: Any, name: str, width: int) -> None:
        self._cpu, self._name, self._width = cpu, name, width

    def _number(self, n: Any) -> int:
        if isinstance(n, IrBits):
            if n.c is None:
                raise NotRegionable("register number known at run time only")
            return n.c
        return n.v if isinstance(n, Bits) else int(n)

    def __getitem__(self, n: Any) -> IrBits:
        return self._cpu.var_load(self._name, self._number(n), self._width)  # type: ignore[no-any-return]

    def __setitem__(self, n: Any, value: Any) -> None:
        self._cpu.var_store(self._name, self._number(n), value, self._width)


class KeptFprs(Kept):
    """Upper halves of VSRs."""

    def __getitem__(self, n: Any) -> IrBits:
        return self._cpu.fpr_load(self._number(n))  # type: ignore[no-any-return]

    def __setitem__(self, n: Any, value: Any) -> None:
        self._cpu.fpr_store(self._number(n), value)


class KeptVrs(Kept):
    """The upper 32 VSRs."""

    def _number(self, n: Any) -> int:
        return 32 + super()._number(n)

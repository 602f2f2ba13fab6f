# SPDX-License-Identifier: GPL-2.0-only
"""Registers of a region under construction (region.py): allocas, which LLVM turns into values.

A CR field is seldom read but by the branch behind its comparison, yet every exit wants it.  So a comparison
leaves its *order*, -1, 0 or 1, which takes three host instructions; the branch compares again (LLVM does it
once), and exits make the field.  Fields that come otherwise are kept with PLAIN added.
"""

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


PLAIN = 16  #: added to a CR field that is no order
ORDERS = 0x428  #: the fields, without SO, of the orders 1, 0, -1


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


class Order(IrBits):
    """How two values compare: 8 bits, -1, 0 or 1."""

    __slots__ = ("left", "right", "signed")

    def __init__(self, left: IrBits, right: Any, operator: str) -> None:
        f, w = left.f, left.w
        right = left._other(right)
        symbol = f"@llvm.{operator}.i8.i{w}"
        f.module.declare(symbol, f"declare i8 {symbol}(i{w}, i{w})")
        super().__init__(f, f.emit(f"call i8 {symbol}(i{w} {left.ref}, i{w} {right.ref})"), 8)
        self.left, self.right, self.signed = left, right, operator == "scmp"

    def bit(self, n: int) -> IrBits:
        """Bit ``n`` of the field but SO: 3 less, 2 greater, 1 equal."""
        a, b = self.left, self.right
        if n == 1:
            return a == b  # type: ignore[no-any-return]
        if self.signed:
            return a.slt(b) if n == 3 else a.sgt(b)
        return a < b if n == 3 else a > b  # type: ignore[no-any-return]


class KeptFields(Kept):
    """CR fields."""

    def __getitem__(self, n: Any) -> IrBits:
        kept = super().__getitem__(n)
        of_order = (self._cpu.const(ORDERS) >> ((kept + 1).zext(32) << 2)).trunc(8) & 15
        return kept.slt(2).select(of_order | self._cpu.so.zext(8), kept & 15)  # type: ignore[no-any-return]

    def __setitem__(self, n: Any, value: Any) -> None:
        number = self._number(n)
        if isinstance(value, Order):
            self._cpu.orders[number] = value, self._cpu.index
        else:
            self._cpu.orders.pop(number, None)
            value = value | PLAIN
        super().__setitem__(number, value)

    def bit(self, number: int) -> IrBits:
        """CR bit ``number``."""
        field, bit = number >> 2, 3 - (number & 3)
        if not bit:
            return self[field].bit(0)
        order = self._cpu.recent_order(field)
        if order is not None:
            return order.bit(bit)  # type: ignore[no-any-return]
        kept = super().__getitem__(field)
        of_order = {3: kept.slt(0), 2: kept == 1, 1: kept == 0}[bit]
        return kept.slt(2).select(of_order, kept.bit(bit))  # type: ignore[no-any-return]


def field_lines(value: str, so: str) -> list[str]:
    """IR that makes the word ``value``.z of the state block from a kept CR field."""
    return [
        f"{value}.o = icmp slt i8 {value}, 2",
        f"{value}.n = add i8 {value}, 1",
        f"{value}.w = zext i8 {value}.n to i32",
        f"{value}.h = shl i32 {value}.w, 2",
        f"{value}.s = lshr i32 {ORDERS}, {value}.h",
        f"{value}.m = and i32 {value}.s, 15",
        f"{value}.so = load i8, ptr {so}",
        f"{value}.x = zext i8 {value}.so to i32",
        f"{value}.f = or i32 {value}.m, {value}.x",
        f"{value}.p = zext i8 {value} to i32",
        f"{value}.q = and i32 {value}.p, 15",
        f"{value}.z = select i1 {value}.o, i32 {value}.f, i32 {value}.q",
    ]


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

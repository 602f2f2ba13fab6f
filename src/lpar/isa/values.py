# SPDX-License-Identifier: GPL-2.0-only
"""Fixed-width bit vectors on Python integers: the values that the oracle computes with.

The semantics of instructions are written against the interface of :class:`Bits`.  The engine
has a second implementation on LLVM values (``lpar.cpu.ir``); both must agree, so every
operation is total: nothing is undefined.

Rules of this file:
* Arithmetic wraps at the width.  Operands of one operation have the same width; a Python int
  is taken at the width of the other operand.
* Shift amounts are taken modulo the width (any width of amount, or a Python int).
* ``<``, ``<=``, ``>``, ``>=`` and ``>>`` are unsigned; the signed ones are methods.
* Comparisons give ``Bits`` of width 1, which is also what conditions are made of.
* Bit positions are counted from the least significant bit (0), unlike the Power ISA's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Bits:
    """An unsigned integer ``v`` of ``w`` bits."""

    __slots__ = ("v", "w")

    def __init__(self, value: int, width: int) -> None:
        self.w = width
        self.v = value & ((1 << width) - 1)

    # -- helpers -----------------------------------------------------------------------------
    def _other(self, other: Bits | int) -> int:
        if isinstance(other, Bits):
            if other.w != self.w:
                raise TypeError(f"widths differ: {self.w} and {other.w}")
            return other.v
        return other & ((1 << self.w) - 1)

    def _amount(self, n: Bits | int) -> int:
        return (n.v if isinstance(n, Bits) else n) % self.w

    @property
    def signed(self) -> int:
        """The value as a two's complement Python int (oracle and tests only)."""
        return self.v - (1 << self.w) if self.v >> (self.w - 1) else self.v

    def __repr__(self) -> str:
        return f"Bits(0x{self.v:x}, {self.w})"

    def __bool__(self) -> bool:
        if self.w != 1:
            raise TypeError(f"a condition has width 1, not {self.w}")
        return bool(self.v)

    def __index__(self) -> int:
        """For register files: ``cpu.gpr[n]`` with a computed number (rare; see ``fixed_string``)."""
        return self.v

    def __hash__(self) -> int:
        return hash((self.v, self.w))

    # -- arithmetic and logic ------------------------------------------------------------------
    def __add__(self, other: Bits | int) -> Bits:
        return Bits(self.v + self._other(other), self.w)

    __radd__ = __add__

    def __sub__(self, other: Bits | int) -> Bits:
        return Bits(self.v - self._other(other), self.w)

    def __rsub__(self, other: int) -> Bits:
        return Bits(other - self.v, self.w)

    def __mul__(self, other: Bits | int) -> Bits:
        return Bits(self.v * self._other(other), self.w)

    __rmul__ = __mul__

    def __and__(self, other: Bits | int) -> Bits:
        return Bits(self.v & self._other(other), self.w)

    __rand__ = __and__

    def __or__(self, other: Bits | int) -> Bits:
        return Bits(self.v | self._other(other), self.w)

    __ror__ = __or__

    def __xor__(self, other: Bits | int) -> Bits:
        return Bits(self.v ^ self._other(other), self.w)

    __rxor__ = __xor__

    def __invert__(self) -> Bits:
        return Bits(~self.v, self.w)

    def __neg__(self) -> Bits:
        return Bits(-self.v, self.w)

    def __lshift__(self, n: Bits | int) -> Bits:
        return Bits(self.v << self._amount(n), self.w)

    def __rshift__(self, n: Bits | int) -> Bits:
        return Bits(self.v >> self._amount(n), self.w)

    def sar(self, n: Bits | int) -> Bits:
        """Arithmetic shift right, amount modulo the width."""
        return Bits(self.signed >> self._amount(n), self.w)

    def rotl(self, n: Bits | int) -> Bits:
        """Rotate left, amount modulo the width."""
        k = self._amount(n)
        return Bits(self.v << k | self.v >> (self.w - k), self.w)

    # -- comparison ----------------------------------------------------------------------------
    def __eq__(self, other: object) -> Bits:  # type: ignore[override]
        return Bits(self.v == self._other(other), 1)  # type: ignore[arg-type]

    def __ne__(self, other: object) -> Bits:  # type: ignore[override]
        return Bits(self.v != self._other(other), 1)  # type: ignore[arg-type]

    def __lt__(self, other: Bits | int) -> Bits:
        return Bits(self.v < self._other(other), 1)

    def __le__(self, other: Bits | int) -> Bits:
        return Bits(self.v <= self._other(other), 1)

    def __gt__(self, other: Bits | int) -> Bits:
        return Bits(self.v > self._other(other), 1)

    def __ge__(self, other: Bits | int) -> Bits:
        return Bits(self.v >= self._other(other), 1)

    def slt(self, other: Bits | int) -> Bits:
        """Signed less than."""
        return Bits(self.signed < Bits(self._other(other), self.w).signed, 1)

    def sle(self, other: Bits | int) -> Bits:
        """Signed less than or equal."""
        return ~self.sgt(other)

    def sgt(self, other: Bits | int) -> Bits:
        """Signed greater than."""
        return Bits(self.signed > Bits(self._other(other), self.w).signed, 1)

    def sge(self, other: Bits | int) -> Bits:
        """Signed greater than or equal."""
        return ~self.slt(other)

    # -- width -----------------------------------------------------------------------------------
    def zext(self, width: int) -> Bits:
        """Zero-extend to ``width`` (not smaller than now)."""
        return Bits(self.v, width)

    def sext(self, width: int) -> Bits:
        """Sign-extend to ``width`` (not smaller than now)."""
        return Bits(self.signed, width)

    def trunc(self, width: int) -> Bits:
        """Keep the low ``width`` bits."""
        return Bits(self.v, width)

    def bits(self, low: int, width: int) -> Bits:
        """``width`` bits from position ``low`` (a Python int, from the least significant end)."""
        return Bits(self.v >> low, width)

    def bit(self, n: int) -> Bits:
        """Bit ``n`` (a Python int, from the least significant end), width 1."""
        return Bits(self.v >> n, 1)

    # -- counting and multiplying ----------------------------------------------------------------
    def clz(self) -> Bits:
        """Count leading zeros (``w`` for zero), same width."""
        return Bits(self.w - self.v.bit_length(), self.w)

    def ctz(self) -> Bits:
        """Count trailing zeros (``w`` for zero), same width."""
        return Bits((self.v & -self.v).bit_length() - 1 if self.v else self.w, self.w)

    def popcount(self) -> Bits:
        """Count the one bits, same width."""
        return Bits(self.v.bit_count(), self.w)

    def bswap(self) -> Bits:
        """Reverse the bytes."""
        return Bits(int.from_bytes(self.v.to_bytes(self.w // 8, "little"), "big"), self.w)

    def bitreverse(self) -> Bits:
        """Reverse the bits."""
        return Bits(int(f"{self.v:0{self.w}b}"[::-1], 2), self.w)

    def umulh(self, other: Bits | int) -> Bits:
        """High half of the unsigned product."""
        return Bits(self.v * self._other(other) >> self.w, self.w)

    def smulh(self, other: Bits | int) -> Bits:
        """High half of the signed product."""
        return Bits(self.signed * Bits(self._other(other), self.w).signed >> self.w, self.w)

    def udiv(self, other: Bits | int) -> Bits:
        """Unsigned quotient; 0 where the divisor is 0."""
        d = self._other(other)
        return Bits(self.v // d if d else 0, self.w)

    def urem(self, other: Bits | int) -> Bits:
        """Unsigned remainder; 0 where the divisor is 0."""
        d = self._other(other)
        return Bits(self.v % d if d else 0, self.w)

    def sdiv(self, other: Bits | int) -> Bits:
        """Signed quotient, truncated; 0 where the divisor is 0 or the quotient does not fit."""
        d = Bits(self._other(other), self.w).signed
        if d == 0 or (d == -1 and self.v == 1 << (self.w - 1)):
            return Bits(0, self.w)
        q = abs(self.signed) // abs(d)
        return Bits(-q if (self.signed < 0) != (d < 0) else q, self.w)

    def srem(self, other: Bits | int) -> Bits:
        """Signed remainder with the dividend's sign; 0 where ``sdiv`` gives 0 for a bad divisor."""
        d = Bits(self._other(other), self.w).signed
        if d == 0 or (d == -1 and self.v == 1 << (self.w - 1)):
            return Bits(0, self.w)
        r = abs(self.signed) % abs(d)
        return Bits(-r if self.signed < 0 else r, self.w)


# The free functions below take whichever implementation their arguments are of.


def select(condition: Any, a: Any, b: Any) -> Any:
    """``a`` if the width-1 ``condition`` holds, else ``b``; both are evaluated."""
    if isinstance(condition, int):
        return a if condition else b
    if isinstance(condition, Bits):
        if isinstance(a, int):
            a = Bits(a, b.w)
        return a if condition.v else (Bits(b, a.w) if isinstance(b, int) else b)
    return condition.select(a, b)


def concat(*parts: Any) -> Any:
    """Join values; the first is the most significant."""
    if not all(isinstance(p, Bits) for p in parts):
        first = next(p for p in parts if not isinstance(p, Bits))
        return first.concat(parts)
    value = width = 0
    for part in parts:
        value = value << part.w | part.v
        width += part.w
    return Bits(value, width)


def lanes(x: Any, width: int) -> list[Any]:
    """The elements of ``x``, Power element 0 (most significant) first."""
    return [x.bits(low, width) for low in range(x.w - width, -1, -width)]


def from_lanes(elements: Sequence[Any]) -> Any:
    """Join elements, element 0 most significant."""
    return concat(*elements)


def map_lanes(width: int, fn: Callable[..., Any], *vectors: Any) -> Any:
    """Apply ``fn`` to corresponding elements of ``width`` bits of vectors of equal width.

    ``fn`` uses operators and methods of values and ``select`` only (no ``if``, no constants made
    with ``const``: plain ints instead), since the engine calls it once on SIMD vectors.  The
    result's elements may have width 1 (a comparison): then they become all ones or all zeros of ``width``.
    """
    first = vectors[0]
    if not isinstance(first, Bits):
        return first.map_lanes(width, fn, vectors)
    results = [fn(*column) for column in zip(*(lanes(v, width) for v in vectors), strict=True)]
    return concat(*(r.sext(width) if r.w == 1 else r for r in results))


def shuffle(table: Any, control: Any) -> Any:
    """Pick bytes: byte i of the result is the byte of ``table`` that byte i of ``control`` numbers.

    Bytes are numbered from the most significant (0); a number is taken modulo the table's byte count,
    a power of two.  Either argument may be a constant as Python ``bytes``: a lookup table (S-box) or a
    fixed pattern (a merge); not both.
    """
    value = control if isinstance(table, bytes) else table
    if not isinstance(value, Bits):
        return value.shuffle(table, control)
    source, pattern = (x if isinstance(x, bytes) else x.v.to_bytes(x.w // 8, "big") for x in (table, control))
    picked = bytes(source[n % len(source)] for n in pattern)
    return Bits(int.from_bytes(picked, "big"), 8 * len(picked))

# SPDX-License-Identifier: GPL-2.0-only
"""Arithmetic on the host's floating-point unit, for ordinary numbers rounded to nearest.

Besides the rounded result, FPSCR wants to know whether it is exact (FI) and whether rounding made it larger
(FR).  Both follow from the exact error, which error-free transformations give: the sum's error by
Knuth's two-sum, the product's and the quotient's by a fused multiply-add, that of a fused multiply-add by
Boldo and Muller's algorithm (IEEE Transactions on Computers 54(12), 2005).

Where numbers are so large or small that an error could not be represented, or for zeros, infinities and NaNs,
``ok`` is 0 and soft float does the work.  The oracle never comes here, so that it judges this file.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.softfloat_core import FI, FR, XX
from lpar.isa.values import select

#: (whether the result stands, result, flags)
Hard = tuple[Any, Any, Any]
LOW, SPAN = 256, 1534  #: exponent fields of operands whose products' and quotients' errors can be represented
SINGLE_LOW, SINGLE_SPAN = 898, 253  #: of single-precision results that were not tiny before rounding


def _exponent(x: Any) -> Any:
    return (x >> 52) & 0x7FF


def _ordinary(x: Any) -> Any:
    return (_exponent(x) - LOW) < SPAN


def _zero(x: Any) -> Any:
    return (x << 1) == 0


def _finite(x: Any) -> Any:
    """A number that was not tiny before rounding."""
    return (_exponent(x) - 2) < 0x7FD


def _negated(x: Any) -> Any:
    return x ^ (1 << 63)


def _two_sum(cpu: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """``a + b`` rounded, and the error."""
    total = cpu.host_float("fadd", a, b)
    part = cpu.host_float("fsub", total, a)
    rest = cpu.host_float("fsub", a, cpu.host_float("fsub", total, part))
    return total, cpu.host_float("fadd", rest, cpu.host_float("fsub", b, part))


def _flags(cpu: Any, result: Any, error: Any) -> Any:
    """``error``: of the exact result over the rounded one; only its sign and whether it is zero count."""
    larger = error.bit(63) ^ result.bit(63)
    inexact = select(larger, cpu.const(XX | FI | FR, 32), XX | FI)
    return select(_zero(error), cpu.const(0, 32), inexact)


def _double(cpu: Any, ok: Any, mode: Any, result: Any, error: Any) -> Hard:
    return ok & ((mode & 3) == 0) & _finite(result), result, _flags(cpu, result, error)


def _single(cpu: Any, ok: Any, mode: Any, result: Any, error: Any) -> Hard:
    """Round a binary64 with its error to single, by way of one rounded to odd: that is as good as exact."""
    even = ~_zero(error) & (result.bit(0) == 0)
    step = select(error.bit(63) ^ result.bit(63), cpu.const(-1), 1)
    odd = select(even, result + step, result)
    narrow = cpu.host_float("round32", odd)
    fits = (_exponent(narrow) - SINGLE_LOW) < SINGLE_SPAN
    good = ok & ((mode & 3) == 0) & _finite(result) & fits
    return good, narrow, _flags(cpu, narrow, cpu.host_float("fsub", odd, narrow))


def add(cpu: Any, a: Any, b: Any, mode: Any, single: bool) -> Hard:
    """``a + b``."""
    total, error = _two_sum(cpu, a, b)
    finish = _single if single else _double
    return finish(cpu, cpu.const(1, 1), mode, total, error)


def mul(cpu: Any, a: Any, b: Any, mode: Any, single: bool) -> Hard:
    """``a * b``."""
    product = cpu.host_float("fmul", a, b)
    error = cpu.host_float("fma", a, b, _negated(product))
    finish = _single if single else _double
    return finish(cpu, _ordinary(product), mode, product, error)


def div(cpu: Any, a: Any, b: Any, mode: Any, single: bool) -> Hard:
    """``a / b``."""
    quotient = cpu.host_float("fdiv", a, b)
    rest = cpu.host_float("fma", _negated(quotient), b, a)
    ok = _ordinary(a) & _ordinary(b) & _ordinary(quotient)
    finish = _single if single else _double
    return finish(cpu, ok, mode, quotient, rest ^ (b & (1 << 63)))


def sqrt(cpu: Any, b: Any, mode: Any, single: bool) -> Hard:
    """The square root of ``b``."""
    root = cpu.host_float("sqrt", b)
    rest = cpu.host_float("fma", _negated(root), root, b)
    finish = _single if single else _double
    return finish(cpu, _ordinary(b) & (b.bit(63) == 0), mode, root, rest)


def madd(cpu: Any, a: Any, c: Any, b: Any, mode: Any, single: bool) -> Hard:
    """``a * c + b``."""
    result = cpu.host_float("fma", a, c, b)
    product = cpu.host_float("fmul", a, c)
    low = cpu.host_float("fma", a, c, _negated(product))
    first, first_error = _two_sum(cpu, b, low)
    second, second_error = _two_sum(cpu, product, first)
    near = cpu.host_float("fadd", cpu.host_float("fsub", second, result), second_error)
    ok = _ordinary(product) & (_ordinary(b) | _zero(b))
    finish = _single if single else _double
    return finish(cpu, ok, mode, result, cpu.host_float("fadd", near, first_error))

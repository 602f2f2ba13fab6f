# SPDX-License-Identifier: GPL-2.0-only
"""Soft float: add, multiply, divide, square root and fused multiply-add (Book I, section 4.6.6).

Each operation is a routine for binary64 (``f64_``) and one for single results of binary64 operands
(``r32_``); binary32 operands (``f32_``) are widened, which is exact, and take the second.
"""

from __future__ import annotations

from typing import Any

from lpar.isa import hardfloat
from lpar.isa.routine import routine
from lpar.isa.softfloat_core import (
    BINARY64,
    DEFAULT_NAN,
    INF,
    OX,
    QUIET,
    SINGLE,
    UX,
    VXIDI,
    VXIMZ,
    VXISI,
    VXSNAN,
    VXSQRT,
    VXZDZ,
    ZX,
    Format,
    exponent,
    flag,
    flip_unless_nan,
    is_inf,
    is_nan,
    is_snan,
    is_special,
    is_zero,
    narrow,
    normalized,
    round_pack,
    set_sign,
    shift_right_jam,
    widen,
)
from lpar.isa.values import select

Result = tuple[Any, Any]
NOWHERE = -8000  #: exponent of a zero: below anything, so that it never aligns the other operand


def nan_result(x: Any, fmt: Format) -> Any:
    """The NaN ``x`` as a result of ``fmt``: quiet, and cut to the precision."""
    quiet = x | QUIET
    return quiet if fmt is BINARY64 else quiet & ~((1 << 29) - 1)


# -- addition --------------------------------------------------------------------------------------


@routine(args=(64, 64), returns=(64, 32))
def add_special_f64(cpu: Any, a: Any, b: Any) -> Result:
    """``a + b`` where one is an infinity or a NaN; the result is quiet but not cut."""
    flags = flag(is_snan(a) | is_snan(b), VXSNAN)
    if is_nan(a) | is_nan(b):
        return select(is_nan(a), a, b) | QUIET, flags
    if is_inf(a) & is_inf(b) & (a != b):
        return cpu.const(DEFAULT_NAN), cpu.const(VXISI, 32)
    return select(is_inf(a), a, b), flags


def _cut(result: Any, fmt: Format) -> Any:
    """Clear what a single-precision NaN does not have; infinities have none of it."""
    return result if fmt is BINARY64 else result & ~((1 << 29) - 1)


def _add(cpu: Any, a: Any, b: Any, mode: Any, fmt: Format) -> Result:
    if is_special(a) | is_special(b):
        result, flags = add_special_f64(cpu, a, b)
        return _cut(result, fmt), flags
    swap = (a << 1) < (b << 1)
    big, small = select(swap, b, a), select(swap, a, b)
    exp_big, exp_small = exponent(big), exponent(small)
    one_big, one_small = (exp_big != 0).zext(64), (exp_small != 0).zext(64)
    exp = exp_big + 1 - one_big
    distance = exp - (exp_small + 1 - one_small)
    x = ((big << 12) >> 2) | (one_big << 62)
    y = shift_right_jam(((small << 12) >> 2) | (one_small << 62), distance, 63)
    sign = big.bit(63)
    total = x + select(sign ^ small.bit(63), -y, y)
    if total == 0:
        return _exact_zero(sign, small.bit(63), mode), cpu.const(0, 32)
    n = total.clz()
    return round_pack(cpu, sign, exp + 1 - n, total << n, mode, fmt)


def _exact_zero(sign: Any, other: Any, mode: Any) -> Any:
    """The zero that is the sum of two numbers with these signs."""
    toward_minus = mode.bit(1) & mode.bit(0)
    return set_sign(select(sign ^ other, toward_minus, sign), sign.zext(64) & 0)


@routine(args=(64, 64, 32), returns=(64, 32))
def f64_add(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a + b``."""
    if cpu.hard_float:
        ok, result, flags = hardfloat.add(cpu, a, b, mode, False)
        if ok:
            return result, flags
    return _add(cpu, a, b, mode, BINARY64)


@routine(args=(64, 64, 32), returns=(64, 32))
def r32_add(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a + b`` rounded to single."""
    if cpu.hard_float:
        ok, result, flags = hardfloat.add(cpu, a, b, mode, True)
        if ok:
            return result, flags
    return _add(cpu, a, b, mode, SINGLE)


def f64_sub(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a - b``."""
    return f64_add(cpu, a, flip_unless_nan(b), mode)  # type: ignore[no-any-return]


def r32_sub(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a - b`` rounded to single."""
    return r32_add(cpu, a, flip_unless_nan(b), mode)  # type: ignore[no-any-return]


# -- multiplication --------------------------------------------------------------------------------


@routine(args=(64, 64), returns=(64, 32))
def mul_special_f64(cpu: Any, a: Any, b: Any) -> Result:
    """``a * b`` where one is an infinity or a NaN."""
    flags = flag(is_snan(a) | is_snan(b), VXSNAN)
    if is_nan(a) | is_nan(b):
        return select(is_nan(a), a, b) | QUIET, flags
    if is_zero(a) | is_zero(b):
        return cpu.const(DEFAULT_NAN), cpu.const(VXIMZ, 32)
    return set_sign(a.bit(63) ^ b.bit(63), cpu.const(INF)), flags


def _mul(cpu: Any, a: Any, b: Any, mode: Any, fmt: Format) -> Result:
    if is_special(a) | is_special(b):
        result, flags = mul_special_f64(cpu, a, b)
        return _cut(result, fmt), flags
    sign = a.bit(63) ^ b.bit(63)
    if is_zero(a) | is_zero(b):
        return set_sign(sign, cpu.const(0)), cpu.const(0, 32)
    exp_a, sig_a = normalized(a)
    exp_b, sig_b = normalized(b)
    product = (sig_a << 11).zext(128) * (sig_b << 11).zext(128)
    high = (product >> 64).trunc(64) | (product.trunc(64) != 0).zext(64)
    low = ~high.bit(63)
    return round_pack(cpu, sign, exp_a + exp_b - 1022 - low.zext(64), select(low, high << 1, high), mode, fmt)


@routine(args=(64, 64, 32), returns=(64, 32))
def f64_mul(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a * b``."""
    if cpu.hard_float:
        ok, result, flags = hardfloat.mul(cpu, a, b, mode, False)
        if ok:
            return result, flags
    return _mul(cpu, a, b, mode, BINARY64)


@routine(args=(64, 64, 32), returns=(64, 32))
def r32_mul(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a * b`` rounded to single."""
    if cpu.hard_float:
        ok, result, flags = hardfloat.mul(cpu, a, b, mode, True)
        if ok:
            return result, flags
    return _mul(cpu, a, b, mode, SINGLE)


# -- division --------------------------------------------------------------------------------------


@routine(args=(64, 64), returns=(64, 32))
def div_special_f64(cpu: Any, a: Any, b: Any) -> Result:
    """``a / b`` where one is an infinity, a NaN or a zero."""
    if is_nan(a) | is_nan(b):
        return select(is_nan(a), a, b) | QUIET, flag(is_snan(a) | is_snan(b), VXSNAN)
    sign = a.bit(63) ^ b.bit(63)
    if (is_inf(a) & is_inf(b)) | (is_zero(a) & is_zero(b)):
        return cpu.const(DEFAULT_NAN), select(is_inf(a), cpu.const(VXIDI, 32), VXZDZ)
    infinite = is_inf(a) | is_zero(b)
    return set_sign(sign, select(infinite, cpu.const(INF), 0)), flag(is_zero(b) & ~is_inf(a), ZX)


def _div(cpu: Any, a: Any, b: Any, mode: Any, fmt: Format) -> Result:
    if is_special(a) | is_special(b) | is_zero(a) | is_zero(b):
        result, flags = div_special_f64(cpu, a, b)
        return _cut(result, fmt), flags
    exp_a, sig_a = normalized(a)
    exp_b, sig_b = normalized(b)
    less = sig_a < sig_b
    quotient = cpu.const(1)
    rest = select(less, sig_a << 1, sig_a) - sig_b
    steps = 5 if fmt is BINARY64 else 3
    for _ in range(steps):  # eleven bits each: the remainder is below 2**53
        scaled = rest << 11
        digit = scaled.udiv(sig_b)
        rest = scaled - digit * sig_b
        quotient = quotient << 11 | digit
    sig = (quotient << (63 - 11 * steps)) | (rest != 0).zext(64)
    return round_pack(cpu, a.bit(63) ^ b.bit(63), exp_a - exp_b + 1023 - less.zext(64), sig, mode, fmt)


@routine(args=(64, 64, 32), returns=(64, 32))
def f64_div(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a / b``."""
    if cpu.hard_float:
        ok, result, flags = hardfloat.div(cpu, a, b, mode, False)
        if ok:
            return result, flags
    return _div(cpu, a, b, mode, BINARY64)


@routine(args=(64, 64, 32), returns=(64, 32))
def r32_div(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a / b`` rounded to single."""
    if cpu.hard_float:
        ok, result, flags = hardfloat.div(cpu, a, b, mode, True)
        if ok:
            return result, flags
    return _div(cpu, a, b, mode, SINGLE)


# -- square root -----------------------------------------------------------------------------------


def _sqrt(cpu: Any, b: Any, mode: Any, fmt: Format) -> Result:
    if is_nan(b):
        return nan_result(b, fmt), flag(is_snan(b), VXSNAN)
    if is_zero(b) | (b == INF):
        return b, cpu.const(0, 32)
    if b.bit(63):
        return cpu.const(DEFAULT_NAN), cpu.const(VXSQRT, 32)
    exp, sig = normalized(b)
    even = exp.bit(0) ^ 1  # the bias is odd
    last = 0 if fmt is BINARY64 else 27
    root, rest = _integer_root(cpu, sig << select(even, cpu.const(2), 1), last)
    return round_pack(cpu, b.bit(63), (exp + 1023) >> 1, (root << 10) | (rest != 0).zext(64), mode, fmt)


def _integer_root(cpu: Any, rest: Any, last: int) -> Result:
    """The root of ``rest`` / 2**53 (1 to 4) in units of 2**-53, down to bit ``last``, and what is left.

    One bit a step: ``twice`` is twice the root so far, ``bit`` the candidate.
    """
    root, twice, bit = cpu.const(0), cpu.const(0), cpu.const(1 << 53)
    while bit >= (1 << last):
        candidate = twice + bit
        fits = candidate <= rest
        rest = select(fits, rest - candidate, rest) << 1
        twice = select(fits, candidate + bit, twice)
        root = select(fits, root | bit, root)
        bit = bit >> 1
    return root, rest


@routine(args=(64, 32), returns=(64, 32))
def f64_sqrt(cpu: Any, b: Any, mode: Any) -> Result:
    """The square root of ``b``."""
    if cpu.hard_float:
        ok, result, flags = hardfloat.sqrt(cpu, b, mode, False)
        if ok:
            return result, flags
    return _sqrt(cpu, b, mode, BINARY64)


@routine(args=(64, 32), returns=(64, 32))
def r32_sqrt(cpu: Any, b: Any, mode: Any) -> Result:
    """The square root of ``b`` rounded to single."""
    if cpu.hard_float:
        ok, result, flags = hardfloat.sqrt(cpu, b, mode, True)
        if ok:
            return result, flags
    return _sqrt(cpu, b, mode, SINGLE)


# -- estimates: the rounded result is an allowed estimate ------------------------------------------

ONE = 1023 << 52
ESTIMATE_FLAGS = OX | UX | ZX | VXSNAN | VXSQRT


def _estimate(result: Result) -> Result:
    """An estimate is never inexact."""
    return result[0], result[1] & ESTIMATE_FLAGS


def f64_re(cpu: Any, b: Any, mode: Any) -> Result:
    """``1 / b``."""
    return _estimate(f64_div(cpu, cpu.const(ONE), b, mode))


def r32_re(cpu: Any, b: Any, mode: Any) -> Result:
    """``1 / b`` in single precision."""
    return _estimate(r32_div(cpu, cpu.const(ONE), b, mode))


def f64_rsqrte(cpu: Any, b: Any, mode: Any) -> Result:
    """One over the square root of ``b``."""
    root, flags = f64_sqrt(cpu, b, mode)
    result, more = f64_div(cpu, cpu.const(ONE), root, mode)
    return _estimate((result, flags | more))


def r32_rsqrte(cpu: Any, b: Any, mode: Any) -> Result:
    """One over the square root of ``b`` in single precision."""
    root, flags = f64_sqrt(cpu, b, mode)
    result, more = r32_div(cpu, cpu.const(ONE), root, mode)
    return _estimate((result, flags | more))


# -- fused multiply-add ----------------------------------------------------------------------------


@routine(args=(64, 64, 64), returns=(64, 32))
def madd_special_f64(cpu: Any, a: Any, c: Any, b: Any) -> Result:
    """``a * c + b`` where one is an infinity or a NaN."""
    imz = (is_inf(a) & is_zero(c)) | (is_zero(a) & is_inf(c))
    flags = flag(is_snan(a) | is_snan(b) | is_snan(c), VXSNAN) | flag(imz, VXIMZ)
    if is_nan(a) | is_nan(b) | is_nan(c):
        return select(is_nan(a), a, select(is_nan(b), b, c)) | QUIET, flags
    if imz:
        return cpu.const(DEFAULT_NAN), flags
    product = set_sign(a.bit(63) ^ c.bit(63), cpu.const(INF))
    infinite = is_inf(a) | is_inf(c)
    if infinite & is_inf(b) & (product != b):
        return cpu.const(DEFAULT_NAN), cpu.const(VXISI, 32)
    return select(infinite, product, b), flags


def _madd(cpu: Any, a: Any, c: Any, b: Any, mode: Any, fmt: Format) -> Result:
    if is_special(a) | is_special(b) | is_special(c):
        result, flags = madd_special_f64(cpu, a, c, b)
        return _cut(result, fmt), flags
    exp_a, sig_a = normalized(a)
    exp_c, sig_c = normalized(c)
    exp_b, sig_b = normalized(b)
    exp = select(is_zero(a) | is_zero(c), NOWHERE, exp_a + exp_c - 1023)
    exp_b = select(is_zero(b), NOWHERE, exp_b)
    product = (sig_a << 11).zext(128) * (sig_c << 9).zext(128)  # 1.0 is in bit 124, as the addend's
    addend = sig_b.zext(128) << 72
    if exp.slt(exp_b):
        product = shift_right_jam(product, (exp_b - exp).zext(128), 127)
        exp = exp_b
    else:
        addend = shift_right_jam(addend, (exp - exp_b).zext(128), 127)
    sign = a.bit(63) ^ c.bit(63)
    total = product + select(sign ^ b.bit(63), -addend, addend)
    if total == 0:
        return _exact_zero(sign, b.bit(63), mode), cpu.const(0, 32)
    negative = total.bit(127)
    total = select(negative, -total, total)
    n = total.clz()
    total = total << n
    sig = (total >> 64).trunc(64) | (total.trunc(64) != 0).zext(64)
    return round_pack(cpu, sign ^ negative, exp + 3 - n.trunc(64), sig, mode, fmt)


@routine(args=(64, 64, 64, 32), returns=(64, 32))
def f64_madd(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``a * c + b``, rounded once."""
    if cpu.hard_float:
        ok, result, flags = hardfloat.madd(cpu, a, c, b, mode, False)
        if ok:
            return result, flags
    return _madd(cpu, a, c, b, mode, BINARY64)


@routine(args=(64, 64, 64, 32), returns=(64, 32))
def r32_madd(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``a * c + b``, rounded once, to single."""
    if cpu.hard_float:
        ok, result, flags = hardfloat.madd(cpu, a, c, b, mode, True)
        if ok:
            return result, flags
    return _madd(cpu, a, c, b, mode, SINGLE)


def _negated(result: Result) -> Result:
    return flip_unless_nan(result[0]), result[1]


def f64_msub(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``a * c - b``."""
    return f64_madd(cpu, a, c, flip_unless_nan(b), mode)  # type: ignore[no-any-return]


def f64_nmadd(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``-(a * c + b)``: the sign changes after rounding."""
    return _negated(f64_madd(cpu, a, c, b, mode))


def f64_nmsub(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``-(a * c - b)``."""
    return _negated(f64_msub(cpu, a, c, b, mode))


def r32_msub(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``a * c - b`` rounded to single."""
    return r32_madd(cpu, a, c, flip_unless_nan(b), mode)  # type: ignore[no-any-return]


def r32_nmadd(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``-(a * c + b)`` rounded to single."""
    return _negated(r32_madd(cpu, a, c, b, mode))


def r32_nmsub(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``-(a * c - b)`` rounded to single."""
    return _negated(r32_msub(cpu, a, c, b, mode))


# -- binary32 operands -----------------------------------------------------------------------------


def _narrowed(result: Result) -> Result:
    return narrow(result[0]), result[1]


@routine(args=(32, 32, 32), returns=(32, 32))
def f32_add(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a + b``, binary32."""
    return _narrowed(r32_add(cpu, widen(a), widen(b), mode))


@routine(args=(32, 32, 32), returns=(32, 32))
def f32_sub(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a - b``, binary32."""
    return _narrowed(r32_sub(cpu, widen(a), widen(b), mode))


@routine(args=(32, 32, 32), returns=(32, 32))
def f32_mul(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a * b``, binary32."""
    return _narrowed(r32_mul(cpu, widen(a), widen(b), mode))


@routine(args=(32, 32, 32), returns=(32, 32))
def f32_div(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a / b``, binary32."""
    return _narrowed(r32_div(cpu, widen(a), widen(b), mode))


@routine(args=(32, 32), returns=(32, 32))
def f32_sqrt(cpu: Any, b: Any, mode: Any) -> Result:
    """The square root of ``b``, binary32."""
    return _narrowed(r32_sqrt(cpu, widen(b), mode))


@routine(args=(32, 32), returns=(32, 32))
def f32_re(cpu: Any, b: Any, mode: Any) -> Result:
    """``1 / b``, binary32."""
    return _narrowed(r32_re(cpu, widen(b), mode))


@routine(args=(32, 32), returns=(32, 32))
def f32_rsqrte(cpu: Any, b: Any, mode: Any) -> Result:
    """One over the square root of ``b``, binary32."""
    return _narrowed(r32_rsqrte(cpu, widen(b), mode))


@routine(args=(32, 32, 32, 32), returns=(32, 32))
def f32_madd(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``a * c + b``, binary32."""
    return _narrowed(r32_madd(cpu, widen(a), widen(c), widen(b), mode))


@routine(args=(32, 32, 32, 32), returns=(32, 32))
def f32_msub(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``a * c - b``, binary32."""
    return _narrowed(r32_msub(cpu, widen(a), widen(c), widen(b), mode))


@routine(args=(32, 32, 32, 32), returns=(32, 32))
def f32_nmadd(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``-(a * c + b)``, binary32."""
    return _narrowed(r32_nmadd(cpu, widen(a), widen(c), widen(b), mode))


@routine(args=(32, 32, 32, 32), returns=(32, 32))
def f32_nmsub(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``-(a * c - b)``, binary32."""
    return _narrowed(r32_nmsub(cpu, widen(a), widen(c), widen(b), mode))

# SPDX-License-Identifier: GPL-2.0-only
"""Decimal floating point, the operations (Book I, sections 5.5 and 5.6).

All take ``(cpu, fmt, operands..., mode)`` with operands as register images and give ``(result, flags)``: see
``lpar.isa.decimal_float_core``.  ``how`` (width 32) is a mode whose rounding an instruction chose itself.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.decimal_float_core import (
    BIAS,
    DOWN,
    INF,
    LONG,
    MOST,
    PRECISION,
    QUAD,
    SHORT,
    SIGN,
    TOP,
    W,
    bcd_add,
    bcd_subtract,
    digit_count,
    digits_left,
    digits_right,
    finish,
    finish_as,
    invalid,
    is_inf,
    is_nan,
    is_snan,
    is_special,
    pack,
    pack_special,
    pick,
    propagated,
    round_digits,
    smaller,
    unpack,
)
from lpar.isa.routine import routine
from lpar.isa.softfloat_core import VXCVI, VXIDI, VXIMZ, VXISI, VXSNAN, VXZDZ, ZX, flag
from lpar.isa.values import select

Result = tuple[Any, Any]


def infinity(sign: Any) -> Any:
    """The infinity with ``sign`` (width 1)."""
    return sign.zext(128) << 127 | INF


def none(cpu: Any) -> Any:
    """No flags."""
    return cpu.const(0, 32)


# -- add -------------------------------------------------------------------------------------------


@routine(args=(8, 128, 128, 32), returns=(128, 32))
def decimal_add(cpu: Any, fmt: Any, a: Any, b: Any, mode: Any) -> Any:
    """``a + b``; the preferred exponent is the lesser one."""
    sign_a, sign_b = a.bit(127), b.bit(127)
    if is_special(a) | is_special(b):
        return add_special(cpu, fmt, a, b)
    exp_a, coef_a = unpack(cpu, fmt, a)
    exp_b, coef_b = unpack(cpu, fmt, b)
    swap = exp_a < exp_b
    high, low = select(swap, exp_b, exp_a), select(swap, exp_a, exp_b)
    x, y = select(swap, coef_b, coef_a), select(swap, coef_a, coef_b)
    room = select(x == 0, high - low, MOST - 2 - digit_count(x))
    left = smaller(high - low, room)
    x = digits_left(x, left)
    y = shift_jamming(y, high - low - left)
    total, negative = signed_sum(x, y, select(swap, sign_b, sign_a), select(swap, sign_a, sign_b))
    cancelled = (total == 0) & (sign_a != sign_b)
    sign = select(cancelled, (mode & 7) == DOWN, negative)
    return finish(cpu, fmt, sign, high - left, total, mode)


def shift_jamming(y: Any, count: Any) -> Any:
    """``y`` without ``count`` digits; the last digit turns odd if one of them was not zero.

    Far above the last place that counts, an odd digit stands for what is left of it and after it.
    """
    few = select(count > MOST, (count & 0) | MOST, count)
    kept = digits_right(y, few)
    return kept | (digits_left(kept, few) != y).zext(W)


def signed_sum(x: Any, y: Any, sign_x: Any, sign_y: Any) -> Result:
    """Magnitude and sign of a sum."""
    less = x < y
    large, small = select(less, y, x), select(less, x, y)
    total = select(sign_x == sign_y, bcd_add(x, y), bcd_subtract(large, small))
    return total, select(less, sign_y, sign_x)


def add_special(cpu: Any, fmt: Any, a: Any, b: Any) -> Any:
    if is_nan(a) | is_nan(b):
        return propagated(cpu, fmt, a, b)
    if is_inf(a) & is_inf(b) & (a.bit(127) != b.bit(127)):
        return invalid(cpu, VXISI)
    return infinity(select(is_inf(a), a.bit(127), b.bit(127))), none(cpu)


def decimal_subtract(cpu: Any, fmt: Any, a: Any, b: Any, mode: Any) -> Any:
    """``a - b``; a NaN keeps its sign."""
    return decimal_add(cpu, fmt, a, select(is_nan(b), b, b ^ SIGN), mode)


# -- multiply --------------------------------------------------------------------------------------


@routine(args=(8, 128, 128, 32), returns=(128, 32))
def decimal_multiply(cpu: Any, fmt: Any, a: Any, b: Any, mode: Any) -> Any:
    """``a * b``; the preferred exponent is the sum."""
    sign = a.bit(127) ^ b.bit(127)
    exp_a, coef_a = unpack(cpu, fmt, a)
    exp_b, coef_b = unpack(cpu, fmt, b)
    if is_special(a) | is_special(b):
        if is_nan(a) | is_nan(b):
            return propagated(cpu, fmt, a, b)
        if (~is_special(a) & (coef_a == 0)) | (~is_special(b) & (coef_b == 0)):
            return invalid(cpu, VXIMZ)
        return infinity(sign), none(cpu)
    product, dropped = long_multiply(cpu, coef_a, coef_b)
    return finish(cpu, fmt, sign, exp_a + exp_b - pick(cpu, fmt, BIAS) + dropped, product, mode)


@routine(args=(256, 256), returns=(256, 64))
def long_multiply(cpu: Any, a: Any, b: Any) -> Any:
    """The product of two numbers of up to 34 digits, and how many digits it lacks (the last then jams)."""
    high, low = cpu.const(0, W), cpu.const(0, W)
    count = cpu.const(0)
    while b != 0:
        digit = b.trunc(8) & 15
        while digit != 0:
            high = bcd_add(high, a)
            digit = digit - 1
        low = low | digits_left(high & 15, count)
        high = high >> 4
        b = b >> 4
        count = count + 1
    if digit_count(high) + count <= MOST:
        return low | digits_left(high, count), cpu.const(0)
    jam = (low & 0xFFFFFFFF) != 0
    return (low >> 32) | digits_left(high, count - 8) | jam.zext(W), cpu.const(8)


# -- divide ----------------------------------------------------------------------------------------


@routine(args=(8, 128, 128, 32), returns=(128, 32))
def decimal_divide(cpu: Any, fmt: Any, a: Any, b: Any, mode: Any) -> Any:
    """``a / b``; the preferred exponent is the difference."""
    sign = a.bit(127) ^ b.bit(127)
    if is_special(a) | is_special(b):
        return divide_special(cpu, fmt, a, b)
    exp_a, coef_a = unpack(cpu, fmt, a)
    exp_b, coef_b = unpack(cpu, fmt, b)
    if coef_b == 0:
        if coef_a == 0:
            return invalid(cpu, VXZDZ)
        return infinity(sign), cpu.const(ZX, 32)
    exp = exp_a - exp_b + pick(cpu, fmt, BIAS)
    if coef_a == 0:
        return finish(cpu, fmt, sign, exp, coef_a, mode)
    quotient, moved = long_divide_decimal(cpu, coef_a, coef_b, pick(cpu, fmt, PRECISION) + 2)
    return finish(cpu, fmt, sign, exp - moved, quotient, mode)


def divide_special(cpu: Any, fmt: Any, a: Any, b: Any) -> Any:
    if is_nan(a) | is_nan(b):
        return propagated(cpu, fmt, a, b)
    if is_inf(a) & is_inf(b):
        return invalid(cpu, VXIDI)
    sign = a.bit(127) ^ b.bit(127)
    if is_inf(a):
        return infinity(sign), none(cpu)
    return pack(cpu, fmt, sign, cpu.const(0), cpu.const(0, W)), none(cpu)


@routine(args=(256, 256, 64), returns=(256, 64))
def long_divide_decimal(cpu: Any, a: Any, b: Any, steps: Any) -> Any:
    """``q, n`` with ``q * 10**-n`` the quotient: ``steps`` digits and a jammed one, or exact, then as long as
    n = 0 asks for or the first zero remainder gives.  Neither operand is zero.
    """
    moved = digit_count(b) - digit_count(a)
    a = digits_left(a, select(moved.slt(0), moved & 0, moved))
    b = digits_left(b, select(moved.slt(0), -moved, moved & 0))
    moved = moved - 1
    quotient = cpu.const(0, W)
    while (steps != 0) & ((a != 0) | moved.slt(0)):
        digit = cpu.const(0, W)
        while a >= b:
            a = bcd_subtract(a, b)
            digit = digit + 1
        quotient = quotient << 4 | digit
        a = a << 4
        moved = moved + 1
        steps = steps - 1
    jam = a != 0
    return select(jam, quotient << 4 | 1, quotient), moved + jam.zext(64)


# -- compare ---------------------------------------------------------------------------------------


@routine(args=(8, 128, 128), returns=(8, 32))
def decimal_compare(cpu: Any, fmt: Any, a: Any, b: Any) -> Any:
    """CR field LT=8 GT=4 EQ=2 UN=1, and VXSNAN."""
    if is_nan(a) | is_nan(b):
        return cpu.const(1, 8), flag(is_snan(a) | is_snan(b), VXSNAN)
    less, equal = below(cpu, fmt, a, b)
    greater = ~less & ~equal
    cc = less.zext(8) << 3 | greater.zext(8) << 2 | equal.zext(8) << 1
    return cc, none(cpu)


def below(cpu: Any, fmt: Any, a: Any, b: Any) -> Result:
    """Whether ``a`` is less, and whether it is equal."""
    exp_a, coef_a = unpack(cpu, fmt, a)
    exp_b, coef_b = unpack(cpu, fmt, b)
    exp_a, coef_a = leveled(a, exp_a, coef_a)
    exp_b, coef_b = leveled(b, exp_b, coef_b)
    smaller_size = exp_a.slt(exp_b) | ((exp_a == exp_b) & (coef_a < coef_b))
    same_size = (exp_a == exp_b) & (coef_a == coef_b)
    sign_a = a.bit(127) & (coef_a != 0)
    sign_b = b.bit(127) & (coef_b != 0)
    equal = same_size & (sign_a == sign_b)
    same_signs = select(sign_a, ~smaller_size & ~same_size, smaller_size)
    return select(sign_a == sign_b, same_signs, sign_a), equal


def leveled(x: Any, exp: Any, coef: Any) -> Result:
    """A coefficient of 34 digits and its exponent, so that pairs compare; infinities above all."""
    missing = 34 - digit_count(coef)
    zero = coef == 0
    exp = select(zero, (exp & 0) - 100_000, exp - missing)
    coef = select(zero, coef, digits_left(coef, missing))
    return select(is_inf(x), (exp & 0) + 100_000, exp), select(is_inf(x), (coef & 0) | 1, coef)


# -- quantum adjustment ----------------------------------------------------------------------------


@routine(args=(8, 64, 128, 32), returns=(128, 32))
def quantized(cpu: Any, fmt: Any, exp: Any, b: Any, how: Any) -> Any:
    """The finite ``b`` with the biased exponent ``exp``; VXCVI if it does not fit."""
    sign = b.bit(127)
    exp_b, coef = unpack(cpu, fmt, b)
    left = exp_b - exp
    if (pick(cpu, fmt, PRECISION) - digit_count(coef)).slt(left) & (coef != 0):
        return invalid(cpu)
    if left.slt(0):
        rounded, flags = round_digits(cpu, sign, coef, -left, how)
        return pack(cpu, fmt, sign, exp, rounded), flags
    coef = select(coef == 0, coef, digits_left(coef, left))
    return pack(cpu, fmt, sign, exp, coef), none(cpu)


@routine(args=(8, 128, 128, 32), returns=(128, 32))
def decimal_quantize(cpu: Any, fmt: Any, a: Any, b: Any, how: Any) -> Any:
    """``b`` with the exponent of ``a``."""
    if is_nan(a) | is_nan(b):
        return propagated(cpu, fmt, a, b)
    if is_inf(a) & is_inf(b):
        return infinity(b.bit(127)), none(cpu)
    if is_inf(a) | is_inf(b):
        return invalid(cpu)
    exp, _ = unpack(cpu, fmt, a)
    return quantized(cpu, fmt, exp, b, how)


@routine(args=(8, 64, 128, 32), returns=(128, 32))
def decimal_quantize_to(cpu: Any, fmt: Any, exponent: Any, b: Any, how: Any) -> Any:
    """``b`` with an exponent (unbiased)."""
    if is_nan(b):
        return propagated(cpu, fmt, b, b)
    if is_inf(b):
        return invalid(cpu)
    return quantized(cpu, fmt, exponent + pick(cpu, fmt, BIAS), b, how)


@routine(args=(8, 64, 128, 32), returns=(128, 32))
def decimal_reround(cpu: Any, fmt: Any, digits: Any, b: Any, how: Any) -> Any:
    """``b`` to so many significant digits, if it has more and ``digits`` is not 0."""
    sign = b.bit(127)
    if is_nan(b):
        return propagated(cpu, fmt, b, b)
    if is_inf(b):
        return infinity(sign), none(cpu)
    exp, coef = unpack(cpu, fmt, b)
    drop = digit_count(coef) - digits
    drop = select(drop.slt(0) | (digits == 0), drop & 0, drop)
    rounded, flags = round_digits(cpu, sign, coef, drop, how)
    one_more = (drop != 0) & (digit_count(rounded) > digits)
    rounded = select(one_more, rounded >> 4, rounded)
    exp = exp + drop + one_more.zext(64)
    if exp > pick(cpu, fmt, TOP):
        return invalid(cpu)
    return pack(cpu, fmt, sign, exp, rounded), flags


@routine(args=(8, 128, 32), returns=(128, 32))
def decimal_round_int(cpu: Any, fmt: Any, b: Any, how: Any) -> Any:
    """``b`` to an integer; flags tell whether that was inexact."""
    if is_nan(b):
        return propagated(cpu, fmt, b, b)
    if is_inf(b):
        return infinity(b.bit(127)), none(cpu)
    exp, _ = unpack(cpu, fmt, b)
    one = pick(cpu, fmt, BIAS)
    return quantized(cpu, fmt, select(exp < one, one, exp), b, how)


# -- between formats -------------------------------------------------------------------------------


@routine(args=(128,), returns=128)
def short_to_long(cpu: Any, b: Any) -> Any:
    """``b`` (a short) as a long; signalling NaNs stay so."""
    exp, coef = unpack(cpu, SHORT, b)
    if is_inf(b):
        return infinity(b.bit(127))
    if is_nan(b):
        return pack_special(cpu, LONG, (b >> 121) << 121, coef)
    return pack(cpu, LONG, b.bit(127), exp + (BIAS[LONG] - BIAS[SHORT]), coef)


@routine(args=(128,), returns=(128, 32))
def long_to_quad(cpu: Any, b: Any) -> Any:
    """``b`` (a long) as a quad; VXSNAN."""
    exp, coef = unpack(cpu, LONG, b)
    if is_inf(b):
        return infinity(b.bit(127)), none(cpu)
    if is_nan(b):
        return pack_special(cpu, QUAD, (b >> 122) << 122, coef), flag(is_snan(b), VXSNAN)
    return pack(cpu, QUAD, b.bit(127), exp + (BIAS[QUAD] - BIAS[LONG]), coef), none(cpu)


@routine(args=(128, 32), returns=(128, 32))
def long_to_short(cpu: Any, b: Any, mode: Any) -> Any:
    """``b`` (a long) rounded to a short, which is a long if an enabled overflow or underflow interrupts."""
    exp, coef = unpack(cpu, LONG, b)
    if is_inf(b):
        return infinity(b.bit(127)), none(cpu)
    if is_nan(b):
        return pack_special(cpu, SHORT, (b >> 121) << 121, coef & ((1 << 24) - 1)), none(cpu)
    return finish_as(cpu, SHORT, LONG, b.bit(127), exp + (BIAS[SHORT] - BIAS[LONG]), coef, mode)


@routine(args=(128, 32), returns=(128, 32))
def quad_to_long(cpu: Any, b: Any, mode: Any) -> Any:
    """``b`` (a quad) rounded to a long, which is a quad if an enabled overflow or underflow interrupts."""
    exp, coef = unpack(cpu, QUAD, b)
    if is_inf(b):
        return infinity(b.bit(127)), none(cpu)
    if is_nan(b):
        digits = coef & ((1 << 60) - 1)
        return pack_special(cpu, LONG, (b >> 122) << 122, digits), flag(is_snan(b), VXSNAN)
    return finish_as(cpu, LONG, QUAD, b.bit(127), exp + (BIAS[LONG] - BIAS[QUAD]), coef, mode)


# -- integers --------------------------------------------------------------------------------------


@routine(args=(128,), returns=256)
def binary_to_bcd(cpu: Any, x: Any) -> Any:
    """The digits of an unsigned number."""
    result = cpu.const(0, W)
    left = (128 - x.clz()).trunc(64)
    x = x << x.clz()
    while left != 0:
        result = bcd_add(result, result, x.bit(127).zext(W))
        x = x << 1
        left = left - 1
    return result


@routine(args=(256,), returns=256)
def bcd_to_binary(cpu: Any, digits: Any) -> Any:
    """The number that digits stand for."""
    result = cpu.const(0, W)
    left = digit_count(digits)
    digits = digits_left(digits, 64 - left)
    while left != 0:
        result = (result << 3) + (result << 1) + (digits >> (W - 4))
        digits = digits << 4
        left = left - 1
    return result


@routine(args=(8, 128, 32), returns=(128, 32))
def from_integer(cpu: Any, fmt: Any, x: Any, mode: Any) -> Any:
    """A signed integer (width 128) as a decimal number; the preferred exponent is 0."""
    negative = x.bit(127)
    digits = binary_to_bcd(cpu, select(negative, -x, x))
    return finish(cpu, fmt, negative, pick(cpu, fmt, BIAS), digits, mode)


@routine(args=(8, 8, 128, 32), returns=(128, 32))
def to_integer(cpu: Any, fmt: Any, size: Any, b: Any, mode: Any) -> Any:
    """``b`` as a signed integer of ``size`` (64 or 128) bits, in 128; VXCVI and the nearest if it is none."""
    sign = b.bit(127)
    limit = select(size == 64, cpu.const(1 << 63, W), cpu.const(1 << 127, W))
    least, most = (-limit).trunc(128), (limit - 1).trunc(128)
    if is_nan(b):
        return least, flag(is_snan(b), VXSNAN) | VXCVI
    exp, coef = unpack(cpu, fmt, b)
    left = exp - pick(cpu, fmt, BIAS)
    right = select(left.slt(0), -left, left & 0)
    rounded, flags = round_digits(cpu, sign, coef, right, mode)
    left = select(left.slt(0), left & 0, left)
    long = (digit_count(rounded) + left > 39) & (rounded != 0)
    value = bcd_to_binary(cpu, digits_left(rounded, select(long | (rounded == 0), left & 0, left)))
    too_large = long | (value > limit - 1 + sign.zext(W)) | is_inf(b)
    if too_large:
        return select(sign, least, most), cpu.const(VXCVI, 32)
    return select(sign, -value, value).trunc(128), flags

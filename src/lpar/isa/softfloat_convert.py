# SPDX-License-Identifier: GPL-2.0-only
"""Soft float: conversions, rounding to integers, comparisons, maximum and minimum (Book I, chapter 4)."""

from __future__ import annotations

from typing import Any

from lpar.isa.routine import routine
from lpar.isa.softfloat_core import (
    AWAY_BIT,
    BINARY64,
    HALF,
    QUIET,
    SIGN,
    SINGLE,
    VXCVI,
    VXSNAN,
    Format,
    exponent,
    flag,
    inexact_flags,
    is_inf,
    is_nan,
    is_snan,
    is_special,
    is_zero,
    narrow,
    normalized,
    round_pack,
    rounding,
    set_sign,
    shift_right_jam,
    widen,
    widen_half,
)
from lpar.isa.values import concat, select

Result = tuple[Any, Any]
ONE = 1023 << 52


def toward_zero(mode: Any) -> Any:
    """``mode`` with rounding toward zero."""
    return (mode & ~3) | 1


# -- between the formats ---------------------------------------------------------------------------


@routine(args=(64, 32), returns=(64, 32))
def f64_round_single(cpu: Any, b: Any, mode: Any) -> Result:
    """``b`` rounded to single, in binary64 format."""
    if is_special(b) | is_zero(b):
        quiet = select(is_nan(b), (b | QUIET) & ~((1 << 29) - 1), b)
        return quiet, flag(is_snan(b), VXSNAN)
    exp, sig = normalized(b)
    return round_pack(cpu, b.bit(63), exp, sig << 11, mode, SINGLE)


def f64_to_f32(cpu: Any, b: Any, mode: Any) -> Result:
    """``b`` rounded to binary32."""
    result, flags = f64_round_single(cpu, b, mode)
    return narrow(result), flags


def f32_to_f64(cpu: Any, b: Any) -> Result:
    """Binary32 ``b`` as binary64: exact, but a signalling NaN is an invalid operation."""
    wide = widen(b)
    return select(is_nan(wide), wide | QUIET, wide), flag(is_snan(wide), VXSNAN)


@routine(args=(64, 32), returns=(64, 32))
def f64_round_half(cpu: Any, b: Any, mode: Any) -> Result:
    """``b`` rounded to half precision, in binary64 format."""
    if is_special(b) | is_zero(b):
        quiet = select(is_nan(b), (b | QUIET) & ~((1 << 42) - 1), b)
        return quiet, flag(is_snan(b), VXSNAN)
    exp, sig = normalized(b)
    return round_pack(cpu, b.bit(63), exp, sig << 11, mode, HALF)


def f16_to_f64(cpu: Any, b: Any) -> Result:
    """Binary16 (width 16) as binary64: exact, but a signalling NaN is an invalid operation."""
    wide = widen_half(b)
    return select(is_nan(wide), wide | QUIET, wide), flag(is_snan(wide), VXSNAN)


# -- to integers -----------------------------------------------------------------------------------


def _bad_integer(cpu: Any, b: Any, width: int, signed: bool) -> Result:
    """What a NaN or a number out of range becomes."""
    low, high = (-1 << (width - 1), (1 << (width - 1)) - 1) if signed else (0, -1)
    saturated = select(b.bit(63) | is_nan(b), cpu.const(low, width), high)
    return saturated, flag(is_snan(b), VXSNAN) | VXCVI


def _to_integer(cpu: Any, b: Any, mode: Any, width: int, signed: bool) -> Result:
    exp, sig = normalized(b)
    if exp.sge(1023 + 64):
        return _bad_integer(cpu, b, width, signed)
    sign = b.bit(63)
    fixed = shift_right_jam((sig << 11).zext(128) << 64, (1023 + 63 - exp).zext(128), 127)
    whole, fraction = (fixed >> 64).trunc(64), fixed.trunc(64)
    jammed = (fraction >> 1) | fraction.bit(0).zext(64)
    increment = (jammed + rounding(sign, jammed, whole.bit(0), 1 << 62, (1 << 63) - 1, mode)) >> 63
    whole = whole + increment
    limit = sign.zext(64) + ((1 << (width - 1)) - 1) if signed else select(sign, whole & 0, (1 << width) - 1)
    if whole > limit:
        return _bad_integer(cpu, b, width, signed)
    return select(sign, -whole, whole).trunc(width), inexact_flags(fraction != 0, increment)


@routine(args=(64, 32), returns=(64, 32))
def f64_to_s64(cpu: Any, b: Any, mode: Any) -> Result:
    """To a signed doubleword; the largest or smallest one where out of range."""
    return _to_integer(cpu, b, mode, 64, True)


@routine(args=(64, 32), returns=(64, 32))
def f64_to_u64(cpu: Any, b: Any, mode: Any) -> Result:
    """To an unsigned doubleword."""
    return _to_integer(cpu, b, mode, 64, False)


@routine(args=(64, 32), returns=(32, 32))
def f64_to_s32(cpu: Any, b: Any, mode: Any) -> Result:
    """To a signed word."""
    return _to_integer(cpu, b, mode, 32, True)


@routine(args=(64, 32), returns=(32, 32))
def f64_to_u32(cpu: Any, b: Any, mode: Any) -> Result:
    """To an unsigned word."""
    return _to_integer(cpu, b, mode, 32, False)


def f32_to_s64(cpu: Any, b: Any, mode: Any) -> Result:
    """Binary32 to a signed doubleword."""
    return f64_to_s64(cpu, widen(b), mode)  # type: ignore[no-any-return]


def f32_to_u64(cpu: Any, b: Any, mode: Any) -> Result:
    """Binary32 to an unsigned doubleword."""
    return f64_to_u64(cpu, widen(b), mode)  # type: ignore[no-any-return]


def f32_to_s32(cpu: Any, b: Any, mode: Any) -> Result:
    """Binary32 to a signed word."""
    return f64_to_s32(cpu, widen(b), mode)  # type: ignore[no-any-return]


def f32_to_u32(cpu: Any, b: Any, mode: Any) -> Result:
    """Binary32 to an unsigned word."""
    return f64_to_u32(cpu, widen(b), mode)  # type: ignore[no-any-return]


# -- from integers ---------------------------------------------------------------------------------


def _from_integer(cpu: Any, sign: Any, magnitude: Any, mode: Any, fmt: Format) -> Result:
    if magnitude == 0:
        return magnitude, cpu.const(0, 32)
    n = magnitude.clz()
    return round_pack(cpu, sign, 1023 + 63 - n, magnitude << n, mode, fmt)


@routine(args=(64, 32), returns=(64, 32))
def s64_to_f64(cpu: Any, x: Any, mode: Any) -> Result:
    """A signed doubleword to binary64."""
    return _from_integer(cpu, x.bit(63), select(x.bit(63), -x, x), mode, BINARY64)


@routine(args=(64, 32), returns=(64, 32))
def u64_to_f64(cpu: Any, x: Any, mode: Any) -> Result:
    """An unsigned doubleword to binary64."""
    return _from_integer(cpu, x.bit(0) & 0, x, mode, BINARY64)


@routine(args=(64, 32), returns=(64, 32))
def s64_to_r32(cpu: Any, x: Any, mode: Any) -> Result:
    """A signed doubleword to single, in binary64 format."""
    return _from_integer(cpu, x.bit(63), select(x.bit(63), -x, x), mode, SINGLE)


@routine(args=(64, 32), returns=(64, 32))
def u64_to_r32(cpu: Any, x: Any, mode: Any) -> Result:
    """An unsigned doubleword to single, in binary64 format."""
    return _from_integer(cpu, x.bit(0) & 0, x, mode, SINGLE)


def s64_to_f32(cpu: Any, x: Any, mode: Any) -> Result:
    """A signed doubleword to binary32."""
    result, flags = s64_to_r32(cpu, x, mode)
    return narrow(result), flags


def u64_to_f32(cpu: Any, x: Any, mode: Any) -> Result:
    """An unsigned doubleword to binary32."""
    result, flags = u64_to_r32(cpu, x, mode)
    return narrow(result), flags


# -- rounding to integers --------------------------------------------------------------------------


@routine(args=(64, 32), returns=(64, 32))
def f64_round_int(cpu: Any, b: Any, mode: Any) -> Result:
    """``b`` rounded to an integral value, in binary64; RN or AWAY of ``mode`` say how."""
    exp = exponent(b)
    if exp >= 1023 + 52:
        return select(is_nan(b), b | QUIET, b), flag(is_snan(b), VXSNAN)
    if exp < 1023:
        return _round_fraction_only(cpu, b, mode)
    unit = cpu.const(1) << (1023 + 52 - exp)
    low = b & (unit - 1)
    half = unit >> 1
    away = low >= half
    nearest = (low > half) | (away & ((b & unit) != 0))
    up = _round_up(b.bit(63), low != 0, nearest, away, mode)
    return (b - low) + select(up, unit, 0), inexact_flags(low != 0, up)


def _round_up(sign: Any, inexact: Any, nearest: Any, away: Any, mode: Any) -> Any:
    """Whether the magnitude grows, given the decisions for the two nearest modes."""
    directed = inexact & (mode.bit(0) == sign)
    other = select(mode.bit(1), directed, nearest & ~mode.bit(0))
    return select(mode.bit(AWAY_BIT), away, other)


def _round_fraction_only(cpu: Any, b: Any, mode: Any) -> Result:
    """:func:`f64_round_int` below 1.0: zero or one."""
    magnitude = b & (SIGN - 1)
    half = 1022 << 52
    up = _round_up(b.bit(63), magnitude != 0, magnitude > half, magnitude >= half, mode)
    return set_sign(b.bit(63), select(up, cpu.const(ONE), 0)), inexact_flags(magnitude != 0, up)


def f32_round_int(cpu: Any, b: Any, mode: Any) -> Result:
    """Binary32 rounded to an integral value."""
    result, flags = f64_round_int(cpu, widen(b), mode)
    return narrow(result), flags


# -- comparisons -----------------------------------------------------------------------------------


def ordered_key(x: Any) -> Any:
    """A number that orders binary64 values (no NaNs) as signed integers; both zeros give 0."""
    magnitude = x & (SIGN - 1)
    return select(x.bit(63), -magnitude, magnitude)


def f64_less(a: Any, b: Any) -> Any:
    """``a < b``; false for NaNs."""
    return ordered_key(a).slt(ordered_key(b)) & ~is_nan(a) & ~is_nan(b)


def f64_equal(a: Any, b: Any) -> Any:
    """``a == b``; false for NaNs."""
    return (ordered_key(a) == ordered_key(b)) & ~is_nan(a) & ~is_nan(b)


def f64_compare(cpu: Any, a: Any, b: Any) -> Result:
    """LT=8 GT=4 EQ=2 UN=1 (width 8), and VXSNAN."""
    unordered = is_nan(a) | is_nan(b)
    left, right = ordered_key(a), ordered_key(b)
    ordered = concat(left.slt(right), left.sgt(right), left == right, unordered & 0)
    cc = select(unordered, cpu.const(1, 4), ordered).zext(8)
    return cc, flag(is_snan(a) | is_snan(b), VXSNAN)


def f32_compare(cpu: Any, a: Any, b: Any) -> Result:
    """:func:`f64_compare` of binary32 values."""
    return f64_compare(cpu, widen(a), widen(b))


def _pick(a: Any, b: Any, take_a: Any) -> Result:
    """The maximum or minimum: a number before a quiet NaN, not before a signalling one (xsmaxdp)."""
    snan_a, snan_b = is_snan(a), is_snan(b)
    take_a = select(is_nan(b), ~snan_b | is_nan(a), select(is_nan(a), snan_a, take_a))
    result = select(take_a, a, b)
    return select(is_nan(result), result | QUIET, result), flag(snan_a | snan_b, VXSNAN)


def f64_max(cpu: Any, a: Any, b: Any) -> Result:
    """The larger as xsmaxdp; +0 is larger than -0."""
    key_a, key_b = ordered_key(a), ordered_key(b)
    return _pick(a, b, key_a.sgt(key_b) | ((key_a == key_b) & ~a.bit(63)))


def f64_min(cpu: Any, a: Any, b: Any) -> Result:
    """The smaller as xsmindp; -0 is smaller than +0."""
    key_a, key_b = ordered_key(a), ordered_key(b)
    return _pick(a, b, key_a.slt(key_b) | ((key_a == key_b) & a.bit(63)))


@routine(args=(32, 32), returns=(32, 32))
def f32_max(cpu: Any, a: Any, b: Any) -> Result:
    """:func:`f64_max` of binary32 values."""
    result, flags = f64_max(cpu, widen(a), widen(b))
    return narrow(result), flags


@routine(args=(32, 32), returns=(32, 32))
def f32_min(cpu: Any, a: Any, b: Any) -> Result:
    """:func:`f64_min` of binary32 values."""
    result, flags = f64_min(cpu, widen(a), widen(b))
    return narrow(result), flags


# -- estimates and tests ---------------------------------------------------------------------------


def divide_test(a: Any, b: Any, precision: int) -> Any:
    """FG and FE of ftdiv (width 8: 0b1 FG FE 0) on binary64 exponents; ``precision`` 53 or 24.

    FE: software cannot divide safely without care; FG: an operand is infinite, zero (b) or denormal (b).
    """
    exp_a, exp_b = unbiased(a), unbiased(b)
    low, high, room = (-1022, 1021, 1023) if precision == 53 else (-126, 125, 127)
    spread = exp_a - exp_b
    near = spread.sge(room) | spread.sle(low + 1) | exp_a.sle(low + precision - 1)
    risky = exp_b.sle(low) | exp_b.sge(high) | (~is_zero(a) & near)
    fe = is_special(a) | is_special(b) | is_zero(b) | risky
    tiny_b = ~is_zero(b) & exp_b.slt(low)
    fg = is_inf(a) | is_inf(b) | is_zero(b) | tiny_b
    return _test_result(fg, fe)


def sqrt_test(b: Any, precision: int) -> Any:
    """FG and FE of ftsqrt (width 8: 0b1 FG FE 0)."""
    low = -1022 if precision == 53 else -126
    exp = unbiased(b)
    tiny = ~is_zero(b) & exp.slt(low)
    fe = is_special(b) | is_zero(b) | b.bit(63) | exp.sle(low + precision - 1)
    return _test_result(is_inf(b) | is_zero(b) | tiny, fe)


def _test_result(fg: Any, fe: Any) -> Any:
    """The CR field 0b1 FG FE 0 (width 8)."""
    return (fg.zext(8) << 2) | (fe.zext(8) << 1) | 8


def unbiased(x: Any) -> Any:
    """The exponent field less the bias (width 64), as the tests for division look at it."""
    return exponent(x) - 1023

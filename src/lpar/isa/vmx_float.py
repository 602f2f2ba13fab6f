# SPDX-License-Identifier: GPL-2.0-only
"""Vector floating point: binary32 elements, nearest, without exceptions (Book I, sections 6.6 and 6.10).

With VSCR[NJ] denormalized operands and results count as zeros of their sign.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.routine import Routine, routine
from lpar.isa.softfloat import (
    f32_add,
    f32_div,
    f32_madd,
    f32_nmsub,
    f32_round_int,
    f32_sqrt,
    f32_sub,
    s64_to_f32,
)
from lpar.isa.softfloat_core import FR
from lpar.isa.values import concat, from_lanes, lanes, map_lanes, select
from lpar.isa.vmx_common import VSCR_NJ, Element, set_cr6, set_sat

SIGN, INFINITY, QUIET, SMALLEST_NORMAL = 1 << 31, 0xFF << 23, 1 << 22, 1 << 23
DEFAULT_NAN = INFINITY | QUIET
ONE = 127 << 23
NEAREST, TOWARD_ZERO, UPWARD, DOWNWARD = range(4)


# -- elements ----------------------------------------------------------------------------------------------


def is_nan(x: Any) -> Any:
    return x & ~SIGN > INFINITY


def without_denormals(x: Any) -> Any:
    """A denormalized number becomes the zero of its sign."""
    return select(x & INFINITY == 0, x & SIGN, x)


def key(x: Any) -> Any:
    """A number whose signed order is that of the floating-point numbers, -0 below +0."""
    return x ^ (x.sar(31) & ~SIGN)


def sort_key(x: Any) -> Any:
    """As :func:`key`, zeros alike."""
    return select(x & ~SIGN == 0, x & 0, key(x))


def operand(cpu: Any, x: Any) -> Any:
    """A register's elements as VSCR[NJ] wants them."""
    return select(cpu.vscr & VSCR_NJ != 0, map_lanes(32, without_denormals, x), x)


def settled(cpu: Any, outcome: Any) -> Any:
    """The result of a soft float call; with VSCR[NJ] zero where it was tiny before rounding."""
    result, flags = outcome
    size = result & ~SIGN
    rounded_up = (size == SMALLEST_NORMAL) & (flags & FR != 0)
    tiny = (size < SMALLEST_NORMAL) | rounded_up
    return select((cpu.vscr & VSCR_NJ != 0) & tiny, result & SIGN, result)


# -- arithmetic --------------------------------------------------------------------------------------------


def each(cpu: Any, fn: Callable[..., Any], *vectors: Any) -> Any:
    """``fn(cpu, elements..., mode)`` on every element, rounding to nearest."""
    mode = cpu.const(NEAREST, 32)
    columns = [lanes(operand(cpu, v), 32) for v in vectors]
    return from_lanes([settled(cpu, fn(cpu, *[c[n] for c in columns], mode)) for n in range(4)])


@instruction("vaddfp", 4, 10, form="VX", needs="VEC")
def vaddfp(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = each(cpu, f32_add, cpu.vr[VRA], cpu.vr[VRB])


@instruction("vsubfp", 4, 74, form="VX", needs="VEC")
def vsubfp(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = each(cpu, f32_sub, cpu.vr[VRA], cpu.vr[VRB])


@instruction("vmaddfp", 4, 46, form="VA", needs="VEC")
def vmaddfp(cpu: Any, VRT: Any, VRA: Any, VRC: Any, VRB: Any) -> None:
    cpu.vr[VRT] = each(cpu, f32_madd, cpu.vr[VRA], cpu.vr[VRC], cpu.vr[VRB])


@instruction("vnmsubfp", 4, 47, form="VA", needs="VEC")
def vnmsubfp(cpu: Any, VRT: Any, VRA: Any, VRC: Any, VRB: Any) -> None:
    cpu.vr[VRT] = each(cpu, f32_nmsub, cpu.vr[VRA], cpu.vr[VRC], cpu.vr[VRB])


def nan_of(a: Any, b: Any, otherwise: Any) -> Any:
    """The first operand that is a NaN, quieted, else ``otherwise``."""
    return select(is_nan(a), a | QUIET, select(is_nan(b), b | QUIET, otherwise))


def maximum(a: Any, b: Any) -> Any:
    return nan_of(a, b, select(key(a).sgt(key(b)), a, b))


def minimum(a: Any, b: Any) -> Any:
    return nan_of(a, b, select(key(a).slt(key(b)), a, b))


@instruction("vmaxfp", 4, 1034, form="VX", needs="VEC")
def vmaxfp(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = map_lanes(32, maximum, operand(cpu, cpu.vr[VRA]), operand(cpu, cpu.vr[VRB]))


@instruction("vminfp", 4, 1098, form="VX", needs="VEC")
def vminfp(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = map_lanes(32, minimum, operand(cpu, cpu.vr[VRA]), operand(cpu, cpu.vr[VRB]))


# -- compare -----------------------------------------------------------------------------------------------


def ordered(a: Any, b: Any) -> Any:
    return ~(is_nan(a) | is_nan(b))


def equal(a: Any, b: Any) -> Any:
    return ordered(a, b) & (sort_key(a) == sort_key(b))


def greater_or_equal(a: Any, b: Any) -> Any:
    return ordered(a, b) & sort_key(a).sge(sort_key(b))


def greater(a: Any, b: Any) -> Any:
    return ordered(a, b) & sort_key(a).sgt(sort_key(b))


def bounds(a: Any, b: Any) -> Any:
    """Bit 0: not a <= b; bit 1: not a >= -b."""
    above, below = ~greater_or_equal(b, a), ~greater_or_equal(a, b ^ SIGN)
    return select(above, (a & 0) | SIGN, a & 0) | select(below, (a & 0) | SIGN >> 1, a & 0)


def _compare(name: str, xo: int, fn: Element) -> None:
    @instruction(name + "{.}", 4, xo, form="VC", needs="VEC")
    def body(cpu: Any, VRT: Any, VRA: Any, VRB: Any, RcV: int) -> None:
        result = map_lanes(32, fn, operand(cpu, cpu.vr[VRA]), operand(cpu, cpu.vr[VRB]))
        if RcV:
            set_cr6(cpu, result)
        cpu.vr[VRT] = result


_compare("vcmpeqfp", 198, equal)
_compare("vcmpgefp", 454, greater_or_equal)
_compare("vcmpgtfp", 710, greater)


@instruction("vcmpbfp{.}", 4, 966, form="VC", needs="VEC")
def vcmpbfp(cpu: Any, VRT: Any, VRA: Any, VRB: Any, RcV: int) -> None:
    result = map_lanes(32, bounds, operand(cpu, cpu.vr[VRA]), operand(cpu, cpu.vr[VRB]))
    if RcV:
        cpu.cr[6] = concat(cpu.const(0, 6), result == 0, cpu.const(0, 1))
    cpu.vr[VRT] = result


# -- round to integral value ---------------------------------------------------------------------------------


def _round(name: str, xo: int, mode: int) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC")
    def body(cpu: Any, VRT: Any, VRB: Any) -> None:
        elements = lanes(operand(cpu, cpu.vr[VRB]), 32)
        rounded = [f32_round_int(cpu, x, cpu.const(mode, 32)) for x in elements]
        cpu.vr[VRT] = from_lanes([result for result, _ in rounded])


_round("vrfin", 522, NEAREST)
_round("vrfiz", 586, TOWARD_ZERO)
_round("vrfip", 650, UPWARD)
_round("vrfim", 714, DOWNWARD)


# -- convert -------------------------------------------------------------------------------------------------


def scaled(result: Any, power: Any) -> Any:
    """``result / 2**power`` of a number far from the ends of the range."""
    return select(result == 0, result, result - (power.trunc(32) << 23))


@instruction("vcfsx", 4, 842, form="VX", needs="VEC")
def vcfsx(cpu: Any, VRT: Any, VRB: Any, UIM5: Any) -> None:
    mode = cpu.const(NEAREST, 32)
    numbers = [s64_to_f32(cpu, x.sext(64), mode)[0] for x in lanes(cpu.vr[VRB], 32)]
    cpu.vr[VRT] = from_lanes([scaled(x, UIM5) for x in numbers])


@instruction("vcfux", 4, 778, form="VX", needs="VEC")
def vcfux(cpu: Any, VRT: Any, VRB: Any, UIM5: Any) -> None:
    mode = cpu.const(NEAREST, 32)
    numbers = [s64_to_f32(cpu, x.zext(64), mode)[0] for x in lanes(cpu.vr[VRB], 32)]
    cpu.vr[VRT] = from_lanes([scaled(x, UIM5) for x in numbers])


def truncated(x: Any, exponent: Any) -> Any:
    """The magnitude of ``x`` truncated to an integer; ``exponent`` (unbiased, scaled) is at most 31."""
    significand = (x & 0x007FFFFF | 0x00800000) << 8
    return select(exponent.slt(0), x & 0, significand >> (31 - exponent))


def scaled_exponent(x: Any, power: Any) -> Any:
    return (x >> 23 & 0xFF) + power - 127


def to_signed(x: Any, power: Any) -> Any:
    """vctsxs of one element."""
    exponent, negative = scaled_exponent(x, power), x.slt(0)
    limit = select(negative, x & 0 | SIGN, x & 0 | ~SIGN)
    size = truncated(x, exponent)
    result = select(exponent.sge(31), limit, select(negative, -size, size))
    return select(is_nan(x), x & 0, result)


def signed_saturates(x: Any, power: Any) -> Any:
    """Whether vctsxs sets VSCR[SAT]; -2**31 itself is in range."""
    exponent = scaled_exponent(x, power)
    lowest = (exponent == 31) & (x & 0x807FFFFF == SIGN)
    return exponent.sge(31) & ~lowest & ~is_nan(x)


def to_unsigned(x: Any, power: Any) -> Any:
    """vctuxs of one element."""
    exponent = scaled_exponent(x, power)
    result = select(exponent.sgt(31), x | -1, truncated(x, exponent))
    return select(x.slt(0) | is_nan(x), x & 0, result)


def unsigned_saturates(x: Any, power: Any) -> Any:
    """Whether vctuxs sets VSCR[SAT]: too large, or -1 and below."""
    exponent = scaled_exponent(x, power)
    return (exponent.sgt(31) | (x.slt(0) & exponent.sge(0))) & ~is_nan(x)


def convert_to_integer(cpu: Any, VRT: Any, x: Any, power: Any, convert: Element, saturates: Element) -> None:
    """VRT = ``convert`` of ``x`` times 2 to the ``power``; VSCR[SAT]."""
    powers = from_lanes([power.trunc(32)] * 4)
    set_sat(cpu, map_lanes(32, saturates, x, powers))
    cpu.vr[VRT] = map_lanes(32, convert, x, powers)


@instruction("vctsxs", 4, 970, form="VX", needs="VEC")
def vctsxs(cpu: Any, VRT: Any, VRB: Any, UIM5: Any) -> None:
    convert_to_integer(cpu, VRT, cpu.vr[VRB], UIM5, to_signed, signed_saturates)


@instruction("vctuxs", 4, 906, form="VX", needs="VEC")
def vctuxs(cpu: Any, VRT: Any, VRB: Any, UIM5: Any) -> None:
    convert_to_integer(cpu, VRT, cpu.vr[VRB], UIM5, to_unsigned, unsigned_saturates)


# -- estimates: the ISA asks for 1/4096 (relative), 1/16 (exponent, relative), 1/32 (logarithm, absolute) ----


@routine(args=(32, 32), returns=(32, 32))
def reciprocal_estimate(cpu: Any, b: Any, mode: Any) -> Any:
    """1 / b, rounded."""
    return f32_div(cpu, cpu.const(ONE, 32), b, mode)


@routine(args=(32, 32), returns=(32, 32))
def root_estimate(cpu: Any, b: Any, mode: Any) -> Any:
    """1 / sqrt(b), rounded twice."""
    root, _ = f32_sqrt(cpu, b, mode)
    return f32_div(cpu, cpu.const(ONE, 32), root, mode)


def curve(f: Any) -> Any:
    """0.3435 f (1 - f) for a fraction of 23 bits: what 1 + f is too large for 2**f."""
    return (f * ((1 << 23) - f) >> 23) * 0x57F >> 12


def power_of_two(n: Any, f: Any) -> Any:
    """About 2**(n + f / 2**23), as binary32; ``n`` from -150 to 127."""
    significand = (1 << 23) + f - curve(f)
    normal = significand + (n + 126 << 23)
    tiny = significand >> (select(n.slt(-126), -126 - n, 0) & 31)
    return select(n.slt(-126), tiny, normal).trunc(32)


@routine(args=(32, 32), returns=(32, 32))
def exponent_estimate(cpu: Any, b: Any, mode: Any) -> Any:
    """2**b; the second value is unused."""
    none = cpu.const(0, 32)
    if is_nan(b):
        return b | QUIET, none
    exponent = (b >> 23 & 0xFF).zext(64)
    if exponent >= 127 + 8:
        return select(b.slt(0), none, cpu.const(INFINITY, 32)), none
    significand = (b & 0x007FFFFF | 0x00800000).zext(64)
    size = (significand << 8) >> select(exponent < 127 - 24, cpu.const(40), 127 + 8 - exponent)
    fixed = select(b.slt(0), -size, size)
    n, f = fixed.sar(23), fixed & 0x7FFFFF
    if n.slt(-150):
        return none, none
    return power_of_two(n, f), none


@routine(args=(32, 32), returns=(32, 32))
def logarithm_estimate(cpu: Any, b: Any, mode: Any) -> Any:
    """The base 2 logarithm of ``b``."""
    none = cpu.const(0, 32)
    size = b & ~SIGN
    if size == 0:
        return cpu.const(SIGN | INFINITY, 32), none
    if size > INFINITY:
        return b | QUIET, none
    if b.slt(0):
        return cpu.const(DEFAULT_NAN, 32), none
    if size == INFINITY:
        return b, none
    up = select(size < SMALLEST_NORMAL, b.clz() - 8, 0)
    exponent = select(up != 0, 1 - up, b >> 23) - 127
    f = (b << up & 0x7FFFFF).zext(64)
    fixed = (exponent.sext(64) << 23) + f + curve(f)
    return scaled(s64_to_f32(cpu, fixed, mode)[0], cpu.const(23)), none


def _estimate(name: str, xo: int, fn: Routine) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC")
    def body(cpu: Any, VRT: Any, VRB: Any) -> None:
        cpu.vr[VRT] = each(cpu, fn, cpu.vr[VRB])


_estimate("vrefp", 266, reciprocal_estimate)
_estimate("vrsqrtefp", 330, root_estimate)
_estimate("vexptefp", 394, exponent_estimate)
_estimate("vlogefp", 458, logarithm_estimate)

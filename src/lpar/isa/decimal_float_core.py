# SPDX-License-Identifier: GPL-2.0-only
"""Decimal floating point, the inside: DPD, unpacking, rounding, packing (Book I, sections 5.3 to 5.5).

Rules of this file:
* A value travels as its register image: 128 bits, left-aligned, whatever its format, so that sign and
  combination field lie in one place.  ``fmt`` (width 8) says which it is: SHORT, LONG or QUAD.
* A finite number on its way is ``sign`` (width 1), ``exp`` (width 64, biased as the format, of the last
  digit, may lie far outside its range) and ``coef`` (width 256: BCD, at most 62 digits).
* ``mode`` (width 32) holds the enables of the FPSCR in their places and the rounding mode in bits 0 to 2,
  numbered as FPSCR[DRN].
* Tininess is detected before rounding.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.routine import routine
from lpar.isa.softfloat_core import FI, FR, OE_BIT, OX, UE_BIT, UX, VXCVI, VXSNAN, XX, flag
from lpar.isa.values import concat, select

SHORT, LONG, QUAD = 0, 1, 2
#: by format: digits, largest biased exponent, bias, width of the exponent continuation and of the trailing
#: significand, what a trapped overflow takes from the exponent
PRECISION = (7, 16, 34)
TOP = (191, 767, 12287)
BIAS = (101, 398, 6176)
CONTINUATION = (6, 8, 12)
TRAILING = (20, 50, 110)
ADJUST = (192, 576, 9216)

W = 256  #: width of coefficients
MOST = 62  #: digits of a coefficient at most
ONES = int("1" * 63, 16)
SIXES = 6 * ONES
INF = 30 << 122
DEFAULT_NAN = 31 << 122
SIGN = 1 << 127
ENABLES = 0xF8
NEAREST, TOWARD_ZERO, UP, DOWN, TIES_AWAY, TIES_TO_ZERO, AWAY, SHORTER = range(8)


def pick(cpu: Any, fmt: Any, values: tuple[int, int, int]) -> Any:
    """The constant (width 64) of a format."""
    later = select(fmt == LONG, cpu.const(values[1]), cpu.const(values[2]))
    return select(fmt == SHORT, cpu.const(values[0]), later)


def mode(cpu: Any) -> Any:
    """The enables and FPSCR[DRN], as the routines take them."""
    fpscr = cpu.fpscr
    return (fpscr.trunc(32) & ENABLES) | ((fpscr >> 32) & 7).trunc(32)


# -- classes: by the combination field of a register image -----------------------------------------


def is_nan(x: Any) -> Any:
    """Whether ``x`` is a NaN."""
    return x.bits(122, 5) == 31


def is_snan(x: Any) -> Any:
    """Whether ``x`` is a signalling NaN."""
    return x.bits(121, 6) == 63


def is_inf(x: Any) -> Any:
    """Whether ``x`` is an infinity."""
    return x.bits(122, 5) == 30


def is_special(x: Any) -> Any:
    """Whether ``x`` is an infinity or a NaN."""
    return x.bits(123, 4) == 15


# -- BCD -------------------------------------------------------------------------------------------


def times6(x: Any) -> Any:
    """``6 * x``."""
    return (x << 2) + (x << 1)


def bcd_add(x: Any, y: Any, carry: Any = 0) -> Any:
    """``x + y + carry``, up to 63 digits."""
    raised = x + SIXES
    total = raised + y + carry
    carried = (total ^ raised ^ y) >> 4
    return total - times6(~carried & ONES)


def bcd_subtract(x: Any, y: Any) -> Any:
    """``x - y``; ``y`` is not larger."""
    total = x - y
    return total - times6(((x ^ y ^ total) >> 4) & ONES)


def digit_count(coef: Any) -> Any:
    """The number of digits (width 64), 0 for zero."""
    return ((W + 3 - coef.clz()) >> 2).trunc(64)


def digits_left(coef: Any, count: Any) -> Any:
    """``coef`` times ten to the ``count`` (width 64, at most 63)."""
    return coef << (count << 2)


def digits_right(coef: Any, count: Any) -> Any:
    """``coef`` without its last ``count`` digits (width 64, at most 63)."""
    return coef >> (count << 2)


def smaller(a: Any, b: Any) -> Any:
    """The lesser of two signed numbers."""
    return select(a.slt(b), a, b)


# -- densely packed decimal: ten bits for three digits ---------------------------------------------

LANES = sum(1 << 12 * n for n in range(12))  #: the lowest bit of each group of three digits


@routine(args=(128,), returns=256)
def dpd_to_bcd(cpu: Any, t: Any) -> Any:
    """33 digits of eleven declets, as Book I, section 5.3.1.1 has them (any of the redundant codes)."""
    x = t.bits(0, 10).zext(192)
    for n in range(1, 11):
        x = x | t.bits(10 * n, 10).zext(192) << 12 * n
    p, q, r, s, t2 = ((x >> n) & LANES for n in (9, 8, 7, 6, 5))
    u, v, w, x1, y = ((x >> n) & LANES for n in (4, 3, 2, 1, 0))
    small_v, small_w, small_x = v ^ LANES, w ^ LANES, x1 ^ LANES
    mixed = s & (t2 ^ LANES) & x1  # the case of two large digits that keeps the first small
    top = small_v | small_w | mixed
    both = v & w & x1
    low = (s | t2) ^ LANES
    a = v & w & ((s ^ LANES) | t2 | small_x)
    e = v & ((small_w & x1) | (w & ((t2 ^ LANES) | s) & x1))
    i = v & ((small_w & small_x) | (w & x1 & (s | t2)))
    b, c = p & top, q & top
    keep = small_v | small_x
    swapped = both & (s ^ LANES) & t2
    f, g = (s & keep) | (p & swapped), (t2 & keep) | (q & swapped)
    third = v & w & (small_x | (x1 & low))
    j = (small_v & w) | (s & v & small_w & x1) | (p & third)
    k = (small_v & x1) | (t2 & v & small_w & x1) | (q & third)
    first = a << 11 | b << 10 | c << 9 | r << 8
    second = e << 7 | f << 6 | g << 5 | u << 4
    return (first | second | i << 3 | j << 2 | k << 1 | y).zext(W)


@routine(args=(256,), returns=128)
def bcd_to_dpd(cpu: Any, digits: Any) -> Any:
    """Eleven declets (the canonical ones) of the last 33 digits."""
    x = digits.trunc(192)
    a, b, c, d, e, f = ((x >> n) & LANES for n in (11, 10, 9, 8, 7, 6))
    g, h, i, j, k, m = ((x >> n) & LANES for n in (5, 4, 3, 2, 1, 0))
    no_a, no_e = a ^ LANES, e ^ LANES
    p = b | (a & j) | (a & f & i)
    q = c | (a & k) | (a & g & i)
    s = (f & ((a & i) ^ LANES)) | (no_a & e & j) | (e & i)
    t = (g & ((a & i) ^ LANES)) | (no_a & e & k) | (a & i)
    v = a | e | i
    w = a | (e & i) | (no_e & j)
    x1 = e | (a & i) | (no_a & k)
    high = p << 9 | q << 8 | d << 7 | s << 6 | t << 5
    lanes = high | h << 4 | v << 3 | w << 2 | x1 << 1 | m
    result = lanes.bits(0, 10).zext(128)
    for n in range(1, 11):
        result = result | lanes.bits(12 * n, 10).zext(128) << 10 * n
    return result


# -- taking apart and putting together -------------------------------------------------------------


@routine(args=(8, 128), returns=(64, 256))
def unpack(cpu: Any, fmt: Any, x: Any) -> Any:
    """Biased exponent and coefficient of a finite number; of a special one 0 and the trailing digits."""
    special = is_special(x)
    large = x.bits(125, 2) == 3
    high = select(large, x.bits(123, 2), x.bits(125, 2)).zext(64)
    first = select(large, x.bits(122, 1).zext(4) | 8, x.bits(122, 3).zext(4))
    first = select(special, first & 0, first)
    below, width = pick(cpu, fmt, CONTINUATION), pick(cpu, fmt, TRAILING)
    exp = high << below | ((x << 6) >> (128 - below)).trunc(64)
    rest = dpd_to_bcd(cpu, (x << (below + 6)) >> (128 - width))
    coef = rest | digits_left(first.zext(W), pick(cpu, fmt, PRECISION) - 1)
    return select(special, exp & 0, exp), coef


@routine(args=(8, 1, 64, 256), returns=128)
def pack(cpu: Any, fmt: Any, sign: Any, exp: Any, coef: Any) -> Any:
    """The number with an exponent and a coefficient in range."""
    below, width = pick(cpu, fmt, CONTINUATION), pick(cpu, fmt, TRAILING)
    first = digits_right(coef, pick(cpu, fmt, PRECISION) - 1).trunc(4)
    high = (exp >> below).trunc(2)
    small = concat(high, first.bits(0, 3))
    large = concat(cpu.const(3, 2), high, first.bits(0, 1))
    head = concat(sign, select(first.bit(3), large, small)).zext(128) << 122
    low = (exp.zext(128) << (128 - below)) >> 6
    rest = bcd_to_dpd(cpu, coef)
    return head | low | (rest << (128 - width)) >> (below + 6)


def pack_special(cpu: Any, fmt: Any, head: Any, digits: Any) -> Any:
    """A NaN or infinity whose first bits are ``head`` (width 128) with trailing digits."""
    below, width = pick(cpu, fmt, CONTINUATION), pick(cpu, fmt, TRAILING)
    return head | (bcd_to_dpd(cpu, digits) << (128 - width)) >> (below + 6)


@routine(args=(8, 128), returns=128)
def quieted(cpu: Any, fmt: Any, x: Any) -> Any:
    """The NaN ``x``, quiet and canonical."""
    _, digits = unpack(cpu, fmt, x)
    return pack_special(cpu, fmt, (x >> 122) << 122, digits)


@routine(args=(8, 128), returns=32)
def decimal_class(cpu: Any, fmt: Any, x: Any) -> Any:
    """FPRF (in its place) of a value."""
    sign = x.bit(127)
    exp, coef = unpack(cpu, fmt, x)
    if is_nan(x):
        return select(is_snan(x), cpu.const(1 << 12, 32), cpu.const(17 << 12, 32))
    if is_inf(x):
        return select(sign, cpu.const(9 << 12, 32), cpu.const(5 << 12, 32))
    if coef == 0:
        return select(sign, cpu.const(18 << 12, 32), cpu.const(2 << 12, 32))
    tiny = flag(is_tiny(cpu, fmt, exp, coef), 16 << 12)
    return select(sign, cpu.const(8 << 12, 32), cpu.const(4 << 12, 32)) | tiny


def is_tiny(cpu: Any, fmt: Any, exp: Any, coef: Any) -> Any:
    """Whether a number that is not zero is subnormal."""
    return (exp + digit_count(coef)).slt(pick(cpu, fmt, PRECISION)) & (coef != 0)


# -- rounding --------------------------------------------------------------------------------------


def rounds_up(sign: Any, last: Any, above: Any, tie: Any, inexact: Any, mode: Any) -> Any:
    """Whether the magnitude grows: ``last`` is the last digit kept, ``above`` and ``tie`` what half says."""
    how = mode & 7
    nearest = above | (tie & (last.bit(0) | (how == TIES_AWAY)) & (how != TIES_TO_ZERO))
    directed = ((how == UP) & ~sign) | ((how == DOWN) & sign) | (how == AWAY)
    shorter = (how == SHORTER) & ((last == 0) | (last == 5))
    to_nearest = (how == NEAREST) | (how == TIES_AWAY) | (how == TIES_TO_ZERO)
    return inexact & select(to_nearest, nearest, directed | shorter)


@routine(args=(1, 256, 64, 32), returns=(256, 32))
def round_digits(cpu: Any, sign: Any, coef: Any, drop: Any, mode: Any) -> Any:
    """``coef`` without its last ``drop`` digits (0 or more), rounded; flags XX FI FR."""
    few = smaller(drop, cpu.const(MOST + 1))
    kept = digits_right(coef, few)
    rest = coef ^ digits_left(kept, few)
    half = digits_left(cpu.const(5, W), few) >> 4
    inexact = rest != 0
    up = rounds_up(sign, kept.trunc(4), rest > half, rest == half, inexact, mode)
    return bcd_add(kept, up.zext(W)), flag(inexact, XX | FI) | flag(up, FR)


def overflowed(cpu: Any, fmt: Any, sign: Any, mode: Any) -> Any:
    """What an overflow gives that does not interrupt: an infinity or the largest number."""
    how = mode & 7
    largest = (how == TOWARD_ZERO) | (how == SHORTER) | ((how == UP) & sign) | ((how == DOWN) & ~sign)
    nines = (digits_left(cpu.const(1, W), pick(cpu, fmt, PRECISION)) - 1) & (9 * ONES)
    finite = pack(cpu, fmt, sign, pick(cpu, fmt, TOP), nines)
    return select(largest, finite, sign.zext(128) << 127 | INF)


@routine(args=(8, 8, 1, 64, 256, 32), returns=(128, 32))
def finish_as(cpu: Any, fmt: Any, carrier: Any, sign: Any, exp: Any, coef: Any, mode: Any) -> Any:
    """Round to ``fmt`` and pack; a result adjusted for an interrupt goes into ``carrier``.

    ``exp`` is biased as ``fmt``.  The exponent comes out as near to the one given as the value allows.
    """
    precision, top = pick(cpu, fmt, PRECISION), pick(cpu, fmt, TOP)
    tiny = is_tiny(cpu, fmt, exp, coef)
    trapped = tiny & mode.bit(UE_BIT)
    many = digit_count(coef) - precision
    below = select(trapped, exp & 0, -exp)
    drop = select(many.slt(below), below, many)
    drop = select(drop.slt(0), drop & 0, drop)
    rounded, flags = round_digits(cpu, sign, coef, drop, mode)
    one_more = precision.slt(digit_count(rounded))
    rounded = select(one_more, rounded >> 4, rounded)
    exp = exp + drop + one_more.zext(64)
    inexact = (flags & XX) != 0
    flags = flags | flag(tiny & (inexact | trapped), UX)
    if trapped:
        return wrapped(cpu, fmt, carrier, sign, exp, pick(cpu, fmt, ADJUST), rounded), flags
    excess = select(top.slt(exp), exp - top, exp & 0)
    if rounded == 0:
        return pack(cpu, fmt, sign, exp - excess, rounded), flags
    if (precision - digit_count(rounded)).slt(excess):
        if mode.bit(OE_BIT):
            return wrapped(cpu, fmt, carrier, sign, exp, -pick(cpu, fmt, ADJUST), rounded), flags | OX
        return overflowed(cpu, fmt, sign, mode), flags | (OX | XX | FI)
    return pack(cpu, fmt, sign, exp - excess, digits_left(rounded, excess)), flags


def wrapped(cpu: Any, fmt: Any, carrier: Any, sign: Any, exp: Any, adjust: Any, coef: Any) -> Any:
    """The result of an overflow or underflow that interrupts."""
    moved = exp + adjust + pick(cpu, carrier, BIAS) - pick(cpu, fmt, BIAS)
    excess = moved - pick(cpu, carrier, TOP)
    room = pick(cpu, carrier, PRECISION) - digit_count(coef)
    left = select(excess.slt(0), excess & 0, smaller(excess, room))
    return pack(cpu, carrier, sign, moved - left, digits_left(coef, left))


def finish(cpu: Any, fmt: Any, sign: Any, exp: Any, coef: Any, mode: Any) -> Any:
    """:func:`finish_as` within one format."""
    return finish_as(cpu, fmt, fmt, sign, exp, coef, mode)


# -- NaNs ------------------------------------------------------------------------------------------


@routine(args=(8, 128, 128), returns=(128, 32))
def propagated(cpu: Any, fmt: Any, a: Any, b: Any) -> Any:
    """The NaN among two operands that the result is made of, and VXSNAN (section 5.5.7)."""
    signalling = is_snan(a) | is_snan(b)
    first = is_snan(a) | (is_nan(a) & ~is_snan(b))
    return quieted(cpu, fmt, select(first, a, b)), flag(signalling, VXSNAN)


def invalid(cpu: Any, cause: int = VXCVI) -> tuple[Any, Any]:
    """The default NaN and why."""
    return cpu.const(DEFAULT_NAN, 128), cpu.const(cause, 32)

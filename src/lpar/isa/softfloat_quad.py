# SPDX-License-Identifier: GPL-2.0-only
"""Soft float in binary128 (Book I, section 7.6.1, names that end in qp).

As ``lpar.isa.softfloat`` with values of width 128 and names beginning with ``f128_``.  A finite non-zero
number on its way to rounding is ``sign``, ``exp`` (width 64, biased as binary128) and ``sig`` (width 128,
leading one in bit 127, lost bits ORed into bit 0).  ``mode`` may hold ``ODD``: round to odd.
"""

from __future__ import annotations

from typing import Any

from lpar.isa import softfloat_core as core
from lpar.isa.routine import routine
from lpar.isa.softfloat_core import (
    AWAY_BIT,
    BINARY64,
    FI,
    OE_BIT,
    OX,
    UE_BIT,
    UX,
    VXCVI,
    VXIDI,
    VXIMZ,
    VXISI,
    VXSNAN,
    VXSQRT,
    VXZDZ,
    XX,
    ZX,
    flag,
    inexact_flags,
    rounding,
    shift_right_jam,
)
from lpar.isa.values import concat, select

Result = tuple[Any, Any]
ODD_BIT = 9  # of mode, where the FPSCR has VXSQRT
ODD = 1 << ODD_BIT
SIGN = 1 << 127
MAGNITUDE = SIGN - 1
INF = 0x7FFF << 112
QUIET = 1 << 111
FRACTION = (1 << 112) - 1
DEFAULT_NAN = INF | QUIET
BIAS, EMAX, ADJUST = 16383, 32766, 24576
DROP = 15  #: bits of ``sig`` below the last place
LOW = (1 << DROP) - 1
NOWHERE = -100_000  #: exponent of a zero


def is_nan(x: Any) -> Any:
    """Whether ``x`` is a NaN."""
    return (x & MAGNITUDE) > INF


def is_snan(x: Any) -> Any:
    """Whether ``x`` is a signalling NaN."""
    return is_nan(x) & ((x & QUIET) == 0)


def is_inf(x: Any) -> Any:
    """Whether ``x`` is an infinity."""
    return (x & MAGNITUDE) == INF


def is_zero(x: Any) -> Any:
    """Whether ``x`` is a zero."""
    return (x & MAGNITUDE) == 0


def is_special(x: Any) -> Any:
    """Whether ``x`` is an infinity or a NaN."""
    return (x & INF) == INF


def set_sign(sign: Any, x: Any) -> Any:
    """The magnitude ``x`` with ``sign`` (width 1)."""
    return (sign.zext(128) << 127) | x


def flip_unless_nan(x: Any) -> Any:
    """``-x``, but NaNs as they are."""
    return select(is_nan(x), x, x ^ SIGN)


def exponent(x: Any) -> Any:
    """The exponent field, width 64."""
    return x.bits(112, 15).zext(64)


def normalized(x: Any) -> Result:
    """Exponent and significand (leading one in bit 112) of a finite number; a zero has significand 0."""
    fraction = x & FRACTION
    shift = fraction.clz() - 15
    exp = exponent(x)
    tiny = exp == 0
    return select(tiny, 1 - shift.trunc(64), exp), select(tiny, fraction << shift, fraction | (1 << 112))


def f128_class(x: Any) -> Any:
    """FPRF (width 32, in place)."""
    magnitude = x & MAGNITUDE
    denormal = (magnitude < (1 << 112)) & (magnitude != 0)
    return core.class_flags(x.bit(127), magnitude == 0, denormal, magnitude == INF, magnitude > INF)


# -- rounding --------------------------------------------------------------------------------------


def _round_fraction(sign: Any, sig: Any, mode: Any) -> Result:
    low = sig & LOW
    up = (low + rounding(sign, low, sig.bit(DROP), 1 << (DROP - 1), LOW, mode)) >> DROP
    odd = ((low != 0) & ~sig.bit(DROP)).zext(128)
    increment = select(mode.bit(ODD_BIT), odd, up)
    return (sig >> DROP) + increment, inexact_flags(low != 0, increment)


def _pack(sign: Any, exp: Any, kept: Any) -> Any:
    return set_sign(sign, (((exp - 1).zext(128) << 112) + kept) & MAGNITUDE)


@routine(args=(1, 64, 128, 32), returns=(128, 32))
def round_pack_f128(cpu: Any, sign: Any, exp: Any, sig: Any, mode: Any) -> Result:
    """Round a finite non-zero number to binary128."""
    if exp.slt(1):
        if mode.bit(UE_BIT):
            kept, flags = _round_fraction(sign, sig, mode)
            return _pack(sign, exp + ADJUST, kept), flags | UX
        kept, flags = _round_fraction(sign, shift_right_jam(sig, (1 - exp).zext(128), 127), mode)
        return set_sign(sign, kept), flags | flag((flags & XX) != 0, UX)
    kept, flags = _round_fraction(sign, sig, mode)
    after = exp + (kept >> 113).trunc(64)
    if after.sle(EMAX):
        return _pack(sign, exp, kept), flags
    if mode.bit(OE_BIT):
        return _pack(sign, exp - ADJUST, kept), flags | OX
    directed = select(mode.bit(1), mode.bit(0) == sign, ~mode.bit(0))
    infinite = directed & ~mode.bit(ODD_BIT)
    return set_sign(sign, select(infinite, cpu.const(INF, 128), INF - 1)), cpu.const(OX | XX | FI, 32)


# -- arithmetic ------------------------------------------------------------------------------------


@routine(args=(128, 128, 32), returns=(128, 32))
def f128_add(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a + b``."""
    if is_special(a) | is_special(b):
        return _add_special(cpu, a, b)
    swap = (a << 1) < (b << 1)
    big, small = select(swap, b, a), select(swap, a, b)
    exp_big, exp_small = exponent(big), exponent(small)
    one_big, one_small = (exp_big != 0).zext(64), (exp_small != 0).zext(64)
    exp = exp_big + 1 - one_big
    distance = exp - (exp_small + 1 - one_small)
    x = ((big & FRACTION) << 14) | (one_big.zext(128) << 126)
    y = shift_right_jam(((small & FRACTION) << 14) | (one_small.zext(128) << 126), distance.zext(128), 127)
    sign = big.bit(127)
    total = x + select(sign ^ small.bit(127), -y, y)
    if total == 0:
        return _exact_zero(sign, small.bit(127), mode), cpu.const(0, 32)
    n = total.clz()
    return round_pack_f128(cpu, sign, exp + 1 - n.trunc(64), total << n, mode)  # type: ignore[no-any-return]


def _add_special(cpu: Any, a: Any, b: Any) -> Result:
    flags = flag(is_snan(a) | is_snan(b), VXSNAN)
    if is_nan(a) | is_nan(b):
        return select(is_nan(a), a, b) | QUIET, flags
    if is_inf(a) & is_inf(b) & (a != b):
        return cpu.const(DEFAULT_NAN, 128), cpu.const(VXISI, 32)
    return select(is_inf(a), a, b), flags


def _exact_zero(sign: Any, other: Any, mode: Any) -> Any:
    toward_minus = mode.bit(1) & mode.bit(0) & ~mode.bit(ODD_BIT)
    return set_sign(select(sign ^ other, toward_minus, sign), sign.zext(128) & 0)


def f128_sub(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a - b``."""
    return f128_add(cpu, a, flip_unless_nan(b), mode)  # type: ignore[no-any-return]


@routine(args=(128, 128, 32), returns=(128, 32))
def f128_mul(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a * b``."""
    sign = a.bit(127) ^ b.bit(127)
    if is_special(a) | is_special(b):
        if is_nan(a) | is_nan(b):
            return select(is_nan(a), a, b) | QUIET, flag(is_snan(a) | is_snan(b), VXSNAN)
        if is_zero(a) | is_zero(b):
            return cpu.const(DEFAULT_NAN, 128), cpu.const(VXIMZ, 32)
        return set_sign(sign, cpu.const(INF, 128)), cpu.const(0, 32)
    if is_zero(a) | is_zero(b):
        return set_sign(sign, cpu.const(0, 128)), cpu.const(0, 32)
    exp_a, sig_a = normalized(a)
    exp_b, sig_b = normalized(b)
    product = (sig_a << 15).zext(256) * (sig_b << 15).zext(256)
    high = (product >> 128).trunc(128) | (product.trunc(128) != 0).zext(128)
    low = ~high.bit(127)
    exp = exp_a + exp_b - (BIAS - 1) - low.zext(64)
    return round_pack_f128(cpu, sign, exp, select(low, high << 1, high), mode)  # type: ignore[no-any-return]


@routine(args=(128, 128, 32), returns=(128, 32))
def f128_div(cpu: Any, a: Any, b: Any, mode: Any) -> Result:
    """``a / b``, one bit a step."""
    sign = a.bit(127) ^ b.bit(127)
    if is_special(a) | is_special(b) | is_zero(a) | is_zero(b):
        return _div_special(cpu, a, b, sign)
    exp_a, sig_a = normalized(a)
    exp_b, sig_b = normalized(b)
    less = sig_a < sig_b
    rest = select(less, sig_a << 1, sig_a)
    quotient = cpu.const(0, 128)
    while quotient < (1 << 115):
        fits = rest >= sig_b
        rest = select(fits, rest - sig_b, rest) << 1
        quotient = (quotient << 1) | fits.zext(128)
    sig = (quotient << 12) | (rest != 0).zext(128)
    return round_pack_f128(cpu, sign, exp_a - exp_b + BIAS - less.zext(64), sig, mode)  # type: ignore[no-any-return]


def _div_special(cpu: Any, a: Any, b: Any, sign: Any) -> Result:
    if is_nan(a) | is_nan(b):
        return select(is_nan(a), a, b) | QUIET, flag(is_snan(a) | is_snan(b), VXSNAN)
    if (is_inf(a) & is_inf(b)) | (is_zero(a) & is_zero(b)):
        return cpu.const(DEFAULT_NAN, 128), select(is_inf(a), cpu.const(VXIDI, 32), VXZDZ)
    infinite = is_inf(a) | is_zero(b)
    return set_sign(sign, select(infinite, cpu.const(INF, 128), 0)), flag(is_zero(b) & ~is_inf(a), ZX)


@routine(args=(128, 32), returns=(128, 32))
def f128_sqrt(cpu: Any, b: Any, mode: Any) -> Result:
    """The square root of ``b``, one bit a step."""
    if is_nan(b):
        return b | QUIET, flag(is_snan(b), VXSNAN)
    if is_zero(b) | (b == INF):
        return b, cpu.const(0, 32)
    if b.bit(127):
        return cpu.const(DEFAULT_NAN, 128), cpu.const(VXSQRT, 32)
    exp, sig = normalized(b)
    rest = sig << select(exp.bit(0), cpu.const(1, 128), 2)  # the bias is odd
    root, twice, bit = cpu.const(0, 128), cpu.const(0, 128), cpu.const(1 << 113, 128)
    while bit != 0:
        candidate = twice + bit
        fits = candidate <= rest
        rest = select(fits, rest - candidate, rest) << 1
        twice = select(fits, candidate + bit, twice)
        root = select(fits, root | bit, root)
        bit = bit >> 1
    sig = (root << 14) | (rest != 0).zext(128)
    return round_pack_f128(cpu, b.bit(127), (exp + BIAS) >> 1, sig, mode)  # type: ignore[no-any-return]


@routine(args=(128, 128, 128, 32), returns=(128, 32))
def f128_madd(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``a * c + b``, rounded once."""
    if is_special(a) | is_special(b) | is_special(c):
        return _madd_special(cpu, a, c, b)
    exp_a, sig_a = normalized(a)
    exp_c, sig_c = normalized(c)
    exp_b, sig_b = normalized(b)
    exp = select(is_zero(a) | is_zero(c), NOWHERE, exp_a + exp_c - BIAS)
    exp_b = select(is_zero(b), NOWHERE, exp_b)
    product = (sig_a << 15).zext(256) * (sig_c << 13).zext(256)  # 1.0 is in bit 252, as the addend's
    addend = sig_b.zext(256) << 140
    if exp.slt(exp_b):
        product = shift_right_jam(product, (exp_b - exp).zext(256), 255)
        exp = exp_b
    else:
        addend = shift_right_jam(addend, (exp - exp_b).zext(256), 255)
    sign = a.bit(127) ^ c.bit(127)
    total = product + select(sign ^ b.bit(127), -addend, addend)
    if total == 0:
        return _exact_zero(sign, b.bit(127), mode), cpu.const(0, 32)
    negative = total.bit(255)
    total = select(negative, -total, total)
    n = total.clz()
    total = total << n
    sig = (total >> 128).trunc(128) | (total.trunc(128) != 0).zext(128)
    exp = exp + 3 - n.trunc(64)
    return round_pack_f128(cpu, sign ^ negative, exp, sig, mode)  # type: ignore[no-any-return]


def _madd_special(cpu: Any, a: Any, c: Any, b: Any) -> Result:
    imz = (is_inf(a) & is_zero(c)) | (is_zero(a) & is_inf(c))
    flags = flag(is_snan(a) | is_snan(b) | is_snan(c), VXSNAN) | flag(imz, VXIMZ)
    if is_nan(a) | is_nan(b) | is_nan(c):
        return select(is_nan(a), a, select(is_nan(b), b, c)) | QUIET, flags
    if imz:
        return cpu.const(DEFAULT_NAN, 128), flags
    product = set_sign(a.bit(127) ^ c.bit(127), cpu.const(INF, 128))
    infinite = is_inf(a) | is_inf(c)
    if infinite & is_inf(b) & (product != b):
        return cpu.const(DEFAULT_NAN, 128), cpu.const(VXISI, 32)
    return select(infinite, product, b), flags


def f128_msub(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``a * c - b``."""
    return f128_madd(cpu, a, c, flip_unless_nan(b), mode)  # type: ignore[no-any-return]


def f128_nmadd(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``-(a * c + b)``."""
    result, flags = f128_madd(cpu, a, c, b, mode)
    return flip_unless_nan(result), flags


def f128_nmsub(cpu: Any, a: Any, c: Any, b: Any, mode: Any) -> Result:
    """``-(a * c - b)``."""
    result, flags = f128_msub(cpu, a, c, b, mode)
    return flip_unless_nan(result), flags


# -- conversions -----------------------------------------------------------------------------------


@routine(args=(64,), returns=(128, 32))
def f64_to_f128(cpu: Any, b: Any) -> Result:
    """Binary64 as binary128: exact, but a signalling NaN is an invalid operation."""
    sign = b.bit(63)
    fraction = (b & core.FRACTION).zext(128) << 60
    if core.is_special(b):
        quiet = fraction | select(core.is_nan(b), cpu.const(QUIET, 128), 0)
        return set_sign(sign, quiet | INF), flag(core.is_snan(b), VXSNAN)
    if core.is_zero(b):
        return set_sign(sign, fraction), cpu.const(0, 32)
    exp, sig = core.normalized(b)
    wide = ((exp + (BIAS - 1023)).zext(128) << 112) | ((sig & core.FRACTION).zext(128) << 60)
    return set_sign(sign, wide), cpu.const(0, 32)


@routine(args=(128, 32), returns=(64, 32))
def f128_to_f64(cpu: Any, b: Any, mode: Any) -> Result:
    """Binary128 rounded to binary64."""
    sign = b.bit(127)
    if is_special(b) | is_zero(b):
        upper = (b >> 60).trunc(64) & core.FRACTION
        quiet = select(is_nan(b), upper | core.QUIET, upper)
        infinite = select(is_zero(b), cpu.const(0), core.INF)
        return core.set_sign(sign, quiet | infinite), flag(is_snan(b), VXSNAN)
    exp, sig = normalized(b)
    sig64 = (sig >> 49).trunc(64) | ((sig << 79) != 0).zext(64)
    odd = mode.bit(ODD_BIT)
    toward_zero = (mode & ~(3 | ODD)) | 1
    rounded = select(odd, toward_zero, mode)
    result, flags = core.round_pack(cpu, sign, exp - (BIAS - 1023), sig64, rounded, BINARY64)
    up = odd & ((flags & XX) != 0) & ~result.bit(0)
    return result | up.zext(64), flags | flag(up, core.FR)


@routine(args=(128,), returns=128)
def integer_to_f128_magnitude(cpu: Any, x: Any) -> Any:
    """An unsigned integer below 2**113 as binary128."""
    n = x.clz()
    exp = (BIAS + 127 - n.trunc(64)).zext(128)
    return select(x == 0, x, (exp << 112) | ((x << n << 1) >> 16))


def s64_to_f128(cpu: Any, x: Any) -> Any:
    """A signed doubleword as binary128."""
    sign = x.bit(63)
    return set_sign(sign, integer_to_f128_magnitude(cpu, select(sign, -x, x).zext(128)))


def u64_to_f128(cpu: Any, x: Any) -> Any:
    """An unsigned doubleword as binary128."""
    return integer_to_f128_magnitude(cpu, x.zext(128))


@routine(args=(1, 128, 32), returns=(128, 32))
def magnitude_to_f128(cpu: Any, sign: Any, magnitude: Any, mode: Any) -> Result:
    """An integer of 128 bits and its sign, rounded to binary128."""
    if magnitude == 0:
        return magnitude, cpu.const(0, 32)
    n = magnitude.clz()
    return round_pack_f128(cpu, sign, BIAS + 127 - n.trunc(64), magnitude << n, mode)  # type: ignore[no-any-return]


def s128_to_f128(cpu: Any, x: Any, mode: Any) -> Result:
    """A signed quadword to binary128."""
    return magnitude_to_f128(cpu, x.bit(127), select(x.bit(127), -x, x), mode)  # type: ignore[no-any-return]


def u128_to_f128(cpu: Any, x: Any, mode: Any) -> Result:
    """An unsigned quadword to binary128."""
    return magnitude_to_f128(cpu, x.bit(0) & 0, x, mode)  # type: ignore[no-any-return]


def _to_integer(cpu: Any, b: Any, width: int, signed: bool) -> Result:
    """Toward zero, to ``width`` bits, extended to 128."""
    exp, sig = normalized(b)
    sign = b.bit(127)
    whole = (sig << 15) >> select(exp.sgt(BIAS), BIAS + 127 - exp, 127).zext(128)
    whole = select(exp.slt(BIAS), whole & 0, whole)
    inexact = select(exp.slt(BIAS), ~is_zero(b), ((sig << 15) << (exp - (BIAS - 1)).zext(128)) != 0)
    inexact = inexact & exp.slt(BIAS + 127)
    limit = sign.zext(128) + ((1 << (width - 1)) - 1) if signed else select(sign, whole & 0, (1 << width) - 1)
    if is_special(b) | exp.sge(BIAS + 128) | (whole > limit):
        low, high = (-1 << (width - 1), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
        saturated = select(sign | is_nan(b), cpu.const(low, 128), high)
        return saturated, flag(is_snan(b), VXSNAN) | VXCVI
    return select(sign, -whole, whole), flag(inexact, XX | FI)


@routine(args=(128,), returns=(128, 32))
def f128_to_s32(cpu: Any, b: Any) -> Result:
    """To a signed word, sign-extended."""
    return _to_integer(cpu, b, 32, True)


@routine(args=(128,), returns=(128, 32))
def f128_to_u32(cpu: Any, b: Any) -> Result:
    """To an unsigned word."""
    return _to_integer(cpu, b, 32, False)


@routine(args=(128,), returns=(128, 32))
def f128_to_s64(cpu: Any, b: Any) -> Result:
    """To a signed doubleword, sign-extended."""
    return _to_integer(cpu, b, 64, True)


@routine(args=(128,), returns=(128, 32))
def f128_to_u64(cpu: Any, b: Any) -> Result:
    """To an unsigned doubleword."""
    return _to_integer(cpu, b, 64, False)


@routine(args=(128,), returns=(128, 32))
def f128_to_s128(cpu: Any, b: Any) -> Result:
    """To a signed quadword."""
    return _to_integer(cpu, b, 128, True)


@routine(args=(128,), returns=(128, 32))
def f128_to_u128(cpu: Any, b: Any) -> Result:
    """To an unsigned quadword."""
    return _to_integer(cpu, b, 128, False)


# -- rounding within the format --------------------------------------------------------------------


def _round_at(cpu: Any, b: Any, unit: Any, mode: Any) -> Result:
    """``b`` rounded to a multiple of ``unit``, a power of two: a bit of its fraction or its leading one."""
    low = b & (unit - 1)
    half = unit >> 1
    away = low >= half
    nearest = (low > half) | (away & ((b & unit) != 0))
    directed = (low != 0) & (mode.bit(0) == b.bit(127))
    plain = select(mode.bit(1), directed, nearest & ~mode.bit(0))
    up = select(mode.bit(AWAY_BIT), away, plain)
    return (b - low) + select(up, unit, 0), inexact_flags(low != 0, up)


@routine(args=(128, 32), returns=(128, 32))
def f128_round_int(cpu: Any, b: Any, mode: Any) -> Result:
    """``b`` rounded to an integral value."""
    exp = exponent(b)
    if exp >= BIAS + 112:
        return select(is_nan(b), b | QUIET, b), flag(is_snan(b), VXSNAN)
    if exp < BIAS:
        return _round_below_one(cpu, b, mode)
    unit = cpu.const(1, 128) << (BIAS + 112 - exp).zext(128)
    return _round_at(cpu, b, unit, mode)


def _round_below_one(cpu: Any, b: Any, mode: Any) -> Result:
    magnitude = b & MAGNITUDE
    half = (BIAS - 1) << 112
    directed = (magnitude != 0) & (mode.bit(0) == b.bit(127))
    plain = select(mode.bit(1), directed, (magnitude > half) & ~mode.bit(0))
    up = select(mode.bit(AWAY_BIT), magnitude >= half, plain)
    return set_sign(b.bit(127), select(up, cpu.const(BIAS << 112, 128), 0)), inexact_flags(magnitude != 0, up)


@routine(args=(128, 32), returns=(128, 32))
def f128_round_extended(cpu: Any, b: Any, mode: Any) -> Result:
    """``b`` rounded to a significand of 64 bits (double-extended precision)."""
    if is_special(b):
        return select(is_nan(b), b | QUIET, b), flag(is_snan(b), VXSNAN)
    result, flags = _round_at(cpu, b, cpu.const(1 << 49, 128), mode)
    overflow = is_inf(result)
    return result, flags | flag(overflow, OX)


# -- comparisons -----------------------------------------------------------------------------------


def _key(x: Any) -> Any:
    magnitude = x & MAGNITUDE
    return select(x.bit(127), -magnitude, magnitude)


def f128_less(a: Any, b: Any) -> Any:
    """``a < b``; false for NaNs."""
    return _key(a).slt(_key(b)) & ~is_nan(a) & ~is_nan(b)


def f128_compare(cpu: Any, a: Any, b: Any) -> Result:
    """LT=8 GT=4 EQ=2 UN=1 (width 8), and VXSNAN."""
    unordered = is_nan(a) | is_nan(b)
    left, right = _key(a), _key(b)
    ordered = concat(left.slt(right), left.sgt(right), left == right, unordered & 0)
    cc = select(unordered, cpu.const(1, 4), ordered).zext(8)
    return cc, flag(is_snan(a) | is_snan(b), VXSNAN)

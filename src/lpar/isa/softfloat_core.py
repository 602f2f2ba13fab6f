# SPDX-License-Identifier: GPL-2.0-only
"""Soft float, the inside: taking numbers apart, rounding and packing (Book I, section 4.3.6 and 4.4).

Rules of this file:
* A finite non-zero number on its way to rounding is ``sign`` (width 1), ``exp`` (width 64, biased as
  binary64, may lie far outside its range) and ``sig`` (width 64, leading one in bit 63, lost bits
  ORed into bit 0).
* Single results are kept in binary64 format; only the place of rounding and the range differ (``Format``).
* Tininess is detected before rounding; underflow is reported only if also inexact, unless UE is set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lpar.isa.routine import routine
from lpar.isa.values import select

OX, UX, ZX, XX = 1 << 28, 1 << 27, 1 << 26, 1 << 25
VXSNAN, VXISI, VXIDI, VXZDZ = 1 << 24, 1 << 23, 1 << 22, 1 << 21
VXIMZ, VXVC, VXSOFT, VXSQRT, VXCVI = 1 << 20, 1 << 19, 1 << 10, 1 << 9, 1 << 8
FR, FI = 1 << 18, 1 << 17
VX_ANY = VXSNAN | VXISI | VXIDI | VXZDZ | VXIMZ | VXVC | VXSOFT | VXSQRT | VXCVI
EXCEPTIONS = OX | UX | ZX | XX | VX_ANY
OE_BIT, UE_BIT = 6, 5  # of mode, counted from the least significant end
AWAY_BIT = 11  # a reserved bit of the FPSCR: round to nearest, ties away (rounding to integers only)
AWAY = 1 << AWAY_BIT

SIGN = 1 << 63
INF = 0x7FF << 52
QUIET = 1 << 51
FRACTION = (1 << 52) - 1
MAGNITUDE = SIGN - 1
DEFAULT_NAN = INF | QUIET


@dataclass(frozen=True, slots=True)
class Format:
    """Where results are rounded: bits below the last place, range of the exponent, trap adjustment.

    ``drop`` counts from bit 0 of a 64-bit significand; exponents are biased as binary64.
    """

    drop: int
    emin: int
    emax: int
    adjust: int

    @property
    def half(self) -> int:
        """The tie among the dropped bits."""
        return 1 << (self.drop - 1)

    @property
    def mask(self) -> int:
        """The dropped bits."""
        return (1 << self.drop) - 1

    @property
    def largest(self) -> int:
        """The largest finite magnitude, as binary64."""
        return (self.emax + 1 << 52) - (1 << (self.drop - 11))


BINARY64 = Format(drop=11, emin=1, emax=2046, adjust=1536)
SINGLE = Format(drop=40, emin=897, emax=1150, adjust=192)
HALF = Format(drop=53, emin=1009, emax=1038, adjust=24)


def is_nan(x: Any) -> Any:
    """Whether binary64 ``x`` is a NaN."""
    return (x & MAGNITUDE) > INF


def is_snan(x: Any) -> Any:
    """Whether binary64 ``x`` is a signalling NaN."""
    return is_nan(x) & ((x & QUIET) == 0)


def is_inf(x: Any) -> Any:
    """Whether binary64 ``x`` is an infinity."""
    return (x & MAGNITUDE) == INF


def is_zero(x: Any) -> Any:
    """Whether binary64 ``x`` is a zero."""
    return (x & MAGNITUDE) == 0


def is_special(x: Any) -> Any:
    """Whether binary64 ``x`` is an infinity or a NaN."""
    return (x & INF) == INF


def flag(condition: Any, bits: int) -> Any:
    """``bits`` (width 32) if ``condition``, else 0."""
    return condition.sext(32) & bits


def set_sign(sign: Any, x: Any) -> Any:
    """The magnitude ``x`` with ``sign`` (width 1)."""
    return (sign.zext(64) << 63) | x


def flip_unless_nan(x: Any) -> Any:
    """``-x``, but NaNs as they are."""
    return select(is_nan(x), x, x ^ SIGN)


def exponent(x: Any) -> Any:
    """The exponent field of binary64 ``x``, width 64."""
    return (x >> 52) & 0x7FF


def normalized(x: Any) -> tuple[Any, Any]:
    """Exponent and significand (leading one in bit 52) of a finite binary64; a zero has significand 0."""
    fraction = x & FRACTION
    shift = fraction.clz() - 11
    exp = exponent(x)
    tiny = exp == 0
    return select(tiny, 1 - shift, exp), select(tiny, fraction << shift, fraction | (1 << 52))


def shift_right_jam(x: Any, n: Any, limit: int) -> Any:
    """``x >> min(n, limit)``, lost bits ORed into bit 0; ``limit`` is below the width."""
    n = select(n > limit, limit, n)
    kept = x >> n
    return kept | ((kept << n) != x).zext(x.w)


def rounding(sign: Any, low: Any, odd: Any, half: int, mask: int, mode: Any) -> Any:
    """What to add to the dropped bits ``low`` so that their carry is the increment (width of ``low``)."""
    directed = select(mode.bit(0) == sign, mask, odd.zext(low.w) & 0)
    nearest = odd.zext(low.w) + (half - 1)
    return select(mode.bit(1), directed, select(mode.bit(0), odd.zext(low.w) & 0, nearest))


def inexact_flags(inexact: Any, increment: Any) -> Any:
    """XX, FI and FR (``increment`` not zero) if ``inexact``."""
    return flag(inexact, XX | FI) | flag(increment != 0, FR)


def round_fraction(sign: Any, sig: Any, mode: Any, fmt: Format) -> tuple[Any, Any]:
    """The kept bits after rounding, leading one in bit 52 (or 53 after a carry), and XX, FI, FR."""
    low = sig & fmt.mask
    increment = (low + rounding(sign, low, sig.bit(fmt.drop), fmt.half, fmt.mask, mode)) >> fmt.drop
    kept = ((sig >> fmt.drop) + increment) << (fmt.drop - 11)
    return kept, inexact_flags(low != 0, increment)


def pack(sign: Any, exp: Any, kept: Any) -> Any:
    """Binary64 from ``kept`` as :func:`round_fraction` gives it, a carry included."""
    return set_sign(sign, ((exp - 1) << 52) + kept)


def pack_wrapped(sign: Any, exp: Any, kept: Any) -> Any:
    """:func:`pack` of an exponent that may still be out of range after the adjustment for a trap."""
    return set_sign(sign, (((exp - 1) << 52) + kept) & MAGNITUDE)


def round_pack(cpu: Any, sign: Any, exp: Any, sig: Any, mode: Any, fmt: Format) -> tuple[Any, Any]:
    """Round a finite non-zero number to ``fmt``: the binary64 and its flags."""
    if (exp - fmt.emin) < (fmt.emax - fmt.emin):
        kept, flags = round_fraction(sign, sig, mode, fmt)
        return pack(sign, exp, kept), flags
    if fmt is BINARY64:
        return round_extreme_f64(cpu, sign, exp, sig, mode)  # type: ignore[no-any-return]
    if fmt is SINGLE:
        return round_extreme_r32(cpu, sign, exp, sig, mode)  # type: ignore[no-any-return]
    return _round_extreme(cpu, sign, exp, sig, mode, fmt)


@routine(args=(1, 64, 64, 32), returns=(64, 32))
def round_extreme_f64(cpu: Any, sign: Any, exp: Any, sig: Any, mode: Any) -> tuple[Any, Any]:
    """:func:`round_pack` where overflow or underflow threatens, binary64."""
    return _round_extreme(cpu, sign, exp, sig, mode, BINARY64)


@routine(args=(1, 64, 64, 32), returns=(64, 32))
def round_extreme_r32(cpu: Any, sign: Any, exp: Any, sig: Any, mode: Any) -> tuple[Any, Any]:
    """:func:`round_pack` where overflow or underflow threatens, single precision."""
    return _round_extreme(cpu, sign, exp, sig, mode, SINGLE)


def _round_extreme(cpu: Any, sign: Any, exp: Any, sig: Any, mode: Any, fmt: Format) -> tuple[Any, Any]:
    if exp.slt(fmt.emin):
        if mode.bit(UE_BIT):
            kept, flags = round_fraction(sign, sig, mode, fmt)
            return pack_wrapped(sign, exp + fmt.adjust, kept), flags | UX
        return _round_tiny(cpu, sign, exp, sig, mode, fmt)
    kept, flags = round_fraction(sign, sig, mode, fmt)
    after = exp + (kept >> 53)
    if after.sle(fmt.emax):
        return pack(sign, exp, kept), flags
    if mode.bit(OE_BIT):
        return pack_wrapped(sign, exp - fmt.adjust, kept), flags | OX
    to_infinity = select(mode.bit(1), mode.bit(0) == sign, ~mode.bit(0))
    return set_sign(sign, select(to_infinity, cpu.const(INF), fmt.largest)), cpu.const(OX | XX | FI, 32)


def _round_tiny(cpu: Any, sign: Any, exp: Any, sig: Any, mode: Any, fmt: Format) -> tuple[Any, Any]:
    kept, flags = round_fraction(sign, shift_right_jam(sig, fmt.emin - exp, 63), mode, fmt)
    flags = flags | flag((flags & XX) != 0, UX)
    if fmt is BINARY64:
        return set_sign(sign, kept), flags
    shift = kept.clz() - 11
    packed = ((fmt.emin - 1 - shift) << 52) + (kept << shift)
    return set_sign(sign, select(kept == 0, kept, packed)), flags


# -- single precision values in memory format ------------------------------------------------------


def widen(x: Any) -> Any:
    """Binary32 to binary64 as lfs does (Book I, section 4.6.2): exact, NaNs keep their bits."""
    wide = x.zext(64)
    fraction = wide & 0x7FFFFF
    exp = (wide >> 23) & 0xFF
    shift = fraction.clz() - 40
    tiny = (exp == 0) & (fraction != 0)
    exp64 = select(exp == 0, select(tiny, 897 - shift, exp), select(exp == 0xFF, 0x7FF, exp + 896))
    fraction64 = select(tiny, (fraction << shift) & 0x7FFFFF, fraction)
    return (wide >> 31 << 63) | (exp64 << 52) | (fraction64 << 29)


def narrow(x: Any) -> Any:
    """Binary64 to binary32 as stfs does (Book I, section 4.6.3); below the smallest denormal: zero."""
    exp = exponent(x)
    plain = ((x >> 32) & 0xC0000000) | ((x >> 29) & 0x3FFFFFFF)
    significand = (x & FRACTION) | (1 << 52)
    tiny = select(exp < 874, exp & 0, significand >> (926 - exp)) | (x >> 63 << 31)
    return select((exp > 896) | is_zero(x), plain, tiny).trunc(32)


def widen_half(x: Any) -> Any:
    """Binary16 (width 16) to binary64: exact, NaNs keep their bits."""
    wide = x.zext(64)
    fraction = wide & 0x3FF
    exp = (wide >> 10) & 0x1F
    shift = fraction.clz() - 53
    tiny = (exp == 0) & (fraction != 0)
    exp64 = select(exp == 0, select(tiny, 1009 - shift, exp), select(exp == 0x1F, 0x7FF, exp + 1008))
    fraction64 = select(tiny, (fraction << shift) & 0x3FF, fraction)
    return (wide >> 15 << 63) | (exp64 << 52) | (fraction64 << 42)


def narrow_half(x: Any) -> Any:
    """A binary64 that a binary16 can hold (or a NaN, cut) to binary16 (width 16)."""
    exp = exponent(x)
    fraction = (x & FRACTION) >> 42
    plain = select(is_special(x), exp & 0x1F, exp - 1008) << 10 | fraction
    tiny = select(exp < 998, exp & 0, (fraction | 0x400) >> (1009 - exp))
    return (x >> 63 << 15 | select(exp > 1008, plain, tiny)).trunc(16)


# -- result flags: FPRF in place -------------------------------------------------------------------

C, FL, FG, FE, FU = 1 << 16, 1 << 15, 1 << 14, 1 << 13, 1 << 12


def class_flags(sign: Any, zero: Any, denormal: Any, infinite: Any, nan: Any) -> Any:
    signed = select(sign, flag(~zero, FL), flag(~zero, FG))
    special = flag(zero, FE) | flag(infinite, FU) | flag(denormal | (zero & sign), C)
    return select(nan, flag(nan, C | FU), signed | special)


def f64_class(x: Any) -> Any:
    """FPRF (width 32, in place) of a binary64."""
    magnitude = x & MAGNITUDE
    denormal = (magnitude < (1 << 52)) & (magnitude != 0)
    return class_flags(x.bit(63), magnitude == 0, denormal, magnitude == INF, magnitude > INF)


def r32_class(x: Any) -> Any:
    """FPRF of a single-precision value in binary64 format."""
    magnitude = x & MAGNITUDE
    denormal = (magnitude < (897 << 52)) & (magnitude != 0)
    return class_flags(x.bit(63), magnitude == 0, denormal, magnitude == INF, magnitude > INF)


def f16_class(x: Any) -> Any:
    """FPRF of a binary16 value in binary64 format."""
    magnitude = x & MAGNITUDE
    denormal = (magnitude < (1009 << 52)) & (magnitude != 0)
    return class_flags(x.bit(63), magnitude == 0, denormal, magnitude == INF, magnitude > INF)


def f32_class(x: Any) -> Any:
    """FPRF of a binary32."""
    return r32_class(widen(x))

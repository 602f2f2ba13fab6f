# SPDX-License-Identifier: GPL-2.0-only
"""Decimal integers in vector registers (Book I, section 6.14).

A packed decimal is 31 digits and a sign code (A C E F plus, B D minus).  All these instructions set CR6 to
LT, GT or EQ of the result before it is cut to size, SO where it does not fit; to SO alone for an invalid
operand, whose result is undefined (here: what comes out).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.routine import routine
from lpar.isa.values import concat, map_lanes, select, shuffle
from lpar.isa.vmx_common import pattern

ONES = int("1" * 32, 16)
DIGITS = (1 << 124) - 1
NINES = int("9" * 31, 16)
SIXES = int("6" * 31, 16)
MINUS = 0xD
LARGEST = 10**31 - 1


# -- parts -------------------------------------------------------------------------------------------------


def is_negative(b: Any) -> Any:
    """Whether the sign code is one of minus."""
    return (b & 15 == 0xB) | (b & 15 == 0xD)


def bad_digits(x: Any) -> Any:
    """Whether some digit of ``x`` is more than 9."""
    return (x >> 3 & (x >> 2 | x >> 1)) & ONES != 0


def invalid(b: Any) -> Any:
    """Whether ``b`` is not a packed decimal."""
    return bad_digits(b & ~15) | (b & 15 < 10)


def plus(ps: int) -> int:
    """The preferred sign code of plus for the PS field."""
    return 0xF if ps else 0xC


def signed_decimal(digits: Any, negative: Any, ps: int) -> Any:
    """Digits (without a sign) and a preferred sign code."""
    return digits << 4 | select(negative, digits & 0 | MINUS, digits & 0 | plus(ps))


def set_decimal_cr6(cpu: Any, negative: Any, zero: Any, overflow: Any, bad: Any) -> None:
    """Write CR6."""
    good = ~bad
    flags = (good & negative & ~zero, good & ~negative & ~zero, good & zero, overflow | bad)
    cpu.cr[6] = concat(cpu.const(0, 4), *flags)


def add_digits(x: Any, y: Any, carry: int) -> Any:
    """``x + y + carry`` of 31 digits each; digit 31 is the carry out."""
    raised = x + SIXES
    total = raised + y + carry
    carried = (total ^ raised ^ y) >> 4
    untouched = ~carried & (ONES >> 4)
    return total - untouched * 6


def define(
    name: str, xo: int, eo: int | None = None, *, since: str = "3.0", ps: bool = True
) -> Callable[..., Any]:
    """The decorator of a decimal instruction: bit 21 is one, PS in bit 22 unless it is part of the opcode."""
    fixed = {(21, 21): 1, (23, 31): xo & 511}
    if not ps:
        fixed = {(21, 31): xo}
    if eo is not None:
        fixed[11, 15] = eo
    return instruction(name, 4, needs="VEC", since=since, fixed=fixed)


# -- add and subtract --------------------------------------------------------------------------------------


@routine(args=(128, 128), returns=(128, 8))
def decimal_sum(cpu: Any, a: Any, b: Any) -> Any:
    """The magnitude of ``a + b``, and flags: 1 negative, 2 zero, 4 overflow."""
    x, y = a >> 4, b >> 4
    negative_a, negative_b = is_negative(a), is_negative(b)
    same = negative_a == negative_b
    total = add_digits(x, y, 0)
    swap = x < y
    large, small = select(swap, y, x), select(swap, x, y)
    difference = add_digits(large, NINES - small, 1)
    zero = select(same, total == 0, x == y)
    negative = select(same | ~swap, negative_a, negative_b) & ~zero
    overflow = same & (total > DIGITS)
    flags = concat(cpu.const(0, 5), overflow, zero, negative)
    return select(same, total, difference) & DIGITS, flags


def finish_sum(cpu: Any, VRT: Any, a: Any, b: Any, bad: Any, ps: int) -> None:
    """VRT = a + b and CR6."""
    digits, flags = decimal_sum(cpu, a, b)
    set_decimal_cr6(cpu, flags.bit(0), flags.bit(1), flags.bit(2) & ~bad, bad)
    cpu.vr[VRT] = signed_decimal(digits, flags.bit(0), ps)


@define("bcdadd.", 1025, since="2.07")
def bcdadd(cpu: Any, VRT: Any, VRA: Any, VRB: Any, PS: int) -> None:
    a, b = cpu.vr[VRA], cpu.vr[VRB]
    finish_sum(cpu, VRT, a, b, invalid(a) | invalid(b), PS)


@define("bcdsub.", 1089, since="2.07")
def bcdsub(cpu: Any, VRT: Any, VRA: Any, VRB: Any, PS: int) -> None:
    a, b = cpu.vr[VRA], cpu.vr[VRB]
    negated = b & ~15 | select(is_negative(b), b & 0 | 0xC, b & 0 | MINUS)
    finish_sum(cpu, VRT, a, negated, invalid(a) | invalid(b), PS)


# -- sign --------------------------------------------------------------------------------------------------


@define("bcdcpsgn.", 833, ps=False)
def bcdcpsgn(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    a, b = cpu.vr[VRA], cpu.vr[VRB]
    none = cpu.const(0, 1)
    set_decimal_cr6(cpu, is_negative(b), a >> 4 == 0, none, invalid(a) | invalid(b))
    cpu.vr[VRT] = a & ~15 | b & 15


@define("bcdsetsgn.", 1409, 31)
def bcdsetsgn(cpu: Any, VRT: Any, VRB: Any, PS: int) -> None:
    b = cpu.vr[VRB]
    set_decimal_cr6(cpu, is_negative(b), b >> 4 == 0, cpu.const(0, 1), invalid(b))
    cpu.vr[VRT] = signed_decimal(b >> 4, is_negative(b), PS)


# -- shift -------------------------------------------------------------------------------------------------


def shift_count(a: Any) -> Any:
    """The signed number of digits in byte 7 of VRA, 64 bits wide."""
    return a.bits(64, 8).sext(64)


def digits_left(x: Any, count: Any, limit: int) -> Any:
    """``x`` moved left by ``count`` digits (from 0), 0 beyond ``limit``."""
    return select(count > limit, 0, x << (count << 2))


def digits_right(x: Any, count: Any, limit: int) -> Any:
    """``x`` moved right by ``count`` digits (from 0), 0 beyond ``limit``."""
    return select(count > limit, 0, x >> (count << 2))


def shifted(x: Any, count: Any, digits: int) -> tuple[Any, Any]:
    """``x`` of that many digits shifted by a signed count to the left, and whether digits were lost there."""
    field = (1 << 4 * digits) - 1
    left = digits_left(x, count, digits - 1) & field
    lost = digits_right(left, count, digits - 1) != x
    to_right = count.slt(0)
    return select(to_right, digits_right(x, -count, digits - 1), left), lost & ~to_right


@define("bcds.", 1217)
def bcds(cpu: Any, VRT: Any, VRA: Any, VRB: Any, PS: int) -> None:
    b = cpu.vr[VRB]
    result, lost = shifted(b >> 4, shift_count(cpu.vr[VRA]), 31)
    bad = invalid(b)
    set_decimal_cr6(cpu, is_negative(b), result == 0, lost & ~bad, bad)
    cpu.vr[VRT] = signed_decimal(result, is_negative(b), PS)


@define("bcdus.", 1153)
def bcdus(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    b = cpu.vr[VRB]
    result, lost = shifted(b, shift_count(cpu.vr[VRA]), 32)
    bad = bad_digits(b)
    set_decimal_cr6(cpu, cpu.const(0, 1), result == 0, lost & ~bad, bad)
    cpu.vr[VRT] = result


@define("bcdsr.", 1473)
def bcdsr(cpu: Any, VRT: Any, VRA: Any, VRB: Any, PS: int) -> None:
    b, count = cpu.vr[VRB], shift_count(cpu.vr[VRA])
    count = select(count.slt(-31), -31, count)
    cut, lost = shifted(b >> 4, count, 31)
    last = select(count.slt(0), digits_right(b >> 4, -count - 1, 30) & 15, 0)
    result = add_digits(cut, (last >= 5).zext(128), 0)
    bad = invalid(b)
    set_decimal_cr6(cpu, is_negative(b), result == 0, lost & ~bad, bad)
    cpu.vr[VRT] = signed_decimal(result, is_negative(b), PS)


# -- truncate ----------------------------------------------------------------------------------------------


def truncated(x: Any, length: Any, digits: int) -> Any:
    """The low ``length`` digits of ``x``, all from ``digits`` on."""
    mask = ~(((x & 0) - 1) << (length << 2))
    return select(length >= digits, x, x & mask)


@define("bcdtrunc.", 1281)
def bcdtrunc(cpu: Any, VRT: Any, VRA: Any, VRB: Any, PS: int) -> None:
    b = cpu.vr[VRB]
    result = truncated(b >> 4, cpu.vr[VRA].bits(64, 16), 31)
    bad = invalid(b)
    set_decimal_cr6(cpu, is_negative(b), result == 0, (result != b >> 4) & ~bad, bad)
    cpu.vr[VRT] = signed_decimal(result, is_negative(b), PS)


@define("bcdutrunc.", 1345)
def bcdutrunc(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    b = cpu.vr[VRB]
    result = truncated(b, cpu.vr[VRA].bits(64, 16), 32)
    bad = bad_digits(b)
    set_decimal_cr6(cpu, cpu.const(0, 1), result == 0, (result != b) & ~bad, bad)
    cpu.vr[VRT] = result


# -- convert binary ------------------------------------------------------------------------------------------


@routine(args=(128,), returns=128)
def to_decimal(cpu: Any, x: Any) -> Any:
    """The 31 digits of ``x`` (less than 10**31), by doubling and adding its bits."""
    x = x << 24
    digits, left = cpu.const(0, 128), cpu.const(104, 8)
    while left != 0:
        digits = add_digits(digits, digits, 0) & DIGITS | x.bit(127).zext(128)
        x, left = x << 1, left - 1
    return digits


@routine(args=(128,), returns=128)
def to_binary(cpu: Any, digits: Any) -> Any:
    """The number of 31 digits."""
    digits = digits << 4
    number, left = cpu.const(0, 128), cpu.const(31, 8)
    while left != 0:
        number = number * 10 + (digits >> 124)
        digits, left = digits << 4, left - 1
    return number


@define("bcdcfsq.", 1409, 2)
def bcdcfsq(cpu: Any, VRT: Any, VRB: Any, PS: int) -> None:
    b = cpu.vr[VRB]
    size = select(b.slt(0), -b, b)
    set_decimal_cr6(cpu, b.slt(0), b == 0, size > LARGEST, cpu.const(0, 1))
    cpu.vr[VRT] = signed_decimal(to_decimal(cpu, size), b.slt(0), PS)


@define("bcdctsq.", 1409, 0)
def bcdctsq(cpu: Any, VRT: Any, VRB: Any) -> None:
    b = cpu.vr[VRB]
    size = to_binary(cpu, b >> 4)
    set_decimal_cr6(cpu, is_negative(b), b >> 4 == 0, cpu.const(0, 1), invalid(b))
    cpu.vr[VRT] = select(is_negative(b), -size, size)


# -- convert zoned (a byte for each digit) and national (a halfword) decimal -------------------------------

LOW_NIBBLES = int("0F" * 16, 16)
BYTE_PAIRS = pattern("0000010102020303 0404050506060707")


def packed_bytes(x: Any) -> Any:
    """The 16 low nibbles of a register's bytes, as 64 bits."""
    pairs = x & LOW_NIBBLES
    return shuffle(pairs | pairs >> 4, pattern("01030507090B0D0F"))


def spread_nibbles(x: Any) -> Any:
    """The inverse: the 16 nibbles of 64-bit ``x``, a byte each."""
    doubled = shuffle(x, BYTE_PAIRS)
    return map_lanes(16, lambda e: e >> 4 & 0x0F00 | e & 0x000F, doubled)


@define("bcdcfz.", 1409, 6)
def bcdcfz(cpu: Any, VRT: Any, VRB: Any, PS: int) -> None:
    b = cpu.vr[VRB]
    zone = 0xF if PS else 0x3
    sign = b >> 4 & 15
    zones_differ = (b >> 4 & LOW_NIBBLES ^ zone * (LOW_NIBBLES // 15)) >> 8 != 0
    bad = bad_digits(b & LOW_NIBBLES) | zones_differ
    if PS:
        bad, negative = bad | (sign < 10), is_negative(sign)
    else:
        negative = sign & 4 != 0
    digits = packed_bytes(b).zext(128)
    set_decimal_cr6(cpu, negative, digits == 0, cpu.const(0, 1), bad)
    cpu.vr[VRT] = signed_decimal(digits, negative, 0)


@define("bcdctz.", 1409, 4)
def bcdctz(cpu: Any, VRT: Any, VRB: Any, PS: int) -> None:
    b = cpu.vr[VRB]
    zone, plus_zone, minus_zone = (0xF, 0xC, 0xD) if PS else (0x3, 0x3, 0x7)
    zones = zone * (LOW_NIBBLES // 15 << 4) & ~0xF0
    sign = select(is_negative(b), b & 0 | minus_zone << 4, b & 0 | plus_zone << 4)
    bad = invalid(b)
    set_decimal_cr6(cpu, is_negative(b), b >> 4 == 0, (b >> 68 != 0) & ~bad, bad)
    cpu.vr[VRT] = spread_nibbles(b.bits(4, 64)) | zones | sign


NATIONAL_ZEROS = int("0030" * 7 + "0000", 16)
NATIONAL_PLUS, NATIONAL_MINUS = 0x2B, 0x2D


@define("bcdcfn.", 1409, 7)
def bcdcfn(cpu: Any, VRT: Any, VRB: Any, PS: int) -> None:
    b = cpu.vr[VRB]
    sign, numbers = b & 0xFFFF, b >> 16 << 16
    negative = sign == NATIONAL_MINUS
    digits = packed_halfwords(numbers)
    odd = numbers & ~int("000F" * 8, 16) != NATIONAL_ZEROS
    bad = odd | bad_digits(digits) | (~negative & (sign != NATIONAL_PLUS))
    set_decimal_cr6(cpu, negative, digits == 0, cpu.const(0, 1), bad)
    cpu.vr[VRT] = signed_decimal(digits, negative, PS)


def packed_halfwords(x: Any) -> Any:
    """The low nibbles of a register's first seven halfwords as digits."""
    bytes_ = shuffle(x, pattern("01030507090B0D0F"))
    pairs = bytes_ & 0x0F0F0F0F0F0F0F0F
    return shuffle(pairs | pairs >> 4, pattern("01030507")).zext(128) >> 4


@define("bcdctn.", 1409, 5)
def bcdctn(cpu: Any, VRT: Any, VRB: Any) -> None:
    b = cpu.vr[VRB]
    spread = spread_nibbles(b.bits(4, 28).zext(64) << 4)
    halfwords = shuffle(spread, pattern("08080909 0A0A0B0B 0C0C0D0D 0E0E0F0F"))
    sign = select(is_negative(b), b & 0 | NATIONAL_MINUS, b & 0 | NATIONAL_PLUS)
    bad = invalid(b)
    set_decimal_cr6(cpu, is_negative(b), b >> 4 == 0, (b >> 32 != 0) & ~bad, bad)
    cpu.vr[VRT] = halfwords & int("000F" * 7 + "0000", 16) | NATIONAL_ZEROS | sign

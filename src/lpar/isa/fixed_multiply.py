# SPDX-License-Identifier: GPL-2.0-only
"""Fixed-point multiplication and division (Book I, section 3.3.9).

Rules of this file:
* A division that overflows or divides by zero leaves 0; the ISA leaves RT undefined.
* The high half of RT that the ISA leaves undefined for word results is zero, except where noted.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.common import finish
from lpar.isa.fixed_arithmetic import set_overflow
from lpar.isa.registry import instruction
from lpar.isa.routine import routine
from lpar.isa.values import select


def wide(x: Any) -> Any:
    """The low word, sign-extended to 64 bits."""
    return x.trunc(32).sext(64)


def low(x: Any) -> Any:
    """The low word, zero-extended to 64 bits."""
    return x.trunc(32).zext(64)


# -- multiplication --------------------------------------------------------------------------------


@instruction("mulli", 7)
def mulli(cpu: Any, RT: Any, RA: Any, SI: Any) -> None:
    cpu.gpr[RT] = cpu.gpr[RA] * SI


@instruction("mullw{o}{.}", 31, 235, form="XO")
def mullw(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    result = wide(cpu.gpr[RA]) * wide(cpu.gpr[RB])
    if OE:
        overflow = result != wide(result)
        set_overflow(cpu, overflow, overflow)
    finish(cpu, RT, result, Rc)


@instruction("mulld{o}{.}", 31, 233, form="XO")
def mulld(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    a, b = cpu.gpr[RA], cpu.gpr[RB]
    result = a * b
    if OE:
        overflow = a.smulh(b) != result.sar(63)
        set_overflow(cpu, overflow, overflow)
    finish(cpu, RT, result, Rc)


@instruction("mulhw{.}", 31, 75, form="XO")
def mulhw(cpu: Any, RT: Any, RA: Any, RB: Any, Rc: int) -> None:
    finish(cpu, RT, (wide(cpu.gpr[RA]) * wide(cpu.gpr[RB])) >> 32, Rc)


@instruction("mulhwu{.}", 31, 11, form="XO")
def mulhwu(cpu: Any, RT: Any, RA: Any, RB: Any, Rc: int) -> None:
    finish(cpu, RT, (low(cpu.gpr[RA]) * low(cpu.gpr[RB])) >> 32, Rc)


@instruction("mulhd{.}", 31, 73, form="XO")
def mulhd(cpu: Any, RT: Any, RA: Any, RB: Any, Rc: int) -> None:
    finish(cpu, RT, cpu.gpr[RA].smulh(cpu.gpr[RB]), Rc)


@instruction("mulhdu{.}", 31, 9, form="XO")
def mulhdu(cpu: Any, RT: Any, RA: Any, RB: Any, Rc: int) -> None:
    finish(cpu, RT, cpu.gpr[RA].umulh(cpu.gpr[RB]), Rc)


@instruction("maddld", 4, 51, form="VA", since="3.0")
def maddld(cpu: Any, RT: Any, RA: Any, RB: Any, RC: Any) -> None:
    cpu.gpr[RT] = cpu.gpr[RA] * cpu.gpr[RB] + cpu.gpr[RC]


@instruction("maddhd", 4, 48, form="VA", since="3.0")
def maddhd(cpu: Any, RT: Any, RA: Any, RB: Any, RC: Any) -> None:
    a, b, c = cpu.gpr[RA], cpu.gpr[RB], cpu.gpr[RC]
    carry = (a * b + c) < c
    cpu.gpr[RT] = a.smulh(b) + c.sar(63) + carry.zext(64)


@instruction("maddhdu", 4, 49, form="VA", since="3.0")
def maddhdu(cpu: Any, RT: Any, RA: Any, RB: Any, RC: Any) -> None:
    a, b, c = cpu.gpr[RA], cpu.gpr[RB], cpu.gpr[RC]
    carry = (a * b + c) < c
    cpu.gpr[RT] = a.umulh(b) + carry.zext(64)


# -- division ----------------------------------------------------------------------------------------


def signed_unfit(a: Any, b: Any) -> Any:
    """Whether the signed quotient of ``a`` and ``b`` does not exist or does not fit."""
    return (b == 0) | ((b == -1) & (a == 1 << (a.w - 1)))


@instruction("divw{o}{.}", 31, 491, form="XO")
def divw(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    a, b = cpu.gpr[RA].trunc(32), cpu.gpr[RB].trunc(32)
    if OE:
        overflow = signed_unfit(a, b)
        set_overflow(cpu, overflow, overflow)
    finish(cpu, RT, a.sdiv(b).zext(64), Rc)


@instruction("divwu{o}{.}", 31, 459, form="XO")
def divwu(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    a, b = cpu.gpr[RA].trunc(32), cpu.gpr[RB].trunc(32)
    if OE:
        set_overflow(cpu, b == 0, b == 0)
    finish(cpu, RT, a.udiv(b).zext(64), Rc)


@instruction("divd{o}{.}", 31, 489, form="XO")
def divd(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    a, b = cpu.gpr[RA], cpu.gpr[RB]
    if OE:
        overflow = signed_unfit(a, b)
        set_overflow(cpu, overflow, overflow)
    finish(cpu, RT, a.sdiv(b), Rc)


@instruction("divdu{o}{.}", 31, 457, form="XO")
def divdu(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    a, b = cpu.gpr[RA], cpu.gpr[RB]
    if OE:
        set_overflow(cpu, b == 0, b == 0)
    finish(cpu, RT, a.udiv(b), Rc)


@instruction("divwe{o}{.}", 31, 427, form="XO")
def divwe(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    """The quotient of RA || 0 and RB; sign-extended, as POWER9 leaves it."""
    a, b = cpu.gpr[RA] << 32, wide(cpu.gpr[RB])
    quotient = a.sdiv(b)
    overflow = signed_unfit(a, b) | (quotient != wide(quotient))
    if OE:
        set_overflow(cpu, overflow, overflow)
    finish(cpu, RT, select(overflow, 0, quotient), Rc)


@instruction("divweu{o}{.}", 31, 395, form="XO")
def divweu(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    b = low(cpu.gpr[RB])
    quotient = (cpu.gpr[RA] << 32).udiv(b)
    overflow = (b == 0) | (quotient != low(quotient))
    if OE:
        set_overflow(cpu, overflow, overflow)
    finish(cpu, RT, select(overflow, 0, quotient), Rc)


def quotient_digit(partial: Any, high: Any, divisor: Any) -> Any:
    """One 32-bit digit of a long division: ``(partial << 32) / divisor``.

    ``divisor`` is normalized (bit 63 set), ``high`` its high word, ``partial < divisor``.  The estimate
    from the high words is at most 2 too large (Knuth, The Art of Computer Programming 2, 4.3.1, theorem B).
    """
    digit = partial.udiv(high)
    rest = partial - digit * high
    for _ in range(2):
        large = (rest >> 32 == 0) & ((digit >> 32 != 0) | (digit * low(divisor) > rest << 32))
        digit = select(large, digit - 1, digit)
        rest = select(large, rest + high, rest)
    return digit


@routine(args=(64, 64), returns=64)
def divide_extended(cpu: Any, a: Any, b: Any) -> Any:
    """The quotient of ``a || 0`` (128 bits) and ``b``, unsigned; ``a < b``."""
    shift = b.clz()
    divisor = b << shift
    high = divisor >> 32
    partial = a << shift
    first = quotient_digit(partial, high, divisor)
    second = quotient_digit((partial << 32) - first * divisor, high, divisor)
    return (first << 32) + second


@instruction("divdeu{o}{.}", 31, 393, form="XO")
def divdeu(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    a, b = cpu.gpr[RA], cpu.gpr[RB]
    quotient = divide_extended(cpu, a, b)
    overflow = a >= b
    if OE:
        set_overflow(cpu, overflow, overflow)
    finish(cpu, RT, select(overflow, 0, quotient), Rc)


@instruction("divde{o}{.}", 31, 425, form="XO")
def divde(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    a, b = cpu.gpr[RA], cpu.gpr[RB]
    negative = (a ^ b).bit(63)
    a, b = select(a.bit(63), -a, a), select(b.bit(63), -b, b)
    magnitude = divide_extended(cpu, a, b)
    quotient = select(negative, -magnitude, magnitude)
    overflow = (a >= b) | ((magnitude != 0) & (quotient.bit(63) != negative))
    if OE:
        set_overflow(cpu, overflow, overflow)
    finish(cpu, RT, select(overflow, 0, quotient), Rc)


@instruction("modsw", 31, 779, form="X", since="3.0")
def modsw(cpu: Any, RT: Any, RA: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.gpr[RA].trunc(32).srem(cpu.gpr[RB].trunc(32)).sext(64)


@instruction("moduw", 31, 267, form="X", since="3.0")
def moduw(cpu: Any, RT: Any, RA: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.gpr[RA].trunc(32).urem(cpu.gpr[RB].trunc(32)).zext(64)


@instruction("modsd", 31, 777, form="X", since="3.0")
def modsd(cpu: Any, RT: Any, RA: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.gpr[RA].srem(cpu.gpr[RB])


@instruction("modud", 31, 265, form="X", since="3.0")
def modud(cpu: Any, RT: Any, RA: Any, RB: Any) -> None:
    cpu.gpr[RT] = cpu.gpr[RA].urem(cpu.gpr[RB])

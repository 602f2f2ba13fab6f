# SPDX-License-Identifier: GPL-2.0-only
"""Fixed-point rotate and shift instructions (Book I, section 3.3.14)."""

from __future__ import annotations

from typing import Any

from lpar.isa.common import finish
from lpar.isa.registry import instruction
from lpar.isa.values import concat, select


def mask(cpu: Any, first: Any, last: Any) -> Any:
    """MASK(first, last): ones from bit ``first`` to bit ``last`` (0 most significant), wrapping around."""
    from_first, to_last = cpu.const(-1) >> first, cpu.const(-1) << (63 - last)
    return select(first <= last, from_first & to_last, from_first | to_last)


def rotated_word(x: Any, n: Any) -> Any:
    """ROTL32: the low word rotated left by ``n``, in both halves."""
    word = x.trunc(32).rotl(n)
    return concat(word, word)


def masked_word(cpu: Any, x: Any, n: Any, first: Any, last: Any) -> Any:
    """ROTL32 under MASK(first + 32, last + 32), which has bits of the upper half only if it wraps."""
    wanted = mask(cpu, first + 32, last + 32)
    inside = (x.trunc(32).rotl(n) & wanted.trunc(32)).zext(64)
    return select(first <= last, inside, rotated_word(x, n) & wanted)


# -- words --------------------------------------------------------------------------------------------


@instruction("rlwinm{.}", 21)
def rlwinm(cpu: Any, RS: Any, RA: Any, SH: Any, MB: Any, ME: Any, Rc: int) -> None:
    finish(cpu, RA, masked_word(cpu, cpu.gpr[RS], SH, MB, ME), Rc)


@instruction("rlwnm{.}", 23)
def rlwnm(cpu: Any, RS: Any, RA: Any, RB: Any, MB: Any, ME: Any, Rc: int) -> None:
    finish(cpu, RA, rotated_word(cpu.gpr[RS], cpu.gpr[RB]) & mask(cpu, MB + 32, ME + 32), Rc)


@instruction("rlwimi{.}", 20)
def rlwimi(cpu: Any, RS: Any, RA: Any, SH: Any, MB: Any, ME: Any, Rc: int) -> None:
    inserted = mask(cpu, MB + 32, ME + 32)
    finish(cpu, RA, (rotated_word(cpu.gpr[RS], SH) & inserted) | (cpu.gpr[RA] & ~inserted), Rc)


# -- doublewords --------------------------------------------------------------------------------------


@instruction("rldicl{.}", 30, 0, form="MD")
def rldicl(cpu: Any, RS: Any, RA: Any, SH6: Any, MB6: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].rotl(SH6) & (cpu.const(-1) >> MB6), Rc)


@instruction("rldicr{.}", 30, 1, form="MD")
def rldicr(cpu: Any, RS: Any, RA: Any, SH6: Any, MB6: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].rotl(SH6) & (cpu.const(-1) << (63 - MB6)), Rc)


@instruction("rldic{.}", 30, 2, form="MD")
def rldic(cpu: Any, RS: Any, RA: Any, SH6: Any, MB6: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].rotl(SH6) & mask(cpu, MB6, 63 - SH6), Rc)


@instruction("rldimi{.}", 30, 3, form="MD")
def rldimi(cpu: Any, RS: Any, RA: Any, SH6: Any, MB6: Any, Rc: int) -> None:
    inserted = mask(cpu, MB6, 63 - SH6)
    finish(cpu, RA, (cpu.gpr[RS].rotl(SH6) & inserted) | (cpu.gpr[RA] & ~inserted), Rc)


@instruction("rldcl{.}", 30, 8, form="MDS")
def rldcl(cpu: Any, RS: Any, RA: Any, RB: Any, MB6: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].rotl(cpu.gpr[RB]) & (cpu.const(-1) >> MB6), Rc)


@instruction("rldcr{.}", 30, 9, form="MDS")
def rldcr(cpu: Any, RS: Any, RA: Any, RB: Any, MB6: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].rotl(cpu.gpr[RB]) & (cpu.const(-1) << (63 - MB6)), Rc)


# -- shifts -------------------------------------------------------------------------------------------


@instruction("slw{.}", 31, 24, form="X")
def slw(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    word, n = cpu.gpr[RS].trunc(32), cpu.gpr[RB]
    finish(cpu, RA, select(n.bit(5), 0, word << n).zext(64), Rc)


@instruction("srw{.}", 31, 536, form="X")
def srw(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    word, n = cpu.gpr[RS].trunc(32), cpu.gpr[RB]
    finish(cpu, RA, select(n.bit(5), 0, word >> n).zext(64), Rc)


@instruction("sld{.}", 31, 27, form="X")
def sld(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    n = cpu.gpr[RB]
    finish(cpu, RA, select(n.bit(6), 0, cpu.gpr[RS] << n), Rc)


@instruction("srd{.}", 31, 539, form="X")
def srd(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    n = cpu.gpr[RB]
    finish(cpu, RA, select(n.bit(6), 0, cpu.gpr[RS] >> n), Rc)


def shift_algebraic(cpu: Any, RA: Any, x: Any, n: Any, all_out: Any, Rc: int) -> None:
    """RA = ``x`` shifted right by ``n``, or by all of it; CA if it is negative and ones are shifted out."""
    shifted = x.sar(select(all_out, x.w - 1, n))
    lost = x.bit(x.w - 1) & (all_out | (shifted << n != x))
    cpu.ca = lost
    cpu.ca32 = lost
    finish(cpu, RA, shifted.sext(64), Rc)


@instruction("sraw{.}", 31, 792, form="X")
def sraw(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    n = cpu.gpr[RB]
    shift_algebraic(cpu, RA, cpu.gpr[RS].trunc(32), n, n.bit(5), Rc)


@instruction("srawi{.}", 31, 824, form="X")
def srawi(cpu: Any, RS: Any, RA: Any, SH: Any, Rc: int) -> None:
    shift_algebraic(cpu, RA, cpu.gpr[RS].trunc(32), SH, cpu.const(0, 1), Rc)


@instruction("srad{.}", 31, 794, form="X")
def srad(cpu: Any, RS: Any, RA: Any, RB: Any, Rc: int) -> None:
    n = cpu.gpr[RB]
    shift_algebraic(cpu, RA, cpu.gpr[RS], n, n.bit(6), Rc)


@instruction("sradi{.}", 31, 413, form="XS")
def sradi(cpu: Any, RS: Any, RA: Any, SH6: Any, Rc: int) -> None:
    shift_algebraic(cpu, RA, cpu.gpr[RS], SH6, cpu.const(0, 1), Rc)


@instruction("extswsli{.}", 31, 445, form="XS", since="3.0")
def extswsli(cpu: Any, RS: Any, RA: Any, SH6: Any, Rc: int) -> None:
    finish(cpu, RA, cpu.gpr[RS].trunc(32).sext(64) << SH6, Rc)

# SPDX-License-Identifier: GPL-2.0-only
"""Binary coded decimal assist instructions (Book I, section 3.3.17 and appendix B).

A declet is three decimal digits in ten bits, densely packed decimal (DPD).  The four declets of a
register are converted at once: each lies in 16 bits of its own, and a bit of each is a value that has
ones only at the right ends of these (``ONES``).  Bits are named as in the appendix: BCD ``abcd efgh ijkm``,
DPD ``pqr stu v wxy``.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.routine import routine

ONES = 0x0001000100010001


def spread(x: Any, width: int) -> Any:
    """The two fields of ``width`` bits at the right of each word, 16 bits apart."""
    ones = (1 << width) - 1
    starts = (0, width, 32, 32 + width)
    parts = [((x >> start) & ones) << (16 * n) for n, start in enumerate(starts)]
    return parts[0] | parts[1] | parts[2] | parts[3]


def gather(x: Any, width: int) -> Any:
    """The inverse of ``spread``."""
    ones = (1 << width) - 1
    starts = (0, width, 32, 32 + width)
    parts = [((x >> (16 * n)) & ones) << start for n, start in enumerate(starts)]
    return parts[0] | parts[1] | parts[2] | parts[3]


def bits_of(x: Any, count: int) -> list[Any]:
    """The low ``count`` bits of each element, the most significant first."""
    return [(x >> n) & ONES for n in reversed(range(count))]


def number(*bits: Any) -> Any:
    """Elements made of ``bits``, the most significant first."""
    value = bits[0]
    for bit in bits[1:]:
        value = (value << 1) | bit
    return value


def invert(bit: Any) -> Any:
    """NOT of a bit."""
    return bit ^ ONES


@routine(args=(64,), returns=64)
def bcd_of_dpd(cpu: Any, x: Any) -> Any:
    """Declets to three digits."""
    p, q, r, s, t, u, v, w, wx, y = bits_of(x, 10)
    both = v & w & wx
    a = v & w & invert(wx & s & invert(t))
    e = v & wx & invert(w & invert(s) & t)
    i = v & (invert(w | wx) | (w & wx & (s | t)))
    crossed = both & invert(s) & t  # the middle digit is p q u
    f = invert(e) & ((crossed & p) | (invert(crossed) & s))
    g = invert(e) & ((crossed & q) | (invert(crossed) & t))
    small = invert(i)
    j = small & ((invert(v) & w) | (v & invert(w) & s) | (v & w & p))
    k = small & ((invert(v) & wx) | (v & invert(w) & t) | (v & w & q))
    return number(a, invert(a) & p, invert(a) & q, r, e, f, g, u, i, j, k, y)


@routine(args=(64,), returns=64)
def dpd_of_bcd(cpu: Any, x: Any) -> Any:
    """Three digits to declets."""
    a, b, c, d, e, f, g, h, i, j, k, m = bits_of(x, 12)
    v = a | e | i
    from_last, from_middle = a & invert(i), a & invert(e) & i
    p = (invert(a) & b) | (from_last & j) | (from_middle & f)
    q = (invert(a) & c) | (from_last & k) | (from_middle & g)
    own, other = invert(e) & invert(a & i), e & invert(a | i)
    s = (own & f) | (other & j) | (e & i)
    t = (own & g) | (other & k) | (a & i)
    w = (invert(v) & j) | a | (e & i)
    wx = (invert(v) & k) | e | (a & i)
    return number(p, q, d, s, t, h, v, w, wx, m)


@instruction("cdtbcd", 31, 282, form="X")
def cdtbcd(cpu: Any, RS: Any, RA: Any) -> None:
    """Two declets in each word to six digits."""
    cpu.gpr[RA] = gather(bcd_of_dpd(cpu, spread(cpu.gpr[RS], 10)), 12)


@instruction("cbcdtd", 31, 314, form="X")
def cbcdtd(cpu: Any, RS: Any, RA: Any) -> None:
    """Six digits in each word to two declets."""
    cpu.gpr[RA] = gather(dpd_of_bcd(cpu, spread(cpu.gpr[RS], 12)), 10)

# SPDX-License-Identifier: GPL-2.0-only
"""What QEMU's user-mode emulator is no judge of, and why: left out of judged programs, not of others."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deviation:
    """Definitions (a regular expression over their names without ``{.}``) that QEMU does otherwise."""

    names: str
    why: str
    until: int = 1000  #: the first major version that is right
    big: bool = True  #: whether it is so in big-endian mode, too

    def fits(self, name: str) -> bool:
        """Whether it is about this definition."""
        return re.fullmatch(self.names, name.replace("{.}", "").replace("{o}", "")) is not None


UNDEFINED = "the ISA leaves the result undefined for some operands"
DEVIATIONS = (
    Deviation(r"stmw|stsw[ix]", "aborts where they give an alignment interrupt", big=False),
    Deviation(r"lmw|lsw[ix]", "the same; refuses invalid forms, which load all registers here"),
    Deviation(r"[ls]t?qarx|stqcx\.|lqarx", "never lets stqcx. succeed; no alignment interrupt"),
    Deviation(r"l[bhwd]arx|st[bhwd]cx\.", "no alignment interrupt (aligned ones have a unit of their own)"),
    Deviation(r"[ls][wd]t?at|st[wd]at", "signed maxima of words compare unsigned; ldat 25 gives 1 << 31"),
    Deviation(r"icbt|dst|dstst|hash(st|chk)p?", "not in user mode"),
    Deviation(r"mtvscr", "keeps reserved bits of VSCR"),
    Deviation(r"divde|divdeu|divweu?|vdiv.*|vmod.*", UNDEFINED),
    Deviation(r"bcd.*", UNDEFINED),
    Deviation(r"xs(add|sub|mul|div|sqrt)sp|xscv[su]xdsp", "rounds to double first"),
    Deviation(r"plq", "refuses RT 0 where RA is 0, though that is no register there"),
    Deviation(r"dctfixqq", "misses overflows at the ends of the range"),
    Deviation(r"vextd.*|vextract(d|u[bhw])|vextu[hw][lr]x|vins.*|vgnb", UNDEFINED),
    Deviation(r"fr(sqrt)?es?|x[sv]r(sqrt)?e[sd]p|v(re|rsqrte|expte|loge)fp", "other estimates, and XX"),
    Deviation(r"(f|x[sv])nm(add|sub).*|(pm)?xvb?f(16|32|64)gern[pn]", "negates before rounding"),
    Deviation(r"xs(max|min)jdp", "no VXSNAN for a signaling second operand if the first is a NaN too"),
    Deviation(r"drsp|drdpq", "drops a NaN's payload"),
    Deviation(r"vrldmi", "zeros where the ISA inserts into VRT"),
    Deviation(r"dsc[lr]iq?|diexq?", "keeps reserved exponent bits of NaNs and infinities, and invalid codes"),
    Deviation(r"ddedpdq?", "zero for infinities and NaNs, whose trailing digits count"),
    Deviation(r"drrndq?", "sets FEX though nothing is enabled"),
    Deviation(r"xsrqpxp?|xsrqpix?|xsrqpi", "R=0, RMC=3 is not FPSCR[RN] there; cuts NaNs' payloads"),
    Deviation(r"xststdcsp", "takes every denormal single for a match"),
    Deviation(r"lxs(d|sp|iwa|iwz|ibz|ihz)x|mtvsrd|mtvsrw[az]", "leaves doubleword 1, which ISA 3.1 clears"),
    Deviation(r"mtfs(f|fi|b1)", "FX and NI; with enabled exceptions CR1, range and target differ"),
    Deviation(r"fcfid(u|s|us)|denbcdq?", "leaves FPRF alone"),
    Deviation(r"xvcv[ds]p[su]x[dw]s", "an invalid element spoils those after it", until=10),
    Deviation(r"sync", "does not know L of 4 and 5", until=10),
    Deviation(r"fct.*|xscv.*[su]x.s", "the ISA leaves FPRF and the upper word undefined"),
)


def known(name: str, version: int, little: bool) -> list[Deviation]:
    """What is known about a definition in a version of QEMU."""
    return [d for d in DEVIATIONS if version < d.until and (little or d.big) and d.fits(name)]

# SPDX-License-Identifier: GPL-2.0-only
"""Instruction fields, named and numbered as in the Power ISA (Book I, section 1.6).

A field is a list of ``(first, last)`` bit ranges of the 32-bit word, bit 0 most significant,
joined most significant range first.  What a body receives for a field depends on its kind:

* ``REG``: a register number, usable as an index only (``cpu.gpr[RA]``, ``cpu.cr[BF]``);
* ``IMM``: an immediate as 64-bit ``Bits``, zero- or sign-extended, scaled as the ISA says;
* ``STATIC``: a Python int; the engine makes one handler for each value.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.Enum):
    """What a body receives for a field."""

    REG = "reg"
    IMM = "imm"
    STATIC = "static"


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its bit ranges, kind, and for immediates signedness and scale (log2).

    ``plus`` makes the number of a register after the one in the word (modulo the number of registers).
    """

    name: str
    ranges: tuple[tuple[int, int], ...]
    kind: Kind
    signed: bool = False
    scale: int = 0
    invert_high: bool = False
    plus: int = 0

    @property
    def width(self) -> int:
        """Width in bits before scaling."""
        return sum(last - first + 1 for first, last in self.ranges)

    @property
    def mask(self) -> int:
        """The word's bits that belong to the field."""
        return sum(((1 << (last - first + 1)) - 1) << (31 - last) for first, last in self.ranges)

    def extract(self, word: int) -> int:
        """The field's value in ``word`` as a Python int, signed and scaled."""
        value = 0
        for first, last in self.ranges:
            width = last - first + 1
            value = value << width | (word >> (31 - last) & ((1 << width) - 1))
        if self.signed and value >> (self.width - 1):
            value -= 1 << self.width
        value <<= self.scale
        return (value + self.plus) % (1 << (self.width + self.scale)) if self.plus else value

    def insert(self, value: int) -> int:
        """The word bits for a raw (scaled) ``value``; the inverse of :meth:`extract`."""
        value = ((value - self.plus) >> self.scale) & ((1 << self.width) - 1)
        word = 0
        for first, last in reversed(self.ranges):
            width = last - first + 1
            word |= (value & ((1 << width) - 1)) << (31 - last)
            value >>= width
        return word


FIELDS: dict[str, Field] = {}


def _field(
    names: str, *ranges: tuple[int, int], kind: Kind = Kind.REG, signed: bool = False, scale: int = 0
) -> None:
    for name in names.split():
        FIELDS[name] = Field(name, ranges, kind, signed, scale)


_R, _I, _S = Kind.REG, Kind.IMM, Kind.STATIC

# registers
_field("RT RS FRT FRS VRT VRS RTp FRTp FRSp RSp", (6, 10))
_field("RA FRA VRA FRAp", (11, 15))
_field("RA0", (11, 15))  # (RA|0): use cpu.base(RA0); decoded as two handlers
_field("RB FRB VRB FRBp", (16, 20))
_field("RC FRC VRC", (21, 25))
_field("BF", (6, 8))
_field("BFA", (11, 13))
_field("BT", (6, 10))
_field("BA", (11, 15))
_field("BB", (16, 20))
_field("BI", (11, 15))
_field("BC", (21, 25))
_field("XT XS", (31, 31), (6, 10))
_field("XA", (29, 29), (11, 15))
_field("XB", (30, 30), (16, 20))
_field("XC", (28, 28), (21, 25))
_field("XTQ XSQ", (28, 28), (6, 10))  # DQ-form lxv/stxv: TX is bit 28
_field("XTp XSp", (10, 10), (6, 9))  # pair: multiply by two
# immediates
_field("SI D", (16, 31), kind=_I, signed=True)
_field("UI", (16, 31), kind=_I)
_field("DS", (16, 29), kind=_I, signed=True, scale=2)
_field("DQ", (16, 27), kind=_I, signed=True, scale=4)
_field("BD", (16, 29), kind=_I, signed=True, scale=2)
_field("LI", (6, 29), kind=_I, signed=True, scale=2)
_field("DX", (16, 25), (11, 15), (31, 31), kind=_I, signed=True)  # addpcis d = d0||d1||d2
_field("SH", (16, 20), kind=_I)
_field("MB", (21, 25), kind=_I)
_field("ME", (26, 30), kind=_I)
_field("SH6", (30, 30), (16, 20), kind=_I)
_field("MB6", (26, 26), (21, 25), kind=_I)  # MD-form mb/me = high bit last in the word
_field("SIM5", (11, 15), kind=_I, signed=True)
_field("UIM5", (11, 15), kind=_I)
_field("UIM4", (12, 15), kind=_I)
_field("UIM3", (13, 15), kind=_I)
_field("UIM2", (14, 15), kind=_I)
_field("IMM8", (13, 20), kind=_I)
_field("DCMX7", (25, 25), (29, 29), (11, 15), kind=_I)  # xvtstdc: dc||dm||dx
_field("DCMX", (9, 15), kind=_I)
_field("SHB", (22, 25), kind=_I)
_field("SIX", (17, 20), kind=_I)
_field("FXM", (12, 19), kind=_I)
_field("FLM", (7, 14), kind=_I)
_field("U", (16, 19), kind=_I)
_field("NB", (16, 20), kind=_I)
_field("DCM DGM", (16, 21), kind=_I)
# statically decoded: one handler for each value
_field("Rc", (31, 31), kind=_S)
_field("RcV", (21, 21), kind=_S)  # VC-form and XX3 compare record bit
_field("OE", (21, 21), kind=_S)
_field("LK", (31, 31), kind=_S)
_field("AA", (30, 30), kind=_S)
_field("L10", (10, 10), kind=_S)
_field("L15", (15, 15), kind=_S)
_field("L2", (9, 10), kind=_S)
_field("L3", (8, 10), kind=_S)
_field("EH", (31, 31), kind=_S)
_field("BO", (6, 10), kind=_S)
_field("BH", (19, 20), kind=_S)
_field("TO", (6, 10), kind=_S)
_field("TO_I", (6, 10), kind=_I)
_field("SPR", (16, 20), (11, 15), kind=_S)
_field("TBR", (16, 20), (11, 15), kind=_S)
_field("LEV", (20, 26), kind=_S)
_field("W", (15, 15), kind=_S)
_field("WFLM", (15, 15), kind=_S)
_field("LFLM", (6, 6), kind=_S)
_field("RMC", (21, 22), kind=_S)
_field("R15", (15, 15), kind=_S)
_field("EX", (31, 31), kind=_S)
_field("DM", (22, 23), kind=_S)
_field("SHW", (22, 23), kind=_S)
_field("ST", (16, 16), kind=_S)
_field("SIXS", (17, 20), kind=_S)
_field("PS", (22, 22), kind=_S)
_field("SP", (9, 10), kind=_S)
_field("S", (11, 11), kind=_S)
_field("TE", (11, 15), kind=_I, signed=True)
_field("CT", (7, 10), kind=_S)
_field("TH", (6, 10), kind=_S)
_field("RIC", (12, 13), kind=_S)
_field("PRS", (14, 14), kind=_S)
_field("R", (15, 15), kind=_S)
_field("FC", (16, 20), kind=_S)
_field("DRM", (18, 20), kind=_I)
_field("RM2", (19, 20), kind=_I)
_field("WC", (9, 10), kind=_S)
_field("MASK_SR", (12, 15), kind=_I)
# whole-register numbers decoded statically (loops over registers, pairs)
_field("RT_S RS_S", (6, 10), kind=_S)
_field("NB_S", (16, 20), kind=_S)
# VSR pairs: the even and the odd register
_field("XPe", (10, 10), (6, 9), scale=1)
FIELDS["XPo"] = Field("XPo", ((10, 10), (6, 9)), Kind.REG, scale=1, plus=1)
_field("UIM5_S", (11, 15), kind=_S)
# vector facility
_field("SHBIT", (23, 25), kind=_I)  # vsldbi, vsrdbi: a shift by 0 to 7 bits
# floating-point facility: FPSCR fields and bits as numbers, even-odd pairs halved (registers 2n and 2n + 1)
_field("BF_I", (6, 8), kind=_I)
_field("BFA_I", (11, 13), kind=_I)
_field("BT_I", (6, 10), kind=_I)
_field("FRTp_S FRSp_S", (6, 9), kind=_S)
# prefixed instructions: bit p of the prefix is p - 32, so that all shifts hold for prefix << 32 | suffix
_field("D34", (-18, -1), (16, 31), kind=_I, signed=True)
_field("IMM32", (-16, -1), (16, 31), kind=_I)
_field("R_P", (-21, -21), kind=_S)
_field("UIM3_P", (-3, -1), kind=_I)
_field("IMM8_P", (-8, -1), kind=_I)
_field("XT8 XS8", (5, 5), (6, 10))  # plxv, pstxv: TX is bit 5 of the suffix
_field("XT15", (15, 15), (6, 10))  # xxspltiw and its like: TX is bit 15 of the suffix
_field("IX", (14, 14), kind=_S)
# branches and the fixed-point facility: BO without the hint; registers that follow from the one in the word
_field("BOC", (6, 9), kind=_S)
_field("LEV_I", (20, 26), kind=_I)
_field("L14", (14, 15), kind=_S)
_field("RTe", (6, 9), scale=1)  # even-odd pairs: fix bit 10 to 0
FIELDS["RTo"] = Field("RTo", ((6, 9),), Kind.REG, scale=1, plus=1)
FIELDS["RT1"] = Field("RT1", ((6, 10),), Kind.REG, plus=1)
_field("SPR_I", (16, 20), (11, 15), kind=_I)
_field("MP", (15, 15), kind=_S)  # vcntmb: which mask value counts
_field("RT_I", (6, 10), kind=_I)  # a register number to compute with: cpu.gpr takes a value as an index too
# decimal floating-point facility: register pairs by their halves; rounding and sign choices as numbers
for _name in ("FRT", "FRA", "FRB"):
    _first = {"FRT": 6, "FRA": 11, "FRB": 16}[_name]
    _field(_name + "e", (_first, _first + 3), scale=1)  # even-odd pairs: fix the last bit to 0
    FIELDS[_name + "o"] = Field(_name + "o", ((_first, _first + 3),), Kind.REG, scale=1, plus=1)
_field("RMC_I", (21, 22), kind=_I)
_field("R_I", (15, 15), kind=_I)
_field("SP_I", (11, 12), kind=_I)
_field("S_I", (11, 11), kind=_I)
_field("SH_D", (16, 21), kind=_I)
_field("UIM6", (10, 15), kind=_I)
# more: the third register of compare and swap, S of rfebb
FIELDS["RT2"] = Field("RT2", ((6, 10),), Kind.REG, plus=2)
_field("S20", (20, 20), kind=_I)
# matrix-multiply assist: the four VSRs of an accumulator, a pair of VSRs, masks in the prefix
for _n in range(4):
    FIELDS[f"AT{_n}"] = Field(f"AT{_n}", ((6, 8),), Kind.REG, scale=2, plus=_n)
_field("XAe", (29, 29), (11, 14), scale=1)
FIELDS["XAo"] = Field("XAo", ((29, 29), (11, 14)), Kind.REG, scale=1, plus=1)
_field("MASKS", (-16, -1), kind=_I)

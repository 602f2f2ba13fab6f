# SPDX-License-Identifier: GPL-2.0-only
"""Vector integer arithmetic: add, subtract, average, minimum, maximum (Book I, section 6.9)."""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import select
from lpar.isa.vmx_common import lanewise, saturating, unary_selected


@lanewise(
    vaddubm=(0, 8),
    vadduhm=(64, 16),
    vadduwm=(128, 32),
    vaddudm=(192, 64),
    vadduqm=(256, 128),
)
def add(a: Any, b: Any) -> Any:
    return a + b


@lanewise(
    vsububm=(1024, 8),
    vsubuhm=(1088, 16),
    vsubuwm=(1152, 32),
    vsubudm=(1216, 64),
    vsubuqm=(1280, 128),
)
def subtract(a: Any, b: Any) -> Any:
    return a - b


@lanewise(vaddcuw=(384, 32), vaddcuq=(320, 128))
def add_carry(a: Any, b: Any) -> Any:
    return ((a + b) < a).zext(a.w)


@lanewise(vsubcuw=(1408, 32), vsubcuq=(1344, 128))
def subtract_carry(a: Any, b: Any) -> Any:
    return (a >= b).zext(a.w)


def extended_carry(a: Any, b: Any, c: Any) -> Any:
    """Carry out of ``a + b + c``, where ``c`` is 0 or 1."""
    partial = a + b
    return ((partial < a) | ((partial + c) < partial)).zext(a.w)


@instruction("vaddeuqm", 4, 60, form="VA", needs="VEC")
def vaddeuqm(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    cpu.vr[VRT] = cpu.vr[VRA] + cpu.vr[VRB] + (cpu.vr[VRC] & 1)


@instruction("vaddecuq", 4, 61, form="VA", needs="VEC")
def vaddecuq(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    cpu.vr[VRT] = extended_carry(cpu.vr[VRA], cpu.vr[VRB], cpu.vr[VRC] & 1)


@instruction("vsubeuqm", 4, 62, form="VA", needs="VEC")
def vsubeuqm(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    cpu.vr[VRT] = cpu.vr[VRA] + ~cpu.vr[VRB] + (cpu.vr[VRC] & 1)


@instruction("vsubecuq", 4, 63, form="VA", needs="VEC")
def vsubecuq(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    cpu.vr[VRT] = extended_carry(cpu.vr[VRA], ~cpu.vr[VRB], cpu.vr[VRC] & 1)


@saturating(add, vaddubs=(512, 8), vadduhs=(576, 16), vadduws=(640, 32))
def add_unsigned_saturate(a: Any, b: Any) -> Any:
    return select((a + b) < a, -1, a + b)


@saturating(subtract, vsububs=(1536, 8), vsubuhs=(1600, 16), vsubuws=(1664, 32))
def subtract_unsigned_saturate(a: Any, b: Any) -> Any:
    return select(a < b, 0, a - b)


def signed_limit(a: Any) -> Any:
    """The largest signed number of a's sign's side."""
    return a.sar(a.w - 1) ^ ((1 << (a.w - 1)) - 1)


@saturating(add, vaddsbs=(768, 8), vaddshs=(832, 16), vaddsws=(896, 32))
def add_signed_saturate(a: Any, b: Any) -> Any:
    total = a + b
    return select(((a ^ total) & (b ^ total)).slt(0), signed_limit(a), total)


@saturating(subtract, vsubsbs=(1792, 8), vsubshs=(1856, 16), vsubsws=(1920, 32))
def subtract_signed_saturate(a: Any, b: Any) -> Any:
    difference = a - b
    return select(((a ^ b) & (a ^ difference)).slt(0), signed_limit(a), difference)


@lanewise(vavgub=(1026, 8), vavguh=(1090, 16), vavguw=(1154, 32))
def average_unsigned(a: Any, b: Any) -> Any:
    return (a | b) - ((a ^ b) >> 1)


@lanewise(vavgsb=(1282, 8), vavgsh=(1346, 16), vavgsw=(1410, 32))
def average_signed(a: Any, b: Any) -> Any:
    return (a | b) - (a ^ b).sar(1)


@lanewise(vmaxub=(2, 8), vmaxuh=(66, 16), vmaxuw=(130, 32), vmaxud=(194, 64))
def maximum_unsigned(a: Any, b: Any) -> Any:
    return select(a > b, a, b)


@lanewise(vmaxsb=(258, 8), vmaxsh=(322, 16), vmaxsw=(386, 32), vmaxsd=(450, 64))
def maximum_signed(a: Any, b: Any) -> Any:
    return select(a.sgt(b), a, b)


@lanewise(vminub=(514, 8), vminuh=(578, 16), vminuw=(642, 32), vminud=(706, 64))
def minimum_unsigned(a: Any, b: Any) -> Any:
    return select(a < b, a, b)


@lanewise(vminsb=(770, 8), vminsh=(834, 16), vminsw=(898, 32), vminsd=(962, 64))
def minimum_signed(a: Any, b: Any) -> Any:
    return select(a.slt(b), a, b)


@lanewise("3.0", vabsdub=(1027, 8), vabsduh=(1091, 16), vabsduw=(1155, 32))
def absolute_difference(a: Any, b: Any) -> Any:
    return select(a > b, a - b, b - a)


@unary_selected(1538, "3.0", vnegw=(6, 32), vnegd=(7, 64))
def negate(b: Any) -> Any:
    return -b


@unary_selected(1538, "3.0", vextsb2w=(16, 32), vextsb2d=(24, 64))
def extend_byte(b: Any) -> Any:
    return b.trunc(8).sext(b.w)


@unary_selected(1538, "3.0", vextsh2w=(17, 32), vextsh2d=(25, 64))
def extend_halfword(b: Any) -> Any:
    return b.trunc(16).sext(b.w)


@unary_selected(1538, "3.0", vextsw2d=(26, 64))
def extend_word(b: Any) -> Any:
    return b.trunc(32).sext(b.w)


@unary_selected(1538, "3.1", vextsd2q=(27, 128))
def extend_doubleword(b: Any) -> Any:
    return b.trunc(64).sext(b.w)


@unary_selected(1538, "3.0", vprtybw=(8, 32), vprtybd=(9, 64), vprtybq=(10, 128))
def byte_parity(b: Any) -> Any:
    """Parity of the bytes' least significant bits."""
    ones = b & int.from_bytes(bytes([1]) * (b.w // 8), "big")
    return ones.popcount() & 1

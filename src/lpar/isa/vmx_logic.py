# SPDX-License-Identifier: GPL-2.0-only
"""Vector logic, rotate, shift, count (Book I, sections 6.11 to 6.13 and 6.8.8)."""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import map_lanes, select
from lpar.isa.vmx_common import lanewise, unary_selected


@lanewise(vand=(1028, 128))
def and_(a: Any, b: Any) -> Any:
    return a & b


@lanewise(vandc=(1092, 128))
def and_complement(a: Any, b: Any) -> Any:
    return a & ~b


@lanewise(vor=(1156, 128))
def or_(a: Any, b: Any) -> Any:
    return a | b


@lanewise(vorc=(1348, 128))
def or_complement(a: Any, b: Any) -> Any:
    return a | ~b


@lanewise(vxor=(1220, 128))
def xor(a: Any, b: Any) -> Any:
    return a ^ b


@lanewise(vnor=(1284, 128))
def nor(a: Any, b: Any) -> Any:
    return ~(a | b)


@lanewise(vnand=(1412, 128))
def nand(a: Any, b: Any) -> Any:
    return ~(a & b)


@lanewise(veqv=(1668, 128))
def equivalent(a: Any, b: Any) -> Any:
    return ~(a ^ b)


@instruction("vsel", 4, 42, form="VA", needs="VEC")
def vsel(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    mask = cpu.vr[VRC]
    cpu.vr[VRT] = cpu.vr[VRA] & ~mask | cpu.vr[VRB] & mask


# -- shifts and rotates of elements: values take amounts modulo the width, as these do ------------------


@lanewise(vrlb=(4, 8), vrlh=(68, 16), vrlw=(132, 32), vrld=(196, 64))
def rotate_left(a: Any, b: Any) -> Any:
    return a.rotl(b)


@lanewise(vslb=(260, 8), vslh=(324, 16), vslw=(388, 32), vsld=(1476, 64))
def shift_left(a: Any, b: Any) -> Any:
    return a << b


@lanewise(vsrb=(516, 8), vsrh=(580, 16), vsrw=(644, 32), vsrd=(1732, 64))
def shift_right(a: Any, b: Any) -> Any:
    return a >> b


@lanewise(vsrab=(772, 8), vsrah=(836, 16), vsraw=(900, 32), vsrad=(964, 64))
def shift_right_algebraic(a: Any, b: Any) -> Any:
    return a.sar(b)


# -- shifts of the quadword ------------------------------------------------------------------------------


@lanewise(vsl=(452, 128))
def quad_shift_left(a: Any, b: Any) -> Any:
    return a << (b.trunc(8) & 7)


@lanewise(vsr=(708, 128))
def quad_shift_right(a: Any, b: Any) -> Any:
    return a >> (b.trunc(8) & 7)


@lanewise(vslo=(1036, 128))
def quad_shift_left_octets(a: Any, b: Any) -> Any:
    return a << (b.trunc(8) & 0x78)


@lanewise(vsro=(1100, 128))
def quad_shift_right_octets(a: Any, b: Any) -> Any:
    return a >> (b.trunc(8) & 0x78)


@instruction("vslv", 4, 1860, form="VX", needs="VEC", since="3.0")
def vslv(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    a = cpu.vr[VRA]
    cpu.vr[VRT] = map_lanes(8, lambda x, y, n: x << (n & 7) | y >> 1 >> (~n & 7), a, a << 8, cpu.vr[VRB])


@instruction("vsrv", 4, 1796, form="VX", needs="VEC", since="3.0")
def vsrv(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    a = cpu.vr[VRA]
    cpu.vr[VRT] = map_lanes(8, lambda x, y, n: x >> (n & 7) | y << 1 << (~n & 7), a, a >> 8, cpu.vr[VRB])


@instruction("vsldoi", 4, 44, form="VA", needs="VEC")
def vsldoi(cpu: Any, VRT: Any, VRA: Any, VRB: Any, SHB: Any) -> None:
    bits = SHB << 3
    cpu.vr[VRT] = cpu.vr[VRA] << bits | cpu.vr[VRB] >> 8 >> (120 - bits)


@instruction("vsldbi", 4, 22, form="VA", needs="VEC", since="3.1", fixed={(21, 22): 0})
def vsldbi(cpu: Any, VRT: Any, VRA: Any, VRB: Any, SHBIT: Any) -> None:
    cpu.vr[VRT] = cpu.vr[VRA] << SHBIT | cpu.vr[VRB] >> 1 >> (127 - SHBIT)


@instruction("vsrdbi", 4, 22, form="VA", needs="VEC", since="3.1", fixed={(21, 22): 1})
def vsrdbi(cpu: Any, VRT: Any, VRA: Any, VRB: Any, SHBIT: Any) -> None:
    cpu.vr[VRT] = cpu.vr[VRB] >> SHBIT | cpu.vr[VRA] << 1 << (127 - SHBIT)


@lanewise("3.1", vslq=(261, 128))
def quad_left(a: Any, b: Any) -> Any:
    return a << b.bits(64, 8)


@lanewise("3.1", vsrq=(517, 128))
def quad_right(a: Any, b: Any) -> Any:
    return a >> b.bits(64, 8)


@lanewise("3.1", vsraq=(773, 128))
def quad_right_algebraic(a: Any, b: Any) -> Any:
    return a.sar(b.bits(64, 8))


@lanewise("3.1", vrlq=(5, 128))
def quad_rotate(a: Any, b: Any) -> Any:
    return a.rotl(b.bits(64, 8))


# -- rotate and mask -------------------------------------------------------------------------------------


def rotate_mask(first: Any, last: Any) -> Any:
    """Ones from bit ``first`` to bit ``last`` (numbered from the left), around the end if first > last."""
    limit = first.w - 1
    first, last = first & limit, last & limit
    head, tail = (first | -1) >> first, (first | -1) << (limit - last)
    return select(first <= last, head & tail, head | tail)


@lanewise("3.0", vrlwnm=(389, 32), vrldnm=(453, 64))
def rotate_and(a: Any, b: Any) -> Any:
    return a.rotl(b) & rotate_mask(b >> 16, b >> 8)


def rotate_insert(a: Any, b: Any, old: Any) -> Any:
    mask = rotate_mask(b >> 16, b >> 8)
    return a.rotl(b) & mask | old & ~mask


@instruction("vrlwmi", 4, 133, form="VX", needs="VEC", since="3.0")
def vrlwmi(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = map_lanes(32, rotate_insert, cpu.vr[VRA], cpu.vr[VRB], cpu.vr[VRT])


@instruction("vrldmi", 4, 197, form="VX", needs="VEC", since="3.0")
def vrldmi(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = map_lanes(64, rotate_insert, cpu.vr[VRA], cpu.vr[VRB], cpu.vr[VRT])


@instruction("vrlqnm", 4, 325, form="VX", needs="VEC", since="3.1")
def vrlqnm(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = rotate_and(cpu.vr[VRA], cpu.vr[VRB] >> 64)


@instruction("vrlqmi", 4, 69, form="VX", needs="VEC", since="3.1")
def vrlqmi(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = rotate_insert(cpu.vr[VRA], cpu.vr[VRB] >> 64, cpu.vr[VRT])


# -- counts ----------------------------------------------------------------------------------------------


@lanewise(vclzb=(1794, 8), vclzh=(1858, 16), vclzw=(1922, 32), vclzd=(1986, 64))
def count_leading_zeros(b: Any) -> Any:
    return b.clz()


@unary_selected(1538, "3.0", vctzb=(28, 8), vctzh=(29, 16), vctzw=(30, 32), vctzd=(31, 64))
def count_trailing_zeros(b: Any) -> Any:
    return b.ctz()


@lanewise(vpopcntb=(1795, 8), vpopcnth=(1859, 16), vpopcntw=(1923, 32), vpopcntd=(1987, 64))
def population_count(b: Any) -> Any:
    return b.popcount()


@instruction("vclzlsbb", 4, 1538, form="VX", needs="VEC", since="3.0", fixed={(11, 15): 0})
def vclzlsbb(cpu: Any, RT: Any, VRB: Any) -> None:
    ones = cpu.vr[VRB] & 0x01010101010101010101010101010101
    cpu.gpr[RT] = (ones.clz() >> 3).trunc(64)


@instruction("vctzlsbb", 4, 1538, form="VX", needs="VEC", since="3.0", fixed={(11, 15): 1})
def vctzlsbb(cpu: Any, RT: Any, VRB: Any) -> None:
    ones = cpu.vr[VRB] & 0x01010101010101010101010101010101
    cpu.gpr[RT] = (ones.ctz() >> 3).trunc(64)

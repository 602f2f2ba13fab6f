# SPDX-License-Identifier: GPL-2.0-only
"""Vector element extract and insert, string isolate, masks (Book I, section 6.8; ISA 3.0 and 3.1).

Where an element would reach beyond the register the ISA leaves the result undefined.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.fixed_bits import gather_bits, scatter_bits
from lpar.isa.registry import instruction
from lpar.isa.routine import routine
from lpar.isa.values import concat, from_lanes, lanes, map_lanes, select
from lpar.isa.vmx_common import byte_mask_to_bits, lanewise, unary_selected

ONES = (1 << 128) - 1


def left_shift(index: Any, size: int, total: int = 16) -> Any:
    """The shift that brings the ``size`` bytes at byte ``index`` from the left to the right end."""
    return (total - size) * 8 - (index & (total - 1)) * 8


def right_shift(index: Any, size: int, total: int = 16) -> Any:
    """The same for an index from the right."""
    return (index & (total - 1)) * 8


def replaced(old: Any, value: Any, shift: Any, size: int) -> Any:
    """``old`` with the low ``size`` bytes of ``value`` at ``shift`` bits from its right end."""
    mask = old & 0 | (1 << 8 * size) - 1
    return old & ~(mask << shift) | (value.zext(128) & mask) << shift


# -- extract -----------------------------------------------------------------------------------------------


def _extract_immediate(name: str, xo: int, size: int) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC", since="3.0")
    def body(cpu: Any, VRT: Any, VRB: Any, UIM4: Any) -> None:
        element = (cpu.vr[VRB] >> left_shift(UIM4, size)).trunc(8 * size)
        cpu.vr[VRT] = concat(element.zext(64), cpu.const(0))


_extract_immediate("vextractub", 525, 1)
_extract_immediate("vextractuh", 589, 2)
_extract_immediate("vextractuw", 653, 4)
_extract_immediate("vextractd", 717, 8)


def _extract_to_gpr(name: str, xo: int, size: int, shift: Any) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC", since="3.0")
    def body(cpu: Any, RT: Any, RA: Any, VRB: Any) -> None:
        cpu.gpr[RT] = (cpu.vr[VRB] >> shift(cpu.gpr[RA], size)).trunc(8 * size).zext(64)


_extract_to_gpr("vextublx", 1549, 1, left_shift)
_extract_to_gpr("vextuhlx", 1613, 2, left_shift)
_extract_to_gpr("vextuwlx", 1677, 4, left_shift)
_extract_to_gpr("vextubrx", 1805, 1, right_shift)
_extract_to_gpr("vextuhrx", 1869, 2, right_shift)
_extract_to_gpr("vextuwrx", 1933, 4, right_shift)


def _extract_double(name: str, xo: int, size: int, shift: Any) -> None:
    @instruction(name, 4, xo, form="VA", needs="VEC", since="3.1")
    def body(cpu: Any, VRT: Any, VRA: Any, VRB: Any, RC: Any) -> None:
        source = concat(cpu.vr[VRA], cpu.vr[VRB])
        element = (source >> shift(cpu.gpr[RC], size, 32)).trunc(8 * size)
        cpu.vr[VRT] = concat(element.zext(64), cpu.const(0))


_extract_double("vextdubvlx", 24, 1, left_shift)
_extract_double("vextdubvrx", 25, 1, right_shift)
_extract_double("vextduhvlx", 26, 2, left_shift)
_extract_double("vextduhvrx", 27, 2, right_shift)
_extract_double("vextduwvlx", 28, 4, left_shift)
_extract_double("vextduwvrx", 29, 4, right_shift)
_extract_double("vextddvlx", 30, 8, left_shift)
_extract_double("vextddvrx", 31, 8, right_shift)


# -- insert ------------------------------------------------------------------------------------------------


def _insert_immediate(name: str, xo: int, size: int) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC", since="3.0")
    def body(cpu: Any, VRT: Any, VRB: Any, UIM4: Any) -> None:
        element = cpu.vr[VRB].bits(64, 64)
        cpu.vr[VRT] = replaced(cpu.vr[VRT], element, left_shift(UIM4, size), size)


_insert_immediate("vinsertb", 781, 1)
_insert_immediate("vinserth", 845, 2)
_insert_immediate("vinsertw", 909, 4)
_insert_immediate("vinsertd", 973, 8)


def _insert_gpr_immediate(name: str, xo: int, size: int) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC", since="3.1")
    def body(cpu: Any, VRT: Any, RB: Any, UIM4: Any) -> None:
        cpu.vr[VRT] = replaced(cpu.vr[VRT], cpu.gpr[RB], left_shift(UIM4, size), size)


_insert_gpr_immediate("vinsw", 207, 4)
_insert_gpr_immediate("vinsd", 463, 8)


def _insert_gpr(name: str, xo: int, size: int, shift: Any) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC", since="3.1")
    def body(cpu: Any, VRT: Any, RA: Any, RB: Any) -> None:
        cpu.vr[VRT] = replaced(cpu.vr[VRT], cpu.gpr[RB], shift(cpu.gpr[RA], size), size)


_insert_gpr("vinsblx", 527, 1, left_shift)
_insert_gpr("vinshlx", 591, 2, left_shift)
_insert_gpr("vinswlx", 655, 4, left_shift)
_insert_gpr("vinsdlx", 719, 8, left_shift)
_insert_gpr("vinsbrx", 783, 1, right_shift)
_insert_gpr("vinshrx", 847, 2, right_shift)
_insert_gpr("vinswrx", 911, 4, right_shift)
_insert_gpr("vinsdrx", 975, 8, right_shift)


def _insert_vector(name: str, xo: int, size: int, shift: Any) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC", since="3.1")
    def body(cpu: Any, VRT: Any, RA: Any, VRB: Any) -> None:
        element = cpu.vr[VRB].bits(64, 64)
        cpu.vr[VRT] = replaced(cpu.vr[VRT], element, shift(cpu.gpr[RA], size), size)


_insert_vector("vinsbvlx", 15, 1, left_shift)
_insert_vector("vinshvlx", 79, 2, left_shift)
_insert_vector("vinswvlx", 143, 4, left_shift)
_insert_vector("vinsbvrx", 271, 1, right_shift)
_insert_vector("vinshvrx", 335, 2, right_shift)
_insert_vector("vinswvrx", 399, 4, right_shift)


# -- clear bytes, isolate strings ----------------------------------------------------------------------------


@instruction("vclrlb", 4, 397, form="VX", needs="VEC", since="3.1")
def vclrlb(cpu: Any, VRT: Any, VRA: Any, RB: Any) -> None:
    a, count = cpu.vr[VRA], cpu.gpr[RB]
    cpu.vr[VRT] = select(count < 16, a & ~(cpu.const(ONES, 128) << (count << 3)), a)


@instruction("vclrrb", 4, 461, form="VX", needs="VEC", since="3.1")
def vclrrb(cpu: Any, VRT: Any, VRA: Any, RB: Any) -> None:
    a, count = cpu.vr[VRA], cpu.gpr[RB]
    cpu.vr[VRT] = select(count < 16, a & ~(cpu.const(ONES, 128) >> (count << 3)), a)


def _isolate(name: str, eo: int, width: int, from_left: bool) -> None:
    @instruction(name + "{.}", 4, 13, form="VC", needs="VEC", since="3.1", fixed={(11, 15): eo})
    def body(cpu: Any, VRT: Any, VRB: Any, RcV: int) -> None:
        b = cpu.vr[VRB]
        zeros = map_lanes(width, lambda x: x == 0, b)
        ones = cpu.const(ONES, 128)
        gone = ones >> zeros.clz() if from_left else ones << zeros.ctz()
        if RcV:
            cpu.cr[6] = concat(cpu.const(0, 6), zeros != 0, cpu.const(0, 1))
        cpu.vr[VRT] = select(zeros == 0, b, b & ~gone)


_isolate("vstribl", 0, 8, True)
_isolate("vstribr", 1, 8, False)
_isolate("vstrihl", 2, 16, True)
_isolate("vstrihr", 3, 16, False)


# -- masks -------------------------------------------------------------------------------------------------


@unary_selected(
    1602, "3.1", vexpandbm=(0, 8), vexpandhm=(1, 16), vexpandwm=(2, 32), vexpanddm=(3, 64), vexpandqm=(4, 128)
)
def expand_sign(b: Any) -> Any:
    return b.sar(b.w - 1)


def sign_bits(x: Any, width: int) -> Any:
    """The signs of the elements as one 64-bit number, element 0 leftmost."""
    if width == 8:
        high, low = (byte_mask_to_bits(part) for part in lanes(map_lanes(8, lambda b: b >> 7, x), 64))
        return high << 8 | low
    return concat(*[e.bit(width - 1) for e in lanes(x, width)]).zext(64)


def _extract_mask(name: str, eo: int, width: int) -> None:
    @instruction(name, 4, 1602, form="VX", needs="VEC", since="3.1", fixed={(11, 15): eo})
    def body(cpu: Any, RT: Any, VRB: Any) -> None:
        cpu.gpr[RT] = sign_bits(cpu.vr[VRB], width)


def bits_to_mask(x: Any, width: int) -> Any:
    """Elements of all ones or zeros from the low bits of ``x``, element 0 from the leftmost."""
    count = 128 // width
    return from_lanes([x.bit(count - 1 - n).sext(width) for n in range(count)])


def _mask_from_gpr(name: str, eo: int, width: int) -> None:
    @instruction(name, 4, 1602, form="VX", needs="VEC", since="3.1", fixed={(11, 15): eo})
    def body(cpu: Any, VRT: Any, RB: Any) -> None:
        cpu.vr[VRT] = bits_to_mask(cpu.gpr[RB], width)


def _count_mask(name: str, eo: int, width: int) -> None:
    @instruction(name, 4, 1602, form="VX", needs="VEC", since="3.1", fixed={(11, 14): eo >> 1})
    def body(cpu: Any, RT: Any, VRB: Any, MP: int) -> None:
        bits = sign_bits(cpu.vr[VRB], width)
        count = bits.popcount() if MP else 128 // width - bits.popcount()
        cpu.gpr[RT] = count * (width // 8) << 56


for _n, (_suffix, _width) in enumerate((("b", 8), ("h", 16), ("w", 32), ("d", 64), ("q", 128))):
    _extract_mask(f"vextract{_suffix}m", 8 + _n, _width)
    _mask_from_gpr(f"mtvsr{_suffix}m", 16 + _n, _width)
    if _suffix != "q":
        _count_mask(f"vcntmb{_suffix}", 24 + 2 * _n, _width)


@instruction("mtvsrbmi", 4, 10, form="DX", needs="VEC", since="3.1")
def mtvsrbmi(cpu: Any, VRT: Any, DX: Any) -> None:
    cpu.vr[VRT] = bits_to_mask(DX, 8)


# -- bits under a mask -------------------------------------------------------------------------------------


@lanewise("3.1", vclzdm=(1924, 64))
def leading_zeros_under_mask(a: Any, mask: Any) -> Any:
    n = (a & mask).clz()
    return select(n == 64, mask, mask >> 1 >> (63 - n)).popcount()


@lanewise("3.1", vctzdm=(1988, 64))
def trailing_zeros_under_mask(a: Any, mask: Any) -> Any:
    n = (a & mask).ctz()
    return select(n == 64, mask, mask << 1 << (63 - n)).popcount()


@routine(args=(128, 64), returns=64)
def gather_every(cpu: Any, b: Any, step: Any) -> Any:
    """Bits 0, ``step``, 2 * ``step``... of ``b`` from the left, left-justified."""
    result, done, place = cpu.const(0), cpu.const(0), cpu.const(1 << 63)
    while done < 128:
        result = result | select(b.bit(127), place, 0)
        b, place, done = b << step, place >> 1, done + step
    return result


@instruction("vgnb", 4, 1228, form="VX", needs="VEC", since="3.1")
def vgnb(cpu: Any, RT: Any, VRB: Any, UIM3: Any) -> None:
    cpu.gpr[RT] = gather_every(cpu, cpu.vr[VRB], select(UIM3 < 2, 2, UIM3))


def in_doublewords(cpu: Any, VRT: Any, fn: Any, a: Any, b: Any) -> None:
    """VRT = ``fn(cpu, a, b)`` of both doublewords."""
    high, low = lanes(a, 64), lanes(b, 64)
    cpu.vr[VRT] = from_lanes([fn(cpu, high[n], low[n]) for n in range(2)])


@instruction("vpextd", 4, 1421, form="VX", needs="VEC", since="3.1")
def vpextd(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    in_doublewords(cpu, VRT, gather_bits, cpu.vr[VRA], cpu.vr[VRB])


@instruction("vpdepd", 4, 1485, form="VX", needs="VEC", since="3.1")
def vpdepd(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    in_doublewords(cpu, VRT, scatter_bits, cpu.vr[VRA], cpu.vr[VRB])


def centrifuge(cpu: Any, source: Any, mask: Any) -> Any:
    """The bits that ``mask`` selects go to the right, the others to the left."""
    left = gather_bits(cpu, source, ~mask) << mask.popcount()
    return select(mask == -1, source, left) | gather_bits(cpu, source, mask)


@instruction("vcfuged", 4, 1357, form="VX", needs="VEC", since="3.1")
def vcfuged(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    in_doublewords(cpu, VRT, centrifuge, cpu.vr[VRA], cpu.vr[VRB])

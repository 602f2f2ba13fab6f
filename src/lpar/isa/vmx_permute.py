# SPDX-License-Identifier: GPL-2.0-only
"""Vector permute, merge, splat, pack, unpack, bit permute (Book I, section 6.8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import concat, from_lanes, lanes, map_lanes, shuffle
from lpar.isa.vmx_common import (
    byte_mask_to_bits,
    pattern,
    set_sat,
    signed_clamp,
    signed_to_unsigned_clamp,
    splat,
    unsigned_clamp,
)

# -- permute ---------------------------------------------------------------------------------------------


@instruction("vperm", 4, 43, form="VA", needs="VEC")
def vperm(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    cpu.vr[VRT] = shuffle(concat(cpu.vr[VRA], cpu.vr[VRB]), cpu.vr[VRC])


@instruction("vpermr", 4, 59, form="VA", needs="VEC", since="3.0")
def vpermr(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    cpu.vr[VRT] = shuffle(concat(cpu.vr[VRA], cpu.vr[VRB]), ~cpu.vr[VRC])


@instruction("vpermxor", 4, 45, form="VA", needs="VEC")
def vpermxor(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    numbers = cpu.vr[VRC]
    high = map_lanes(8, lambda n: n >> 4, numbers)
    cpu.vr[VRT] = shuffle(cpu.vr[VRA], high) ^ shuffle(cpu.vr[VRB], numbers)


# -- fixed patterns of the bytes of VRA || VRB -------------------------------------------------------------


def _fixed(name: str, xo: int, numbers: bytes) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC")
    def body(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
        cpu.vr[VRT] = shuffle(concat(cpu.vr[VRA], cpu.vr[VRB]), numbers)


_fixed("vmrghb", 12, pattern("0010 0111 0212 0313 0414 0515 0616 0717"))
_fixed("vmrghh", 76, pattern("00011011 02031213 04051415 06071617"))
_fixed("vmrghw", 140, pattern("0001020310111213 0405060714151617"))
_fixed("vmrglb", 268, pattern("0818 0919 0A1A 0B1B 0C1C 0D1D 0E1E 0F1F"))
_fixed("vmrglh", 332, pattern("08091819 0A0B1A1B 0C0D1C1D 0E0F1E1F"))
_fixed("vmrglw", 396, pattern("08090A0B18191A1B 0C0D0E0F1C1D1E1F"))
_fixed("vmrgew", 1932, pattern("0001020310111213 08090A0B18191A1B"))
_fixed("vmrgow", 1676, pattern("0405060714151617 0C0D0E0F1C1D1E1F"))

PACK = {
    16: pattern("01030507090B0D0F 11131517191B1D1F"),
    32: pattern("020306070A0B0E0F 121316171A1B1E1F"),
    64: pattern("040506070C0D0E0F 141516171C1D1E1F"),
}
_fixed("vpkuhum", 14, PACK[16])
_fixed("vpkuwum", 78, PACK[32])
_fixed("vpkudum", 1102, PACK[64])


# -- pack with saturation ----------------------------------------------------------------------------------


def _pack(name: str, xo: int, width: int, clamp: Callable[[Any, int], Any]) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC")
    def body(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
        a, b = cpu.vr[VRA], cpu.vr[VRB]
        small_a = map_lanes(width, lambda x: clamp(x, width // 2), a)
        small_b = map_lanes(width, lambda x: clamp(x, width // 2), b)
        set_sat(cpu, (a ^ small_a) | (b ^ small_b))
        cpu.vr[VRT] = shuffle(concat(small_a, small_b), PACK[width])


_pack("vpkuhus", 142, 16, unsigned_clamp)
_pack("vpkuwus", 206, 32, unsigned_clamp)
_pack("vpkudus", 1230, 64, unsigned_clamp)
_pack("vpkshus", 270, 16, signed_to_unsigned_clamp)
_pack("vpkswus", 334, 32, signed_to_unsigned_clamp)
_pack("vpksdus", 1358, 64, signed_to_unsigned_clamp)
_pack("vpkshss", 398, 16, signed_clamp)
_pack("vpkswss", 462, 32, signed_clamp)
_pack("vpksdss", 1486, 64, signed_clamp)


def pack_pixel(x: Any) -> Any:
    """A 1/5/5/5 pixel from a word of 8/8/8/8."""
    return x >> 9 & 0xFC00 | x >> 6 & 0x03E0 | x >> 3 & 0x001F


@instruction("vpkpx", 4, 782, form="VX", needs="VEC")
def vpkpx(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    pixels = [map_lanes(32, pack_pixel, cpu.vr[n]) for n in (VRA, VRB)]
    cpu.vr[VRT] = shuffle(concat(*pixels), PACK[32])


# -- unpack: every element doubled in place, then shifted down -----------------------------------------------

HIGH = {
    16: pattern("0000 0101 0202 0303 0404 0505 0606 0707"),
    32: pattern("00010001 02030203 04050405 06070607"),
    64: pattern("0001020300010203 0405060704050607"),
}
LOW = {width: bytes(n + 8 for n in numbers) for width, numbers in HIGH.items()}


def unpack_pixel(x: Any) -> Any:
    """A word 8/8/8/8 from a 1/5/5/5 pixel that stands in both halves of the word."""
    return x.sar(7) & 0xFF000000 | x << 6 & 0x001F0000 | x << 3 & 0x00001F00 | x & 0x0000001F


def sign_extend_half(x: Any) -> Any:
    return x.sar(x.w // 2)


def _unpack(
    name: str, xo: int, numbers: bytes, width: int, fn: Callable[..., Any] = sign_extend_half
) -> None:
    @instruction(name, 4, xo, form="VX", needs="VEC")
    def body(cpu: Any, VRT: Any, VRB: Any) -> None:
        cpu.vr[VRT] = map_lanes(width, fn, shuffle(cpu.vr[VRB], numbers))


_unpack("vupkhsb", 526, HIGH[16], 16)
_unpack("vupkhsh", 590, HIGH[32], 32)
_unpack("vupkhsw", 1614, HIGH[64], 64)
_unpack("vupklsb", 654, LOW[16], 16)
_unpack("vupklsh", 718, LOW[32], 32)
_unpack("vupklsw", 1742, LOW[64], 64)
_unpack("vupkhpx", 846, HIGH[32], 32, unpack_pixel)
_unpack("vupklpx", 974, LOW[32], 32, unpack_pixel)


# -- splat -----------------------------------------------------------------------------------------------


@instruction("vspltb", 4, 524, form="VX", needs="VEC")
def vspltb(cpu: Any, VRT: Any, VRB: Any, UIM4: Any) -> None:
    cpu.vr[VRT] = shuffle(cpu.vr[VRB], splat(UIM4, 1))


@instruction("vsplth", 4, 588, form="VX", needs="VEC")
def vsplth(cpu: Any, VRT: Any, VRB: Any, UIM3: Any) -> None:
    cpu.vr[VRT] = shuffle(cpu.vr[VRB], splat((UIM3 * 0x0202) + 0x0001, 2))


@instruction("vspltw", 4, 652, form="VX", needs="VEC")
def vspltw(cpu: Any, VRT: Any, VRB: Any, UIM2: Any) -> None:
    cpu.vr[VRT] = shuffle(cpu.vr[VRB], splat((UIM2 * 0x04040404) + 0x00010203, 4))


@instruction("vspltisb", 4, 780, form="VX", needs="VEC")
def vspltisb(cpu: Any, VRT: Any, SIM5: Any) -> None:
    cpu.vr[VRT] = splat(SIM5, 1)


@instruction("vspltish", 4, 844, form="VX", needs="VEC")
def vspltish(cpu: Any, VRT: Any, SIM5: Any) -> None:
    cpu.vr[VRT] = splat(SIM5, 2)


@instruction("vspltisw", 4, 908, form="VX", needs="VEC")
def vspltisw(cpu: Any, VRT: Any, SIM5: Any) -> None:
    cpu.vr[VRT] = splat(SIM5, 4)


# -- bits ------------------------------------------------------------------------------------------------


def exchange(x: Any, mask: int, distance: int) -> Any:
    """Exchange the bits of ``mask`` with those ``distance`` above."""
    moved = (x >> distance ^ x) & mask
    return x ^ moved ^ moved << distance


def transpose_bits(x: Any) -> Any:
    """The 8 by 8 bit matrix of a doubleword transposed."""
    x = exchange(x, 0x00AA00AA00AA00AA, 7)
    x = exchange(x, 0x0000CCCC0000CCCC, 14)
    return exchange(x, 0x00000000F0F0F0F0, 28)


@instruction("vgbbd", 4, 1292, form="VX", needs="VEC")
def vgbbd(cpu: Any, VRT: Any, VRB: Any) -> None:
    cpu.vr[VRT] = map_lanes(64, transpose_bits, cpu.vr[VRB])


def picked_bits(table: Any, numbers: Any) -> Any:
    """Per byte of ``numbers``, in bit 0, the bit of ``table`` that it names, modulo the table's size."""
    found = shuffle(table, map_lanes(8, lambda n: n >> 3, numbers))
    return map_lanes(8, lambda x, n: x >> (~n & 7) & 1, found, numbers)


@instruction("vbpermq", 4, 1356, form="VX", needs="VEC")
def vbpermq(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    numbers = cpu.vr[VRB]
    bits = picked_bits(cpu.vr[VRA], numbers) & map_lanes(8, lambda n: n < 128, numbers)
    high, low = (byte_mask_to_bits(x) for x in lanes(bits, 64))
    cpu.vr[VRT] = concat(high << 8 | low, cpu.const(0))


@instruction("vbpermd", 4, 1484, form="VX", needs="VEC", since="3.0")
def vbpermd(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    numbers = cpu.vr[VRB]
    tables = lanes(cpu.vr[VRA], 64)
    bits = from_lanes([picked_bits(tables[n], numbers.bits(64 - 64 * n, 64)) for n in range(2)])
    bits = bits & map_lanes(8, lambda n: n < 64, numbers)
    cpu.vr[VRT] = from_lanes([byte_mask_to_bits(x) for x in lanes(bits, 64)])

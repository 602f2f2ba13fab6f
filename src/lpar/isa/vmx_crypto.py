# SPDX-License-Identifier: GPL-2.0-only
"""Vector cryptography: AES rounds, SHA-2 sigmas, polynomial multiply-sum (Book I, section 6.11)."""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.routine import routine
from lpar.isa.values import from_lanes, lanes, map_lanes, select, shuffle
from lpar.isa.vmx_common import lanewise, pattern

# -- AES (FIPS 197): byte 0 of the state is element 0 ------------------------------------------------------


def _double(x: int) -> int:
    """``x`` times two in GF(2**8) modulo x**8 + x**4 + x**3 + x + 1."""
    return x << 1 ^ (0x11B if x & 0x80 else 0)


def _affine(x: int) -> int:
    """The affine transformation of SubBytes (FIPS 197, 5.1.1)."""
    spread = x | x << 8
    return (spread ^ spread >> 4 ^ spread >> 5 ^ spread >> 6 ^ spread >> 7 ^ 0x63) & 0xFF


def _sbox() -> bytes:
    """SubBytes' table: the inverse in the field, then the affine transformation."""
    powers = [1]  # of the generator 3
    while len(powers) < 255:
        powers.append(powers[-1] ^ _double(powers[-1]))
    inverse = {power: powers[-n % 255] for n, power in enumerate(powers)}
    return bytes(_affine(inverse.get(x, 0)) for x in range(256))


SBOX = _sbox()
INVERSE_SBOX = bytes(SBOX.index(x) for x in range(256))
SHIFT_ROWS = pattern("00050A0F 04090E03 080D0207 0C01060B")
INVERSE_SHIFT_ROWS = pattern("000D0A07 04010E0B 0805020F 0C090603")
ROTATE_COLUMN = pattern("01020300 05060704 090A0B08 0D0E0F0C")
HALF_COLUMN = pattern("02030001 06070405 0A0B0809 0E0F0C0D")


def doubled(x: Any) -> Any:
    """Bytes times two in the field."""
    return x << 1 ^ select(x.slt(0), 0x1B, x & 0)


def mix_columns(state: Any) -> Any:
    """MixColumns (FIPS 197, 5.1.3): 2, 3, 1, 1 times the column's bytes."""
    pairs = state ^ shuffle(state, ROTATE_COLUMN)
    others = pairs ^ state ^ shuffle(pairs, HALF_COLUMN)
    return map_lanes(8, doubled, pairs) ^ others


def inverse_mix_columns(state: Any) -> Any:
    """InvMixColumns (FIPS 197, 5.3.3), as MixColumns after a correction by 4 times alternate bytes."""
    alternate = state ^ shuffle(state, HALF_COLUMN)
    correction = map_lanes(8, lambda x: doubled(doubled(x)), alternate)
    return mix_columns(state ^ correction)


@instruction("vsbox", 4, 1480, form="VX", needs="VEC")
def vsbox(cpu: Any, VRT: Any, VRA: Any) -> None:
    cpu.vr[VRT] = shuffle(SBOX, cpu.vr[VRA])


@instruction("vcipher", 4, 1288, form="VX", needs="VEC")
def vcipher(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = mix_columns(shuffle(shuffle(SBOX, cpu.vr[VRA]), SHIFT_ROWS)) ^ cpu.vr[VRB]


@instruction("vcipherlast", 4, 1289, form="VX", needs="VEC")
def vcipherlast(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = shuffle(shuffle(SBOX, cpu.vr[VRA]), SHIFT_ROWS) ^ cpu.vr[VRB]


def decipher_last(state: Any, key: Any) -> Any:
    """The inverse round without InvMixColumns."""
    return shuffle(shuffle(INVERSE_SBOX, state), INVERSE_SHIFT_ROWS) ^ key


@instruction("vncipher", 4, 1352, form="VX", needs="VEC")
def vncipher(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = inverse_mix_columns(decipher_last(cpu.vr[VRA], cpu.vr[VRB]))


@instruction("vncipherlast", 4, 1353, form="VX", needs="VEC")
def vncipherlast(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = decipher_last(cpu.vr[VRA], cpu.vr[VRB])


# -- SHA-2 (FIPS 180-4, 4.1.2 and 4.1.3) ---------------------------------------------------------------------

#: ST -> (for SIX bit 0, for SIX bit 1): two rotations to the right, then a rotation (ST=1) or a shift (ST=0)
SIGMA32 = {0: ((7, 18, 3), (17, 19, 10)), 1: ((2, 13, 22), (6, 11, 25))}
SIGMA64 = {0: ((1, 8, 7), (19, 61, 6)), 1: ((28, 34, 39), (14, 18, 41))}


def sigma(x: Any, amounts: tuple[int, int, int], upper: int) -> Any:
    """One of the four sigma functions; ``upper`` for the ones in capitals."""
    first, second, third = amounts
    last = x.rotl(-third) if upper else x >> third
    return x.rotl(-first) ^ x.rotl(-second) ^ last


@instruction("vshasigmaw", 4, 1666, form="VX", needs="VEC")
def vshasigmaw(cpu: Any, VRT: Any, VRA: Any, ST: int, SIX: Any) -> None:
    a = cpu.vr[VRA]
    options = [lanes(map_lanes(32, lambda x, k=k: sigma(x, SIGMA32[ST][k], ST), a), 32) for k in range(2)]
    cpu.vr[VRT] = from_lanes([select(SIX.bit(3 - n), options[1][n], options[0][n]) for n in range(4)])


@instruction("vshasigmad", 4, 1730, form="VX", needs="VEC")
def vshasigmad(cpu: Any, VRT: Any, VRA: Any, ST: int, SIX: Any) -> None:
    a = cpu.vr[VRA]
    options = [lanes(map_lanes(64, lambda x, k=k: sigma(x, SIGMA64[ST][k], ST), a), 64) for k in range(2)]
    cpu.vr[VRT] = from_lanes([select(SIX.bit(3 - 2 * n), options[1][n], options[0][n]) for n in range(2)])


# -- polynomial multiply-sum -----------------------------------------------------------------------------


def short_product(x: Any, y: Any, width: int) -> Any:
    """The carry-less product of the low ``width`` bits of lanes twice as wide."""
    terms = [(x << n) & -(y >> n & 1) for n in range(width)]
    total = terms[0]
    for term in terms[1:]:
        total = total ^ term
    return total


def short_sum(a: Any, b: Any) -> Any:
    """Even product xor odd product of the halves of the lanes."""
    width = a.w // 2
    low = (1 << width) - 1
    return short_product(a >> width, b >> width, width) ^ short_product(a & low, b & low, width)


@lanewise(vpmsumb=(1032, 16))
def vpmsumb(a: Any, b: Any) -> Any:
    return short_sum(a, b)


@routine(args=(128, 128), returns=128)
def multiply_sum_halfwords(cpu: Any, a: Any, b: Any) -> Any:
    """vpmsumh, in one place: it is long."""
    return map_lanes(32, short_sum, a, b)


@instruction("vpmsumh", 4, 1096, form="VX", needs="VEC")
def vpmsumh(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = multiply_sum_halfwords(cpu, cpu.vr[VRA], cpu.vr[VRB])


@routine(args=(64, 64), returns=64)
def word_product(cpu: Any, x: Any, y: Any) -> Any:
    """The carry-less product of two words, zero-extended.

    Every fourth bit of the factors at a time: at most eight ones meet in a column of the ordinary product,
    so their carries stay within three bits and do not reach the next column that counts.
    """
    masks = [0x1111111111111111 << n for n in range(4)]
    xs, ys = [x & m for m in masks], [y & m for m in masks]
    total = cpu.const(0, 64)
    for k in range(4):
        column = cpu.const(0, 64)
        for i in range(4):
            column = column ^ xs[i] * ys[(k - i) % 4]
        total = total | column & masks[k]
    return total


@routine(args=(64, 64), returns=128)
def doubleword_product(cpu: Any, x: Any, y: Any) -> Any:
    """The carry-less product of two doublewords, from three of words (Karatsuba)."""
    x1, x0, y1, y0 = x >> 32, x & 0xFFFFFFFF, y >> 32, y & 0xFFFFFFFF
    high, low = word_product(cpu, x1, y1), word_product(cpu, x0, y0)
    middle = (word_product(cpu, x1 ^ x0, y1 ^ y0) ^ high ^ low).zext(128)
    return high.zext(128) << 64 ^ middle << 32 ^ low.zext(128)


@instruction("vpmsumw", 4, 1160, form="VX", needs="VEC")
def vpmsumw(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    a, b = lanes(cpu.vr[VRA], 32), lanes(cpu.vr[VRB], 32)
    products = [word_product(cpu, a[n].zext(64), b[n].zext(64)) for n in range(4)]
    cpu.vr[VRT] = from_lanes([products[0] ^ products[1], products[2] ^ products[3]])


@instruction("vpmsumd", 4, 1224, form="VX", needs="VEC")
def vpmsumd(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    a, b = lanes(cpu.vr[VRA], 64), lanes(cpu.vr[VRB], 64)
    cpu.vr[VRT] = doubleword_product(cpu, a[0], b[0]) ^ doubleword_product(cpu, a[1], b[1])

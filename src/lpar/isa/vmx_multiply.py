# SPDX-License-Identifier: GPL-2.0-only
"""Vector integer multiply, multiply-sum, sum across (Book I, section 6.9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.values import map_lanes
from lpar.isa.vmx_common import lanewise, set_sat, signed_clamp, unsigned_clamp

# -- even and odd products: lanes are twice as wide as the factors ------------------------------------


@lanewise(vmuleub=(520, 16), vmuleuh=(584, 32), vmuleuw=(648, 64))
@lanewise("3.1", vmuleud=(712, 128))
def even_unsigned(a: Any, b: Any) -> Any:
    return (a >> a.w // 2) * (b >> a.w // 2)


@lanewise(vmuloub=(8, 16), vmulouh=(72, 32), vmulouw=(136, 64))
@lanewise("3.1", vmuloud=(200, 128))
def odd_unsigned(a: Any, b: Any) -> Any:
    half = a.w // 2
    return (a << half >> half) * (b << half >> half)


@lanewise(vmulesb=(776, 16), vmulesh=(840, 32), vmulesw=(904, 64))
@lanewise("3.1", vmulesd=(968, 128))
def even_signed(a: Any, b: Any) -> Any:
    return a.sar(a.w // 2) * b.sar(a.w // 2)


@lanewise(vmulosb=(264, 16), vmulosh=(328, 32), vmulosw=(392, 64))
@lanewise("3.1", vmulosd=(456, 128))
def odd_signed(a: Any, b: Any) -> Any:
    half = a.w // 2
    return (a << half).sar(half) * (b << half).sar(half)


@lanewise(vmuluwm=(137, 32))
@lanewise("3.1", vmulld=(457, 64))
def multiply_low(a: Any, b: Any) -> Any:
    return a * b


@lanewise("3.1", vmulhuw=(649, 32), vmulhud=(713, 64))
def multiply_high_unsigned(a: Any, b: Any) -> Any:
    return a.umulh(b)


@lanewise("3.1", vmulhsw=(905, 32), vmulhsd=(969, 64))
def multiply_high_signed(a: Any, b: Any) -> Any:
    return a.smulh(b)


# -- multiply-add on halfwords ---------------------------------------------------------------------------


@instruction("vmladduhm", 4, 34, form="VA", needs="VEC")
def vmladduhm(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    cpu.vr[VRT] = map_lanes(16, lambda a, b, c: a * b + c, cpu.vr[VRA], cpu.vr[VRB], cpu.vr[VRC])


def high_sum(a: Any, b: Any, c: Any) -> Any:
    """``(a * b) / 2**15 + c`` exactly, 32 bits wide."""
    return (a.sext(32) * b.sext(32)).sar(15) + c.sext(32)


def rounded_high_sum(a: Any, b: Any, c: Any) -> Any:
    """As :func:`high_sum`, the product rounded to nearest."""
    return (a.sext(32) * b.sext(32) + 0x4000).sar(15) + c.sext(32)


def saturated_halfwords(cpu: Any, VRT: Any, exact: Callable[..., Any], *vectors: Any) -> None:
    """VRT = the 32-bit ``exact`` of each halfword saturated to signed halfwords."""
    result = map_lanes(16, lambda a, b, c: signed_clamp(exact(a, b, c), 16).trunc(16), *vectors)
    set_sat(cpu, result ^ map_lanes(16, lambda a, b, c: exact(a, b, c).trunc(16), *vectors))
    cpu.vr[VRT] = result


@instruction("vmhaddshs", 4, 32, form="VA", needs="VEC")
def vmhaddshs(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    saturated_halfwords(cpu, VRT, high_sum, cpu.vr[VRA], cpu.vr[VRB], cpu.vr[VRC])


@instruction("vmhraddshs", 4, 33, form="VA", needs="VEC")
def vmhraddshs(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    saturated_halfwords(cpu, VRT, rounded_high_sum, cpu.vr[VRA], cpu.vr[VRB], cpu.vr[VRC])


# -- multiply-sum: lanes are words; the element k of a word counts from the right ---------------------


def unsigned_part(x: Any, k: int, width: int) -> Any:
    """Element ``k`` of word ``x``, zero-extended to 64 bits."""
    return (x >> k * width & ((1 << width) - 1)).zext(64)


def signed_part(x: Any, k: int, width: int) -> Any:
    """Element ``k`` of word ``x``, sign-extended to 64 bits."""
    return (x << (32 - width - k * width)).sar(32 - width).sext(64)


def sum_unsigned_bytes(a: Any, b: Any, c: Any) -> Any:
    return sum((unsigned_part(a, k, 8) * unsigned_part(b, k, 8) for k in range(4)), c.zext(64))


def sum_mixed_bytes(a: Any, b: Any, c: Any) -> Any:
    return sum((signed_part(a, k, 8) * unsigned_part(b, k, 8) for k in range(4)), c.sext(64))


def sum_unsigned_halfwords(a: Any, b: Any, c: Any) -> Any:
    return sum((unsigned_part(a, k, 16) * unsigned_part(b, k, 16) for k in range(2)), c.zext(64))


def sum_signed_halfwords(a: Any, b: Any, c: Any) -> Any:
    return sum((signed_part(a, k, 16) * signed_part(b, k, 16) for k in range(2)), c.sext(64))


def _multiply_sum(name: str, xo: int, exact: Callable[..., Any]) -> None:
    @instruction(name, 4, xo, form="VA", needs="VEC")
    def body(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
        vectors = cpu.vr[VRA], cpu.vr[VRB], cpu.vr[VRC]
        cpu.vr[VRT] = map_lanes(32, lambda a, b, c: exact(a, b, c).trunc(32), *vectors)


def _multiply_sum_saturate(name: str, xo: int, exact: Callable[..., Any], clamp: Callable[..., Any]) -> None:
    @instruction(name, 4, xo, form="VA", needs="VEC")
    def body(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
        saturated_words(cpu, VRT, exact, clamp, cpu.vr[VRA], cpu.vr[VRB], cpu.vr[VRC])


def saturated_words(
    cpu: Any, VRT: Any, exact: Callable[..., Any], clamp: Callable[..., Any], *vectors: Any
) -> None:
    """VRT = the 64-bit ``exact`` of each word's operands through ``clamp`` to 32 bits; sets SAT."""
    set_sat(cpu, map_lanes(32, lambda *x: exact(*x) != clamp(exact(*x), 32), *vectors))
    cpu.vr[VRT] = map_lanes(32, lambda *x: clamp(exact(*x), 32).trunc(32), *vectors)


_multiply_sum("vmsumubm", 36, sum_unsigned_bytes)
_multiply_sum("vmsummbm", 37, sum_mixed_bytes)
_multiply_sum("vmsumuhm", 38, sum_unsigned_halfwords)
_multiply_sum("vmsumshm", 40, sum_signed_halfwords)
_multiply_sum_saturate("vmsumuhs", 39, sum_unsigned_halfwords, unsigned_clamp)
_multiply_sum_saturate("vmsumshs", 41, sum_signed_halfwords, signed_clamp)


@instruction("vmsumudm", 4, 35, form="VA", needs="VEC", since="3.0")
def vmsumudm(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    a, b = cpu.vr[VRA], cpu.vr[VRB]
    cpu.vr[VRT] = even_unsigned(a, b) + odd_unsigned(a, b) + cpu.vr[VRC]


@instruction("vmsumcud", 4, 23, form="VA", needs="VEC", since="3.1")
def vmsumcud(cpu: Any, VRT: Any, VRA: Any, VRB: Any, VRC: Any) -> None:
    a, b = cpu.vr[VRA], cpu.vr[VRB]
    even = even_unsigned(a, b)
    products = even + odd_unsigned(a, b)
    carries = (products < even).zext(128) + ((products + cpu.vr[VRC]) < products).zext(128)
    cpu.vr[VRT] = carries


# -- sum across ------------------------------------------------------------------------------------------


def four_unsigned_bytes(a: Any, b: Any) -> Any:
    return sum((unsigned_part(a, k, 8) for k in range(4)), b.zext(64))


def four_signed_bytes(a: Any, b: Any) -> Any:
    return sum((signed_part(a, k, 8) for k in range(4)), b.sext(64))


def two_signed_halfwords(a: Any, b: Any) -> Any:
    return sum((signed_part(a, k, 16) for k in range(2)), b.sext(64))


@instruction("vsum4ubs", 4, 1544, form="VX", needs="VEC")
def vsum4ubs(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    saturated_words(cpu, VRT, four_unsigned_bytes, unsigned_clamp, cpu.vr[VRA], cpu.vr[VRB])


@instruction("vsum4sbs", 4, 1800, form="VX", needs="VEC")
def vsum4sbs(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    saturated_words(cpu, VRT, four_signed_bytes, signed_clamp, cpu.vr[VRA], cpu.vr[VRB])


@instruction("vsum4shs", 4, 1608, form="VX", needs="VEC")
def vsum4shs(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    saturated_words(cpu, VRT, two_signed_halfwords, signed_clamp, cpu.vr[VRA], cpu.vr[VRB])


def two_words(a: Any, b: Any) -> Any:
    """The exact signed sum of both words of ``a`` and the right one of ``b``; lanes of 64 bits."""
    return a.sar(32) + (a << 32).sar(32) + (b << 32).sar(32)


@instruction("vsum2sws", 4, 1672, form="VX", needs="VEC")
def vsum2sws(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    exact = map_lanes(64, two_words, cpu.vr[VRA], cpu.vr[VRB])
    result = map_lanes(64, lambda x: signed_clamp(x, 32), exact)
    set_sat(cpu, result ^ exact)
    cpu.vr[VRT] = result & 0x00000000FFFFFFFF00000000FFFFFFFF


@instruction("vsumsws", 4, 1928, form="VX", needs="VEC")
def vsumsws(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    a = cpu.vr[VRA]
    exact = sum((a.bits(k, 32).sext(64) for k in (0, 32, 64, 96)), cpu.vr[VRB].trunc(32).sext(64))
    result = signed_clamp(exact, 32)
    set_sat(cpu, result ^ exact)
    cpu.vr[VRT] = result.trunc(32).zext(128)


# -- decimal helpers: multiply by ten ---------------------------------------------------------------------


@instruction("vmul10uq", 4, 513, form="VX", needs="VEC", since="3.0")
def vmul10uq(cpu: Any, VRT: Any, VRA: Any) -> None:
    cpu.vr[VRT] = cpu.vr[VRA] * 10


@instruction("vmul10euq", 4, 577, form="VX", needs="VEC", since="3.0")
def vmul10euq(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = cpu.vr[VRA] * 10 + (cpu.vr[VRB] & 15)


def ten_times_carry(a: Any, digit: Any) -> Any:
    """Bits beyond 128 of ``10 * a + digit``."""
    low = (a & 0xFFFFFFFFFFFFFFFF) * 10 + digit
    return ((a >> 64) * 10 + (low >> 64)) >> 64


@instruction("vmul10cuq", 4, 1, form="VX", needs="VEC", since="3.0")
def vmul10cuq(cpu: Any, VRT: Any, VRA: Any) -> None:
    cpu.vr[VRT] = ten_times_carry(cpu.vr[VRA], 0)


@instruction("vmul10ecuq", 4, 65, form="VX", needs="VEC", since="3.0")
def vmul10ecuq(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = ten_times_carry(cpu.vr[VRA], cpu.vr[VRB] & 15)

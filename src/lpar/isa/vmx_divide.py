# SPDX-License-Identifier: GPL-2.0-only
"""Vector divide and modulo (Book I, section 6.9, since ISA 3.1).

The result for a zero divisor or an overflow is undefined in the ISA; here it is 0, as values divide.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.registry import instruction
from lpar.isa.routine import routine
from lpar.isa.values import from_lanes, lanes, select
from lpar.isa.vmx_common import lanewise


@lanewise("3.1", vdivuw=(139, 32), vdivud=(203, 64))
def divide_unsigned(a: Any, b: Any) -> Any:
    return a.udiv(b)


@lanewise("3.1", vdivsw=(395, 32), vdivsd=(459, 64))
def divide_signed(a: Any, b: Any) -> Any:
    return a.sdiv(b)


@lanewise("3.1", vmoduw=(1675, 32), vmodud=(1739, 64))
def modulo_unsigned(a: Any, b: Any) -> Any:
    return a.urem(b)


@lanewise("3.1", vmodsw=(1931, 32), vmodsd=(1995, 64))
def modulo_signed(a: Any, b: Any) -> Any:
    return a.srem(b)


@lanewise("3.1", vdiveuw=(651, 32))
def divide_extended_unsigned(a: Any, b: Any) -> Any:
    return select(a < b, (a.zext(64) << 32).udiv(b.zext(64)).trunc(32), 0)


@lanewise("3.1", vdivesw=(907, 32))
def divide_extended_signed(a: Any, b: Any) -> Any:
    wide = (a.sext(64) << 32).sdiv(b.sext(64))
    return select(wide.trunc(32).sext(64) == wide, wide.trunc(32), 0)


# -- dividends wider than 64 bits: long division, not a call into the host's run-time library -------------


@routine(args=(128, 128, 128), returns=(128, 128))
def long_divide(cpu: Any, high: Any, low: Any, divisor: Any) -> Any:
    """Quotient and remainder of the 256-bit ``high:low``; ``high`` is less than ``divisor``."""
    left = cpu.const(128, 8)
    while left != 0:
        carry = high.bit(127)
        high = high << 1 | low >> 127
        fits = carry | (high >= divisor)
        low = low << 1 | fits.zext(128)
        high = select(fits, high - divisor, high)
        left = left - 1
    return low, high


def quad_divide(cpu: Any, high: Any, low: Any, divisor: Any) -> Any:
    """As :func:`long_divide` for any operands; 0 and 0 where the quotient does not fit."""
    quotient, remainder = long_divide(cpu, high, low, divisor)
    fits = high < divisor
    return select(fits, quotient, 0), select(fits, remainder, 0)


def magnitude(x: Any) -> Any:
    """The absolute value, unsigned."""
    return select(x.slt(0), -x, x)


def with_sign(cpu: Any, value: Any, negative: Any) -> Any:
    """``value`` negated on request; 0 where it does not fit a signed number."""
    fits = (value < (1 << 127)) | (negative & (value == 1 << 127))
    return select(fits, select(negative, -value, value), 0)


@instruction("vdivuq", 4, 11, form="VX", needs="VEC", since="3.1")
def vdivuq(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    quotient, _ = quad_divide(cpu, cpu.const(0, 128), cpu.vr[VRA], cpu.vr[VRB])
    cpu.vr[VRT] = quotient


@instruction("vmoduq", 4, 1547, form="VX", needs="VEC", since="3.1")
def vmoduq(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    _, remainder = quad_divide(cpu, cpu.const(0, 128), cpu.vr[VRA], cpu.vr[VRB])
    cpu.vr[VRT] = remainder


@instruction("vdivsq", 4, 267, form="VX", needs="VEC", since="3.1")
def vdivsq(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    a, b = cpu.vr[VRA], cpu.vr[VRB]
    quotient, _ = quad_divide(cpu, cpu.const(0, 128), magnitude(a), magnitude(b))
    cpu.vr[VRT] = with_sign(cpu, quotient, (a ^ b).slt(0))


@instruction("vmodsq", 4, 1803, form="VX", needs="VEC", since="3.1")
def vmodsq(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    a = cpu.vr[VRA]
    _, remainder = quad_divide(cpu, cpu.const(0, 128), magnitude(a), magnitude(cpu.vr[VRB]))
    cpu.vr[VRT] = select(a.slt(0), -remainder, remainder)


@instruction("vdiveuq", 4, 523, form="VX", needs="VEC", since="3.1")
def vdiveuq(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    quotient, _ = quad_divide(cpu, cpu.vr[VRA], cpu.const(0, 128), cpu.vr[VRB])
    cpu.vr[VRT] = quotient


@instruction("vdivesq", 4, 779, form="VX", needs="VEC", since="3.1")
def vdivesq(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    a, b = cpu.vr[VRA], cpu.vr[VRB]
    quotient, _ = quad_divide(cpu, magnitude(a), cpu.const(0, 128), magnitude(b))
    cpu.vr[VRT] = with_sign(cpu, quotient, (a ^ b).slt(0))


def extended_unsigned(cpu: Any, a: Any, b: Any) -> Any:
    """``(a << 64) / b`` in 64 bits."""
    quotient, _ = quad_divide(cpu, cpu.const(0, 128), a.zext(128) << 64, b.zext(128))
    return select(a < b, quotient.trunc(64), 0)


def extended_signed(cpu: Any, a: Any, b: Any) -> Any:
    """``(a << 64) / b`` in 64 bits, signed."""
    quotient, _ = quad_divide(cpu, cpu.const(0, 128), magnitude(a).zext(128) << 64, magnitude(b).zext(128))
    wide = with_sign(cpu, quotient, (a ^ b).slt(0))
    return select(wide.trunc(64).sext(128) == wide, wide.trunc(64), 0)


@instruction("vdiveud", 4, 715, form="VX", needs="VEC", since="3.1")
def vdiveud(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    a, b = lanes(cpu.vr[VRA], 64), lanes(cpu.vr[VRB], 64)
    cpu.vr[VRT] = from_lanes([extended_unsigned(cpu, a[n], b[n]) for n in range(2)])


@instruction("vdivesd", 4, 971, form="VX", needs="VEC", since="3.1")
def vdivesd(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    a, b = lanes(cpu.vr[VRA], 64), lanes(cpu.vr[VRB], 64)
    cpu.vr[VRT] = from_lanes([extended_signed(cpu, a[n], b[n]) for n in range(2)])

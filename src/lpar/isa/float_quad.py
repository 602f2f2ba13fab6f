# SPDX-License-Identifier: GPL-2.0-only
"""VSX scalar quad precision, on VRs (ISA 3.0 Book I, section 7.6.1, names that end in qp)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa import softfloat_quad as quad
from lpar.isa.float_arith import ordered_flags
from lpar.isa.fpscr import WRITE, mode, record, set_fpcc, settle, settle_compare, settle_keeping_fprf, trap
from lpar.isa.registry import instruction
from lpar.isa.softfloat_core import AWAY, VXSNAN, f64_class, flag
from lpar.isa.values import concat, select

Operation = Callable[..., Any]
QP = 63  #: the primary opcode


def put(cpu: Any, VRT: Any, result: Any, status: Any) -> None:
    """Write the result if ``status`` allows it, then interrupt if ``status`` says so."""
    if status.bit(WRITE):
        cpu.vr[VRT] = result
    trap(cpu, status)


def settled(cpu: Any, result: Any, flags: Any) -> Any:
    """The status of an instruction with a binary128 result."""
    return settle(cpu, flags, quad.f128_class(result))


# -- arithmetic: each with a form that rounds to odd -----------------------------------------------


def _arithmetic(name: str, xo: int, operation: Operation) -> None:
    for odd in (0, 1):
        _two_operands(name + "o" * odd, xo, operation, odd)


def _two_operands(name: str, xo: int, operation: Operation, odd: int) -> None:
    @instruction(name, QP, xo, form="X", needs="VSX", since="3.0", fixed={(31, 31): odd})
    def body(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
        result, flags = operation(cpu, cpu.vr[VRA], cpu.vr[VRB], mode(cpu) | quad.ODD * odd)
        put(cpu, VRT, result, settled(cpu, result, flags))


def _fused(name: str, xo: int, operation: Operation) -> None:
    for odd in (0, 1):
        _three_operands(name + "o" * odd, xo, operation, odd)


def _three_operands(name: str, xo: int, operation: Operation, odd: int) -> None:
    @instruction(name, QP, xo, form="X", needs="VSX", since="3.0", fixed={(31, 31): odd})
    def body(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
        result, flags = operation(cpu, cpu.vr[VRA], cpu.vr[VRB], cpu.vr[VRT], mode(cpu) | quad.ODD * odd)
        put(cpu, VRT, result, settled(cpu, result, flags))


def _square_root(name: str, odd: int) -> None:
    @instruction(name, QP, 804, form="X", needs="VSX", since="3.0", fixed={(11, 15): 27, (31, 31): odd})
    def body(cpu: Any, VRT: Any, VRB: Any) -> None:
        result, flags = quad.f128_sqrt(cpu, cpu.vr[VRB], mode(cpu) | quad.ODD * odd)
        put(cpu, VRT, result, settled(cpu, result, flags))


_arithmetic("xsaddqp", 4, quad.f128_add)
_arithmetic("xsmulqp", 36, quad.f128_mul)
_arithmetic("xssubqp", 516, quad.f128_sub)
_arithmetic("xsdivqp", 548, quad.f128_div)
_fused("xsmaddqp", 388, quad.f128_madd)
_fused("xsmsubqp", 420, quad.f128_msub)
_fused("xsnmaddqp", 452, quad.f128_nmadd)
_fused("xsnmsubqp", 484, quad.f128_nmsub)
_square_root("xssqrtqp", 0)
_square_root("xssqrtqpo", 1)


# -- signs and parts -------------------------------------------------------------------------------


@instruction("xscpsgnqp", QP, 100, form="X", needs="VSX", since="3.0")
def xscpsgnqp(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    cpu.vr[VRT] = (cpu.vr[VRA] & quad.SIGN) | (cpu.vr[VRB] & quad.MAGNITUDE)


def _part(name: str, number: int, operation: Callable[[Any], Any]) -> None:
    @instruction(name, QP, 804, form="X", needs="VSX", since="3.0", fixed={(11, 15): number})
    def body(cpu: Any, VRT: Any, VRB: Any) -> None:
        cpu.vr[VRT] = operation(cpu.vr[VRB])


def significand(b: Any) -> Any:
    """The fraction with the leading one of a normal number."""
    normal = (quad.exponent(b) != 0) & ~quad.is_special(b)
    return (b & quad.FRACTION) | (normal.zext(128) << 112)


_part("xsabsqp", 0, lambda b: b & quad.MAGNITUDE)
_part("xsxexpqp", 2, lambda b: quad.exponent(b).zext(128) << 64)
_part("xsnabsqp", 8, lambda b: b | quad.SIGN)
_part("xsnegqp", 16, lambda b: b ^ quad.SIGN)
_part("xsxsigqp", 18, significand)


@instruction("xsiexpqp", QP, 868, form="X", needs="VSX", since="3.0")
def xsiexpqp(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
    rest = cpu.vr[VRA] & (quad.SIGN | quad.FRACTION)
    cpu.vr[VRT] = rest | (cpu.vr[VRB].bits(64, 15).zext(128) << 112)


# -- comparisons -----------------------------------------------------------------------------------


@instruction("xscmpuqp", QP, 644, form="X", needs="VSX", since="3.0")
def xscmpuqp(cpu: Any, BF: Any, VRA: Any, VRB: Any) -> None:
    cc, flags = quad.f128_compare(cpu, cpu.vr[VRA], cpu.vr[VRB])
    status = settle_compare(cpu, cc, flags)
    cpu.cr[BF] = cc
    trap(cpu, status)


@instruction("xscmpoqp", QP, 132, form="X", needs="VSX", since="3.0")
def xscmpoqp(cpu: Any, BF: Any, VRA: Any, VRB: Any) -> None:
    cc, flags = quad.f128_compare(cpu, cpu.vr[VRA], cpu.vr[VRB])
    status = settle_compare(cpu, cc, ordered_flags(cc, flags, mode(cpu).bit(7)))
    cpu.cr[BF] = cc
    trap(cpu, status)


@instruction("xscmpexpqp", QP, 164, form="X", needs="VSX", since="3.0")
def xscmpexpqp(cpu: Any, BF: Any, VRA: Any, VRB: Any) -> None:
    a, b = cpu.vr[VRA], cpu.vr[VRB]
    left, right = quad.exponent(a), quad.exponent(b)
    ordered = concat(left < right, left > right, left == right, cpu.const(0, 1)).zext(8)
    cc = select(quad.is_nan(a) | quad.is_nan(b), cpu.const(1, 8), ordered)
    set_fpcc(cpu, cc)
    cpu.cr[BF] = cc


@instruction("xststdcqp", QP, 708, form="X", needs="VSX", since="3.0")
def xststdcqp(cpu: Any, BF: Any, DCMX: Any, VRB: Any) -> None:
    b = cpu.vr[VRB]
    zero = quad.is_zero(b)
    small = select(zero, cpu.const(8), select(quad.exponent(b) == 0, cpu.const(2), 0))
    pairs = select(quad.is_inf(b), cpu.const(0x20), small) >> b.bit(127).zext(64)
    match = (DCMX & select(quad.is_nan(b), cpu.const(0x40), pairs)) != 0
    cc = (b.bit(127).zext(8) << 3) | (match.zext(8) << 1)
    set_fpcc(cpu, cc)
    cpu.cr[BF] = cc


def _compare_to_mask(name: str, xo: int, wanted: int, ordered: bool) -> None:
    @instruction(name, QP, xo, form="X", needs="VSX", since="3.1")
    def body(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
        cc, flags = quad.f128_compare(cpu, cpu.vr[VRA], cpu.vr[VRB])
        if ordered:
            flags = ordered_flags(cc, flags, mode(cpu).bit(7))
        put(cpu, VRT, ((cc & wanted) != 0).sext(128), record(cpu, flags))


_compare_to_mask("xscmpeqqp", 68, 2, False)
_compare_to_mask("xscmpgeqp", 196, 6, True)
_compare_to_mask("xscmpgtqp", 228, 4, True)


def _extreme(name: str, xo: int, larger: bool) -> None:
    """``a >= b ? a : b`` of the C language, or with ``<``."""

    @instruction(name, QP, xo, form="X", needs="VSX", since="3.1")
    def body(cpu: Any, VRT: Any, VRA: Any, VRB: Any) -> None:
        a, b = cpu.vr[VRA], cpu.vr[VRB]
        less = quad.f128_less(a, b)
        take = ~less & ~quad.is_nan(a) & ~quad.is_nan(b) if larger else less
        status = record(cpu, flag(quad.is_snan(a) | quad.is_snan(b), VXSNAN))
        put(cpu, VRT, select(take, a, b), status)


_extreme("xsmaxcqp", 676, True)
_extreme("xsmincqp", 740, False)


# -- conversions -----------------------------------------------------------------------------------


def _to_double(name: str, odd: int) -> None:
    @instruction(name, QP, 836, form="X", needs="VSX", since="3.0", fixed={(11, 15): 20, (31, 31): odd})
    def body(cpu: Any, VRT: Any, VRB: Any) -> None:
        result, flags = quad.f128_to_f64(cpu, cpu.vr[VRB], mode(cpu) | quad.ODD * odd)
        put(cpu, VRT, result.zext(128) << 64, settle(cpu, flags, f64_class(result)))


_to_double("xscvqpdp", 0)
_to_double("xscvqpdpo", 1)


@instruction("xscvdpqp", QP, 836, form="X", needs="VSX", since="3.0", fixed={(11, 15): 22})
def xscvdpqp(cpu: Any, VRT: Any, VRB: Any) -> None:
    result, flags = quad.f64_to_f128(cpu, cpu.vr[VRB].bits(64, 64))
    put(cpu, VRT, result, settled(cpu, result, flags))


def _to_integer(name: str, number: int, operation: Operation, shift: int, since: str = "3.0") -> None:
    """Toward zero; results below a quadword come out in element 0."""

    @instruction(name, QP, 836, form="X", needs="VSX", since=since, fixed={(11, 15): number})
    def body(cpu: Any, VRT: Any, VRB: Any) -> None:
        result, flags = operation(cpu, cpu.vr[VRB])
        put(cpu, VRT, result << shift, settle_keeping_fprf(cpu, flags))


_to_integer("xscvqpuwz", 1, quad.f128_to_u32, 64)
_to_integer("xscvqpswz", 9, quad.f128_to_s32, 64)
_to_integer("xscvqpudz", 17, quad.f128_to_u64, 64)
_to_integer("xscvqpsdz", 25, quad.f128_to_s64, 64)
_to_integer("xscvqpuqz", 0, quad.f128_to_u128, 0, "3.1")
_to_integer("xscvqpsqz", 8, quad.f128_to_s128, 0, "3.1")


@instruction("xscvudqp", QP, 836, form="X", needs="VSX", since="3.0", fixed={(11, 15): 2})
def xscvudqp(cpu: Any, VRT: Any, VRB: Any) -> None:
    result = quad.u64_to_f128(cpu, cpu.vr[VRB].bits(64, 64))
    put(cpu, VRT, result, settled(cpu, result, cpu.const(0, 32)))


@instruction("xscvsdqp", QP, 836, form="X", needs="VSX", since="3.0", fixed={(11, 15): 10})
def xscvsdqp(cpu: Any, VRT: Any, VRB: Any) -> None:
    result = quad.s64_to_f128(cpu, cpu.vr[VRB].bits(64, 64))
    put(cpu, VRT, result, settled(cpu, result, cpu.const(0, 32)))


@instruction("xscvuqqp", QP, 836, form="X", needs="VSX", since="3.1", fixed={(11, 15): 3})
def xscvuqqp(cpu: Any, VRT: Any, VRB: Any) -> None:
    result, flags = quad.u128_to_f128(cpu, cpu.vr[VRB], mode(cpu))
    put(cpu, VRT, result, settled(cpu, result, flags))


@instruction("xscvsqqp", QP, 836, form="X", needs="VSX", since="3.1", fixed={(11, 15): 11})
def xscvsqqp(cpu: Any, VRT: Any, VRB: Any) -> None:
    result, flags = quad.s128_to_f128(cpu, cpu.vr[VRB], mode(cpu))
    put(cpu, VRT, result, settled(cpu, result, flags))


# -- rounding --------------------------------------------------------------------------------------

#: R || RMC: ties away, reserved, reserved, as FPSCR[RN] says; nearest, zero, up, down
_HOW = (AWAY, AWAY, AWAY, None, 0, 1, 2, 3)


def rounding_mode(cpu: Any, R: int, RMC: int) -> Any:
    """The mode that R and RMC ask for."""
    how = _HOW[R << 2 | RMC]
    return mode(cpu) if how is None else cpu.const(how, 32)


def _round(name: str, xo: int, operation: Operation, exact: bool, fixed: dict[tuple[int, int], int]) -> None:
    @instruction(name, QP, xo, form="Z23", needs="VSX", since="3.0", fixed=fixed)
    def body(cpu: Any, VRT: Any, R: int, VRB: Any, RMC: int) -> None:
        result, flags = operation(cpu, cpu.vr[VRB], rounding_mode(cpu, R, RMC))
        put(cpu, VRT, result, settled(cpu, result, flags & VXSNAN if exact else flags))


_round("xsrqpi", 5, quad.f128_round_int, True, {(31, 31): 0})
_round("xsrqpix", 5, quad.f128_round_int, False, {(31, 31): 1})
_round("xsrqpxp", 37, quad.f128_round_extended, False, {})

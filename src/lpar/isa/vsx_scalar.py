# SPDX-License-Identifier: GPL-2.0-only
"""VSX scalar floating point, binary64 and single (Book I, section 7.6.1, names beginning with xs).

The operand is element 0 of a VSR; a result clears the rest of its register.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa import softfloat as sf
from lpar.isa.float_arith import ordered_flags
from lpar.isa.fpscr import (
    WRITE,
    mode,
    record,
    set_fpcc,
    settle,
    settle_compare,
    settle_f64,
    settle_keeping_fprf,
    settle_r32,
    trap,
)
from lpar.isa.registry import instruction
from lpar.isa.softfloat import toward_zero
from lpar.isa.softfloat_core import MAGNITUDE, SIGN, exponent
from lpar.isa.values import concat, select

Operation = Callable[..., Any]
XX = 60  #: the primary opcode


def scalar(cpu: Any, n: Any) -> Any:
    """Doubleword element 0 of VSR ``n``."""
    return cpu.vsr[n].bits(64, 64)


def write(cpu: Any, XT: Any, result: Any) -> None:
    """``result`` in doubleword element 0, zero in element 1."""
    cpu.vsr[XT] = result.zext(128) << 64


def put(cpu: Any, XT: Any, result: Any, status: Any) -> None:
    """Write the result if ``status`` allows it, then interrupt if ``status`` says so."""
    if status.bit(WRITE):
        write(cpu, XT, result)
    trap(cpu, status)


# -- arithmetic ------------------------------------------------------------------------------------


def _two_operands(name: str, xo: int, operation: Operation, settled: Operation) -> None:
    @instruction(name, XX, xo, form="XX3", needs="VSX")
    def body(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
        result, flags = operation(cpu, scalar(cpu, XA), scalar(cpu, XB), mode(cpu))
        put(cpu, XT, result, settled(cpu, result, flags))


def _one_operand(name: str, xo: int, operation: Operation, settled: Operation) -> None:
    @instruction(name, XX, xo, form="XX2", needs="VSX")
    def body(cpu: Any, XT: Any, XB: Any) -> None:
        result, flags = operation(cpu, scalar(cpu, XB), mode(cpu))
        put(cpu, XT, result, settled(cpu, result, flags))


def _fused(name: str, xo: int, operation: Operation, settled: Operation) -> None:
    """Type A: XA * XB + XT, and type M (xo + 8): XA * XT + XB."""
    stem, precision = name[:-2], name[-2:]

    @instruction(f"{stem}a{precision}", XX, xo, form="XX3", needs="VSX")
    def type_a(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
        result, flags = operation(cpu, scalar(cpu, XA), scalar(cpu, XB), scalar(cpu, XT), mode(cpu))
        put(cpu, XT, result, settled(cpu, result, flags))

    @instruction(f"{stem}m{precision}", XX, xo + 8, form="XX3", needs="VSX")
    def type_m(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
        result, flags = operation(cpu, scalar(cpu, XA), scalar(cpu, XT), scalar(cpu, XB), mode(cpu))
        put(cpu, XT, result, settled(cpu, result, flags))


_two_operands("xsaddsp", 0, sf.r32_add, settle_r32)
_two_operands("xssubsp", 8, sf.r32_sub, settle_r32)
_two_operands("xsmulsp", 16, sf.r32_mul, settle_r32)
_two_operands("xsdivsp", 24, sf.r32_div, settle_r32)
_two_operands("xsadddp", 32, sf.f64_add, settle_f64)
_two_operands("xssubdp", 40, sf.f64_sub, settle_f64)
_two_operands("xsmuldp", 48, sf.f64_mul, settle_f64)
_two_operands("xsdivdp", 56, sf.f64_div, settle_f64)
_fused("xsmaddsp", 1, sf.r32_madd, settle_r32)
_fused("xsmsubsp", 17, sf.r32_msub, settle_r32)
_fused("xsmadddp", 33, sf.f64_madd, settle_f64)
_fused("xsmsubdp", 49, sf.f64_msub, settle_f64)
_fused("xsnmaddsp", 129, sf.r32_nmadd, settle_r32)
_fused("xsnmsubsp", 145, sf.r32_nmsub, settle_r32)
_fused("xsnmadddp", 161, sf.f64_nmadd, settle_f64)
_fused("xsnmsubdp", 177, sf.f64_nmsub, settle_f64)
_one_operand("xssqrtsp", 11, sf.r32_sqrt, settle_r32)
_one_operand("xssqrtdp", 75, sf.f64_sqrt, settle_f64)
_one_operand("xsresp", 26, sf.r32_re, settle_r32)
_one_operand("xsredp", 90, sf.f64_re, settle_f64)
_one_operand("xsrsqrtesp", 10, sf.r32_rsqrte, settle_r32)
_one_operand("xsrsqrtedp", 74, sf.f64_rsqrte, settle_f64)
_one_operand("xsrsp", 281, sf.f64_round_single, settle_r32)


@instruction("xstdivdp", XX, 61, form="XX3", needs="VSX")
def xstdivdp(cpu: Any, BF: Any, XA: Any, XB: Any) -> None:
    cpu.cr[BF] = sf.divide_test(scalar(cpu, XA), scalar(cpu, XB), 53)


@instruction("xstsqrtdp", XX, 106, form="XX2", needs="VSX")
def xstsqrtdp(cpu: Any, BF: Any, XB: Any) -> None:
    cpu.cr[BF] = sf.sqrt_test(scalar(cpu, XB), 53)


# -- rounding to integers --------------------------------------------------------------------------


def _round_to_integer(name: str, xo: int, how: int) -> None:
    @instruction(name, XX, xo, form="XX2", needs="VSX")
    def body(cpu: Any, XT: Any, XB: Any) -> None:
        result, flags = sf.f64_round_int(cpu, scalar(cpu, XB), cpu.const(how, 32))
        put(cpu, XT, result, settle_f64(cpu, result, flags & sf.VXSNAN))


_round_to_integer("xsrdpi", 73, sf.AWAY)
_round_to_integer("xsrdpiz", 89, 1)
_round_to_integer("xsrdpip", 105, 2)
_round_to_integer("xsrdpim", 121, 3)
_one_operand("xsrdpic", 107, sf.f64_round_int, settle_f64)


# -- conversions -----------------------------------------------------------------------------------


def _to_integer(name: str, xo: int, operation: Operation) -> None:
    """Toward zero; a word comes out in both words of element 0."""

    @instruction(name, XX, xo, form="XX2", needs="VSX")
    def body(cpu: Any, XT: Any, XB: Any) -> None:
        result, flags = operation(cpu, scalar(cpu, XB), toward_zero(mode(cpu)))
        whole = result if result.w == 64 else concat(result, result)
        put(cpu, XT, whole, settle_keeping_fprf(cpu, flags))


_to_integer("xscvdpuxws", 72, sf.f64_to_u32)
_to_integer("xscvdpsxws", 88, sf.f64_to_s32)
_to_integer("xscvdpuxds", 328, sf.f64_to_u64)
_to_integer("xscvdpsxds", 344, sf.f64_to_s64)
_one_operand("xscvuxdsp", 296, sf.u64_to_r32, settle_r32)
_one_operand("xscvsxdsp", 312, sf.s64_to_r32, settle_r32)
_one_operand("xscvuxddp", 360, sf.u64_to_f64, settle_f64)
_one_operand("xscvsxddp", 376, sf.s64_to_f64, settle_f64)


@instruction("xscvdpsp", XX, 265, form="XX2", needs="VSX")
def xscvdpsp(cpu: Any, XT: Any, XB: Any) -> None:
    result, flags = sf.f64_round_single(cpu, scalar(cpu, XB), mode(cpu))
    word = sf.narrow(result)
    put(cpu, XT, concat(word, word), settle_r32(cpu, result, flags))


@instruction("xscvspdp", XX, 329, form="XX2", needs="VSX")
def xscvspdp(cpu: Any, XT: Any, XB: Any) -> None:
    result, flags = sf.f32_to_f64(cpu, cpu.vsr[XB].bits(96, 32))
    put(cpu, XT, result, settle_f64(cpu, result, flags))


@instruction("xscvdpspn", XX, 267, form="XX2", needs="VSX")
def xscvdpspn(cpu: Any, XT: Any, XB: Any) -> None:
    word = sf.narrow(scalar(cpu, XB))
    write(cpu, XT, concat(word, word))


@instruction("xscvspdpn", XX, 331, form="XX2", needs="VSX")
def xscvspdpn(cpu: Any, XT: Any, XB: Any) -> None:
    write(cpu, XT, sf.widen(cpu.vsr[XB].bits(96, 32)))


@instruction("xscvhpdp", XX, 347, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 16})
def xscvhpdp(cpu: Any, XT: Any, XB: Any) -> None:
    result, flags = sf.f16_to_f64(cpu, cpu.vsr[XB].bits(64, 16))
    put(cpu, XT, result, settle_f64(cpu, result, flags))


@instruction("xscvdphp", XX, 347, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 17})
def xscvdphp(cpu: Any, XT: Any, XB: Any) -> None:
    result, flags = sf.f64_round_half(cpu, scalar(cpu, XB), mode(cpu))
    put(cpu, XT, sf.narrow_half(result).zext(64), settle(cpu, flags, sf.f16_class(result)))


# -- signs -----------------------------------------------------------------------------------------


@instruction("xsabsdp", XX, 345, form="XX2", needs="VSX")
def xsabsdp(cpu: Any, XT: Any, XB: Any) -> None:
    write(cpu, XT, scalar(cpu, XB) & MAGNITUDE)


@instruction("xsnabsdp", XX, 361, form="XX2", needs="VSX")
def xsnabsdp(cpu: Any, XT: Any, XB: Any) -> None:
    write(cpu, XT, scalar(cpu, XB) | SIGN)


@instruction("xsnegdp", XX, 377, form="XX2", needs="VSX")
def xsnegdp(cpu: Any, XT: Any, XB: Any) -> None:
    write(cpu, XT, scalar(cpu, XB) ^ SIGN)


@instruction("xscpsgndp", XX, 176, form="XX3", needs="VSX")
def xscpsgndp(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
    write(cpu, XT, (scalar(cpu, XA) & SIGN) | (scalar(cpu, XB) & MAGNITUDE))


# -- comparisons -----------------------------------------------------------------------------------


def _compared(cpu: Any, BF: Any, cc: Any, flags: Any) -> None:
    status = settle_compare(cpu, cc, flags)
    cpu.cr[BF] = cc
    trap(cpu, status)


@instruction("xscmpudp", XX, 35, form="XX3", needs="VSX", fixed={(31, 31): 0})
def xscmpudp(cpu: Any, BF: Any, XA: Any, XB: Any) -> None:
    cc, flags = sf.f64_compare(cpu, scalar(cpu, XA), scalar(cpu, XB))
    _compared(cpu, BF, cc, flags)


@instruction("xscmpodp", XX, 43, form="XX3", needs="VSX", fixed={(31, 31): 0})
def xscmpodp(cpu: Any, BF: Any, XA: Any, XB: Any) -> None:
    cc, flags = sf.f64_compare(cpu, scalar(cpu, XA), scalar(cpu, XB))
    _compared(cpu, BF, cc, ordered_flags(cc, flags, mode(cpu).bit(7)))


@instruction("xscmpexpdp", XX, 59, form="XX3", needs="VSX", since="3.0")
def xscmpexpdp(cpu: Any, BF: Any, XA: Any, XB: Any) -> None:
    a, b = scalar(cpu, XA), scalar(cpu, XB)
    left, right = exponent(a), exponent(b)
    ordered = concat(left < right, left > right, left == right, cpu.const(0, 1)).zext(8)
    cc = select(sf.is_nan(a) | sf.is_nan(b), cpu.const(1, 8), ordered)
    set_fpcc(cpu, cc)
    cpu.cr[BF] = cc


def _compare_to_mask(name: str, xo: int, wanted: int, ordered: bool) -> None:
    """All ones where one of the relations ``wanted`` (LT=8 GT=4 EQ=2) holds."""

    @instruction(name, XX, xo, form="XX3", needs="VSX", since="3.0")
    def body(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
        cc, flags = sf.f64_compare(cpu, scalar(cpu, XA), scalar(cpu, XB))
        if ordered:
            flags = ordered_flags(cc, flags, mode(cpu).bit(7))
        put(cpu, XT, ((cc & wanted) != 0).sext(64), record(cpu, flags))


_compare_to_mask("xscmpeqdp", 3, 2, False)
_compare_to_mask("xscmpgtdp", 11, 4, True)
_compare_to_mask("xscmpgedp", 19, 6, True)


# -- maximum and minimum ---------------------------------------------------------------------------


def _extreme(name: str, xo: int, operation: Operation, since: str = "2.07") -> None:
    @instruction(name, XX, xo, form="XX3", needs="VSX", since=since)
    def body(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
        result, flags = operation(cpu, scalar(cpu, XA), scalar(cpu, XB))
        put(cpu, XT, result, record(cpu, flags))


def _any_snan(a: Any, b: Any) -> Any:
    return sf.flag(sf.is_snan(a) | sf.is_snan(b), sf.VXSNAN)


def max_c(cpu: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """``a >= b ? a : b`` of the C language."""
    return select(sf.f64_less(b, a) | sf.f64_equal(a, b), a, b), _any_snan(a, b)


def min_c(cpu: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """``a < b ? a : b`` of the C language."""
    return select(sf.f64_less(a, b), a, b), _any_snan(a, b)


def max_j(cpu: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Java's maximum: a NaN if there is one, +0 above -0."""
    larger = sf.f64_less(b, a) | (sf.f64_equal(a, b) & ~a.bit(63))
    return select(sf.is_nan(a) | (larger & ~sf.is_nan(b)), a, b), _any_snan(a, b)


def min_j(cpu: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Java's minimum: a NaN if there is one, -0 below +0."""
    smaller = sf.f64_less(a, b) | (sf.f64_equal(a, b) & a.bit(63))
    return select(sf.is_nan(a) | (smaller & ~sf.is_nan(b)), a, b), _any_snan(a, b)


_extreme("xsmaxdp", 160, sf.f64_max)
_extreme("xsmindp", 168, sf.f64_min)
_extreme("xsmaxcdp", 128, max_c, "3.0")
_extreme("xsmincdp", 136, min_c, "3.0")
_extreme("xsmaxjdp", 144, max_j, "3.0")
_extreme("xsminjdp", 152, min_j, "3.0")


# -- parts of a number -----------------------------------------------------------------------------


@instruction("xsxexpdp", XX, 347, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 0, (31, 31): 0})
def xsxexpdp(cpu: Any, RT: Any, XB: Any) -> None:
    cpu.gpr[RT] = exponent(scalar(cpu, XB))


@instruction("xsxsigdp", XX, 347, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 1, (31, 31): 0})
def xsxsigdp(cpu: Any, RT: Any, XB: Any) -> None:
    b = scalar(cpu, XB)
    normal = (exponent(b) != 0) & ~sf.is_special(b)
    cpu.gpr[RT] = (b & ((1 << 52) - 1)) | (normal.zext(64) << 52)


@instruction("xsiexpdp", XX, 918, form="X", needs="VSX", since="3.0")
def xsiexpdp(cpu: Any, XT: Any, RA: Any, RB: Any) -> None:
    rest = cpu.gpr[RA] & (SIGN | ((1 << 52) - 1))
    write(cpu, XT, rest | ((cpu.gpr[RB] & 0x7FF) << 52))


def class_match(cpu: Any, b: Any, denormal: Any, DCMX: Any) -> Any:
    """Whether ``b`` is of a class in DCMX: NaN, infinities, zeros, denormals; plus before minus."""
    sign = b.bit(63).zext(64)
    small = select(sf.is_zero(b), cpu.const(8), select(denormal, cpu.const(2), 0))
    pairs = select(sf.is_inf(b), cpu.const(0x20), small)
    return (DCMX & select(sf.is_nan(b), cpu.const(0x40), pairs >> sign)) != 0


def _tested(cpu: Any, BF: Any, cc: Any) -> None:
    set_fpcc(cpu, cc)
    cpu.cr[BF] = cc


@instruction("xststdcdp", XX, 362, form="XX2", needs="VSX", since="3.0")
def xststdcdp(cpu: Any, BF: Any, XB: Any, DCMX: Any) -> None:
    b = scalar(cpu, XB)
    match = class_match(cpu, b, exponent(b) == 0, DCMX)
    _tested(cpu, BF, (b.bit(63).zext(8) << 3) | (match.zext(8) << 1))


@instruction("xststdcsp", XX, 298, form="XX2", needs="VSX", since="3.0")
def xststdcsp(cpu: Any, BF: Any, XB: Any, DCMX: Any) -> None:
    b = scalar(cpu, XB)
    match = class_match(cpu, b, exponent(b) < 897, DCMX)
    cut = sf.widen(sf.narrow(b)) != b
    _tested(cpu, BF, (b.bit(63).zext(8) << 3) | (match.zext(8) << 1) | cut.zext(8))

# SPDX-License-Identifier: GPL-2.0-only
"""Floating-point arithmetic, rounding and conversion (Book I, sections 4.6.6 and 4.6.7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa import softfloat as sf
from lpar.isa.fpscr import (
    WRITE,
    mode,
    record_cr1,
    settle_compare,
    settle_f64,
    settle_keeping_fprf,
    settle_r32,
    trap,
)
from lpar.isa.registry import instruction
from lpar.isa.softfloat import toward_zero
from lpar.isa.values import select

Operation = Callable[..., Any]


def put(cpu: Any, FRT: Any, result: Any, status: Any, Rc: int) -> None:
    """Write the result if ``status`` allows it, CR1 if Rc, then interrupt if ``status`` says so."""
    if status.bit(WRITE):
        cpu.fpr[FRT] = result
    record_cr1(cpu, Rc)
    trap(cpu, status)


# -- arithmetic: opcode 63 for double, 59 for single -----------------------------------------------


def _two_operands(name: str, opcd: int, xo: int, operation: Operation, settle: Operation) -> None:
    @instruction(name + "{.}", opcd, xo, form="A", needs="FP")
    def body(cpu: Any, FRT: Any, FRA: Any, FRB: Any, Rc: int) -> None:
        result, flags = operation(cpu, cpu.fpr[FRA], cpu.fpr[FRB], mode(cpu))
        put(cpu, FRT, result, settle(cpu, result, flags), Rc)


def _multiply(name: str, opcd: int, operation: Operation, settle: Operation) -> None:
    @instruction(name + "{.}", opcd, 25, form="A", needs="FP")
    def body(cpu: Any, FRT: Any, FRA: Any, FRC: Any, Rc: int) -> None:
        result, flags = operation(cpu, cpu.fpr[FRA], cpu.fpr[FRC], mode(cpu))
        put(cpu, FRT, result, settle(cpu, result, flags), Rc)


def _one_operand(
    name: str, opcd: int, xo: int, operation: Operation, settle: Operation, form: str = "X"
) -> None:
    @instruction(name + "{.}", opcd, xo, form=form, needs="FP")
    def body(cpu: Any, FRT: Any, FRB: Any, Rc: int) -> None:
        result, flags = operation(cpu, cpu.fpr[FRB], mode(cpu))
        put(cpu, FRT, result, settle(cpu, result, flags), Rc)


def _fused(name: str, opcd: int, xo: int, operation: Operation, settle: Operation) -> None:
    @instruction(name + "{.}", opcd, xo, form="A", needs="FP")
    def body(cpu: Any, FRT: Any, FRA: Any, FRC: Any, FRB: Any, Rc: int) -> None:
        result, flags = operation(cpu, cpu.fpr[FRA], cpu.fpr[FRC], cpu.fpr[FRB], mode(cpu))
        put(cpu, FRT, result, settle(cpu, result, flags), Rc)


_two_operands("fdiv", 63, 18, sf.f64_div, settle_f64)
_two_operands("fsub", 63, 20, sf.f64_sub, settle_f64)
_two_operands("fadd", 63, 21, sf.f64_add, settle_f64)
_two_operands("fdivs", 59, 18, sf.r32_div, settle_r32)
_two_operands("fsubs", 59, 20, sf.r32_sub, settle_r32)
_two_operands("fadds", 59, 21, sf.r32_add, settle_r32)
_multiply("fmul", 63, sf.f64_mul, settle_f64)
_multiply("fmuls", 59, sf.r32_mul, settle_r32)
_one_operand("fsqrt", 63, 22, sf.f64_sqrt, settle_f64, form="A")
_one_operand("fsqrts", 59, 22, sf.r32_sqrt, settle_r32, form="A")
_fused("fmsub", 63, 28, sf.f64_msub, settle_f64)
_fused("fmadd", 63, 29, sf.f64_madd, settle_f64)
_fused("fnmsub", 63, 30, sf.f64_nmsub, settle_f64)
_fused("fnmadd", 63, 31, sf.f64_nmadd, settle_f64)
_fused("fmsubs", 59, 28, sf.r32_msub, settle_r32)
_fused("fmadds", 59, 29, sf.r32_madd, settle_r32)
_fused("fnmsubs", 59, 30, sf.r32_nmsub, settle_r32)
_fused("fnmadds", 59, 31, sf.r32_nmadd, settle_r32)


# -- estimates and tests ---------------------------------------------------------------------------


_one_operand("fre", 63, 24, sf.f64_re, settle_f64, form="A")
_one_operand("fres", 59, 24, sf.r32_re, settle_r32, form="A")
_one_operand("frsqrte", 63, 26, sf.f64_rsqrte, settle_f64, form="A")
_one_operand("frsqrtes", 59, 26, sf.r32_rsqrte, settle_r32, form="A")


@instruction("ftdiv", 63, 128, form="X", needs="FP")
def ftdiv(cpu: Any, BF: Any, FRA: Any, FRB: Any) -> None:
    cpu.cr[BF] = sf.divide_test(cpu.fpr[FRA], cpu.fpr[FRB], 53)


@instruction("ftsqrt", 63, 160, form="X", needs="FP")
def ftsqrt(cpu: Any, BF: Any, FRB: Any) -> None:
    cpu.cr[BF] = sf.sqrt_test(cpu.fpr[FRB], 53)


# -- conversions -----------------------------------------------------------------------------------


def _to_integer(name: str, xo: int, operation: Operation, signed: bool) -> None:
    """A conversion that rounds as FPSCR[RN] says, and the one toward zero (xo + 1)."""

    @instruction(name + "{.}", 63, xo, form="X", needs="FP")
    def rounded(cpu: Any, FRT: Any, FRB: Any, Rc: int) -> None:
        result, flags = operation(cpu, cpu.fpr[FRB], mode(cpu))
        put(cpu, FRT, extended(result, signed), settle_keeping_fprf(cpu, flags), Rc)

    @instruction(name + "z{.}", 63, xo + 1, form="X", needs="FP")
    def truncated(cpu: Any, FRT: Any, FRB: Any, Rc: int) -> None:
        result, flags = operation(cpu, cpu.fpr[FRB], toward_zero(mode(cpu)))
        put(cpu, FRT, extended(result, signed), settle_keeping_fprf(cpu, flags), Rc)


def extended(result: Any, signed: bool) -> Any:
    """An integer result as a doubleword."""
    return result.sext(64) if signed else result.zext(64)


_to_integer("fctiw", 14, sf.f64_to_s32, True)
_to_integer("fctiwu", 142, sf.f64_to_u32, False)
_to_integer("fctid", 814, sf.f64_to_s64, True)
_to_integer("fctidu", 942, sf.f64_to_u64, False)
_one_operand("fcfid", 63, 846, sf.s64_to_f64, settle_f64)
_one_operand("fcfidu", 63, 974, sf.u64_to_f64, settle_f64)
_one_operand("fcfids", 59, 846, sf.s64_to_r32, settle_r32)
_one_operand("fcfidus", 59, 974, sf.u64_to_r32, settle_r32)
_one_operand("frsp", 63, 12, sf.f64_round_single, settle_r32)


# -- rounding to integers: never inexact -----------------------------------------------------------


def _round_to_integer(name: str, xo: int, how: int) -> None:
    @instruction(name + "{.}", 63, xo, form="X", needs="FP")
    def body(cpu: Any, FRT: Any, FRB: Any, Rc: int) -> None:
        result, flags = sf.f64_round_int(cpu, cpu.fpr[FRB], cpu.const(how, 32))
        put(cpu, FRT, result, settle_f64(cpu, result, flags & sf.VXSNAN), Rc)


_round_to_integer("frin", 392, sf.AWAY)
_round_to_integer("friz", 424, 1)
_round_to_integer("frip", 456, 2)
_round_to_integer("frim", 488, 3)


# -- comparisons and selection ---------------------------------------------------------------------


def ordered_flags(cc: Any, flags: Any, enabled: Any) -> Any:
    """Add VXVC for an ordered comparison: any NaN, but not a signalling one if VE (``enabled``)."""
    return flags | sf.flag((cc == 1) & ((flags == 0) | ~enabled), sf.VXVC)


def _compared(cpu: Any, BF: Any, cc: Any, flags: Any) -> None:
    status = settle_compare(cpu, cc, flags)
    cpu.cr[BF] = cc
    trap(cpu, status)


@instruction("fcmpu", 63, 0, form="X", needs="FP")
def fcmpu(cpu: Any, BF: Any, FRA: Any, FRB: Any) -> None:
    cc, flags = sf.f64_compare(cpu, cpu.fpr[FRA], cpu.fpr[FRB])
    _compared(cpu, BF, cc, flags)


@instruction("fcmpo", 63, 32, form="X", needs="FP")
def fcmpo(cpu: Any, BF: Any, FRA: Any, FRB: Any) -> None:
    cc, flags = sf.f64_compare(cpu, cpu.fpr[FRA], cpu.fpr[FRB])
    _compared(cpu, BF, cc, ordered_flags(cc, flags, mode(cpu).bit(7)))


@instruction("fsel{.}", 63, 23, form="A", needs="FP")
def fsel(cpu: Any, FRT: Any, FRA: Any, FRC: Any, FRB: Any, Rc: int) -> None:
    a = cpu.fpr[FRA]
    take = (~a.bit(63) | sf.is_zero(a)) & ~sf.is_nan(a)
    cpu.fpr[FRT] = select(take, cpu.fpr[FRC], cpu.fpr[FRB])
    record_cr1(cpu, Rc)

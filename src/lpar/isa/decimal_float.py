# SPDX-License-Identifier: GPL-2.0-only
"""Decimal floating-point instructions (Book I, section 5.6): opcode 59 on longs, 63 on quads in pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa import decimal_float_arith as arith
from lpar.isa.decimal_float_core import (
    BIAS,
    DEFAULT_NAN,
    LONG,
    PRECISION,
    QUAD,
    SHORT,
    SIGN,
    TOP,
    W,
    decimal_class,
    digit_count,
    digits_left,
    digits_right,
    is_inf,
    is_nan,
    is_snan,
    is_special,
    is_tiny,
    mode,
    pack,
    pack_special,
    pick,
    unpack,
)
from lpar.isa.float_arith import ordered_flags
from lpar.isa.fpscr import (
    WRITE,
    record_cr1,
    set_fpcc,
    settle,
    settle_compare,
    settle_keeping_fprf,
    trap,
)
from lpar.isa.registry import instruction
from lpar.isa.routine import routine
from lpar.isa.softfloat_core import OE_BIT, OX, UE_BIT, UX, VXCVI, VXSNAN
from lpar.isa.values import concat, select
from lpar.isa.vmx_decimal import bad_digits

Operation = Callable[..., Any]
Define = Callable[[Callable[..., None]], Callable[..., None]]
DL, DQ = 59, 63  #: primary opcodes


# -- operands and results --------------------------------------------------------------------------


def long(cpu: Any, FR: Any) -> Any:
    """The register image of a long."""
    return cpu.fpr[FR].zext(128) << 64


def quad(cpu: Any, even: Any, odd: Any) -> Any:
    """The register image of a quad."""
    return concat(cpu.fpr[even], cpu.fpr[odd])


@routine(args=(8, 128, 32), returns=8)
def settle_decimal(cpu: Any, fmt: Any, result: Any, flags: Any) -> Any:
    """Record the exceptions and the class of a result; gives the status."""
    return settle(cpu, flags, decimal_class(cpu, fmt, result))


def write_long(cpu: Any, FRT: Any, value: Any, status: Any, Rc: int) -> None:
    """FRT (width 64) if ``status`` allows it, CR1 if Rc, then interrupt if ``status`` says so."""
    if status.bit(WRITE):
        cpu.fpr[FRT] = value
    record_cr1(cpu, Rc)
    trap(cpu, status)


def write_quad(cpu: Any, even: Any, odd: Any, value: Any, status: Any, Rc: int) -> None:
    """As :func:`write_long` for a pair."""
    if status.bit(WRITE):
        cpu.fpr[even] = value.bits(64, 64)
        cpu.fpr[odd] = value.bits(0, 64)
    record_cr1(cpu, Rc)
    trap(cpu, status)


def put_long(cpu: Any, FRT: Any, outcome: Any, Rc: int) -> None:
    """Write a long result, given with its flags."""
    result, flags = outcome
    write_long(cpu, FRT, result.bits(64, 64), settle_decimal(cpu, LONG, result, flags), Rc)


def put_quad(cpu: Any, even: Any, odd: Any, outcome: Any, Rc: int) -> None:
    """Write a quad result, given with its flags."""
    result, flags = outcome
    write_quad(cpu, even, odd, result, settle_decimal(cpu, QUAD, result, flags), Rc)


# -- arithmetic ------------------------------------------------------------------------------------


def _arithmetic(name: str, xo: int, operation: Operation) -> None:
    @instruction(name + "{.}", DL, xo, form="X", needs="FP")
    def on_longs(cpu: Any, FRT: Any, FRA: Any, FRB: Any, Rc: int) -> None:
        put_long(cpu, FRT, operation(cpu, LONG, long(cpu, FRA), long(cpu, FRB), mode(cpu)), Rc)

    @instruction(name + "q{.}", DQ, xo, form="X", needs="FP")
    def on_quads(cpu: Any, FRTe: Any, FRTo: Any, FRAe: Any, FRAo: Any, FRBe: Any, FRBo: Any, Rc: int) -> None:
        outcome = operation(cpu, QUAD, quad(cpu, FRAe, FRAo), quad(cpu, FRBe, FRBo), mode(cpu))
        put_quad(cpu, FRTe, FRTo, outcome, Rc)


_arithmetic("dadd", 2, arith.decimal_add)
_arithmetic("dmul", 34, arith.decimal_multiply)
_arithmetic("dsub", 514, arith.decimal_subtract)
_arithmetic("ddiv", 546, arith.decimal_divide)


# -- comparisons -----------------------------------------------------------------------------------


def compared(cpu: Any, BF: Any, fmt: int, a: Any, b: Any, ordered: bool) -> None:
    """Compare into a CR field and FPCC."""
    cc, flags = arith.decimal_compare(cpu, fmt, a, b)
    if ordered:
        flags = ordered_flags(cc, flags, mode(cpu).bit(7))
    status = settle_compare(cpu, cc, flags)
    cpu.cr[BF] = cc
    trap(cpu, status)


def _compare(name: str, xo: int, ordered: bool) -> None:
    @instruction(name, DL, xo, form="X", needs="FP")
    def on_longs(cpu: Any, BF: Any, FRA: Any, FRB: Any) -> None:
        compared(cpu, BF, LONG, long(cpu, FRA), long(cpu, FRB), ordered)

    @instruction(name + "q", DQ, xo, form="X", needs="FP")
    def on_quads(cpu: Any, BF: Any, FRAe: Any, FRAo: Any, FRBe: Any, FRBo: Any) -> None:
        compared(cpu, BF, QUAD, quad(cpu, FRAe, FRAo), quad(cpu, FRBe, FRBo), ordered)


_compare("dcmpo", 130, True)
_compare("dcmpu", 642, False)


# -- tests: a CR field and FPCC, no exceptions -----------------------------------------------------


def tell(cpu: Any, BF: Any, cc: Any) -> None:
    """The outcome of a test."""
    set_fpcc(cpu, cc)
    cpu.cr[BF] = cc


@routine(args=(8, 64, 128), returns=8)
def data_class(cpu: Any, fmt: Any, mask: Any, x: Any) -> Any:
    """Whether ``x`` is of one of the classes: zero, subnormal, normal, infinity, QNaN, SNaN."""
    exp, coef = unpack(cpu, fmt, x)
    finite, tiny = ~is_special(x), is_tiny(cpu, fmt, exp, coef)
    nan = is_nan(x)
    classes = concat(
        finite & (coef == 0), finite & tiny, finite & ~tiny & (coef != 0),
        is_inf(x), nan & ~is_snan(x), is_snan(x),
    )  # fmt: skip
    return sign_and_match(x, (classes & mask.trunc(6)) != 0)


@routine(args=(8, 64, 128), returns=8)
def data_group(cpu: Any, fmt: Any, mask: Any, x: Any) -> Any:
    """Whether ``x`` is in one of the groups that exponent and leftmost digit make."""
    exp, coef = unpack(cpu, fmt, x)
    finite, tiny, zero = ~is_special(x), is_tiny(cpu, fmt, exp, coef), coef == 0
    extreme = (exp == 0) | (exp == pick(cpu, fmt, TOP))
    full = digit_count(coef) == pick(cpu, fmt, PRECISION)
    plain = finite & ~zero & ~tiny & ~extreme
    groups = concat(
        finite & zero & ~extreme, finite & zero & extreme, finite & ~zero & (tiny | extreme),
        plain & ~full, plain & full, ~finite,
    )  # fmt: skip
    return sign_and_match(x, (groups & mask.trunc(6)) != 0)


def sign_and_match(x: Any, match: Any) -> Any:
    """The CR field: sign, 0, match, 0."""
    return x.bit(127).zext(8) << 3 | match.zext(8) << 1


def _test(name: str, xo: int, operation: Operation) -> None:
    @instruction(name, DL, xo, form="Z22", needs="FP")
    def on_longs(cpu: Any, BF: Any, FRA: Any, DCM: Any) -> None:
        tell(cpu, BF, operation(cpu, LONG, DCM, long(cpu, FRA)))

    @instruction(name + "q", DQ, xo, form="Z22", needs="FP")
    def on_quads(cpu: Any, BF: Any, FRAe: Any, FRAo: Any, DCM: Any) -> None:
        tell(cpu, BF, operation(cpu, QUAD, DCM, quad(cpu, FRAe, FRAo)))


_test("dtstdc", 194, data_class)
_test("dtstdg", 226, data_group)


@routine(args=(8, 128, 128), returns=8)
def compare_exponents(cpu: Any, fmt: Any, a: Any, b: Any) -> Any:
    """LT, GT, EQ of the exponents; of special values EQ or unordered."""
    exp_a, _ = unpack(cpu, fmt, a)
    exp_b, _ = unpack(cpu, fmt, b)
    alike = (is_nan(a) & is_nan(b)) | (is_inf(a) & is_inf(b))
    order = select(exp_a < exp_b, cpu.const(8, 8), select(exp_a > exp_b, cpu.const(4, 8), 2))
    special = select(alike, cpu.const(2, 8), 1)
    return select(is_special(a) | is_special(b), special, order)


@instruction("dtstex", DL, 162, form="X", needs="FP")
def dtstex(cpu: Any, BF: Any, FRA: Any, FRB: Any) -> None:
    tell(cpu, BF, compare_exponents(cpu, LONG, long(cpu, FRA), long(cpu, FRB)))


@instruction("dtstexq", DQ, 162, form="X", needs="FP")
def dtstexq(cpu: Any, BF: Any, FRAe: Any, FRAo: Any, FRBe: Any, FRBo: Any) -> None:
    tell(cpu, BF, compare_exponents(cpu, QUAD, quad(cpu, FRAe, FRAo), quad(cpu, FRBe, FRBo)))


@routine(args=(8, 64, 128), returns=8)
def compare_significance(cpu: Any, fmt: Any, wanted: Any, b: Any) -> Any:
    """A number of digits (6 bits) against those of ``b``; 0 is greater than any."""
    _, coef = unpack(cpu, fmt, b)
    count, wanted = digit_count(coef), wanted & 63
    greater = (wanted > count) | (wanted == 0)
    order = select(greater, cpu.const(4, 8), select(wanted < count, cpu.const(8, 8), 2))
    return select(is_special(b), cpu.const(1, 8), order)


@instruction("dtstsf", DL, 674, form="X", needs="FP")
def dtstsf(cpu: Any, BF: Any, FRA: Any, FRB: Any) -> None:
    tell(cpu, BF, compare_significance(cpu, LONG, cpu.fpr[FRA], long(cpu, FRB)))


@instruction("dtstsfq", DQ, 674, form="X", needs="FP")
def dtstsfq(cpu: Any, BF: Any, FRA: Any, FRBe: Any, FRBo: Any) -> None:
    tell(cpu, BF, compare_significance(cpu, QUAD, cpu.fpr[FRA], quad(cpu, FRBe, FRBo)))


@instruction("dtstsfi", DL, 675, form="X", needs="FP", since="3.0")
def dtstsfi(cpu: Any, BF: Any, UIM6: Any, FRB: Any) -> None:
    tell(cpu, BF, compare_significance(cpu, LONG, UIM6, long(cpu, FRB)))


@instruction("dtstsfiq", DQ, 675, form="X", needs="FP", since="3.0")
def dtstsfiq(cpu: Any, BF: Any, UIM6: Any, FRBe: Any, FRBo: Any) -> None:
    tell(cpu, BF, compare_significance(cpu, QUAD, UIM6, quad(cpu, FRBe, FRBo)))


# -- quantum adjustment ----------------------------------------------------------------------------

#: R || RMC -> rounding, as FPSCR[DRN] numbers them; 3 stands for FPSCR[DRN] itself
CHOICES = 0 | 1 << 4 | 4 << 8 | 2 << 16 | 3 << 20 | 6 << 24 | 5 << 28


def chosen(cpu: Any, R: Any, RMC: Any) -> Any:
    """The mode with the rounding that R and RMC ask for."""
    choice = R << 2 | RMC
    how = ((cpu.const(CHOICES) >> (choice << 2)) & 7).trunc(32)
    own = mode(cpu)
    return select(choice == 3, own, (own & ~7) | how)


@instruction("dqua{.}", DL, 3, form="Z23", needs="FP")
def dqua(cpu: Any, FRT: Any, FRA: Any, FRB: Any, RMC_I: Any, Rc: int) -> None:
    how = chosen(cpu, cpu.const(0), RMC_I)
    put_long(cpu, FRT, arith.decimal_quantize(cpu, LONG, long(cpu, FRA), long(cpu, FRB), how), Rc)


@instruction("dquaq{.}", DQ, 3, form="Z23", needs="FP")
def dquaq(
    cpu: Any, FRTe: Any, FRTo: Any, FRAe: Any, FRAo: Any, FRBe: Any, FRBo: Any, RMC_I: Any, Rc: int
) -> None:
    how = chosen(cpu, cpu.const(0), RMC_I)
    outcome = arith.decimal_quantize(cpu, QUAD, quad(cpu, FRAe, FRAo), quad(cpu, FRBe, FRBo), how)
    put_quad(cpu, FRTe, FRTo, outcome, Rc)


@instruction("dquai{.}", DL, 67, form="Z23", needs="FP")
def dquai(cpu: Any, FRT: Any, TE: Any, FRB: Any, RMC_I: Any, Rc: int) -> None:
    how = chosen(cpu, cpu.const(0), RMC_I)
    put_long(cpu, FRT, arith.decimal_quantize_to(cpu, LONG, TE, long(cpu, FRB), how), Rc)


@instruction("dquaiq{.}", DQ, 67, form="Z23", needs="FP")
def dquaiq(cpu: Any, FRTe: Any, FRTo: Any, TE: Any, FRBe: Any, FRBo: Any, RMC_I: Any, Rc: int) -> None:
    how = chosen(cpu, cpu.const(0), RMC_I)
    put_quad(cpu, FRTe, FRTo, arith.decimal_quantize_to(cpu, QUAD, TE, quad(cpu, FRBe, FRBo), how), Rc)


@instruction("drrnd{.}", DL, 35, form="Z23", needs="FP")
def drrnd(cpu: Any, FRT: Any, FRA: Any, FRB: Any, RMC_I: Any, Rc: int) -> None:
    how = chosen(cpu, cpu.const(0), RMC_I)
    put_long(cpu, FRT, arith.decimal_reround(cpu, LONG, cpu.fpr[FRA] & 63, long(cpu, FRB), how), Rc)


@instruction("drrndq{.}", DQ, 35, form="Z23", needs="FP")
def drrndq(cpu: Any, FRTe: Any, FRTo: Any, FRA: Any, FRBe: Any, FRBo: Any, RMC_I: Any, Rc: int) -> None:
    how = chosen(cpu, cpu.const(0), RMC_I)
    outcome = arith.decimal_reround(cpu, QUAD, cpu.fpr[FRA] & 63, quad(cpu, FRBe, FRBo), how)
    put_quad(cpu, FRTe, FRTo, outcome, Rc)


def _round_to_integer(name: str, xo: int, exact: bool) -> None:
    """``exact``: the instruction that reports XX."""
    reported = 0xFFFFFFFF if exact else VXSNAN

    @instruction(name + "{.}", DL, xo, form="Z23", needs="FP")
    def on_longs(cpu: Any, FRT: Any, R_I: Any, FRB: Any, RMC_I: Any, Rc: int) -> None:
        result, flags = arith.decimal_round_int(cpu, LONG, long(cpu, FRB), chosen(cpu, R_I, RMC_I))
        put_long(cpu, FRT, (result, flags & reported), Rc)

    @instruction(name + "q{.}", DQ, xo, form="Z23", needs="FP")
    def on_quads(cpu: Any, FRTe: Any, FRTo: Any, R_I: Any, FRBe: Any, FRBo: Any, RMC_I: Any, Rc: int) -> None:
        how = chosen(cpu, R_I, RMC_I)
        result, flags = arith.decimal_round_int(cpu, QUAD, quad(cpu, FRBe, FRBo), how)
        put_quad(cpu, FRTe, FRTo, (result, flags & reported), Rc)


_round_to_integer("drintx", 99, True)
_round_to_integer("drintn", 227, False)


# -- conversions between formats -------------------------------------------------------------------


@instruction("dctdp{.}", DL, 258, form="X", needs="FP")
def dctdp(cpu: Any, FRT: Any, FRB: Any, Rc: int) -> None:
    result = arith.short_to_long(cpu, cpu.fpr[FRB].zext(128) << 96)
    put_long(cpu, FRT, (result, cpu.const(0, 32)), Rc)


@instruction("dctqpq{.}", DQ, 258, form="X", needs="FP")
def dctqpq(cpu: Any, FRTe: Any, FRTo: Any, FRB: Any, Rc: int) -> None:
    put_quad(cpu, FRTe, FRTo, arith.long_to_quad(cpu, long(cpu, FRB)), Rc)


def is_wrapped(flags: Any, how: Any) -> Any:
    """Whether an enabled overflow or underflow left the result in the wider format."""
    return (((flags & OX) != 0) & how.bit(OE_BIT)) | (((flags & UX) != 0) & how.bit(UE_BIT))


@instruction("drsp{.}", DL, 770, form="X", needs="FP")
def drsp(cpu: Any, FRT: Any, FRB: Any, Rc: int) -> None:
    how = mode(cpu)
    result, flags = arith.long_to_short(cpu, long(cpu, FRB), how)
    wide = is_wrapped(flags, how)
    status = settle_decimal(cpu, select(wide, cpu.const(LONG, 8), SHORT), result, flags)
    write_long(cpu, FRT, select(wide, result.bits(64, 64), result.bits(96, 32).zext(64)), status, Rc)


@instruction("drdpq{.}", DQ, 770, form="X", needs="FP")
def drdpq(cpu: Any, FRTe: Any, FRTo: Any, FRBe: Any, FRBo: Any, Rc: int) -> None:
    """The long result is in the even register, the odd one is cleared."""
    how = mode(cpu)
    result, flags = arith.quad_to_long(cpu, quad(cpu, FRBe, FRBo), how)
    fmt = select(is_wrapped(flags, how), cpu.const(QUAD, 8), LONG)
    write_quad(cpu, FRTe, FRTo, result, settle_decimal(cpu, fmt, result, flags), Rc)


# -- conversions of integers -----------------------------------------------------------------------


@instruction("dcffix{.}", DL, 802, form="X", needs="FP")
def dcffix(cpu: Any, FRT: Any, FRB: Any, Rc: int) -> None:
    put_long(cpu, FRT, arith.from_integer(cpu, LONG, cpu.fpr[FRB].sext(128), mode(cpu)), Rc)


@instruction("dcffixq{.}", DQ, 802, form="X", needs="FP")
def dcffixq(cpu: Any, FRTe: Any, FRTo: Any, FRB: Any, Rc: int) -> None:
    put_quad(cpu, FRTe, FRTo, arith.from_integer(cpu, QUAD, cpu.fpr[FRB].sext(128), mode(cpu)), Rc)


@instruction("dctfix{.}", DL, 290, form="X", needs="FP")
def dctfix(cpu: Any, FRT: Any, FRB: Any, Rc: int) -> None:
    result, flags = arith.to_integer(cpu, LONG, 64, long(cpu, FRB), mode(cpu))
    write_long(cpu, FRT, result.trunc(64), settle_keeping_fprf(cpu, flags), Rc)


@instruction("dctfixq{.}", DQ, 290, form="X", needs="FP")
def dctfixq(cpu: Any, FRT: Any, FRBe: Any, FRBo: Any, Rc: int) -> None:
    result, flags = arith.to_integer(cpu, QUAD, 64, quad(cpu, FRBe, FRBo), mode(cpu))
    write_long(cpu, FRT, result.trunc(64), settle_keeping_fprf(cpu, flags), Rc)


@instruction("dcffixqq", DQ, 994, form="X", needs="FP VSX", since="3.1", fixed={(11, 15): 0})
def dcffixqq(cpu: Any, FRTe: Any, FRTo: Any, VRB: Any) -> None:
    put_quad(cpu, FRTe, FRTo, arith.from_integer(cpu, QUAD, cpu.vr[VRB], mode(cpu)), 0)


@instruction("dctfixqq", DQ, 994, form="X", needs="FP VSX", since="3.1", fixed={(11, 15): 1})
def dctfixqq(cpu: Any, VRT: Any, FRBe: Any, FRBo: Any) -> None:
    result, flags = arith.to_integer(cpu, QUAD, 128, quad(cpu, FRBe, FRBo), mode(cpu))
    status = settle_keeping_fprf(cpu, flags)
    if status.bit(WRITE):
        cpu.vr[VRT] = result
    trap(cpu, status)


# -- format: BCD, exponents, shifts ----------------------------------------------------------------


@routine(args=(8, 64, 128), returns=128)
def decode_dpd(cpu: Any, fmt: Any, sp: Any, b: Any) -> Any:
    """The last digits of ``b`` as BCD (as a register image), with a sign code if ``sp`` is 2 (C) or 3 (F)."""
    _, coef = unpack(cpu, fmt, b)
    plain = coef.trunc(128)
    plus = select((sp & 1) != 0, cpu.const(15, 128), 12)
    signed = plain << 4 | select(b.bit(127), cpu.const(13, 128), plus)
    digits = select((sp & 2) != 0, signed, plain)
    return select(fmt == LONG, digits << 64, digits)


@instruction("ddedpd{.}", DL, 322, form="X", needs="FP")
def ddedpd(cpu: Any, FRT: Any, SP_I: Any, FRB: Any, Rc: int) -> None:
    cpu.fpr[FRT] = decode_dpd(cpu, LONG, SP_I, long(cpu, FRB)).bits(64, 64)
    record_cr1(cpu, Rc)


@instruction("ddedpdq{.}", DQ, 322, form="X", needs="FP")
def ddedpdq(cpu: Any, FRTe: Any, FRTo: Any, SP_I: Any, FRBe: Any, FRBo: Any, Rc: int) -> None:
    digits = decode_dpd(cpu, QUAD, SP_I, quad(cpu, FRBe, FRBo))
    cpu.fpr[FRTe] = digits.bits(64, 64)
    cpu.fpr[FRTo] = digits.bits(0, 64)
    record_cr1(cpu, Rc)


@routine(args=(8, 64, 128), returns=(128, 32))
def encode_bcd(cpu: Any, fmt: Any, signed: Any, b: Any) -> Any:
    """The integer that the BCD digits ``b`` (right-aligned) are; the last is a sign code if ``signed``."""
    has_sign = signed != 0
    code = b.trunc(4)
    digits = select(has_sign, b >> 4, b)
    if bad_digits(digits) | (has_sign & (code < 10)):
        return cpu.const(DEFAULT_NAN, 128), cpu.const(VXCVI, 32)
    sign = has_sign & ((code == 11) | (code == 13))
    return pack(cpu, fmt, sign, pick(cpu, fmt, BIAS), digits.zext(W)), cpu.const(0, 32)


@instruction("denbcd{.}", DL, 834, form="X", needs="FP")
def denbcd(cpu: Any, FRT: Any, S_I: Any, FRB: Any, Rc: int) -> None:
    put_long(cpu, FRT, encode_bcd(cpu, LONG, S_I, cpu.fpr[FRB].zext(128)), Rc)


@instruction("denbcdq{.}", DQ, 834, form="X", needs="FP")
def denbcdq(cpu: Any, FRTe: Any, FRTo: Any, S_I: Any, FRBe: Any, FRBo: Any, Rc: int) -> None:
    put_quad(cpu, FRTe, FRTo, encode_bcd(cpu, QUAD, S_I, quad(cpu, FRBe, FRBo)), Rc)


@routine(args=(8, 128), returns=64)
def extract_exponent(cpu: Any, fmt: Any, b: Any) -> Any:
    """The biased exponent; -1 for an infinity, -2 for a quiet, -3 for a signalling NaN."""
    exp, _ = unpack(cpu, fmt, b)
    nan = select(is_snan(b), cpu.const(-3), cpu.const(-2))
    return select(is_nan(b), nan, select(is_inf(b), cpu.const(-1), exp))


@instruction("dxex{.}", DL, 354, form="X", needs="FP")
def dxex(cpu: Any, FRT: Any, FRB: Any, Rc: int) -> None:
    cpu.fpr[FRT] = extract_exponent(cpu, LONG, long(cpu, FRB))
    record_cr1(cpu, Rc)


@instruction("dxexq{.}", DQ, 354, form="X", needs="FP")
def dxexq(cpu: Any, FRT: Any, FRBe: Any, FRBo: Any, Rc: int) -> None:
    cpu.fpr[FRT] = extract_exponent(cpu, QUAD, quad(cpu, FRBe, FRBo))
    record_cr1(cpu, Rc)


@routine(args=(8, 64, 128), returns=128)
def insert_exponent(cpu: Any, fmt: Any, exp: Any, b: Any) -> Any:
    """``b`` with another biased exponent, or the special value that a number out of range stands for."""
    _, coef = unpack(cpu, fmt, b)
    if exp <= pick(cpu, fmt, TOP):
        return pack(cpu, fmt, b.bit(127), exp, coef)
    quiet = select(exp == cpu.const(-1), cpu.const(30 << 122, 128), cpu.const(31 << 122, 128))
    head = select(exp == cpu.const(-3), cpu.const(63 << 121, 128), quiet)
    return pack_special(cpu, fmt, head | (b & SIGN), coef)


@instruction("diex{.}", DL, 866, form="X", needs="FP")
def diex(cpu: Any, FRT: Any, FRA: Any, FRB: Any, Rc: int) -> None:
    cpu.fpr[FRT] = insert_exponent(cpu, LONG, cpu.fpr[FRA], long(cpu, FRB)).bits(64, 64)
    record_cr1(cpu, Rc)


@instruction("diexq{.}", DQ, 866, form="X", needs="FP")
def diexq(cpu: Any, FRTe: Any, FRTo: Any, FRA: Any, FRBe: Any, FRBo: Any, Rc: int) -> None:
    result = insert_exponent(cpu, QUAD, cpu.fpr[FRA], quad(cpu, FRBe, FRBo))
    cpu.fpr[FRTe] = result.bits(64, 64)
    cpu.fpr[FRTo] = result.bits(0, 64)
    record_cr1(cpu, Rc)


@routine(args=(8, 128, 64, 64), returns=128)
def shifted(cpu: Any, fmt: Any, a: Any, left: Any, right: Any) -> Any:
    """``a`` with its digits moved; exponent, sign and the kind of a special value stay."""
    exp, coef = unpack(cpu, fmt, a)
    special = is_special(a)
    room = pick(cpu, fmt, PRECISION) - special.zext(64)
    none = (left > room) | (right > room)
    moved = digits_right(digits_left(coef, select(none, left & 0, left)), select(none, right & 0, right))
    kept = moved & (digits_left(cpu.const(1, W), room) - 1)
    kept = select(none, kept & 0, kept)
    if special:
        return pack_special(cpu, fmt, (a >> 121) << 121, kept)
    return pack(cpu, fmt, a.bit(127), exp, kept)


def _shift(name: str, xo: int, left: int) -> None:
    @instruction(name + "{.}", DL, xo, form="Z22", needs="FP")
    def on_longs(cpu: Any, FRT: Any, FRA: Any, SH_D: Any, Rc: int) -> None:
        zero = cpu.const(0)
        result = shifted(cpu, LONG, long(cpu, FRA), SH_D if left else zero, zero if left else SH_D)
        cpu.fpr[FRT] = result.bits(64, 64)
        record_cr1(cpu, Rc)

    @instruction(name + "q{.}", DQ, xo, form="Z22", needs="FP")
    def on_quads(cpu: Any, FRTe: Any, FRTo: Any, FRAe: Any, FRAo: Any, SH_D: Any, Rc: int) -> None:
        zero = cpu.const(0)
        result = shifted(cpu, QUAD, quad(cpu, FRAe, FRAo), SH_D if left else zero, zero if left else SH_D)
        cpu.fpr[FRTe] = result.bits(64, 64)
        cpu.fpr[FRTo] = result.bits(0, 64)
        record_cr1(cpu, Rc)


_shift("dscli", 66, 1)
_shift("dscri", 98, 0)

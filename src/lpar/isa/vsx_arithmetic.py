# SPDX-License-Identifier: GPL-2.0-only
"""VSX vector floating-point arithmetic, rounding, comparison and tests (Book I, sections 7.6.1.3 to 7.6.1.6).

Every element is computed by ``lpar.isa.softfloat``; the exceptions of all elements are recorded together, and
the target is written unless one of them is enabled and forbids it.  FR, FI and FPRF stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa import softfloat
from lpar.isa.fpscr import VE, WRITE, mode, record, trap
from lpar.isa.registry import instruction
from lpar.isa.routine import routine
from lpar.isa.softfloat import divide_test, sqrt_test, toward_zero, widen
from lpar.isa.softfloat_core import AWAY, VXSNAN, VXVC, flag
from lpar.isa.values import concat, lanes, map_lanes, select
from lpar.isa.vmx_common import set_cr6

INEXACT = softfloat.XX | softfloat.FR | softfloat.FI

#: an operation on elements: ``(cpu, operands...) -> (result, flags)``
Element = Callable[..., Any]


def each(cpu: Any, width: int, fn: Element, *vectors: Any) -> Any:
    """``fn(cpu, elements...)`` on corresponding elements: the joined results, and the OR of the flags."""
    results, flags = [], cpu.const(0, 32)
    for elements in zip(*[lanes(v, width) for v in vectors], strict=True):
        result, raised = fn(cpu, *elements)
        results.append(result)
        flags = flags | raised
    return concat(*results), flags


def conclude(cpu: Any, XT: Any, result: Any, flags: Any) -> None:
    """Record the exceptions and write the target."""
    status = record(cpu, flags)
    if status.bit(WRITE):
        cpu.vsr[XT] = result
    trap(cpu, status)


# -- families --------------------------------------------------------------------------------------


def unary(name: str, xo: int, width: int, fn: Element) -> None:
    """Define ``XT = fn(cpu, XB)`` on elements of ``width`` bits."""

    @instruction(name, 60, xo, form="XX2", needs="VSX")
    def body(cpu: Any, XT: Any, XB: Any) -> None:
        result, flags = each(cpu, width, fn, cpu.vsr[XB])
        conclude(cpu, XT, result, flags)


def binary(name: str, xo: int, width: int, fn: Element) -> None:
    """Define ``XT = fn(cpu, XA, XB)``."""

    @instruction(name, 60, xo, form="XX3", needs="VSX")
    def body(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
        result, flags = each(cpu, width, fn, cpu.vsr[XA], cpu.vsr[XB])
        conclude(cpu, XT, result, flags)


def multiply_add(name: str, xo: int, width: int, fn: Element) -> None:
    """Define the A-form ``fn(cpu, XA, XB, XT)``, and eight opcodes on the M-form ``fn(cpu, XA, XT, XB)``.

    The order is that of ``softfloat.f64_madd``: multiplicand, multiplier, addend.
    """
    prefix, suffix = name[:-2], name[-2:]

    @instruction(f"{prefix}a{suffix}", 60, xo, form="XX3", needs="VSX")
    def to_addend(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
        result, flags = each(cpu, width, fn, cpu.vsr[XA], cpu.vsr[XB], cpu.vsr[XT])
        conclude(cpu, XT, result, flags)

    @instruction(f"{prefix}m{suffix}", 60, xo + 8, form="XX3", needs="VSX")
    def to_multiplier(cpu: Any, XT: Any, XA: Any, XB: Any) -> None:
        result, flags = each(cpu, width, fn, cpu.vsr[XA], cpu.vsr[XT], cpu.vsr[XB])
        conclude(cpu, XT, result, flags)


def rounded(fn: Any) -> Element:
    """``fn`` with the current rounding mode as its last operand."""

    def element(cpu: Any, *operands: Any) -> Any:
        return fn(cpu, *operands, mode(cpu))

    return element


for _name, _dp, _sp in (("add", 96, 64), ("sub", 104, 72), ("mul", 112, 80), ("div", 120, 88)):
    binary(f"xv{_name}dp", _dp, 64, rounded(getattr(softfloat, f"f64_{_name}")))
    binary(f"xv{_name}sp", _sp, 32, rounded(getattr(softfloat, f"f32_{_name}")))

for _name, _dp, _sp in (("madd", 97, 65), ("msub", 113, 81), ("nmadd", 225, 193), ("nmsub", 241, 209)):
    multiply_add(f"xv{_name}dp", _dp, 64, rounded(getattr(softfloat, f"f64_{_name}")))
    multiply_add(f"xv{_name}sp", _sp, 32, rounded(getattr(softfloat, f"f32_{_name}")))

for _name, _dp, _sp in (("max", 224, 192), ("min", 232, 200)):
    binary(f"xv{_name}dp", _dp, 64, getattr(softfloat, f"f64_{_name}"))
    binary(f"xv{_name}sp", _sp, 32, getattr(softfloat, f"f32_{_name}"))

unary("xvsqrtdp", 203, 64, rounded(softfloat.f64_sqrt))
unary("xvsqrtsp", 139, 32, rounded(softfloat.f32_sqrt))
unary("xvredp", 218, 64, rounded(softfloat.f64_re))
unary("xvresp", 154, 32, rounded(softfloat.f32_re))
unary("xvrsqrtedp", 202, 64, rounded(softfloat.f64_rsqrte))
unary("xvrsqrtesp", 138, 32, rounded(softfloat.f32_rsqrte))


# -- rounding to integral values -------------------------------------------------------------------


def _integral(fn: Any, how: Callable[[Any], Any], reported: int = 0) -> Element:
    """Rounding by ``how(mode)``; of the inexact result only the flags ``reported`` are kept."""

    def element(cpu: Any, b: Any) -> Any:
        result, flags = fn(cpu, b, how(mode(cpu)))
        return result, flags & ~(INEXACT & ~reported)

    return element


def _nearest_away(rounding: Any) -> Any:
    return rounding | AWAY


def _upward(rounding: Any) -> Any:
    return rounding & ~3 | 2


def _downward(rounding: Any) -> Any:
    return rounding | 3


def _current(rounding: Any) -> Any:
    return rounding


for _name, _how, _dp, _sp, _reported in (
    ("i", _nearest_away, 201, 137, 0),
    ("iz", toward_zero, 217, 153, 0),
    ("ip", _upward, 233, 169, 0),
    ("im", _downward, 249, 185, 0),
    ("ic", _current, 235, 171, softfloat.XX),
):
    unary(f"xvrdp{_name}", _dp, 64, _integral(softfloat.f64_round_int, _how, _reported))
    unary(f"xvrsp{_name}", _sp, 32, _integral(softfloat.f32_round_int, _how, _reported))


# -- comparisons -----------------------------------------------------------------------------------


def _number(width: int) -> int:
    """The largest magnitude that is not a NaN: infinity."""
    return 0x7FF << 52 if width == 64 else 0xFF << 23


def _nan(width: int, x: Any) -> Any:
    return x << 1 > _number(width) << 1


def _signalling(width: int, x: Any) -> Any:
    quiet = 1 << (51 if width == 64 else 22)
    return _nan(width, x) & ((x & quiet) == 0)


def _key(width: int, x: Any) -> Any:
    """A signed number in the order of the floating-point numbers; both zeros give 0."""
    magnitude = x << 1 >> 1
    return select(x.bit(width - 1), -magnitude, magnitude)


def _less(width: int, a: Any, b: Any) -> Any:
    return _key(width, a).slt(_key(width, b)) & ~_nan(width, a) & ~_nan(width, b)


def _equal(width: int, a: Any, b: Any) -> Any:
    return (_key(width, a) == _key(width, b)) & ~_nan(width, a) & ~_nan(width, b)


def compare(name: str, xo: int, width: int, relation: Callable[..., Any], ordered: bool) -> None:
    """Define a comparison: all ones where ``relation(a, b)`` holds.

    ``ordered``: a quiet NaN is an invalid operation too.
    """

    @instruction(name + "{.}", 60, xo, form="XX3C", needs="VSX")
    def body(cpu: Any, XT: Any, XA: Any, XB: Any, RcV: int) -> None:
        a, b = cpu.vsr[XA], cpu.vsr[XB]
        result = map_lanes(width, relation, a, b)
        snan = map_lanes(width, lambda x, y: _signalling(width, x) | _signalling(width, y), a, b)
        flags = flag(snan != 0, VXSNAN)
        if ordered:
            quiet_matters = (cpu.fpscr & VE) == 0
            nan = map_lanes(width, lambda x, y, s: (_nan(width, x) | _nan(width, y)) & (s == 0), a, b, snan)
            flags = flags | flag((nan != 0) | ((snan != 0) & quiet_matters), VXVC)
        status = record(cpu, flags)
        if status.bit(WRITE):
            cpu.vsr[XT] = result
            if RcV:
                set_cr6(cpu, result)
        trap(cpu, status)


def compare_both(name: str, dp: int, sp: int, relation: Callable[..., Any], ordered: bool) -> None:
    """Define a comparison of both widths; ``relation(width, a, b)``."""
    compare(f"xvcmp{name}dp", dp, 64, lambda a, b: relation(64, a, b), ordered)
    compare(f"xvcmp{name}sp", sp, 32, lambda a, b: relation(32, a, b), ordered)


compare_both("eq", 99, 67, _equal, False)
compare_both("gt", 107, 75, lambda width, a, b: _less(width, b, a), True)
compare_both("ge", 115, 83, lambda width, a, b: _less(width, b, a) | _equal(width, a, b), True)


# -- tests for software division and square root ---------------------------------------------------


@routine(args=(32, 32), returns=8)
def f32_divide_test(cpu: Any, a: Any, b: Any) -> Any:
    """:func:`divide_test` of binary32 values."""
    return divide_test(widen(a), widen(b), 24)


@instruction("xvtdivdp", 60, 125, form="XX3", needs="VSX")
def xvtdivdp(cpu: Any, BF: Any, XA: Any, XB: Any) -> None:
    a, b = lanes(cpu.vsr[XA], 64), lanes(cpu.vsr[XB], 64)
    cpu.cr[BF] = divide_test(a[0], b[0], 53) | divide_test(a[1], b[1], 53)


@instruction("xvtdivsp", 60, 93, form="XX3", needs="VSX")
def xvtdivsp(cpu: Any, BF: Any, XA: Any, XB: Any) -> None:
    tests = cpu.const(0, 8)
    for a, b in zip(lanes(cpu.vsr[XA], 32), lanes(cpu.vsr[XB], 32), strict=True):
        tests = tests | f32_divide_test(cpu, a, b)
    cpu.cr[BF] = tests


@instruction("xvtsqrtdp", 60, 234, form="XX2", needs="VSX")
def xvtsqrtdp(cpu: Any, BF: Any, XB: Any) -> None:
    b = lanes(cpu.vsr[XB], 64)
    cpu.cr[BF] = sqrt_test(b[0], 53) | sqrt_test(b[1], 53)


@instruction("xvtsqrtsp", 60, 170, form="XX2", needs="VSX")
def xvtsqrtsp(cpu: Any, BF: Any, XB: Any) -> None:
    tests = cpu.const(0, 8)
    for b in lanes(cpu.vsr[XB], 32):
        tests = tests | sqrt_test(widen(b), 24)
    cpu.cr[BF] = tests

# SPDX-License-Identifier: GPL-2.0-only
"""VSX vector conversions between floating point and integers, and between formats (Book I, section 7.6.1.7).

A conversion to a narrower element leaves its result in both halves of the wide element; one to a wider
element takes the left half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa import softfloat
from lpar.isa.fpscr import mode
from lpar.isa.softfloat import (
    f32_to_f64,
    f64_to_f32,
    s64_to_f32,
    s64_to_f64,
    toward_zero,
    u64_to_f32,
    u64_to_f64,
)
from lpar.isa.values import concat
from lpar.isa.vsx_arithmetic import Element, unary

# -- to integers -----------------------------------------------------------------------------------


def _truncated(fn: Any, shape: Callable[[Any], Any] = lambda r: r) -> Element:
    def element(cpu: Any, b: Any) -> Any:
        result, flags = fn(cpu, b, toward_zero(mode(cpu)))
        return shape(result), flags

    return element


def _twice(x: Any) -> Any:
    return concat(x, x)


def _from_left_word(fn: Any) -> Any:
    def element(cpu: Any, b: Any, rounding: Any) -> Any:
        return fn(cpu, b.bits(32, 32), rounding)

    return element


for _to, _from_double, _from_single in (("s", 472, 408), ("u", 456, 392)):
    unary(f"xvcvdp{_to}xds", _from_double, 64, _truncated(getattr(softfloat, f"f64_to_{_to}64")))
    _single = _from_left_word(getattr(softfloat, f"f32_to_{_to}64"))
    unary(f"xvcvsp{_to}xds", _from_single, 64, _truncated(_single))

for _to, _from_double, _from_single in (("s", 216, 152), ("u", 200, 136)):
    unary(f"xvcvdp{_to}xws", _from_double, 64, _truncated(getattr(softfloat, f"f64_to_{_to}32"), _twice))
    unary(f"xvcvsp{_to}xws", _from_single, 32, _truncated(getattr(softfloat, f"f32_to_{_to}32")))


# -- from integers ---------------------------------------------------------------------------------


def _sxddp(cpu: Any, b: Any) -> Any:
    return s64_to_f64(cpu, b, mode(cpu))


def _uxddp(cpu: Any, b: Any) -> Any:
    return u64_to_f64(cpu, b, mode(cpu))


def _sxwdp(cpu: Any, b: Any) -> Any:
    return s64_to_f64(cpu, b.sar(32), mode(cpu))


def _uxwdp(cpu: Any, b: Any) -> Any:
    return u64_to_f64(cpu, b >> 32, mode(cpu))


def _sxdsp(cpu: Any, b: Any) -> Any:
    result, flags = s64_to_f32(cpu, b, mode(cpu))
    return _twice(result), flags


def _uxdsp(cpu: Any, b: Any) -> Any:
    result, flags = u64_to_f32(cpu, b, mode(cpu))
    return _twice(result), flags


def _sxwsp(cpu: Any, b: Any) -> Any:
    return s64_to_f32(cpu, b.sext(64), mode(cpu))


def _uxwsp(cpu: Any, b: Any) -> Any:
    return u64_to_f32(cpu, b.zext(64), mode(cpu))


unary("xvcvsxddp", 504, 64, _sxddp)
unary("xvcvuxddp", 488, 64, _uxddp)
unary("xvcvsxwdp", 248, 64, _sxwdp)
unary("xvcvuxwdp", 232, 64, _uxwdp)
unary("xvcvsxdsp", 440, 64, _sxdsp)
unary("xvcvuxdsp", 424, 64, _uxdsp)
unary("xvcvsxwsp", 184, 32, _sxwsp)
unary("xvcvuxwsp", 168, 32, _uxwsp)


# -- between floating-point formats ----------------------------------------------------------------


def _dpsp(cpu: Any, b: Any) -> Any:
    result, flags = f64_to_f32(cpu, b, mode(cpu))
    return _twice(result), flags


def _spdp(cpu: Any, b: Any) -> Any:
    return f32_to_f64(cpu, b.bits(32, 32))


unary("xvcvdpsp", 393, 64, _dpsp)
unary("xvcvspdp", 457, 64, _spdp)

# SPDX-License-Identifier: GPL-2.0-only
"""VSX vector conversions from and to half precision and bfloat16 (Book I, section 7.6.1.7)."""

from __future__ import annotations

from typing import Any

from lpar.isa.fpscr import mode
from lpar.isa.registry import instruction
from lpar.isa.routine import routine
from lpar.isa.softfloat import (
    QUIET,
    VXSNAN,
    f16_to_f64,
    f64_round_half,
    flag,
    is_nan,
    is_snan,
    is_special,
    is_zero,
    narrow,
    narrow_half,
    widen,
)
from lpar.isa.softfloat_core import Format, normalized, round_pack
from lpar.isa.values import select
from lpar.isa.vsx_arithmetic import conclude, each

BFLOAT16 = Format(drop=56, emin=897, emax=1150, adjust=192)


@routine(args=(64, 32), returns=(64, 32))
def f64_round_bfloat16(cpu: Any, b: Any, rounding: Any) -> Any:
    """Binary64 ``b`` rounded to bfloat16, in binary64 format."""
    if is_special(b) | is_zero(b):
        return select(is_nan(b), b | QUIET, b), flag(is_snan(b), VXSNAN)
    exp, sig = normalized(b)
    return round_pack(cpu, b.bit(63), exp, sig << 11, rounding, BFLOAT16)


def _hpsp(cpu: Any, b: Any) -> Any:
    result, flags = f16_to_f64(cpu, b.trunc(16))
    return narrow(result), flags


def _sphp(cpu: Any, b: Any) -> Any:
    result, flags = f64_round_half(cpu, widen(b), mode(cpu))
    return narrow_half(result).zext(32), flags


def _spbf16(cpu: Any, b: Any) -> Any:
    result, flags = f64_round_bfloat16(cpu, widen(b), mode(cpu))
    return narrow(result) >> 16, flags


@instruction("xvcvhpsp", 60, 475, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 24})
def xvcvhpsp(cpu: Any, XT: Any, XB: Any) -> None:
    result, flags = each(cpu, 32, _hpsp, cpu.vsr[XB])
    conclude(cpu, XT, result, flags)


@instruction("xvcvsphp", 60, 475, form="XX2", needs="VSX", since="3.0", fixed={(11, 15): 25})
def xvcvsphp(cpu: Any, XT: Any, XB: Any) -> None:
    result, flags = each(cpu, 32, _sphp, cpu.vsr[XB])
    conclude(cpu, XT, result, flags)


@instruction("xvcvspbf16", 60, 475, form="XX2", needs="VSX", since="3.1", fixed={(11, 15): 17})
def xvcvspbf16(cpu: Any, XT: Any, XB: Any) -> None:
    result, flags = each(cpu, 32, _spbf16, cpu.vsr[XB])
    conclude(cpu, XT, result, flags)


@instruction("xvcvbf16spn", 60, 475, form="XX2", needs="VSX", since="3.1", fixed={(11, 15): 16})
def xvcvbf16spn(cpu: Any, XT: Any, XB: Any) -> None:
    cpu.vsr[XT] = (cpu.vsr[XB] & int("0000FFFF" * 4, 16)) << 16

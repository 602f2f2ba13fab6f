# SPDX-License-Identifier: GPL-2.0-only
"""Vector integer compare (Book I, section 6.10); with Rc, CR6 says all true or all false."""

from __future__ import annotations

from typing import Any

from lpar.isa.common import cr_field
from lpar.isa.registry import instruction
from lpar.isa.values import map_lanes
from lpar.isa.vmx_common import Element, set_cr6


def _compare(name: str, xo: int, width: int, fn: Element, since: str = "2.07") -> None:
    @instruction(name + "{.}", 4, xo, form="VC", needs="VEC", since=since)
    def body(cpu: Any, VRT: Any, VRA: Any, VRB: Any, RcV: int) -> None:
        result = map_lanes(width, fn, cpu.vr[VRA], cpu.vr[VRB])
        if RcV:
            set_cr6(cpu, result)
        cpu.vr[VRT] = result


def equal(a: Any, b: Any) -> Any:
    return a == b


def greater_unsigned(a: Any, b: Any) -> Any:
    return a > b


def greater_signed(a: Any, b: Any) -> Any:
    return a.sgt(b)


def not_equal(a: Any, b: Any) -> Any:
    return a != b


def not_equal_or_zero(a: Any, b: Any) -> Any:
    return (a != b) | (a == 0) | (b == 0)


_compare("vcmpequb", 6, 8, equal)
_compare("vcmpequh", 70, 16, equal)
_compare("vcmpequw", 134, 32, equal)
_compare("vcmpequd", 199, 64, equal)
_compare("vcmpequq", 455, 128, equal, "3.1")
_compare("vcmpgtub", 518, 8, greater_unsigned)
_compare("vcmpgtuh", 582, 16, greater_unsigned)
_compare("vcmpgtuw", 646, 32, greater_unsigned)
_compare("vcmpgtud", 711, 64, greater_unsigned)
_compare("vcmpgtuq", 647, 128, greater_unsigned, "3.1")
_compare("vcmpgtsb", 774, 8, greater_signed)
_compare("vcmpgtsh", 838, 16, greater_signed)
_compare("vcmpgtsw", 902, 32, greater_signed)
_compare("vcmpgtsd", 967, 64, greater_signed)
_compare("vcmpgtsq", 903, 128, greater_signed, "3.1")
_compare("vcmpneb", 7, 8, not_equal, "3.0")
_compare("vcmpneh", 71, 16, not_equal, "3.0")
_compare("vcmpnew", 135, 32, not_equal, "3.0")
_compare("vcmpnezb", 263, 8, not_equal_or_zero, "3.0")
_compare("vcmpnezh", 327, 16, not_equal_or_zero, "3.0")
_compare("vcmpnezw", 391, 32, not_equal_or_zero, "3.0")


@instruction("vcmpuq", 4, 257, form="VX", needs="VEC", since="3.1")
def vcmpuq(cpu: Any, BF: Any, VRA: Any, VRB: Any) -> None:
    a, b = cpu.vr[VRA], cpu.vr[VRB]
    cpu.cr[BF] = cr_field(cpu, a < b, a > b) & 14


@instruction("vcmpsq", 4, 321, form="VX", needs="VEC", since="3.1")
def vcmpsq(cpu: Any, BF: Any, VRA: Any, VRB: Any) -> None:
    a, b = cpu.vr[VRA], cpu.vr[VRB]
    cpu.cr[BF] = cr_field(cpu, a.slt(b), a.sgt(b)) & 14

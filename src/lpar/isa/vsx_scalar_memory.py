# SPDX-License-Identifier: GPL-2.0-only
"""Scalar loads and stores of VSX and moves between GPRs and VSRs (Book I, sections 7.6.1.1 and 5.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.isa.registry import Body, instruction
from lpar.isa.softfloat_core import narrow, widen
from lpar.isa.values import concat
from lpar.isa.vsx_scalar import scalar, write


def _indexed(cpu: Any, RA0: Any, RB: Any) -> Any:
    return cpu.base(RA0) + cpu.gpr[RB]


def by_half(name: str, xo: int, low: str, since: str = "2.07") -> Callable[[Body], Body]:
    """Register an instruction (opcode 31) that needs ``low`` for VSRs 0 to 31 and VEC for the others."""

    def register(body: Body) -> Body:
        for half, needs in enumerate((low, "VEC")):
            instruction(name, 31, xo, form="XX1", needs=needs, since=since, fixed={(31, 31): half})(body)
        return body

    return register


# -- loads and stores ------------------------------------------------------------------------------


@instruction("lxsdx", 31, 588, form="XX1", needs="VSX")
def lxsdx(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    write(cpu, XT, cpu.load(_indexed(cpu, RA0, RB), 8))


@instruction("lxsspx", 31, 524, form="XX1", needs="VSX")
def lxsspx(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    write(cpu, XT, widen(cpu.load(_indexed(cpu, RA0, RB), 4)))


@instruction("lxsiwax", 31, 76, form="XX1", needs="VSX")
def lxsiwax(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    write(cpu, XT, cpu.load(_indexed(cpu, RA0, RB), 4).sext(64))


@instruction("lxsiwzx", 31, 12, form="XX1", needs="VSX")
def lxsiwzx(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    write(cpu, XT, cpu.load(_indexed(cpu, RA0, RB), 4))


@by_half("lxsibzx", 781, "VSX", "3.0")
def lxsibzx(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    write(cpu, XT, cpu.load(_indexed(cpu, RA0, RB), 1))


@by_half("lxsihzx", 813, "VSX", "3.0")
def lxsihzx(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    write(cpu, XT, cpu.load(_indexed(cpu, RA0, RB), 2))


@instruction("stxsdx", 31, 716, form="XX1", needs="VSX")
def stxsdx(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(_indexed(cpu, RA0, RB), scalar(cpu, XS))


@instruction("stxsspx", 31, 652, form="XX1", needs="VSX")
def stxsspx(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(_indexed(cpu, RA0, RB), narrow(scalar(cpu, XS)))


@instruction("stxsiwx", 31, 140, form="XX1", needs="VSX")
def stxsiwx(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(_indexed(cpu, RA0, RB), scalar(cpu, XS).trunc(32))


@by_half("stxsibx", 909, "VSX", "3.0")
def stxsibx(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(_indexed(cpu, RA0, RB), scalar(cpu, XS).trunc(8))


@by_half("stxsihx", 941, "VSX", "3.0")
def stxsihx(cpu: Any, XS: Any, RA0: Any, RB: Any) -> None:
    cpu.store(_indexed(cpu, RA0, RB), scalar(cpu, XS).trunc(16))


@instruction("lxsd", 57, 2, form="DS", needs="VEC", since="3.0")
def lxsd(cpu: Any, VRT: Any, DS: Any, RA0: Any) -> None:
    cpu.vr[VRT] = cpu.load(cpu.base(RA0) + DS, 8).zext(128) << 64


@instruction("lxssp", 57, 3, form="DS", needs="VEC", since="3.0")
def lxssp(cpu: Any, VRT: Any, DS: Any, RA0: Any) -> None:
    cpu.vr[VRT] = widen(cpu.load(cpu.base(RA0) + DS, 4)).zext(128) << 64


@instruction("stxsd", 61, 2, form="DS", needs="VEC", since="3.0")
def stxsd(cpu: Any, VRS: Any, DS: Any, RA0: Any) -> None:
    cpu.store(cpu.base(RA0) + DS, cpu.vr[VRS].bits(64, 64))


@instruction("stxssp", 61, 3, form="DS", needs="VEC", since="3.0")
def stxssp(cpu: Any, VRS: Any, DS: Any, RA0: Any) -> None:
    cpu.store(cpu.base(RA0) + DS, narrow(cpu.vr[VRS].bits(64, 64)))


# -- moves -----------------------------------------------------------------------------------------


@by_half("mfvsrd", 51, "FP")
def mfvsrd(cpu: Any, XS: Any, RA: Any) -> None:
    cpu.gpr[RA] = scalar(cpu, XS)


@by_half("mfvsrwz", 115, "FP")
def mfvsrwz(cpu: Any, XS: Any, RA: Any) -> None:
    cpu.gpr[RA] = scalar(cpu, XS) & 0xFFFFFFFF


@by_half("mfvsrld", 307, "VSX", "3.0")
def mfvsrld(cpu: Any, XS: Any, RA: Any) -> None:
    cpu.gpr[RA] = cpu.vsr[XS].trunc(64)


@by_half("mtvsrd", 179, "FP")
def mtvsrd(cpu: Any, XT: Any, RA: Any) -> None:
    write(cpu, XT, cpu.gpr[RA])


@by_half("mtvsrwa", 211, "FP")
def mtvsrwa(cpu: Any, XT: Any, RA: Any) -> None:
    write(cpu, XT, cpu.gpr[RA].trunc(32).sext(64))


@by_half("mtvsrwz", 243, "FP")
def mtvsrwz(cpu: Any, XT: Any, RA: Any) -> None:
    write(cpu, XT, cpu.gpr[RA] & 0xFFFFFFFF)


@by_half("mtvsrws", 403, "VSX", "3.0")
def mtvsrws(cpu: Any, XT: Any, RA: Any) -> None:
    word = cpu.gpr[RA].trunc(32)
    cpu.vsr[XT] = concat(word, word, word, word)


@by_half("mtvsrdd", 435, "VSX", "3.0")
def mtvsrdd(cpu: Any, XT: Any, RA0: Any, RB: Any) -> None:
    cpu.vsr[XT] = concat(cpu.base(RA0), cpu.gpr[RB])

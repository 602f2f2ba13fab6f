# SPDX-License-Identifier: GPL-2.0-only
"""The FPSCR: recording exceptions and finishing floating-point instructions (Book I, section 4.2.2).

* ``mode(cpu)``: what the routines of ``lpar.isa.softfloat`` take (width 32).
* ``record(cpu, flags) -> Bits`` of width 8: ORs the exception bits of ``flags`` (vector instructions give
  the OR of all lanes) into the FPSCR with FX, VX and FEX; leaves FR, FI and FPRF alone.
  ``WRITE`` is set in the result unless an enabled invalid operation or zero divide forbids writing;
  ``TRAP`` is set where an enabled exception must interrupt: call ``trap(cpu, status)`` after writing.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.routine import routine
from lpar.isa.softfloat_core import EXCEPTIONS, FI, FR, VX_ANY, ZX, f64_class, flag, r32_class
from lpar.isa.values import select

FX, FEX, VX = 1 << 31, 1 << 30, 1 << 29
FPRF = 0x1F000  #: C, FL, FG, FE, FU
FPCC = 0xF000  #: FL, FG, FE, FU
VE, OE, UE, ZE, XE = 0x80, 0x40, 0x20, 0x10, 0x08
ENABLES = 0xF8
#: bits that Move To FPSCR instructions may write; FEX and VX follow from the others, bit 52 is reserved
WRITABLE = 0x7_FFFF_FFFF & ~(FEX | VX | 0x800)
DRN = 7 << 32
MSR_FE = 1 << 11 | 1 << 8  #: MSR[FE0] and MSR[FE1]
WRITE, TRAP = 0, 1  #: bits of a status


def mode(cpu: Any) -> Any:
    """The rounding mode and the enables, as soft float takes them."""
    return cpu.fpscr.trunc(32) & (ENABLES | 3)


def summarized(fpscr: Any) -> Any:
    """``fpscr`` (width 64) with VX and FEX made from the bits that they sum up."""
    vx = fpscr & VX_ANY
    fpscr = (fpscr & ~(FEX | VX)) | select(vx != 0, VX, vx & 0)
    enabled = ((fpscr >> 22) & fpscr) & (VE | OE | UE | ZE | XE)  # VX OX UX ZX XX over VE OE UE ZE XE
    return fpscr | select(enabled != 0, FEX, enabled & 0)


def _add_exceptions(fpscr: Any, flags: Any) -> Any:
    """``fpscr`` with exceptions ORed in; FX is set where one of them is new."""
    new = flags.zext(64) & EXCEPTIONS
    fx = select((new & ~fpscr) != 0, FX, new & 0)
    return summarized(fpscr | new | fx)


def _status(cpu: Any, fpscr: Any, flags: Any) -> Any:
    """WRITE and TRAP (width 8) for these new exceptions; ``fpscr`` already has them."""
    low = fpscr.trunc(32)
    vetoed = (((flags & VX_ANY) != 0) & low.bit(7)) | (((flags & ZX) != 0) & low.bit(4))
    trapped = (flag((flags & VX_ANY) != 0, VE) | ((flags >> 22) & (OE | UE | ZE | XE))) & low
    fe = (cpu.msr & MSR_FE) != 0
    return (~vetoed).zext(8) | (((trapped != 0) & fe).zext(8) << TRAP)


@routine(args=(32,), returns=8)
def record(cpu: Any, flags: Any) -> Any:
    """OR the exceptions of ``flags`` into the FPSCR; gives WRITE and TRAP."""
    fpscr = _add_exceptions(cpu.fpscr, flags)
    cpu.fpscr = fpscr
    return _status(cpu, fpscr, flags)


@routine(args=(32, 32), returns=8)
def settle(cpu: Any, flags: Any, fprf: Any) -> Any:
    """:func:`record` for scalar instructions: also FR and FI, and FPRF if the result is written."""
    fpscr = _add_exceptions(cpu.fpscr, flags)
    status = _status(cpu, fpscr, flags)
    fpscr = (fpscr & ~(FR | FI)) | (flags & (FR | FI)).zext(64)
    cpu.fpscr = select(status.bit(WRITE), (fpscr & ~FPRF) | fprf.zext(64), fpscr)
    return status


@routine(args=(64, 32), returns=8)
def settle_f64(cpu: Any, result: Any, flags: Any) -> Any:
    """:func:`settle` for a binary64 result."""
    return settle(cpu, flags, f64_class(result))


@routine(args=(64, 32), returns=8)
def settle_r32(cpu: Any, result: Any, flags: Any) -> Any:
    """:func:`settle` for a single-precision result in binary64 format."""
    return settle(cpu, flags, r32_class(result))


@routine(args=(32,), returns=8)
def settle_keeping_fprf(cpu: Any, flags: Any) -> Any:
    """:func:`settle` for results without FPRF (integers)."""
    fpscr = _add_exceptions(cpu.fpscr, flags)
    cpu.fpscr = (fpscr & ~(FR | FI)) | (flags & (FR | FI)).zext(64)
    return _status(cpu, fpscr, flags)


@routine(args=(8, 32), returns=8)
def settle_compare(cpu: Any, cc: Any, flags: Any) -> Any:
    """Record a comparison: exceptions, and FPCC from ``cc`` (width 8); FR, FI and C stay."""
    fpscr = (_add_exceptions(cpu.fpscr, flags) & ~FPCC) | (cc.zext(64) << 12)
    cpu.fpscr = fpscr
    return _status(cpu, fpscr, flags)


def trap(cpu: Any, status: Any) -> None:
    """Interrupt if an enabled exception occurred; ends the instruction then."""
    if status.bit(TRAP):
        cpu.program("fp")


def record_cr1(cpu: Any, Rc: int) -> None:
    """CR1 from FX, FEX, VX and OX if Rc."""
    if Rc:
        cpu.cr[1] = ((cpu.fpscr >> 28) & 15).trunc(8)


def replace(cpu: Any, value: Any, mask: Any) -> None:
    """Write the FPSCR bits of ``mask`` (width 64), the summaries follow; interrupts if FEX comes out set."""
    mask = mask & WRITABLE
    cpu.fpscr = summarized((cpu.fpscr & ~mask) | (value & mask))


def raise_exceptions(cpu: Any, bits: Any) -> None:
    """Set FPSCR bits (width 64); a new exception among them sets FX; the summaries follow."""
    cpu.fpscr = _add_exceptions(cpu.fpscr | (bits & WRITABLE & ~EXCEPTIONS), bits.trunc(32))


def trap_if_enabled(cpu: Any) -> None:
    """Interrupt if the FPSCR now holds an enabled exception."""
    if ((cpu.fpscr & FEX) != 0) & ((cpu.msr & MSR_FE) != 0):
        cpu.program("fp")


def set_fpcc(cpu: Any, cc: Any) -> None:
    """FPCC from ``cc`` (width 8); nothing else changes."""
    cpu.fpscr = (cpu.fpscr & ~FPCC) | (cc.zext(64) << 12)

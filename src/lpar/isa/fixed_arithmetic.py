# SPDX-License-Identifier: GPL-2.0-only
"""Fixed-point addition and subtraction (Book I, section 3.3.9).

OV32 and CA32 are those of ISA 3.0 (bits 31 of sum and carries) on every CPU model; ISA 2.07 reads
XER bits 44 and 45 as they were written.
"""

from __future__ import annotations

from typing import Any

from lpar.isa.common import finish
from lpar.isa.registry import instruction
from lpar.isa.values import select


def set_overflow(cpu: Any, ov: Any, ov32: Any) -> None:
    """Set OV and OV32, and SO if OV."""
    cpu.ov = ov
    cpu.ov32 = ov32
    cpu.so = cpu.so | ov


def sum_overflow(cpu: Any, a: Any, b: Any, result: Any) -> None:
    """Set OV, OV32 and SO for ``result = a + b + carry``."""
    flips = (a ^ result) & (b ^ result)
    set_overflow(cpu, select(cpu.sf, flips.bit(63), flips.bit(31)), flips.bit(31))


def sum_carry(cpu: Any, a: Any, b: Any, result: Any) -> None:
    """Set CA and CA32 for ``result = a + b + carry``."""
    carries = (a & b) | ((a | b) & ~result)
    cpu.ca = select(cpu.sf, carries.bit(63), carries.bit(31))
    cpu.ca32 = carries.bit(31)


def add_carrying(cpu: Any, RT: Any, a: Any, b: Any, carry: Any, OE: int, Rc: int) -> None:
    """``RT = a + b + carry`` with CA, and with OV and CR0 if OE and Rc."""
    result = a + b + carry
    sum_carry(cpu, a, b, result)
    if OE:
        sum_overflow(cpu, a, b, result)
    finish(cpu, RT, result, Rc)


@instruction("addi", 14)
def addi(cpu: Any, RT: Any, RA0: Any, SI: Any) -> None:
    cpu.gpr[RT] = cpu.base(RA0) + SI


@instruction("addis", 15)
def addis(cpu: Any, RT: Any, RA0: Any, SI: Any) -> None:
    cpu.gpr[RT] = cpu.base(RA0) + (SI << 16)


@instruction("addpcis", 19, 2, form="DX", since="3.0")
def addpcis(cpu: Any, RT: Any, DX: Any) -> None:
    cpu.gpr[RT] = cpu.nia + (DX << 16)


@instruction("add{o}{.}", 31, 266, form="XO")
def add(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    a, b = cpu.gpr[RA], cpu.gpr[RB]
    result = a + b
    if OE:
        sum_overflow(cpu, a, b, result)
    finish(cpu, RT, result, Rc)


@instruction("subf{o}{.}", 31, 40, form="XO")
def subf(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    a, b = cpu.gpr[RA], cpu.gpr[RB]
    result = b - a
    if OE:
        sum_overflow(cpu, ~a, b, result)
    finish(cpu, RT, result, Rc)


@instruction("addic", 12)
def addic(cpu: Any, RT: Any, RA: Any, SI: Any) -> None:
    add_carrying(cpu, RT, cpu.gpr[RA], SI, 0, 0, 0)


@instruction("addic.", 13)
def addic_record(cpu: Any, RT: Any, RA: Any, SI: Any) -> None:
    add_carrying(cpu, RT, cpu.gpr[RA], SI, 0, 0, 1)


@instruction("subfic", 8)
def subfic(cpu: Any, RT: Any, RA: Any, SI: Any) -> None:
    add_carrying(cpu, RT, ~cpu.gpr[RA], SI, 1, 0, 0)


@instruction("addc{o}{.}", 31, 10, form="XO")
def addc(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    add_carrying(cpu, RT, cpu.gpr[RA], cpu.gpr[RB], 0, OE, Rc)


@instruction("subfc{o}{.}", 31, 8, form="XO")
def subfc(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    add_carrying(cpu, RT, ~cpu.gpr[RA], cpu.gpr[RB], 1, OE, Rc)


@instruction("adde{o}{.}", 31, 138, form="XO")
def adde(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    add_carrying(cpu, RT, cpu.gpr[RA], cpu.gpr[RB], cpu.ca.zext(64), OE, Rc)


@instruction("subfe{o}{.}", 31, 136, form="XO")
def subfe(cpu: Any, RT: Any, RA: Any, RB: Any, OE: int, Rc: int) -> None:
    add_carrying(cpu, RT, ~cpu.gpr[RA], cpu.gpr[RB], cpu.ca.zext(64), OE, Rc)


@instruction("addme{o}{.}", 31, 234, form="XO")
def addme(cpu: Any, RT: Any, RA: Any, OE: int, Rc: int) -> None:
    add_carrying(cpu, RT, cpu.gpr[RA], cpu.const(-1), cpu.ca.zext(64), OE, Rc)


@instruction("subfme{o}{.}", 31, 232, form="XO")
def subfme(cpu: Any, RT: Any, RA: Any, OE: int, Rc: int) -> None:
    add_carrying(cpu, RT, ~cpu.gpr[RA], cpu.const(-1), cpu.ca.zext(64), OE, Rc)


@instruction("addze{o}{.}", 31, 202, form="XO")
def addze(cpu: Any, RT: Any, RA: Any, OE: int, Rc: int) -> None:
    add_carrying(cpu, RT, cpu.gpr[RA], cpu.const(0), cpu.ca.zext(64), OE, Rc)


@instruction("subfze{o}{.}", 31, 200, form="XO")
def subfze(cpu: Any, RT: Any, RA: Any, OE: int, Rc: int) -> None:
    add_carrying(cpu, RT, ~cpu.gpr[RA], cpu.const(0), cpu.ca.zext(64), OE, Rc)


@instruction("neg{o}{.}", 31, 104, form="XO")
def neg(cpu: Any, RT: Any, RA: Any, OE: int, Rc: int) -> None:
    a = cpu.gpr[RA]
    result = -a
    if OE:
        sum_overflow(cpu, ~a, cpu.const(0), result)
    finish(cpu, RT, result, Rc)


@instruction("addex", 31, 170, form="Z23", since="3.0", fixed={(21, 22): 0})
def addex(cpu: Any, RT: Any, RA: Any, RB: Any) -> None:
    """Extended addition with OV as the carry (CY = 0, the only one defined)."""
    a, b = cpu.gpr[RA], cpu.gpr[RB]
    result = a + b + cpu.ov.zext(64)
    carries = (a & b) | ((a | b) & ~result)
    cpu.ov = select(cpu.sf, carries.bit(63), carries.bit(31))
    cpu.ov32 = carries.bit(31)
    cpu.gpr[RT] = result


@instruction("addg6s", 31, 74, form="XO")
def addg6s(cpu: Any, RT: Any, RA: Any, RB: Any) -> None:
    """6 in every decimal digit out of which the addition carries nothing."""
    a, b = cpu.gpr[RA], cpu.gpr[RB]
    carries = (a & b) | ((a | b) & ~(a + b))
    idle = ~carries & 0x8888888888888888
    cpu.gpr[RT] = (idle >> 1) | (idle >> 2)

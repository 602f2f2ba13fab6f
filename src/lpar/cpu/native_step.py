# SPDX-License-Identifier: GPL-2.0-only
"""One instruction at a time: the trace interrupt of MSR[SE], MSR[BE] and CIABR (Book III, 6.5.15 and 9.2).

No fast tier knows of them.  Whatever changes MSR or CIABR ends in ``lp_enter``, which comes here while one
of them asks.  An instruction is then decoded into the vCPU's own records (``step``), with the handler of
every mode, and run there: ``pc_adj`` makes its address right.  Behind it stands ``lp_stepped``; a branch
polls (REQ_STEP), and what changes context is back in ``lp_enter``: all three come to ``lp_traced``.

Rules of this file:
* ``stepping`` is 1 from the dispatch until the instruction is done.  Whatever does not complete it (an
  interrupt, an exit to Python) clears it, and it is run again.
* An answered access to a device is finished without a poll before it, as in ``lp_resume``.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu import native_code
from lpar.cpu.handler_cpu import SRR1_PREFIXED
from lpar.cpu.layout import REQ_STEP
from lpar.cpu.native_decode import PREFIX_BOUNDARY, PREFIX_STEPPED, find_entry
from lpar.cpu.native_flow import MSR_PR, deliver, special
from lpar.isa.routine import routine
from lpar.isa.values import select

MSR_SE, MSR_BE = 0x400, 0x200
SRR1_TRACE, SRR1_CIABR = 1 << 30, 1 << 20  #: bits 33 and 43
PRIVILEGE = 3  #: of CIABR: 1 problem state, 2 supervisor


def ciabr_armed(cpu: Any, msr: Any) -> Any:
    """Whether CIABR asks for instructions of the privilege of ``msr``."""
    return (cpu.ciabr & PRIVILEGE) == select((msr & MSR_PR) != 0, cpu.const(1), 2)


@routine(args=(64, 64), returns=None)
def decode_step(cpu: Any, address: Any, pc: Any) -> None:
    """Fill ``step`` with the instruction at a host address and what follows it."""
    raw = cpu.raw_load(address, 32, 4)
    word = select(cpu.le, raw, raw.bswap()).zext(64)
    stepped = cpu.raw_load(cpu.prefix_table + PREFIX_STEPPED, 32, 4).zext(64) << 32
    cpu.step[1] = stepped
    cpu.step[2] = stepped
    if ((word >> 26) == 1) & (cpu.isa >= 310):
        if (pc & 0x3C) == 0x3C:
            handler = cpu.raw_load(cpu.prefix_table + PREFIX_BOUNDARY, 32, 4).zext(64)
        else:
            raw = cpu.raw_load(address + 4, 32, 4)
            suffix = select(cpu.le, raw, raw.bswap()).zext(64)
            cpu.step[1] = suffix
            handler = native_code.find_prefixed(cpu, word, suffix)
    else:
        handler = cpu.raw_load(find_entry(cpu, word) + 16, 32, 4).zext(64)
    cpu.step[0] = (handler << 32) | word


@special("lp_step")
def step(cpu: Any) -> None:
    """Go on at ``pc``, with one instruction if it is to be traced."""
    pc, msr = cpu.pc, cpu.msr
    wanted = ((msr & (MSR_SE | MSR_BE)) != 0) | ciabr_armed(cpu, msr)
    if cpu.mmio_ready == 0:
        if ~wanted:
            cpu.leave("lp_goto", rec=pc.ref)
        if cpu.exit_request != 0:
            cpu.leave("lp_poll_pc", rec=pc.ref)
    elif ~wanted:
        cpu.leave("lp_resume", rec=pc.ref)
    entry = native_code.ctlb_entry(cpu, pc)
    known = cpu.raw_load(entry, 64, 8) == ((pc & ~0xFFF) | cpu.mode_key)
    if ~known and native_code.code_fill(cpu, pc) == 0:
        cpu.leave("lp_fault")
    decode_step(cpu, cpu.ram_base + cpu.raw_load(entry + 16, 64, 8) + (pc & 0xFFC), pc)
    cpu.look_again = 0
    cpu.step_pc = pc
    cpu.step_msr = msr
    cpu.stepping = 1
    cpu.raw_atomic("or", cpu.state_address("exit_request"), cpu.const(REQ_STEP))
    record = cpu.state_address("step")
    cpu.pc_adj = pc - (record >> 1)
    cpu.dispatch(record)


@special("lp_stepped")
def stepped(cpu: Any) -> None:
    """The record behind the one that was run."""
    cpu.pc = cpu.nia_of(cpu.cia)
    cpu.leave("lp_traced")


def never_traced(cpu: Any, word: Any) -> Any:
    """rfid, hrfid, rfscv, stop: what restores a context is not traced."""
    xo = (word >> 1) & 0x3FF
    return ((word >> 26) == 19) & ((xo == 18) | (xo == 274) | (xo == 82) | (xo == 370))


def is_branch(cpu: Any, word: Any) -> Any:
    """bc, b, bclr, bcctr, bctar."""
    opcode, xo = word >> 26, (word >> 1) & 0x3FF
    return (opcode == 16) | (opcode == 18) | ((opcode == 19) & ((xo == 16) | (xo == 528) | (xo == 560)))


@special("lp_traced")
def traced(cpu: Any) -> None:
    """The instruction is done, and ``pc`` is the next: the trace interrupt, if it is due."""
    cpu.stepping = 0
    cpu.raw_atomic("and", cpu.state_address("exit_request"), cpu.const(~REQ_STEP))
    word, msr = cpu.step[0] & 0xFFFFFFFF, cpu.step_msr
    matched = ciabr_armed(cpu, msr) & (((cpu.ciabr ^ cpu.step_pc) & ~PRIVILEGE) == 0)
    due = ((msr & MSR_SE) != 0) | matched | (((msr & MSR_BE) != 0) & is_branch(cpu, word))
    if due & ~never_traced(cpu, word):
        prefixed = ((word >> 26) == 1) & (cpu.isa >= 310)
        srr1 = SRR1_TRACE | select(matched, cpu.const(SRR1_CIABR), 0)
        srr1 = srr1 | select(prefixed, cpu.const(SRR1_PREFIXED), 0)
        cpu.siar = cpu.step_pc
        deliver(cpu, cpu.const(0xD00), srr1, cpu.pc)
    cpu.leave("lp_enter")

# SPDX-License-Identifier: GPL-2.0-only
"""The handlers that belong to no instruction: where control goes between them.

Each is a function of a ``HandlerCpu``; ``@special("lp_goto")`` gives its symbol.  ``rec`` and ``word`` carry
arguments: see each docstring.

Rules of this file:
* ``pc`` in the state is right whenever Python sees the vCPU.
* Interrupts are taken only in ``lp_poll``/``lp_enter`` paths, between instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lpar.cpu import native_code, native_hcalls, native_profile, native_sample, native_time, native_tlb
from lpar.cpu.handler_cpu import SRR1_PREFIXED, SRR1_PRIVILEGED
from lpar.cpu.layout import (
    EXIT_HALTED,
    EXIT_HCALL,
    EXIT_KICKED,
    EXIT_MISSING,
    PEND_DOORBELL,
    PEND_EXTERNAL,
    PEND_RESET,
    REQ_FLUSH,
    REQ_INTERRUPT,
    REQ_KICK,
    REQ_PROFILE,
    REQ_SAMPLE,
    TLB_ENTRIES,
    TLB_ENTRY,
)
from lpar.isa.routine import routine
from lpar.isa.values import select

MSR_SF, MSR_HV, MSR_EE, MSR_PR, MSR_ME, MSR_IR, MSR_DR, MSR_RI, MSR_LE = (
    1 << 63, 1 << 60, 1 << 15, 1 << 14, 1 << 12, 1 << 5, 1 << 4, 2, 1,
)  # fmt: skip
MSR_TRACED = 0x600  #: SE, BE
LPCR_ILE = 1 << 25
LPCR_AIL_SHIFT = 23
SRR1_CLEAR = 0x783F0000
SRR1_BOUNDARY = 1 << 28  #: bit 35: a prefixed instruction crosses a 64-byte boundary

SPECIALS: dict[str, Callable[[Any], None]] = {}


def special(name: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register a special handler under its symbol."""

    def register(body: Callable[[Any], None]) -> Callable[[Any], None]:
        SPECIALS[name] = body
        return body

    return register


@routine(args=(64, 64, 64), returns=None)
def deliver(cpu: Any, vector: Any, srr1: Any, pc: Any) -> None:
    """Enter an interrupt (Book III, 6.4): SRR0 = pc, SRR1, new MSR and pc, AIL=2 and 3."""
    msr = cpu.msr
    cpu.n_interrupts = cpu.n_interrupts + 1
    cpu.srr0 = pc
    cpu.srr1 = (msr & ~SRR1_CLEAR) | srr1
    lpcr = cpu.lpcr
    new = (msr & MSR_HV) | MSR_SF | MSR_ME | select((lpcr & LPCR_ILE) != 0, cpu.const(MSR_LE), 0)
    ail = (lpcr >> LPCR_AIL_SHIFT) & 3
    translated = ((msr & MSR_IR) != 0) & ((msr & MSR_DR) != 0)
    relocated = translated & (ail >= 2) & (vector != 0x100) & (vector != 0x200)
    high = select(ail == 3, cpu.const(0xC000000000004000), 0x18000)
    cpu.msr = select(relocated, new | (MSR_IR | MSR_DR), new)
    cpu.pc = select(relocated, vector + high, vector)
    cpu.resv_addr = ~cpu.const(0)
    cpu.mmio_ready = 0
    cpu.stepping = 0


@routine(args=(64,), returns=None)
def deliver_scv(cpu: Any, level: Any) -> None:
    """``scv`` leaves EE and RI as they are and touches no SRRs: LR = next address (in pc), CTR = MSR.

    The vector is 0x17000, relocated 0xc000000000003000.
    """
    cpu.stepping = 0
    cpu.lr = cpu.pc
    cpu.ctr = cpu.msr & ~SRR1_CLEAR
    lpcr = cpu.lpcr
    msr = cpu.msr
    new = (msr & (MSR_HV | MSR_EE | MSR_RI)) | MSR_SF | MSR_ME
    new = new | select((lpcr & LPCR_ILE) != 0, cpu.const(MSR_LE), 0)
    translated = ((msr & MSR_IR) != 0) & ((msr & MSR_DR) != 0)
    relocated = translated & (((lpcr >> LPCR_AIL_SHIFT) & 3) == 3)
    cpu.msr = select(relocated, new | (MSR_IR | MSR_DR), new)
    cpu.pc = select(relocated, cpu.const(0xC000000000003000), 0x17000) + level * 0x20


@routine(args=(), returns=64)
def take_pending(cpu: Any) -> Any:
    """At a poll, pc valid: serve requests; deliver an interrupt if one may be taken.

    Gives non-zero to go back to Python.
    """
    requests = cpu.raw_atomic("xchg", cpu.state_address("exit_request"), cpu.const(0))
    cpu.polls = cpu.polls + 1
    if (requests & REQ_FLUSH) != 0:
        native_tlb.flush_state(cpu, cpu.own_address())
    if (requests & REQ_SAMPLE) != 0:
        native_sample.note_sample(cpu)
    if (requests & REQ_PROFILE) != 0:
        native_profile.note_profile(cpu)
    check_decrementer(cpu)
    pending = cpu.pending
    if (pending & PEND_RESET) != 0:
        clear_pending(cpu, PEND_RESET)
        deliver(cpu, 0x100, 0x00040000 << 0, cpu.pc)
    elif (cpu.msr & MSR_EE) != 0:
        if (pending & PEND_EXTERNAL) != 0:
            deliver(cpu, 0x500, 0, cpu.pc)
        elif cpu.dec_level != 0:
            deliver(cpu, 0x900, 0, cpu.pc)
        elif (pending & PEND_DOORBELL) != 0:
            clear_pending(cpu, PEND_DOORBELL)
            deliver(cpu, 0xA00, 0, cpu.pc)
    return requests & REQ_KICK


def check_decrementer(cpu: Any) -> None:
    """Note that the decrementer's deadline has passed."""
    if cpu.dec_level == 0:
        cpu.dec_level = select(native_time.read_dec(cpu).slt(0), cpu.const(1), 0)


def clear_pending(cpu: Any, bit: int) -> None:
    """Clear a bit that other threads set."""
    cpu.raw_atomic("and", cpu.state_address("pending"), cpu.const(~bit))


def interrupts_wanted(cpu: Any) -> Any:
    """Whether anything is pending that MSR[EE] now lets in."""
    return ((cpu.msr & MSR_EE) != 0) & ((cpu.pending | cpu.dec_level) != 0)


@special("lp_begin")
def begin(cpu: Any) -> None:
    """Come from Python: from now on the timer thread minds the decrementer."""
    cpu.running = 1
    cpu.memory_fence()
    if cpu.dec_level == 0:
        native_time.wake_timer(cpu, cpu.dec_deadline)
    cpu.leave("lp_enter")


@special("lp_enter")
def enter(cpu: Any) -> None:
    """Go on at ``pc`` with whatever mode MSR says; by single steps if it is traced (native_step)."""
    if cpu.stepping != 0:
        cpu.leave("lp_traced")
    if interrupts_wanted(cpu):
        cpu.raw_atomic("or", cpu.state_address("exit_request"), cpu.const(REQ_INTERRUPT))
    msr = cpu.msr
    little, wide = (msr & MSR_LE) != 0, (msr & MSR_SF) != 0
    region = select(little, select(wide, cpu.const(0), 1), 2)
    cpu.current_region = region
    cpu.code_region = cpu.code_base[region]
    key = select(wide, cpu.const(1), 0) | select(little, cpu.const(2), 0)
    key = key | select((msr & MSR_IR) != 0, cpu.const(4), 0) | select((msr & MSR_PR) != 0, cpu.const(8), 0)
    cpu.mode_key = key
    supervisor = 1 + (cpu.amr >> 62)
    mode = select((msr & MSR_DR) == 0, cpu.const(0), select((msr & MSR_PR) != 0, cpu.const(5), supervisor))
    tlb = cpu.state_address("dtlb") + mode * (TLB_ENTRIES * TLB_ENTRY)
    cpu.tlb = tlb
    pc = cpu.pc
    if ((msr & MSR_TRACED) | (cpu.ciabr & 3)) != 0:
        cpu.leave("lp_step", tlb=tlb.ref)
    if cpu.mmio_ready != 0:
        cpu.leave("lp_resume", rec=pc.ref, tlb=tlb.ref)
    cpu.leave("lp_goto", rec=pc.ref, tlb=tlb.ref)


@special("lp_resume")
def resume(cpu: Any) -> None:
    """As lp_goto, but no poll comes first: an access that the machine has answered is finished."""
    pc = cpu.rec
    entry = native_code.ctlb_entry(cpu, pc)
    if cpu.raw_load(entry, 64, 8) != ((pc & ~0xFFF) | cpu.mode_key):
        cpu.pc = pc
        if native_code.code_fill(cpu, pc) == 0:
            cpu.leave("lp_fault")
        cpu.leave("lp_resume", rec=pc.ref)
    cpu.pc_adj = cpu.raw_load(entry + 24, 64, 8)
    cpu.dispatch(cpu.raw_load(entry + 8, 64, 8) + ((pc & 0xFFC) << 1))


@special("lp_goto")
def goto(cpu: Any) -> None:
    """Go on at the effective address in ``rec``, same mode."""
    pc = cpu.rec
    if cpu.exit_request != 0:
        cpu.leave("lp_poll_pc")
    entry = native_code.ctlb_entry(cpu, pc)
    if cpu.raw_load(entry, 64, 8) != ((pc & ~0xFFF) | cpu.mode_key):
        cpu.leave("lp_goto_miss")
    cpu.pc_adj = cpu.raw_load(entry + 24, 64, 8)
    cpu.dispatch(cpu.raw_load(entry + 8, 64, 8) + ((pc & 0xFFC) << 1))


@special("lp_goto_miss")
def goto_miss(cpu: Any) -> None:
    """The code TLB does not know the address in ``rec``."""
    cpu.pc = cpu.rec
    records = native_code.code_fill(cpu, cpu.pc)
    if records == 0:
        cpu.leave("lp_fault")
    pc = cpu.pc
    cpu.leave("lp_goto", rec=pc.ref)


@special("lp_poll")
def poll(cpu: Any) -> None:
    """A poll at the record in ``rec``."""
    cpu.pc = cpu.cia
    cpu.leave("lp_serve")


@special("lp_poll_pc")
def poll_pc(cpu: Any) -> None:
    """A poll at the effective address in ``rec``."""
    cpu.pc = cpu.rec
    cpu.leave("lp_serve")


@special("lp_serve")
def serve(cpu: Any) -> None:
    """Serve requests at ``pc``."""
    if cpu.stepping != 0:
        cpu.leave("lp_traced")
    if take_pending(cpu) != 0:
        cpu.exit_reason = EXIT_KICKED
        cpu.stop()
    cpu.leave("lp_enter")


@special("lp_decode")
def decode(cpu: Any) -> None:
    """An undecoded record, or the one behind a page."""
    if native_code.is_last(cpu, cpu.rec):
        cpu.leave("lp_goto", rec=cpu.nia_of(cpu.cia).ref)
    native_code.decode_record(cpu, cpu.rec)
    cpu.dispatch(cpu.rec)


@special("lp_alone")
def alone(cpu: Any) -> None:
    """The second of a pair (pair.py), which was decoded with the first, is wanted without it."""
    cpu.leave("lp_decode")


@special("lp_fault")
def fault(cpu: Any) -> None:
    """A memory routine said ``fault`` for the instruction at ``pc``: interrupt or MMIO exit."""
    if cpu.fault == 2:
        cpu.stepping = 0
        cpu.stop()
    deliver(cpu, cpu.exc_vector, cpu.exc_srr1, cpu.pc)
    cpu.leave("lp_enter")


@special("lp_fault_prefixed")
def fault_prefixed(cpu: Any) -> None:
    """As lp_fault, for a prefixed instruction."""
    cpu.exc_srr1 = cpu.exc_srr1 | SRR1_PREFIXED
    cpu.leave("lp_fault")


@special("lp_interrupt")
def interrupt(cpu: Any) -> None:
    """Deliver the interrupt in ``word`` (vector, SRR1 bits above 32) at the current instruction."""
    deliver(cpu, cpu.word & 0xFFFFFFFF, cpu.word >> 32, cpu.cia)
    cpu.leave("lp_enter")


@special("lp_privileged")
def privileged(cpu: Any) -> None:
    """A privileged instruction in problem state."""
    cpu.leave("lp_interrupt", word=str(0x700 | SRR1_PRIVILEGED << 32))


@special("lp_no_fp")
def no_fp(cpu: Any) -> None:
    """Floating-point unavailable."""
    cpu.leave("lp_interrupt", word=str(0x800))


@special("lp_no_vec")
def no_vec(cpu: Any) -> None:
    """Vector unavailable."""
    cpu.leave("lp_interrupt", word=str(0xF20))


@special("lp_no_vsx")
def no_vsx(cpu: Any) -> None:
    """VSX unavailable."""
    cpu.leave("lp_interrupt", word=str(0xF40))


@special("lp_illegal")
def illegal(cpu: Any) -> None:
    """As lp_interrupt, counted, with the word kept for the report."""
    cpu.n_illegal = cpu.n_illegal + 1
    cpu.last_illegal = cpu.raw_load(cpu.rec, 64, 8) & 0xFFFFFFFF
    deliver(cpu, cpu.word & 0xFFFFFFFF, cpu.word >> 32, cpu.cia)
    cpu.leave("lp_enter")


@special("lp_alignment")
def alignment(cpu: Any) -> None:
    """As lp_interrupt for the alignment interrupt; the address is in exc_ea."""
    cpu.dar = cpu.exc_ea
    cpu.dsisr = 0
    cpu.leave("lp_interrupt")


@special("lp_prefix_alignment")
def prefix_alignment(cpu: Any) -> None:
    """A prefix in the last word of a 64-byte block (Book I, 1.6): alignment interrupt whatever follows it."""
    cpu.exc_ea = cpu.cia
    cpu.leave("lp_alignment", word=str(0x600 | (SRR1_PREFIXED | SRR1_BOUNDARY) << 32))


@special("lp_no_prefixes")
def no_prefixes(cpu: Any) -> None:
    """FSCR does not offer prefixed instructions to problem state: facility unavailable, cause 13."""
    cpu.fscr = (cpu.fscr & ((1 << 56) - 1)) | (13 << 56)
    cpu.leave("lp_interrupt", word=str(0xF60 | SRR1_PREFIXED << 32))


@special("lp_sc")
def system_call(cpu: Any) -> None:
    """``sc`` with its level in ``word``: level 1 from supervisor state is a hypercall."""
    cpu.pc = cpu.nia
    if ((cpu.word & 1) != 0) & ((cpu.msr & MSR_PR) == 0):
        cpu.stepping = 0
        if native_hcalls.answer_hcall(cpu) != 0:
            cpu.leave("lp_enter")
        cpu.exit_reason = EXIT_HCALL
        cpu.stop()
    deliver(cpu, cpu.const(0xC00), cpu.const(0), cpu.pc)
    cpu.leave("lp_enter")


@special("lp_scv")
def system_call_vectored(cpu: Any) -> None:
    """``scv`` with its level in ``word``."""
    cpu.pc = cpu.nia
    deliver_scv(cpu, cpu.word)
    cpu.leave("lp_enter")


@special("lp_halt")
def halt(cpu: Any) -> None:
    """The guest can never go on (checkstop)."""
    cpu.pc = cpu.cia
    cpu.exit_reason = EXIT_HALTED
    cpu.stop()


@special("lp_missing")
def missing(cpu: Any) -> None:
    """An instruction whose code is still being built (builder.py): Python waits, then we look again."""
    if cpu.look_again == 0:
        cpu.stepping = 0
        cpu.pc = cpu.cia
        cpu.exit_reason = EXIT_MISSING
        cpu.stop()
    cpu.look_again = 0
    cpu.raw_store(cpu.rec, cpu.const(0), 8)
    cpu.leave("lp_decode")


@special("lp_undefined")
def undefined(cpu: Any) -> None:
    """A word that is no instruction we know: program interrupt, illegal."""
    cpu.leave("lp_illegal", word=str(0x700 | (1 << 19) << 32))


@special("lp_undefined_prefixed")
def undefined_prefixed(cpu: Any) -> None:
    """A prefix that makes no instruction we know with its suffix."""
    cpu.leave("lp_illegal", word=str(0x700 | (1 << 19 | SRR1_PREFIXED) << 32))

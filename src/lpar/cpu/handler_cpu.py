# SPDX-License-Identifier: GPL-2.0-only
"""The ``cpu`` that an instruction's body sees while its handler is traced: memory, flow, interrupts.

Rules of this file:
* A handler is ``ghccc void (state, record, word, tlb, base)`` and leaves only by a tail call or, to Python,
  by ``ret``.
* ``fast`` handlers assume 64-bit little-endian mode and tail-call their slow twin on any TLB miss, before
  they changed any state; the slow twin runs in every mode and calls out for each access.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu import layout
from lpar.cpu.ir import COLD, Function, IrBits
from lpar.cpu.staging import Done
from lpar.cpu.trace import TraceCpu

MSR_PR, MSR_FP, MSR_VSX, MSR_VEC = 1 << 14, 1 << 13, 1 << 23, 1 << 25
SRR1_PREFIXED = 1 << 29  #: bit 34: a prefixed instruction caused the interrupt
SRR1_PRIVILEGED, SRR1_ILLEGAL, SRR1_TRAP, SRR1_FP = 1 << 18, 1 << 19, 1 << 17, 1 << 20
FSCR_PREFIX = 1 << 13  #: problem state may execute prefixed instructions; half of MSR_PR
HANDLER_ARGS = "ptr %s, i64 %rec, i64 %word, i64 %tlb, i64 %base"
HANDLER_TYPES = "ptr, i64, i64, i64, i64"


class HandlerCpu(TraceCpu):
    """One instruction's handler.

    ``fast``: 64-bit little-endian, inline TLB checks, else every mode and calls.
    ``near``: a relative branch's target is in the same page.  ``slow_symbol``: the twin to fall back to.
    ``prefixed``: the suffix is in the low half of the next record, which holds no handler or that of the
    suffix as an instruction of its own.
    ``words``: the next handler gets its word; units have no use for it, nor have slow handlers.
    """

    fscr: Any

    def __init__(
        self,
        f: Function,
        *,
        fast: bool,
        near: bool,
        slow_symbol: str,
        prefixed: bool = False,
        words: bool = True,
    ) -> None:
        super().__init__(f)
        set_ = object.__setattr__
        set_(self, "fast", fast)
        set_(self, "near", near)
        set_(self, "slow_symbol", slow_symbol)
        set_(self, "prefixed", prefixed)
        set_(self, "words", words)
        set_(self, "mode_used", False)
        set_(self, "_pc_stored", False)

    # -- mode and addresses ----------------------------------------------------------------------
    def _uses_mode(self) -> None:
        object.__setattr__(self, "mode_used", True)

    @property
    def sf(self) -> IrBits:
        """64-bit mode."""
        self._uses_mode()
        return self.const(1, 1) if self.fast else self.msr.bit(63)

    @property
    def le(self) -> IrBits:
        """Little-endian mode."""
        self._uses_mode()
        return self.const(1, 1) if self.fast else self.msr.bit(0)

    @property
    def rec(self) -> IrBits:
        """The current record's address."""
        return IrBits(self.f, "%rec", 64)

    @property
    def word(self) -> IrBits:
        """The record: instruction word in the low half."""
        return IrBits(self.f, "%word", 64)

    @property
    def cia(self) -> IrBits:
        """Current instruction address."""
        return self.pc_adj + (self.rec >> 1)  # type: ignore[no-any-return]

    @property
    def nia(self) -> IrBits:
        """The next instruction's address."""
        return self._mask(self.cia + (8 if self.prefixed else 4))  # type: ignore[no-any-return]

    def instruction(self) -> IrBits:
        """The instruction word, or prefix << 32 | suffix; a suffix wiped meanwhile is decoded again."""
        word = self.word if self.fast else self._read_word()
        if not self.prefixed:
            return word
        suffix = self.raw_load(self.rec + 8, 32, 8).zext(64)
        self.cold_if(suffix == 0, "lp_decode")
        return (word << 32) | suffix

    def _read_word(self) -> IrBits:
        """The word from the record: stencils come to slow handlers without it; wiped, it is decoded again."""
        word = self.raw_load(self.rec, 32, 8).zext(64)
        self.cold_if(word == 0, "lp_decode")
        return word

    def _mask(self, ea: Any) -> Any:
        self._uses_mode()
        if self.fast:
            return ea
        return self.sf.select(ea, ea & 0xFFFFFFFF)

    # -- leaving -----------------------------------------------------------------------------------
    def leave(self, target: str, rec: str = "%rec", word: str = "%word", tlb: str = "%tlb") -> None:
        """Tail-call another ghccc function by symbol."""
        self.f.module.declare("@" + target, f"declare ghccc void @{target}({HANDLER_TYPES})")
        arguments = f"ptr %s, i64 {rec}, i64 {word}, i64 {tlb}, i64 %base"
        self.f.line(f"musttail call ghccc void @{target}({arguments})")
        self.f.finish("ret void")
        raise Done

    def dispatch(self, rec: IrBits) -> None:
        """Go on with the instruction at ``rec`` (in the same page)."""
        f: Function = self.f
        if self.words:
            word = self.raw_load(rec, 64, 8)
            distance = word.sar(32)
        else:
            word = IrBits(f, "poison", 64)
            distance = self.raw_load(rec + 4, 32, 4).sext(64)
        target = distance + IrBits(f, "%base", 64)
        where = f.emit(f"inttoptr i64 {target.ref} to ptr")
        arguments = f"ptr %s, i64 {rec.ref}, i64 {word.ref}, i64 %tlb, i64 %base"
        f.line(f"musttail call ghccc void {where}({arguments})")
        f.finish("ret void")
        raise Done

    def next(self) -> None:
        """Fall through to the next instruction."""
        self.dispatch(self.rec + (16 if self.prefixed else 8))

    def branch(self, target: Any) -> None:
        """Go to ``target``."""
        self.leave("lp_goto", rec=self._mask(target & ~3).ref)

    def branch_rel(self, displacement: Any) -> None:
        """Go to ``cia + displacement``; inside the page without looking it up."""
        if not self.near:
            self.branch(self.cia + displacement)
        rec = self.rec + (displacement << 1)
        self._poll_at(rec)
        self.dispatch(rec)

    def _poll_at(self, rec: IrBits) -> None:
        f: Function = self.f
        cold, hot = f.new_block(cold=True), f.new_block()
        f.branch((self.exit_request != 0).ref, cold, hot, COLD)
        f.place(cold)
        try:
            self.leave("lp_poll", rec=rec.ref)
        except Done:
            f.place(hot)

    def cold_if(self, condition: IrBits, target: str, word: str = "%word") -> None:
        """Tail-call ``target`` if the unlikely condition holds; go on otherwise."""
        f: Function = self.f
        if condition.c == 0:
            return
        cold, hot = f.new_block(cold=True), f.new_block()
        f.branch(condition.ref, cold, hot, COLD)
        f.place(cold)
        try:
            self.leave(target, word=word)
        except Done:
            f.place(hot)

    def interrupt(self, vector: int, srr1: int = 0) -> None:
        """Deliver an interrupt at this instruction; SRR0 = cia, ``srr1`` bits set in SRR1."""
        self.leave("lp_interrupt", word=self._cause(vector, srr1))

    def _cause(self, vector: int, srr1: int = 0) -> str:
        """The argument of lp_interrupt: the vector, and above it what this instruction sets in SRR1."""
        return str(vector | (srr1 | (SRR1_PREFIXED if self.prefixed else 0)) << 32)

    def program(self, cause: str) -> None:
        """Program interrupt."""
        bits = {"illegal": SRR1_ILLEGAL, "privileged": SRR1_PRIVILEGED, "trap": SRR1_TRAP, "fp": SRR1_FP}
        if cause == "illegal":
            self.leave("lp_illegal", word=self._cause(0x700, bits[cause]))
        self.interrupt(0x700, bits[cause])

    def unavailable(self, facility: str) -> None:
        """Facility unavailable interrupt."""
        self.interrupt({"FP": 0x800, "VEC": 0xF20, "VSX": 0xF40}[facility])

    def alignment(self, ea: Any) -> None:
        """Alignment interrupt with DAR."""
        self.exc_ea = ea
        self.leave("lp_alignment", word=self._cause(0x600))

    def data_storage(self, ea: Any, cause: int) -> None:
        """Data storage interrupt with DAR and a cause for DSISR."""
        self.dar = self._mask(ea)
        self.dsisr = self.const(cause)
        self.interrupt(0x300)

    def syscall(self, level: int) -> None:
        """``sc``."""
        self.leave("lp_sc", word=str(level))

    def syscall_vectored(self, level: Any) -> None:
        """``scv``."""
        word = str(level) if isinstance(level, int) else level.ref
        self.leave("lp_scv", word=word)

    def stop(self) -> None:
        """Return to Python."""
        self.f.finish("ret void")
        raise Done

    def nia_of(self, address: Any) -> Any:
        """``address`` as the mode keeps it (32-bit mode: its low half)."""
        return self.sf.select(address, address & 0xFFFFFFFF)

    def require(self, needs: tuple[str, ...]) -> None:
        """Check that MSR enables the facilities."""
        masks = {"FP": (MSR_FP, 0x800), "VEC": (MSR_VEC, 0xF20), "VSX": (MSR_VSX, 0xF40)}
        if self.prefixed:
            self.cold_if(((self.msr >> 1) & ~self.fscr & FSCR_PREFIX) != 0, "lp_no_prefixes")
        if "PRIV" in needs:
            self.cold_if((self.msr & MSR_PR) != 0, "lp_interrupt", self._cause(0x700, SRR1_PRIVILEGED))
        for name, (bit, vector) in masks.items():
            if name in needs:
                self.cold_if((self.msr & bit) == 0, "lp_interrupt", self._cause(vector))

    def goto_pc(self) -> None:
        """Go on at ``self.pc`` in whatever mode the state now has (context synchronizing)."""
        self.leave("lp_enter")

    # -- privileged ----------------------------------------------------------------------------------
    def facility(self, cause: int) -> None:
        """Facility unavailable (0xF60) with its cause in FSCR[IC]."""
        self.fscr = (self.fscr & ((1 << 56) - 1)) | (cause << 56)
        self.interrupt(0xF60)

    def interrupts_enabled(self) -> None:
        """MSR[EE] may have become 1: take what is pending."""
        from lpar.cpu.native_flow import interrupts_wanted

        wanted = self.rt.call(interrupts_wanted, self)
        f: Function = self.f
        cold, hot = f.new_block(cold=True), f.new_block()
        f.branch(wanted.ref, cold, hot, COLD)
        f.place(cold)
        try:
            self.context_changed()
        except Done:
            f.place(hot)

    def context_changed(self) -> None:
        """Go on behind this instruction with whatever mode the state now has."""
        self.pc = self.nia
        self.leave("lp_enter")

    def resume_at(self, target: Any) -> None:
        """Return from interrupt: go on at ``target`` in the mode that MSR now says."""
        self.resv_addr = ~self.const(0)
        aligned = target & ~3
        self.pc = self.msr.bit(63).select(aligned, aligned & 0xFFFFFFFF)
        self.leave("lp_enter")

    def tlbie(self, rb: Any, rs: Any, ric: int, radix: int, everywhere: int) -> None:
        """tlbie and tlbiel."""
        from lpar.cpu import native_tlb

        if radix:
            native_tlb.tlbie_radix(self, rb, rs, self.const(ric), self.const(everywhere))
        else:
            native_tlb.tlbie_hash(self, self.const(everywhere))

    def write_access(self, spr: int, value: Any) -> None:
        """mtspr of AMR, PIDR or IAMR."""
        from lpar.cpu import native_tlb

        write = {29: native_tlb.write_amr, 48: native_tlb.write_pidr, 61: native_tlb.write_iamr}[spr]
        write(self, value)

    def slbmte(self, rs: Any, rb: Any) -> None:
        """Write an SLB entry."""
        from lpar.cpu import native_tlb

        native_tlb.slb_write(self, rs, rb)

    def slbie(self, rb: Any) -> None:
        """Invalidate an SLB entry."""
        from lpar.cpu import native_tlb

        native_tlb.slb_invalidate(self, rb)

    def slbia(self, ih: int) -> None:
        """Invalidate the SLB."""
        from lpar.cpu import native_tlb

        native_tlb.slb_invalidate_all(self, self.const(ih))

    def slbfee(self, rb: Any) -> Any:
        """Find an SLB entry."""
        from lpar.cpu import native_tlb

        return native_tlb.slb_find(self, rb)

    def msgsndp(self, rb: Any) -> None:
        """Doorbell to a thread of this core."""
        from lpar.cpu import native_time

        native_time.doorbell(self, rb)

    def msgclrp(self, rb: Any) -> None:
        """Clear this thread's doorbell."""
        from lpar.cpu.native_flow import clear_pending

        self.rt.call(clear_pending, self, layout.PEND_DOORBELL)

    def read_dec(self) -> Any:
        """DEC."""
        from lpar.cpu import native_time

        return native_time.read_dec(self)

    def write_dec(self, value: Any) -> None:
        """Write DEC; an exception at once is taken at the next poll."""
        from lpar.cpu import native_time

        native_time.write_dec(self, value)

    # -- memory --------------------------------------------------------------------------------------
    def _entry(self, ea: Any) -> IrBits:
        index = (ea >> 12) & (layout.TLB_ENTRIES - 1)
        return IrBits(self.f, "%tlb", 64) + index * layout.TLB_ENTRY  # type: ignore[no-any-return]

    def _host(self, ea: Any, size: int, tag_at: int) -> IrBits:
        """The host address of a fast access, or off to the slow twin."""
        entry = self._entry(ea)
        tag = self.raw_load(entry + tag_at, 64, 8)
        page = (ea + (size - 1)) & ~0xFFF
        self.cold_if(tag != page, self.slow_symbol)
        return ea + self.raw_load(entry + 16, 64, 8)  # type: ignore[no-any-return]

    def _slow(self, routine: Any, *args: Any) -> Any:
        """Call a memory routine; leave if it faulted."""
        if not self._pc_stored:
            self.pc = self.cia
            object.__setattr__(self, "_pc_stored", True)
        result = routine(self, *args)
        self.cold_if(self.fault != 0, "lp_fault_prefixed" if self.prefixed else "lp_fault")
        return result

    def load(self, ea: Any, size: int) -> IrBits:
        """Load ``size`` bytes in the current byte order."""
        self._uses_mode()
        if self.fast:
            return self.raw_load(self._host(ea, size, 0), 8 * size)
        from lpar.cpu import native_memory

        return self._slow(native_memory.LOADS[size], ea)  # type: ignore[no-any-return]

    def store(self, ea: Any, value: Any) -> None:
        """Store in the current byte order."""
        self._uses_mode()
        if self.fast:
            self.raw_store(self._host(ea, value.w // 8, 8), value)
            return
        from lpar.cpu import native_memory

        self._slow(native_memory.STORES[value.w // 8], ea, value)

    def load_reserve(self, ea: Any, size: int) -> IrBits:
        """Load and reserve."""
        self._uses_mode()
        if self.fast:
            self.cold_if((ea & (size - 1)) != 0, self.slow_symbol) if size > 1 else None
            value = self.raw_load(self._host(ea, size, 0), 8 * size, size)
        else:
            from lpar.cpu import native_memory

            value = self._slow(native_memory.load_aligned(size), ea)
        self._reserve(ea, size, value)
        return value

    def _reserve(self, ea: Any, size: int, value: Any) -> None:
        self.resv_addr = self._mask(ea)
        self.resv_size = size
        self.resv_lo = value.zext(128).trunc(64)
        if size == 16:
            self.resv_hi = value.bits(64, 64)

    def store_conditional(self, ea: Any, value: Any) -> IrBits:
        """Store if the reservation holds."""
        self._uses_mode()
        from lpar.cpu import native_memory

        size = value.w // 8
        if not self.fast:
            return self._slow(native_memory.CONDITIONALS[size], ea, value)  # type: ignore[no-any-return]
        if size > 1:
            self.cold_if((ea & (size - 1)) != 0, self.slow_symbol)
        host = self._host(ea, size, 8)
        return self.rt.call(native_memory.conditional_at, self, host, ea, value, size)  # type: ignore[no-any-return]

    def atomic(self, op: str, ea: Any, value: Any) -> IrBits:
        """Atomic read-modify-write: gives the old value."""
        self._uses_mode()
        from lpar.cpu import native_memory

        if not self.fast:
            return self._slow(native_memory.atomic_slow(op, value.w // 8), ea, value)  # type: ignore[no-any-return]
        self.cold_if((ea & (value.w // 8 - 1)) != 0, self.slow_symbol)
        llvm = {"smax": "max", "smin": "min"}.get(op, op)
        return self.raw_atomic(llvm, self._host(ea, value.w // 8, 8), value)

    def dcbz(self, ea: Any) -> None:
        """Zero the 128-byte block that ``ea`` is in."""
        self._uses_mode()
        block = ea & ~127
        if self.fast:
            self.clear_block(self._host(block, 1, 8))
            return
        from lpar.cpu import native_memory

        self._slow(native_memory.dcbz_slow, block)

    def icbi(self, ea: Any) -> None:
        """Invalidate decoded instructions: writes are noticed through the TLB, so nothing is left to do."""

# SPDX-License-Identifier: GPL-2.0-only
"""The ``cpu`` that traced bodies see: state access, and what ends a handler.

``TraceCpu`` is shared by routines and handlers: registers in the state block, raw host memory, calls.
``HandlerCpu`` adds guest memory, control flow and interrupts for one instruction's handler.

Rules of this file:
* A handler is ``ghccc void (state, record, word, tlb, base)`` and leaves only by a tail call or, to Python, by ``ret``.
* ``fast`` handlers assume 64-bit little-endian mode and tail-call their slow twin on any TLB miss, before
  they changed any state; the slow twin runs in every mode and calls out for each access.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu import layout
from lpar.cpu.ir import COLD, Function, IrBits, Module, constant
from lpar.cpu.layout import SLOTS, Slot
from lpar.cpu.staging import Done, Runtime
from lpar.isa.routine import Routine
from lpar.isa.values import Bits

MSR_PR, MSR_FP, MSR_VSX, MSR_VEC = 1 << 14, 1 << 13, 1 << 23, 1 << 25
FSCR_PREFIX = 1 << 13  #: problem state may execute prefixed instructions; half of MSR_PR
SRR1_PREFIXED = 1 << 29  #: bit 34: a prefixed instruction caused the interrupt
SRR1_PRIVILEGED, SRR1_ILLEGAL, SRR1_TRAP, SRR1_FP = 1 << 18, 1 << 19, 1 << 17, 1 << 20
HANDLER_ARGS = "ptr %s, i64 %rec, i64 %word, i64 %tlb, i64 %base"
HANDLER_TYPES = "ptr, i64, i64, i64, i64"


class _Array:
    def __init__(self, cpu: TraceCpu, slot: Slot, width: int, shift: int = 0) -> None:
        self._cpu, self._slot, self._width, self._shift = cpu, slot, width, shift

    def __getitem__(self, n: Any) -> IrBits:
        return self._cpu.state_load(self._at(n), self._width)

    def __setitem__(self, n: Any, value: Any) -> None:
        self._cpu.state_store(self._at(n), value, self._width)

    def _at(self, n: Any) -> str:
        slot = self._slot
        if isinstance(n, IrBits) and n.c is not None:
            n = n.c
        if isinstance(n, (int, Bits)):
            number = n if isinstance(n, int) else n.v
            return self._cpu.state_ptr(slot.offset + self._shift + slot.stride * number)
        offset = n.zext(64) * slot.stride
        return self._cpu.state_ptr(slot.offset + self._shift, offset)


class _Fprs(_Array):
    """FPR n is the upper doubleword of VSR n; writing it clears the lower one."""

    def __setitem__(self, n: Any, value: Any) -> None:
        wide = value.zext(128) << 64 if isinstance(value, (IrBits, Bits)) else value << 64
        whole = _Array(self._cpu, self._slot, 128)
        whole[n] = wide


class _Vrs(_Array):
    """VR n is VSR 32 + n."""

    def __init__(self, cpu: TraceCpu, slot: Slot) -> None:
        super().__init__(cpu, slot, 128, 32 * slot.stride)


class TraceCpu:
    """State, host memory and routine calls for a function under construction."""

    def __init__(self, f: Function) -> None:
        vsr = SLOTS["vsr"]
        arrays = {n: _Array(self, s, s.width) for n, s in SLOTS.items() if s.count}
        arrays |= {"fpr": _Fprs(self, vsr, 64, 8), "vr": _Vrs(self, vsr)}
        object.__setattr__(self, "_arrays", arrays)
        object.__setattr__(self, "used", set())  # state fields and routines that the function names
        object.__setattr__(self, "f", f)
        object.__setattr__(self, "rt", Runtime(f))

    # -- state -------------------------------------------------------------------------------------
    def state_ptr(self, offset: int, dynamic: IrBits | None = None) -> str:
        """A pointer ``offset`` (plus a run-time offset) bytes into the state block."""
        f: Function = self.f
        at = f.emit(f"getelementptr i8, ptr %s, i64 {offset}")
        if dynamic is not None:
            at = f.emit(f"getelementptr i8, ptr {at}, i64 {dynamic.ref}")
        return at

    def state_load(self, at: str, width: int) -> IrBits:
        """Load a state field; width 1 is held in a byte."""
        f: Function = self.f
        if width == 1:
            byte = IrBits(f, f.emit(f"load i8, ptr {at}, align 1"), 8)
            return byte.trunc(1)
        return IrBits(f, f.emit(f"load i{width}, ptr {at}, align {width // 8}"), width)

    def state_store(self, at: str, value: Any, width: int) -> None:
        """Store a state field."""
        f: Function = self.f
        if isinstance(value, (int, Bits)):
            value = constant(f, value.v if isinstance(value, Bits) else value, width)
        if value.w != width:
            raise TypeError(f"width {value.w} written to a field of {width}")
        if width == 1:
            value, width = value.zext(8), 8
        f.line(f"store i{width} {value.ref}, ptr {at}, align {width // 8}")

    def __getattr__(self, name: str) -> Any:
        arrays = object.__getattribute__(self, "_arrays")
        if name in arrays:
            self.used.add({"fpr": "vsr", "vr": "vsr"}.get(name, name))
            return arrays[name]
        slot = SLOTS.get(name)
        if slot is None:
            raise AttributeError(name)
        self.used.add(name)
        return self.state_load(self.state_ptr(slot.offset), slot.width)

    def __setattr__(self, name: str, value: Any) -> None:
        slot = SLOTS.get(name)
        if slot is None or slot.count:
            raise AttributeError(f"no writable state field {name}")
        self.used.add(name)
        self.state_store(self.state_ptr(slot.offset), value, slot.width)

    def const(self, value: int, width: int = 64) -> IrBits:
        """A constant."""
        return constant(self.f, value, width)

    def base(self, ra: Any) -> Any:
        """(RA|0); the decoder picks the handler with a static 0."""
        if isinstance(ra, int):
            return self.gpr[ra] if ra else self.const(0)
        return self.gpr[ra]

    def crbit(self, n: Any) -> IrBits:
        """CR bit ``n``."""
        if isinstance(n, int):
            return self.cr[n >> 2].bit(3 - (n & 3))  # type: ignore[no-any-return]
        return (self.cr[n >> 2] >> (((n & 3) ^ 3).trunc(8))).trunc(1)  # type: ignore[no-any-return]

    def set_crbit(self, n: Any, value: Any) -> None:
        """Write CR bit ``n``."""
        if isinstance(n, int):
            field, shift = n >> 2, self.const(3 - (n & 3), 8)
        else:
            field, shift = n >> 2, ((n & 3) ^ 3).trunc(8)
        old = self.cr[field]
        self.cr[field] = (old & ~(self.const(1, 8) << shift)) | (value.zext(8) << shift)

    @property
    def sf(self) -> IrBits:
        """64-bit mode."""
        return self.msr.bit(63)  # type: ignore[no-any-return]

    @property
    def le(self) -> IrBits:
        """Little-endian mode."""
        return self.msr.bit(0)  # type: ignore[no-any-return]

    # -- host memory and calls -------------------------------------------------------------------
    def raw_load(self, address: Any, width: int, align: int = 1) -> IrBits:
        """Load ``width`` bits from a host address, host byte order (little-endian)."""
        f: Function = self.f
        at = f.emit(f"inttoptr i64 {address.ref} to ptr")
        return IrBits(f, f.emit(f"load i{width}, ptr {at}, align {align}"), width)

    def raw_store(self, address: Any, value: Any, align: int = 1) -> None:
        """Store to a host address."""
        f: Function = self.f
        at = f.emit(f"inttoptr i64 {address.ref} to ptr")
        f.line(f"store i{value.w} {value.ref}, ptr {at}, align {align}")

    def raw_cas(self, address: Any, old: Any, new: Any) -> tuple[IrBits, IrBits]:
        """Atomic compare-and-swap at a naturally aligned host address: (old value found, success)."""
        f: Function = self.f
        at = f.emit(f"inttoptr i64 {address.ref} to ptr")
        pair = f.emit(f"cmpxchg ptr {at}, i{old.w} {old.ref}, i{new.w} {new.ref} seq_cst seq_cst")
        kind = f"{{ i{old.w}, i1 }}"
        found = IrBits(f, f.emit(f"extractvalue {kind} {pair}, 0"), old.w)
        return found, IrBits(f, f.emit(f"extractvalue {kind} {pair}, 1"), 1)

    def raw_atomic(self, op: str, address: Any, value: Any) -> IrBits:
        """Atomic read-modify-write (LLVM's names: add, or, xchg, umax...): gives the old value."""
        f: Function = self.f
        at = f.emit(f"inttoptr i64 {address.ref} to ptr")
        return IrBits(f, f.emit(f"atomicrmw {op} ptr {at}, i{value.w} {value.ref} seq_cst"), value.w)

    def state_address(self, name: str) -> IrBits:
        """The host address of a state field."""
        f: Function = self.f
        return IrBits(f, f.emit(f"ptrtoint ptr {self.state_ptr(SLOTS[name].offset)} to i64"), 64)

    def clear(self, address: Any, size: Any) -> None:
        """Fill ``size`` bytes at a host address with zeros."""
        self._fill(address, size, 0)

    def _fill(self, address: Any, size: Any, byte: int) -> None:
        f: Function = self.f
        f.module.declare("@llvm.memset", "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
        at = f.emit(f"inttoptr i64 {address.ref} to ptr")
        count = size if isinstance(size, int) else size.ref
        f.line(f"call void @llvm.memset.p0.i64(ptr align 8 {at}, i8 {byte}, i64 {count}, i1 false)")

    def fill_ones(self, address: Any, size: Any) -> None:
        """Fill ``size`` bytes at a host address with ones."""
        self._fill(address, size, -1)

    def memory_fence(self) -> None:
        """A full fence."""
        self.f.line("fence seq_cst")

    def fence(self, kind: str) -> None:
        """A barrier instruction's effect on the host."""
        self.f.line("fence seq_cst" if kind in ("sync", "ptesync", "eieio") else "fence acq_rel")

    def libc(self, name: str, *args: Any) -> IrBits:
        """Call a function of the C library (arguments and result as 64-bit integers)."""
        f: Function = self.f
        types = ", ".join(["i64"] * len(args))
        f.module.declare("@" + name, f"declare i64 @{name}({types})")
        values = ", ".join(f"i64 {self._ref(a)}" for a in args)
        return IrBits(f, f.emit(f"call i64 @{name}({values})"), 64)

    @staticmethod
    def _ref(a: Any) -> str:
        return str(a) if isinstance(a, int) else str(a.ref)

    def call_routine(self, routine: Routine, args: tuple[Any, ...]) -> Any:
        """Call a routine; gives what its body returns."""
        f: Function = self.f
        self.used.add("rt_" + routine.name)
        f.module.declare("@" + symbol(routine), f"declare {signature(routine, named=False)}")
        values = []
        for a, w in zip(args, routine.args, strict=True):
            if isinstance(a, (int, Bits)):
                a = constant(f, a.v if isinstance(a, Bits) else a, w)
            if a.w != w:
                raise TypeError(f"{routine.name}: argument of width {a.w}, wants {w}")
            values.append(f"i{w} {a.ref}")
        text = f"{result_type(routine)} @{symbol(routine)}({', '.join(['ptr %s', *values])})"
        if routine.returns is None:
            return f.line("call " + text)
        result = f.emit("call " + text)
        if isinstance(routine.returns, int):
            return IrBits(f, result, routine.returns)
        kind = result_type(routine)
        return tuple(
            IrBits(f, f.emit(f"extractvalue {kind} {result}, {i}"), w) for i, w in enumerate(routine.returns)
        )

    def timebase(self) -> Any:
        """The timebase, 64 bits, 512 MHz."""
        from lpar.cpu.native_time import timebase

        return timebase(self)

    def random(self) -> Any:
        """64 random bits."""
        from lpar.cpu.native_time import random64

        return random64(self)


def symbol(routine: Routine) -> str:
    """The linker symbol of a routine."""
    return "rt_" + routine.name


def result_type(routine: Routine) -> str:
    """The LLVM type that a routine returns."""
    if routine.returns is None:
        return "void"
    if isinstance(routine.returns, int):
        return f"i{routine.returns}"
    return "{ " + ", ".join(f"i{w}" for w in routine.returns) + " }"


def signature(routine: Routine, *, named: bool) -> str:
    """A routine's LLVM signature."""
    params = [f"i{w} %a{i}" if named else f"i{w}" for i, w in enumerate(routine.args)]
    head = "ptr %s" if named else "ptr"
    return f"{result_type(routine)} @{symbol(routine)}({', '.join([head, *params])})"


def trace_routine(module: Module, routine: Routine) -> set[str]:
    """Define ``routine`` in ``module``; gives the state fields and routines that it names."""
    f = Function(f"define {signature(routine, named=True)} nounwind", module)
    cpu = TraceCpu(f)
    args = [IrBits(f, f"%a{i}", w) for i, w in enumerate(routine.args)]
    try:
        value = cpu.rt.call(routine.body, cpu, *args)
        _return(f, routine, value)
    except Done:
        pass
    except Exception as error:
        raise type(error)(f"in routine {routine.name}: {error}") from error
    module.define("@" + symbol(routine), f.text())
    return set(cpu.used)


def _return(f: Function, routine: Routine, value: Any) -> None:
    if routine.returns is None:
        return f.finish("ret void")
    widths = (routine.returns,) if isinstance(routine.returns, int) else routine.returns
    values = [value] if isinstance(routine.returns, int) else list(value)
    values = [constant(f, v.v if isinstance(v, Bits) else v, w) if isinstance(v, (int, Bits)) else v
              for v, w in zip(values, widths, strict=True)]
    for v, w in zip(values, widths, strict=True):
        if v.w != w:
            raise TypeError(f"{routine.name} returns width {v.w}, declared {w}")
    if isinstance(routine.returns, int):
        return f.finish(f"ret i{widths[0]} {values[0].ref}")
    kind, whole = result_type(routine), "poison"
    for i, v in enumerate(values):
        whole = f.emit(f"insertvalue {kind} {whole}, i{v.w} {v.ref}, {i}")
    f.finish(f"ret {kind} {whole}")
    return None


class HandlerCpu(TraceCpu):
    """One instruction's handler.

    ``fast``: 64-bit little-endian, inline TLB checks, else every mode and calls.
    ``near``: a relative branch's target is in the same page.  ``slow_symbol``: the twin to fall back to.
    ``prefixed``: the suffix is in the low half of the next record, which holds no handler or that of the
    suffix as an instruction of its own.
    """

    fscr: Any

    def __init__(
        self, f: Function, *, fast: bool, near: bool, slow_symbol: str, prefixed: bool = False
    ) -> None:
        super().__init__(f)
        set_ = object.__setattr__
        set_(self, "fast", fast)
        set_(self, "near", near)
        set_(self, "slow_symbol", slow_symbol)
        set_(self, "prefixed", prefixed)
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
        return self._mask(self.cia + (8 if self.prefixed else 4))

    def instruction(self) -> IrBits:
        """The instruction word, or prefix << 32 | suffix; a suffix wiped meanwhile is decoded again."""
        if not self.prefixed:
            return self.word
        suffix = self.raw_load(self.rec + 8, 32, 8).zext(64)
        self.cold_if(suffix == 0, "lp_decode")
        return (self.word << 32) | suffix

    def _mask(self, ea: Any) -> Any:
        self._uses_mode()
        if self.fast:
            return ea
        return self.sf.select(ea, ea & 0xFFFFFFFF)

    # -- leaving -----------------------------------------------------------------------------------
    def leave(self, target: str, rec: str = "%rec", word: str = "%word", tlb: str = "%tlb") -> None:
        """Tail-call another ghccc function by symbol."""
        self.f.module.declare("@" + target, f"declare ghccc void @{target}({HANDLER_TYPES})")
        self.f.line(f"musttail call ghccc void @{target}(ptr %s, i64 {rec}, i64 {word}, i64 {tlb}, i64 %base)")
        self.f.finish("ret void")
        raise Done

    def dispatch(self, rec: IrBits) -> None:
        """Go on with the instruction at ``rec`` (in the same page)."""
        f: Function = self.f
        at = f.emit(f"inttoptr i64 {rec.ref} to ptr")
        word = IrBits(f, f.emit(f"load i64, ptr {at}, align 8"), 64)
        target = word.sar(32) + IrBits(f, "%base", 64)
        where = f.emit(f"inttoptr i64 {target.ref} to ptr")
        f.line(f"musttail call ghccc void {where}(ptr %s, i64 {rec.ref}, i64 {word.ref}, i64 %tlb, i64 %base)")
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
        cold, hot = f.new_block(), f.new_block()
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
        cold, hot = f.new_block(), f.new_block()
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
        cold, hot = f.new_block(), f.new_block()
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
        from lpar.cpu.native_flow import PEND_DOORBELL, clear_pending

        self.rt.call(clear_pending, self, PEND_DOORBELL)

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
        return IrBits(self.f, "%tlb", 64) + index * layout.TLB_ENTRY

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
        return value  # type: ignore[no-any-return]

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
            host = self._host(block, 1, 8)
            for at in range(0, 128, 16):
                self.raw_store(host + at, self.const(0, 128), 16)
            return
        from lpar.cpu import native_memory

        self._slow(native_memory.dcbz_slow, block)

    def icbi(self, ea: Any) -> None:
        """Invalidate decoded instructions: writes are noticed through the TLB, so nothing is left to do."""

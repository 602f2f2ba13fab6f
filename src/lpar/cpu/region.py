# SPDX-License-Identifier: GPL-2.0-only
"""Regions: the unit of the compiled tier, found in decoded records and traced into one function.

A region is a set of instructions of one 4 KiB page that were executed before, reached from one entry over
branches inside the page.  It becomes a handler like any other (``ghccc``, see handler_cpu.py), installed in
its entry's record.

Rules of this file:
* Guest registers live in allocas, which LLVM turns into values; at every exit those changed on some path to
  it are written back.
* An access that misses the TLB calls the slow routine in a cold block and goes on; only a fault leaves.
* Backward branches poll ``exit_request`` (a volatile load); most samples are passed by (native_sample).
  ``isync`` and whatever changes context leave.
* An instruction that cannot be traced here is an exit to the interpreter at that instruction.
"""

from __future__ import annotations

from typing import Any

from lpar.cpu import native_sample
from lpar.cpu.handler_cpu import HANDLER_ARGS, HandlerCpu
from lpar.cpu.handlers import Variant
from lpar.cpu.ir import COLD, Block, Function, IrBits, Module, constant
from lpar.cpu.kept import (
    HELD,
    KEPT,
    PLAIN,
    Kept,
    KeptFields,
    KeptFprs,
    KeptVrs,
    NotRegionable,
    Order,
    field_lines,
)
from lpar.cpu.known_pages import Bases, KnownPages
from lpar.cpu.layout import SLOTS, Slot
from lpar.cpu.plan import LAST, Plan, joins, length
from lpar.cpu.staging import Done
from lpar.cpu.trace import result_type
from lpar.isa.fields import Kind
from lpar.isa.routine import Routine
from lpar.isa.values import Bits

RETURN_SITES = 4  #: calls inside the region whose return is recognised without leaving


class RegionCpu(HandlerCpu):
    """The ``cpu`` that bodies see while a region is traced."""

    def __init__(self, f: Function, plan: Plan, links: dict[str, int], touched: dict[str, set[str]]) -> None:
        super().__init__(f, fast=True, near=True, slow_symbol="")
        set_ = object.__setattr__
        arrays = {
            "gpr": Kept(self, "gpr", 64),
            "vsr": Kept(self, "vsr", 128),
            "cr": KeptFields(self, "cr", 8),
            "fpr": KeptFprs(self, "vsr", 64),
            "vr": KeptVrs(self, "vsr", 128),
        }
        set_(self, "_arrays", self._arrays | arrays)
        set_(self, "plan", plan)
        set_(self, "links", links)
        set_(self, "touched", touched)
        set_(self, "vars", {})
        set_(self, "pages", KnownPages(f))
        set_(self, "written", set())  # by the current instruction so far
        set_(self, "writes", {})  # by each instruction
        set_(self, "edges", {i: set() for i in plan.code})
        set_(self, "write_backs", [])
        set_(self, "labels", {i: f.new_block() for i in plan.code})
        set_(self, "index", plan.entry)
        set_(self, "insn", 0)
        set_(self, "orders", {})  # by CR field: the last comparison and its number
        set_(self, "joins", joins(plan))
        set_(self, "calls", {i + 1 for i, (w, _) in plan.code.items() if w & 1 and w >> 26 in (16, 18)})

    # -- kept registers ------------------------------------------------------------------------------
    def _var(self, name: str, n: int) -> str:
        key = (name, n)
        if key not in self.vars:
            self.vars[key] = f"%r.{name}{n}"
        return str(self.vars[key])

    def var_load(self, name: str, n: int, width: int) -> IrBits:
        """Read a kept register."""
        f: Function = self.f
        at = self._var(name, n)
        if name == "vsr":
            pair = f.emit(f"load <2 x i64>, ptr {at}, align 16")
            return IrBits(f, f.emit(f"bitcast <2 x i64> {pair} to i128"), 128)
        if width == 1:
            byte = IrBits(f, f.emit(f"load i8, ptr {at}"), 8)
            return byte.trunc(1)
        return IrBits(f, f.emit(f"load i{width}, ptr {at}"), width)

    def var_store(self, name: str, n: int, value: Any, width: int) -> None:
        """Write a kept register."""
        f: Function = self.f
        at = self._var(name, n)
        self.written.add((name, n))
        if isinstance(value, (int, Bits)):
            value = constant(f, value.v if isinstance(value, Bits) else value, width)
        if value.w != width:
            raise TypeError(f"width {value.w} written to {name} of {width}")
        if name == "so":
            raise NotRegionable("SO is part of CR fields that are not made yet")
        if name == "vsr":
            pair = f.emit(f"bitcast i128 {value.ref} to <2 x i64>")
            f.line(f"store <2 x i64> {pair}, ptr {at}, align 16")
            return
        if width == 1:
            value, width = value.zext(8), 8
        f.line(f"store i{width} {value.ref}, ptr {at}")

    keeps_order = True

    def order(self, a: IrBits, b: Any, operator: str) -> Order:
        """What a comparison leaves in a CR field."""
        return Order(a, b, operator)

    def recent_order(self, field: int) -> Order | None:
        """The comparison that made a CR field, if no other way leads here."""
        order, at = self.orders.get(field, (None, 0))
        known = all(i in self.plan.code and i not in self.joins for i in range(at + 1, self.index + 1))
        return order if known and at < self.index else None

    def crbit(self, n: Any) -> IrBits:
        """CR bit ``n``."""
        return self._arrays["cr"].bit(n if isinstance(n, int) else n.c)  # type: ignore[no-any-return]

    def fpr_load(self, n: int) -> IrBits:
        """Read FPR n: the upper doubleword of VSR n."""
        f: Function = self.f
        pair = f.emit(f"load <2 x i64>, ptr {self._var('vsr', n)}, align 16")
        return IrBits(f, f.emit(f"extractelement <2 x i64> {pair}, i32 1"), 64)

    def fpr_store(self, n: int, value: Any) -> None:
        """Write FPR n, clearing the lower doubleword."""
        f: Function = self.f
        if isinstance(value, (int, Bits)):
            value = constant(f, value.v if isinstance(value, Bits) else value, 64)
        self.written.add(("vsr", n))
        pair = f.emit(f"insertelement <2 x i64> zeroinitializer, i64 {value.ref}, i32 1")
        f.line(f"store <2 x i64> {pair}, ptr {self._var('vsr', n)}, align 16")

    def __getattr__(self, name: str) -> Any:
        if name in KEPT and name not in ("gpr", "vsr", "cr"):
            return self.var_load(name, 0, SLOTS[name].width)
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in KEPT:
            self.var_store(name, 0, value, SLOTS[name].width)
        else:
            super().__setattr__(name, value)

    # -- where we are --------------------------------------------------------------------------------
    @property
    def rec(self) -> IrBits:
        """The current instruction's record."""
        return self._record(self.index)

    def _record(self, index: int) -> IrBits:
        """An instruction's record: read anew where it is wanted, mostly on the way out.

        Of %rec LLVM would make dozens of addresses for all exits, at each entry and out of registers.
        """
        f: Function = self.f
        at = self.state_ptr(SLOTS["region_rec"].offset)
        return IrBits(f, f.emit(f"load volatile i64, ptr {at}, align 8"), 64) + self._distance(index)

    def _entry_record(self, index: int) -> IrBits:
        """The same, for loops."""
        return IrBits(self.f, "%rec", 64) + self._distance(index)

    def _distance(self, index: int) -> int:
        return 8 * (index - int(self.plan.entry))

    @property
    def word(self) -> IrBits:
        """The current instruction's word."""
        return constant(self.f, self.insn, 64)

    # -- leaving ---------------------------------------------------------------------------------------
    def _write_back(self) -> None:
        """A place for the stores of the registers that turn out to be changed on some path to here."""
        f: Function = self.f
        if not f.block.done:
            f.block.lines.append("")
            self.write_backs.append((f.block, len(f.block.lines) - 1, self.index, set(self.written)))

    def _link(self, name: str) -> str:
        """The address of a routine or special handler, from the state block."""
        f: Function = self.f
        at = self.state_ptr(SLOTS["links"].offset + 8 * self.links[name])
        return f.emit(f"load ptr, ptr {at}, align 8, !invariant.load !1")

    def leave(self, target: str, rec: str | None = None, word: str | None = None, tlb: str = "%tlb") -> None:
        """Write back and tail-call a special handler; ``rec``: the current record (%rec is the entry's)."""
        f: Function = self.f
        rec = self.rec.ref if rec is None else rec
        word = str(self.insn) if word is None else word
        self._write_back()
        to = self._link(target)
        f.line(f"musttail call ghccc void {to}(ptr %s, i64 {rec}, i64 {word}, i64 {tlb}, i64 %base)")
        f.finish("ret void")
        raise Done

    def dispatch(self, rec: IrBits) -> None:
        """Write back and go on with whatever handler the record has."""
        self._write_back()
        super().dispatch(rec)

    def stop(self) -> None:
        """Return to Python."""
        self._write_back()
        super().stop()

    def next(self) -> None:
        """Fall through: inside the region a jump, else an exit."""
        self._go(self.index + length(self.insn))

    def _go(self, index: int) -> None:
        if index in self.labels:
            self.edges[self.index].add(index)
            self.f.jump(self.labels[index])
            raise Done
        self.dispatch(self._record(index))

    def branch_rel(self, displacement: Any) -> None:
        """A relative branch: its target is known."""
        offset = displacement.c
        if offset >> 63:
            offset -= 1 << 64
        target = self.index + offset // 4
        if not 0 <= target <= LAST:
            self.branch(self.cia + displacement)
        if target <= self.index:
            self._poll_before(target)
        self._go(target)

    def branch(self, target: Any) -> None:
        """An indirect or far branch: a return inside the region is recognised."""
        f: Function = self.f
        pc = target & ~3
        if target.c is None and self.plan.cases.get(self.index):
            self._choose(pc, [to for to in self.plan.cases[self.index] if to in self.labels])
        if target.c is None and self.calls and self.insn >> 26 == 19:
            base = self.pc_adj
            sites = sorted(self.calls & set(self.labels), key=lambda i: abs(i - self.index))
            for index in sites[:RETURN_SITES]:
                follow = f.new_block()
                site = base + (self._entry_record(index) >> 1)
                f.branch((pc == site).ref, self._polled(index), follow)
                f.place(follow)
        self.leave("lp_goto", rec=pc.ref)

    def _choose(self, pc: IrBits, cases: list[int]) -> None:
        """Go on inside the region if a jump by CTR leads there; where a request waits, leave like others."""
        f: Function = self.f
        inside, outside = f.new_block(), f.new_block()
        self._branch_if_requested(outside, inside)
        f.place(inside)
        number = (pc - (self.pc_adj + (self._entry_record(0) >> 1))) >> 2
        labels = " ".join(f"i64 {to}, label %{self.labels[to].label}" for to in cases)
        self.edges[self.index] |= set(cases)
        f.finish(f"switch i64 {number.ref}, label %{outside.label} [ {labels} ]")
        f.place(outside)

    def _polled(self, index: int) -> Block:
        """A block that polls and goes to an instruction of the region."""
        f: Function = self.f
        here, block = f.block, f.new_block()
        f.place(block)
        self._poll_before(index)
        self.edges[self.index].add(index)
        f.jump(self.labels[index])
        f.block = here
        return block

    def _branch_if_requested(self, then: Block, other: Block) -> None:
        """Go to ``then`` if the region must be left for a request; most samples are passed by."""
        f: Function = self.f
        cold = f.new_block()
        at = self.state_ptr(SLOTS["exit_request"].offset)
        request = f.emit(f"load volatile i64, ptr {at}, align 8")
        f.branch(f.emit(f"icmp ne i64 {request}, 0"), cold, other, COLD)
        f.place(cold)
        f.branch(native_sample.may_stay(self).ref, other, then)

    def _poll_before(self, index: int) -> None:
        """A poll on the way to an instruction."""
        f: Function = self.f
        cold, hot = f.new_block(), f.new_block()
        self._branch_if_requested(cold, hot)
        f.place(cold)
        try:
            self.leave("lp_poll", rec=self._record(index).ref)
        except Done:
            f.place(hot)

    def fence(self, kind: str) -> None:
        """Barriers; isync leaves, so that changed code is seen."""
        if kind == "isync":
            self.dispatch(self._record(self.index + 1))
        super().fence(kind)

    def context_changed(self) -> None:
        """Go on behind this instruction in the new context."""
        self.pc = self.nia
        self.leave("lp_enter")

    # -- calls -----------------------------------------------------------------------------------------
    def call_routine(self, routine: Routine, args: tuple[Any, ...]) -> Any:
        """Call a routine through the links; it must not touch kept registers."""
        if self.touched.get(routine.name, set()) & set(KEPT):
            raise NotRegionable(f"{routine.name} uses {self.touched[routine.name]}")
        self.pages.called(routine)
        f: Function = self.f
        values = []
        for a, w in zip(args, routine.args, strict=True):
            if isinstance(a, (int, Bits)):
                a = constant(f, a.v if isinstance(a, Bits) else a, w)
            values.append(f"i{w} {a.ref}")
        kind = result_type(routine)
        text = f"call {kind} {self._link('rt_' + routine.name)}({', '.join(['ptr %s', *values])})"
        if routine.returns is None:
            return f.line(text)
        result = f.emit(text)
        if isinstance(routine.returns, int):
            return IrBits(f, result, routine.returns)
        return tuple(
            IrBits(f, f.emit(f"extractvalue {kind} {result}, {i}"), w) for i, w in enumerate(routine.returns)
        )

    def libc(self, name: str, *args: Any) -> IrBits:
        """No C library calls from regions: position independent code has no symbols."""
        raise NotRegionable(name)

    # -- memory ------------------------------------------------------------------------------------------
    def _guarded(self, ea: Any, size: int, tag_at: int, hot: Any, cold: Any, aligned: bool = False) -> Any:
        """``hot(host address)`` if the site or the TLB has the page, else ``cold()``; their values meet."""
        f: Function = self.f
        slow, fast, merge = f.new_block(), f.new_block(), f.new_block()
        addend = self._addend(ea, size, tag_at, aligned, slow, fast)
        a = hot(ea + addend)
        fast_end = f.block
        f.jump(merge)
        f.place(slow)
        object.__setattr__(self, "_pc_stored", False)
        b = cold()
        slow_end = f.block
        f.jump(merge)
        f.place(merge)
        if a is None:
            return None
        paths = f"[ {a.ref}, %{fast_end.label} ], [ {b.ref}, %{slow_end.label} ]"
        return IrBits(f, f.emit(f"phi i{a.w} {paths}"), a.w)

    def _addend(self, ea: Any, size: int, tag_at: int, aligned: bool, slow: Block, fast: Block) -> IrBits:
        """Go on in ``fast`` with what leads from ``ea`` to host memory, or in ``slow``."""
        f: Function = self.f
        if aligned and size > 1:
            whole = f.new_block()
            f.branch(((ea & (size - 1)) != 0).ref, slow, whole, COLD)
            f.place(whole)
        name, on = self.pages.site(self.insn, tag_at)
        ranged, plain = f.new_block(), f.new_block()
        f.branch(on.ref, ranged, plain)
        f.place(ranged)
        paths = self._by_range(name, ea, size, tag_at, slow, fast)
        f.place(plain)
        paths.append(self._by_tlb(ea, size, tag_at, slow, fast))
        f.place(fast)
        return IrBits(f, f.emit(f"phi i64 {', '.join(paths)}"), 64)

    def _by_range(self, name: str, ea: Any, size: int, tag_at: int, slow: Block, fast: Block) -> list[str]:
        """Look at what the region knows, then in the TLB; what is found, for ``fast``."""
        from lpar.cpu import native_memory

        f: Function = self.f
        pages: KnownPages = self.pages
        inside, outside, found = f.new_block(), f.new_block(), f.new_block()
        f.branch((~pages.inside(name, ea)).ref, outside, inside, COLD)
        f.place(inside)
        kept = pages.addend(name)
        f.jump(fast)
        f.place(outside)
        parts = native_memory.extend_range(self, ea, (size - 1) | tag_at << 8, *pages.known(name))
        f.branch((parts[-1] == native_memory.NO_ADDEND).ref, slow, found, COLD)
        f.place(found)
        pages.learn(name, parts)
        f.jump(fast)
        return [f"[ {kept.ref}, %{inside.label} ]", f"[ {parts[-1].ref}, %{found.label} ]"]

    def _by_tlb(self, ea: Any, size: int, tag_at: int, slow: Block, fast: Block) -> str:
        """Look in the TLB; what is found, for ``fast``."""
        f: Function = self.f
        found = f.new_block()
        entry = self._entry(ea)
        tag = self.raw_load(entry + tag_at, 64, 8)
        f.branch((tag != ((ea + (size - 1)) & ~0xFFF)).ref, slow, found, COLD)
        f.place(found)
        addend = self.raw_load(entry + 16, 64, 8)
        f.jump(fast)
        return f"[ {addend.ref}, %{found.label} ]"

    def load(self, ea: Any, size: int) -> IrBits:
        """Load ``size`` bytes."""
        from lpar.cpu import native_memory

        slow = native_memory.LOADS[size]
        return self._guarded(  # type: ignore[no-any-return]
            ea, size, 0, lambda host: self.raw_load(host, 8 * size), lambda: self._slow(slow, ea)
        )

    def store(self, ea: Any, value: Any) -> None:
        """Store."""
        from lpar.cpu import native_memory

        size = value.w // 8
        slow = native_memory.STORES[size]
        self._guarded(
            ea, size, 8, lambda host: self.raw_store(host, value), lambda: self._slow(slow, ea, value)
        )

    def load_reserve(self, ea: Any, size: int) -> IrBits:
        """Load and reserve."""
        from lpar.cpu import native_memory

        slow = native_memory.load_aligned(size)
        value = self._guarded(
            ea, size, 0, lambda host: self.raw_load(host, 8 * size, size), lambda: self._slow(slow, ea), True
        )
        self._reserve(ea, size, value)
        return value  # type: ignore[no-any-return]

    def store_conditional(self, ea: Any, value: Any) -> IrBits:
        """Store if the reservation holds."""
        from lpar.cpu import native_memory

        size = value.w // 8
        slow = native_memory.CONDITIONALS[size]
        return self._guarded(  # type: ignore[no-any-return]
            ea,
            size,
            8,
            lambda host: self.rt.call(native_memory.conditional_at, self, host, ea, value, size),
            lambda: self._slow(slow, ea, value),
            True,
        )

    def atomic(self, op: str, ea: Any, value: Any) -> IrBits:
        """Atomic read-modify-write."""
        from lpar.cpu import native_memory

        return self._slow(native_memory.atomic_slow(op, value.w // 8), ea, value)  # type: ignore[no-any-return]

    def dcbz(self, ea: Any) -> None:
        """Zero a block of 128 bytes."""
        from lpar.cpu import native_memory

        block = ea & ~127
        self._guarded(block, 1, 8, self.clear_block, lambda: self._slow(native_memory.dcbz_slow, block))

    # -- the end -------------------------------------------------------------------------------------------
    def close(self, entry: Block) -> None:
        """Fill in entry loads and exit stores, now that all registers are known."""
        lines = []
        if any(name == "cr" for name, _ in self.vars):
            self._var("so", 0)
        for (name, n), at in self.vars.items():
            kind = KEPT[name]
            slot: Slot = SLOTS[name]
            where = slot.offset + slot.stride * n
            align = 16 if name == "vsr" else slot.stride
            lines.append(f"{at} = alloca {kind}, align {align}")
            lines.append(f"{at}.s = getelementptr i8, ptr %s, i64 {where}")
            lines.append(f"{at}.i = load {HELD.get(kind, kind)}, ptr {at}.s, align {align}")
            if kind in HELD:
                lines.append(f"{at}.t = trunc {HELD[kind]} {at}.i to {kind}")
            if name == "cr":
                lines.append(f"{at}.f = or i8 {at}.t, {PLAIN}")
            kept = "f" if name == "cr" else "t" if kind in HELD else "i"
            lines.append(f"store {kind} {at}.{kept}, ptr {at}, align {align}")
        lines.append(f"%rec.s = getelementptr i8, ptr %s, i64 {SLOTS['region_rec'].offset}")
        lines.append("store i64 %rec, ptr %rec.s, align 8")
        entry.lines[:0] = lines + self.pages.close(Bases(self._writers()))
        changed = self._changed_before()
        for number, (block, line, index, written) in enumerate(self.write_backs):
            block.lines[line] = "\n  ".join(self._stores(number, changed[index] | written))

    def _writers(self) -> dict[int, list[int]]:
        """The words of the instructions that write each general register."""
        out: dict[int, list[int]] = {}
        for index, written in self.writes.items():
            for name, n in written:
                if name == "gpr":
                    out.setdefault(n, []).append(self.plan.code[index][0])
        return out

    def _changed_before(self) -> dict[int, set[tuple[str, int]]]:
        """For each instruction the registers changed on some path from the entry to it."""
        changed: dict[int, set[tuple[str, int]]] = {i: set() for i in self.plan.code}
        todo = list(self.plan.code)
        while todo:
            index = todo.pop()
            after = changed[index] | self.writes.get(index, set())
            for target in self.edges[index]:
                if not after <= changed[target]:
                    changed[target] |= after
                    todo.append(target)
        return changed

    def _stores(self, number: int, changed: set[tuple[str, int]]) -> list[str]:
        out = []
        for name, n in sorted(changed):
            at, kind = self.vars[name, n], KEPT[name]
            align = 16 if name == "vsr" else SLOTS[name].stride
            value = f"{at}.w{number}"
            out.append(f"{value} = load {kind}, ptr {at}, align {align}")
            if name == "cr":
                out += field_lines(value, self.vars["so", 0])
            elif kind in HELD:
                out.append(f"{value}.z = zext {kind} {value} to {HELD[kind]}")
            if kind in HELD:
                kind, value = HELD[kind], value + ".z"
            out.append(f"store {kind} {value}, ptr {at}.s, align {align}")
        return out


def trace_region(
    module: Module, name: str, plan: Plan, links: dict[str, int], touched: dict[str, set[str]]
) -> int:
    """Define the region's function; gives how many instructions it has (0: not worth it)."""
    if plan.entry not in plan.code:
        return 0
    f = Function(f"define ghccc void @{name}({HANDLER_ARGS}) nounwind", module)
    cpu = RegionCpu(f, plan, links, touched)
    entry = f.block
    f.jump(cpu.labels[plan.entry])
    done = 0
    for index in sorted(plan.code):
        f.place(cpu.labels[index])
        done += _trace_one(cpu, index, *plan.code[index])
        if index == plan.entry and not done:
            return 0
    cpu.close(entry)
    module.define("@" + name, f.text())
    return done


def _trace_one(cpu: RegionCpu, index: int, word: int, variant: Variant) -> int:
    """Trace one instruction into its block; 0 if it stays with the interpreter."""
    f: Function = cpu.f
    set_ = object.__setattr__
    set_(cpu, "index", index)
    set_(cpu, "insn", word)
    set_(cpu, "prefixed", length(word) == 2)
    set_(cpu, "_pc_stored", False)
    set_(cpu, "written", cpu.writes.setdefault(index, set()))
    mark = (len(f.blocks), len(cpu.write_backs))
    try:
        cpu.require(variant.instruction.needs)
        cpu.rt.call(variant.instruction.body, cpu, *_arguments(f, variant, word))
        cpu.next()
    except Done:
        return 1
    except (NotRegionable, KeyError):
        del f.blocks[mark[0] :]
        del cpu.write_backs[mark[1] :]
        cpu.written.clear()
        cpu.edges[index].clear()
        set_(cpu, "orders", {f: kept for f, kept in cpu.orders.items() if kept[1] != index})
        f.block = f.blocks[-1]
        f.block.lines.clear()
        f.block.done = False
        try:
            cpu.dispatch(cpu.rec)
        except Done:
            return 0
    return 1


def _arguments(f: Function, variant: Variant, word: int) -> list[Any]:
    out: list[Any] = []
    for field in variant.instruction.fields:
        raw = field.extract(word)
        out.append(constant(f, raw, 64) if field.kind is Kind.IMM else raw)
    return out

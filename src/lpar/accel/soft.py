# SPDX-License-Identifier: GPL-2.0-only
"""The ``jit`` and ``interp`` accelerators: the Vcpu protocol over the engine (``lpar.cpu``)."""

from __future__ import annotations

import os
import select
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from threading import get_ident
from typing import Any

from lpar.accel.protocol import Exit, ExitReason, Facts, KernelInterrupts, Profile
from lpar.cpu import layout, native_hcalls
from lpar.cpu.build import HANDLERS, compiled_kind
from lpar.cpu.engine import TICKS_PER_SECOND, Code, Engine, Model, Thread
from lpar.cpu.layout import PEND_DOORBELL, PEND_EXTERNAL, PEND_RESET, REQ_KICK
from lpar.cpu.terminal import Terminal
from lpar.cpu.upkeep import TableLock, Upkeep
from lpar.errors import InternalError

MASK64 = (1 << 64) - 1
LPCR_HR, LPCR_UPRT, LPCR_GTSE = 1 << 20, 1 << 22, 1 << 10
MODELS = {
    "POWER8": Model(pvr=0x004D0200, isa=207, dec_bits=32),
    "POWER9": Model(pvr=0x004E1202, isa=300, dec_bits=56),
    "POWER10": Model(pvr=0x00801200, isa=310, dec_bits=56),
}
TIERS = os.environ.get("LPAR_TIERS", "")  #: for tests: "units": no regions; "regions": one at each sample
DEFAULT_CPU = "POWER9"
_GPRS = {f"r{n}": n for n in range(32)}
_KICKED, _HCALL = Exit(ExitReason.KICKED), Exit(ExitReason.HCALL)


class SoftVcpu:
    """One vCPU on the engine."""

    def __init__(self, thread: Thread) -> None:
        self.thread = thread
        self.index = thread.index
        self._state = thread.state
        self._wake_fd = thread.wake_fd
        self._kicked = False
        self._owner = 0  #: the thread that runs it

    # -- running -----------------------------------------------------------------------------------
    def run(self) -> Exit:
        """Run guest code until something needs the machine."""
        self._owner = get_ident()
        if self._kicked:
            self._kicked = False
            return _KICKED
        reason = self.thread.run()
        if reason == layout.EXIT_HCALL:
            return _HCALL
        if reason == layout.EXIT_KICKED:
            self._kicked = False
            return _KICKED
        return self._rare(reason)

    def _rare(self, reason: int) -> Exit:
        state = self._state
        addr, size = state.get("exit_addr"), state.get("exit_size")
        if reason == layout.EXIT_MMIO_READ:
            return Exit(ExitReason.MMIO_READ, addr, size)
        if reason == layout.EXIT_MMIO_WRITE:
            state.set("mmio_ready", 2)
            return Exit(ExitReason.MMIO_WRITE, addr, size, state.get("exit_value"))
        if reason == layout.EXIT_HALTED:
            return Exit(ExitReason.HALTED, message=f"at {state.get('pc'):#x}")
        return Exit(ExitReason.INTERNAL, message=f"exit reason {reason} at {state.get('pc'):#x}")

    def kick(self) -> None:
        """Make ``run`` or ``wait`` return soon."""
        self._kicked = True
        self.thread.request(REQ_KICK)
        os.eventfd_write(self._wake_fd, 1)

    def complete_mmio_read(self, value: int) -> None:
        """Answer an MMIO_READ exit."""
        self._state.set("mmio_value", value)
        self._state.set("mmio_ready", 1)

    # -- waiting -----------------------------------------------------------------------------------
    def wait(self) -> None:
        """H_CEDE: sleep until an interrupt is pending, or kicked, or prodded."""
        while not (self._kicked or self._state.get("prodded") or self._state.get("pending")):
            left = self._until_decrementer()
            if left <= 0:
                self._state.set("dec_level", 1)  # the interrupt comes with the first instruction
                break
            if select.select([self._wake_fd], [], [], left)[0]:
                os.eventfd_read(self._wake_fd)
        self._state.set("prodded", 0)

    def _until_decrementer(self) -> float:
        """Seconds until the decrementer's exception."""
        if self._state.get("dec_level"):
            return 0
        ticks = self._signed("dec_deadline") - self.thread.timebase()
        return min(ticks / TICKS_PER_SECOND, 3600.0)

    def _signed(self, name: str) -> int:
        value = self._state.get(name)
        return value - (1 << 64) if value >> 63 else value

    def prod(self) -> None:
        """End a ``wait``."""
        self._state.set("prodded", 1)
        os.eventfd_write(self._wake_fd, 1)

    # -- interrupts ----------------------------------------------------------------------------------
    def set_external_interrupt(self, level: bool) -> None:
        """Drive the external interrupt input."""
        self._pend(PEND_EXTERNAL, level)

    def raise_system_reset(self) -> None:
        """Deliver a system reset soon."""
        self._pend(PEND_RESET, True)

    def doorbell(self) -> None:
        """Deliver a directed privileged doorbell soon."""
        self._pend(PEND_DOORBELL, True)

    def _pend(self, bit: int, level: bool) -> None:
        """Nobody needs to be woken by the vCPU's own thread."""
        self.thread.set_pending(bit, level)
        if level and get_ident() != self._owner:
            os.eventfd_write(self._wake_fd, 1)

    # -- registers -----------------------------------------------------------------------------------
    def get_reg(self, name: str) -> int:
        """Read a register."""
        special = _READ.get(name)
        if special is not None:
            return special(self)
        if name in _GPRS:
            return self._state.get("gpr", _GPRS[name])
        if name not in layout.SLOTS:
            raise KeyError(name)
        return self._state.get(name)

    def set_reg(self, name: str, value: int) -> None:
        """Write a register."""
        special = _WRITE.get(name)
        if special is not None:
            special(self, value)
        elif name in _GPRS:
            self._state.set("gpr", value, _GPRS[name])
        elif name in layout.SLOTS:
            self._state.set(name, value)
        else:
            raise KeyError(name)

    def _get_cr(self) -> int:
        fields = [self._state.get("cr", i) for i in range(8)]
        return sum(v << (28 - 4 * i) for i, v in enumerate(fields))

    def _set_cr(self, value: int) -> None:
        for i in range(8):
            self._state.set("cr", value >> (28 - 4 * i) & 15, i)

    def _get_xer(self) -> int:
        get = self._state.get
        bits = get("so") << 31 | get("ov") << 30 | get("ca") << 29 | get("ov32") << 19 | get("ca32") << 18
        return bits | get("xer_low")

    def _set_xer(self, value: int) -> None:
        for name, bit in (("so", 31), ("ov", 30), ("ca", 29), ("ov32", 19), ("ca32", 18)):
            self._state.set(name, value >> bit & 1)
        self._state.set("xer_low", value & 0x7F)

    def _get_dec(self) -> int:
        return (self._state.get("dec_deadline") - self.thread.timebase()) & MASK64

    def _set_dec(self, value: int) -> None:
        self._state.set("dec_deadline", self.thread.timebase() + value)
        self._state.set("dec_level", 0)

    def _set_tb(self, value: int) -> None:
        self._state.set("tb_offset", self._state.get("tb_offset") + value - self.thread.timebase())

    def hcall_args(self) -> tuple[int, ...]:
        """r3 to r12."""
        return _REGS.unpack_from(self._state.bytes, _R3)

    def hcall_return(self, status: int, *rets: int) -> None:
        """Put the answer in r3 and r4 on."""
        _ONE.pack_into(self._state.bytes, _R3, status & MASK64)
        at = _R3
        for value in rets:
            at += 8
            _ONE.pack_into(self._state.bytes, at, value & MASK64)

    # -- memory management -----------------------------------------------------------------------------
    def flush_tlb(self) -> None:
        """Forget all cached translations."""
        self.thread.flush_tlb()

    def set_process_table(self, base: int, log2_size: int, radix: bool, gtse: bool) -> None:
        """Use a process table; set LPCR accordingly."""
        state = self._state
        state.set("prtb_base", base)
        state.set("prtb_size", 1 << log2_size)
        lpcr = state.get("lpcr") & ~(LPCR_HR | LPCR_UPRT | LPCR_GTSE)
        if radix:
            lpcr |= LPCR_HR | LPCR_UPRT
        if gtse:
            lpcr |= LPCR_GTSE
        state.set("lpcr", lpcr)
        self.flush_tlb()

    def set_hash_table(self, order: int) -> None:
        """The partition's HPT has 2**order bytes."""
        hpt = self.thread.engine.hpt
        if hpt is None or hpt.size != 1 << order:
            raise InternalError(f"no hash page table of order {order} was allocated")
        self._state.set("hpt_base", hpt.address)
        self._state.set("hpt_mask", (1 << (order - 7)) - 1)
        self.flush_tlb()


_REGS, _ONE = struct.Struct("<10Q"), struct.Struct("<Q")
_R3 = layout.SLOTS["gpr"].place + 24
_READ: dict[str, Callable[[SoftVcpu], int]] = {
    "cr": SoftVcpu._get_cr,
    "xer": SoftVcpu._get_xer,
    "dec": SoftVcpu._get_dec,
    "tb": lambda v: v.thread.timebase(),
}
_WRITE: dict[str, Callable[[SoftVcpu, int], None]] = {
    "cr": SoftVcpu._set_cr,
    "xer": SoftVcpu._set_xer,
    "dec": SoftVcpu._set_dec,
    "tb": SoftVcpu._set_tb,
}


def _watcher(name: str) -> Callable[[SoftVcpu, int], None]:
    """Writes a register of a watchpoint: what is translated may be watched now (native_watch)."""

    def write(vcpu: SoftVcpu, value: int) -> None:
        vcpu._state.set(name, value)
        vcpu.flush_tlb()

    return write


_WRITE |= {name: _watcher(name) for name in ("dawr0", "dawrx0", "dawr1", "dawrx1")}


def no_jit(progress: Any = None) -> str:
    """Why this host runs no compiled regions; empty if it does.  Loads the engine's code."""
    code = Code.get(progress, compiled_kind())
    return code.no_arena if code.arena is None else ""


class SoftNatives:
    """Hypercalls answered in the engine: see ``accel.protocol.Natives``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def answer(self, calls: Iterable[int]) -> None:
        """Answer these from now on, as far as we can."""
        mask = sum(1 << (number >> 2) for number in native_hcalls.CALLS.intersection(calls))
        for thread in self._engine.threads:
            for i in range(2):
                thread.state.set("hcalls", mask >> 64 * i, i)

    def terminal(self, unit: int, write: Callable[[bytes], bool]) -> Terminal:
        """A terminal whose output gathers in a ring."""
        made = Terminal(self._engine, unit, write)
        self._engine.at_end(made.free)
        return made

    def table_lock(self) -> AbstractContextManager[object]:
        """The lock of the hashed page table."""
        return TableLock(self._engine)

    def set_yield_count(self, index: int, address: int, shared: bool) -> None:
        """Where in guest memory the vCPU's dispatch count is."""
        engine = self._engine
        state = engine.threads[index].state
        known = 0 < address <= engine.ram_size - 4
        state.set("shares", int(shared))
        state.set("yield_at", engine.ram_address + address if known else 0)


class SoftAccelerator:
    """vCPUs on our own engine.

    Its code is loaded at once: all of it has to lie within 2 GiB of the address space, which may not be
    had any more when the guest's RAM is mapped.
    """

    def __init__(self, progress: Any = None, *, jit: bool = True) -> None:
        self._kind = compiled_kind() if jit else HANDLERS
        Code.get(progress, self._kind)
        self._jit = jit
        self._cpu = DEFAULT_CPU
        self._engine: Engine | None = None
        self._upkeep: Upkeep | None = None

    def create_vcpus(
        self, memory: Any, count: int, cpu: str, threads_per_core: int = 1
    ) -> Sequence[SoftVcpu]:
        """``count`` vCPUs of the model ``cpu``."""
        self._cpu = DEFAULT_CPU if cpu == "auto" else cpu
        self._engine = Engine(memory.address, memory.size, MODELS[self._cpu], kind=self._kind)
        vcpus = [SoftVcpu(self._engine.add_thread(i, i % threads_per_core)) for i in range(count)]
        self._upkeep = Upkeep(self._engine)
        if self._jit:
            self._engine.start_units()
            if TIERS != "units":
                self._engine.start_jit(eager=TIERS == "regions")
        return vcpus

    def facts(self) -> Facts:
        """All as the model has it."""
        return Facts(self._cpu)

    def kernel_interrupts(self) -> KernelInterrupts | None:
        """None: the partition's controller is used."""
        return None

    def allocate_hpt(self, order: int) -> memoryview:
        """A zeroed hash page table that the vCPUs walk."""
        if self._engine is None:
            raise InternalError("no vCPUs yet")
        return self._engine.set_hpt(order)

    def flush_hpte(self, v: int, r: int, index: int) -> None:
        """Forget what was translated through a hash page table entry."""
        if self._upkeep is not None:
            self._upkeep.flush_hpte(v, index)

    def memory_written(self, address: int, length: int) -> None:
        """Forget instructions decoded from a range of RAM."""
        if self._upkeep is not None:
            self._upkeep.memory_written(address, length)

    def start_profile(self) -> Profile:
        """Samples of the guest at polls, of the host's threads by their CPU clocks."""
        from lpar.cpu.profile import Profiler

        if self._engine is None:
            raise InternalError("no vCPUs yet")
        return Profiler(self._engine)

    def natives(self) -> SoftNatives:
        """The hypercalls that the engine answers."""
        if self._engine is None:
            raise InternalError("no vCPUs yet")
        return SoftNatives(self._engine)

    def close(self) -> None:
        """Free what the vCPUs use."""
        self._upkeep = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None

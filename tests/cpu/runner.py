# SPDX-License-Identifier: GPL-2.0-only
"""Runs programs and cases on the engine: one vCPU, little RAM, page tables made here.

``Bench`` is the bare engine with RAM and a vCPU, for tests that drive it by hand.  ``run_engine`` runs the
cases of ``tests.isa.harness``: problem state, radix translation, the code and the buffer mapped and nothing
else.  Every interrupt vector holds ``sc 1``, so that whatever happens ends in a hypercall exit.
"""

from __future__ import annotations

import functools
import os
import struct
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

from tests.isa.harness import BUFFER, CODE, SIGNALS, XER_BITS, Case, State, assemble, load_all

from lpar.accel.soft import MODELS, SoftVcpu
from lpar.cpu import layout
from lpar.cpu.build import HANDLERS, UNITS, compiled_kind
from lpar.cpu.engine import Engine
from lpar.cpu.layout import SLOTS
from lpar.cpu.native_code import STRIDE
from lpar.host.memory import GuestMemory

SF, VEC, VSX, EE, PR, FP, ME, IR, DR, RI, LE = (
    1 << 63, 1 << 25, 1 << 23, 1 << 15, 1 << 14, 1 << 13, 1 << 12, 1 << 5, 1 << 4, 2, 1,
)  # fmt: skip
LPCR_HR, LPCR_UPRT, LPCR_LD = 1 << 20, 1 << 22, 1 << 17
FSCR = 1 << 13 | 1 << 8  #: offers prefixed instructions and TAR
SC1 = 0x44000022  #: ``sc 1``
TABLES = 0x20000  #: guest real: process table, then the radix tree
PAGES = (0x40000, 0x52000, 0x61000)  #: guest real pages of the buffer, apart on purpose
WATCHDOG = 20.0  #: seconds
ROOM = 16 << 20  #: bytes for units
HAS_UNITS = compiled_kind() == UNITS  #: whether this host runs copied stencils
PAGE_R, PAGE_W, PAGE_X, PAGE_PRIV = 4, 2, 1, 8  #: radix PTE: encoded access authority
PTE_VALID, PTE_LEAF, PTE_R, PTE_C = 1 << 63, 1 << 62, 0x100, 0x80


@functools.cache
def assembled(*lines: str) -> list[int]:
    """``assemble``, once for each text."""
    return assemble(lines)


class Bench:
    """An engine with ``ram`` bytes of memory and one vCPU (``cpu``); more by ``add``.

    ``units``: bytes for the copies of stencils; 0, and where ``HAS_UNITS`` is false: interpret.
    """

    def __init__(self, ram: int = 1 << 20, model: str = "POWER10", *, units: int = 0) -> None:
        self.memory = GuestMemory(ram)
        kind = compiled_kind() if units else HANDLERS
        self.engine = Engine(self.memory.address, ram, MODELS[model], kind=kind)
        while not self.engine.code.complete:  # else a test's watchdog may bite while code is built
            self.engine.code.wait(self.engine.code.parts, 1.0)
        self.thread = self.engine.add_thread(0, 0)
        self.cpu = SoftVcpu(self.thread)
        if units:
            self.engine.start_units(units)
        self._regions: tempfile.TemporaryDirectory[str] | None = None
        self._wipe = self.engine.code.routine("wipe_page", *[layout.ctypes.c_uint64] * 2)

    def add(self) -> SoftVcpu:
        """One more vCPU of the same core."""
        n = len(self.engine.threads)
        return SoftVcpu(self.engine.add_thread(n, n))

    def start_jit(self) -> bool:
        """Start the compiled tier with no regions of earlier runs; gives whether this host has one."""
        self._regions = tempfile.TemporaryDirectory(prefix="lpar-regions-")
        with mock.patch.dict(os.environ, XDG_CACHE_HOME=self._regions.name):
            self.engine.start_jit()
        return self.engine.jit is not None

    def close(self) -> None:
        """Stop the engine."""
        self.engine.close()
        self.memory.close()
        if self._regions is not None:
            self._regions.cleanup()

    def wipe(self, real: int) -> None:
        """Forget what was decoded from the page at ``real`` (after Python wrote to it)."""
        self._wipe(self.thread.state.address, real >> 12, 0)

    def record(self, real: int) -> int:
        """What the instruction at a real address is decoded to, in 64-bit little-endian mode; 0: nothing."""
        return layout.ctypes.c_uint64.from_address(self._record_at(real)).value

    def _record_at(self, real: int) -> int:
        return self.engine.regions[0].address + (real >> 12) * STRIDE + (real & 0xFFC) * 2

    def compile(self, real: int) -> bool:
        """Compile the region that begins at a real address where code was run; gives whether it was."""
        before = self.record(real)
        self.engine.jit._compile_at(self._record_at(real), picky=False)
        return self.record(real) != before

    def put_code(self, real: int, words: Iterable[int], *, little: bool) -> None:
        """Write instruction words in a byte order and forget what was decoded there."""
        numbers = list(words)
        data = struct.pack(f"{'<' if little else '>'}{len(numbers)}I", *numbers)
        self.memory.write(real, data)
        for page in range(real & ~0xFFF, real + len(data), 0x1000):
            self.wipe(page)

    def fill_vectors(self) -> None:
        """``sc 1``, big-endian, all over the interrupt vectors (and scv's)."""
        for page in (0, 0x17000):
            self.put_code(page, [SC1] * 1024, little=False)

    def run(self) -> int:
        """Run the vCPU until an exit; gives the reason (``layout.EXIT_*``)."""
        with watchdog(self):
            return self.thread.run()

    def start(self, lines: Iterable[str], *, msr: int, at: int = CODE, **regs: int) -> None:
        """Put ``lines`` and ``sc 1`` at ``at`` (also real) in the byte order of ``msr``; set registers."""
        self.put_code(at, [*assembled(*lines), SC1], little=bool(msr & LE))
        for name, value in {"msr": msr, "pc": at, **regs}.items():
            self.cpu.set_reg(name, value)
        self.cpu.flush_tlb()

    def execute(
        self, lines: Iterable[str], *, msr: int = SF | ME | RI | LE, at: int = CODE, **regs: int
    ) -> int:
        """``start`` and ``run``: gives the address of the ``sc 1`` that ended it."""
        self.start(lines, msr=msr, at=at, **regs)
        return self.go()

    def go(self) -> int:
        """``run`` to a hypercall: gives the address of its ``sc 1``.  Raises RuntimeError if not there."""
        reason = self.run()
        if reason != layout.EXIT_HCALL:
            raise RuntimeError(f"exit {reason} at {self.cpu.get_reg('pc'):#x}")
        return self.cpu.get_reg("pc") - 4

    def __getitem__(self, name: str) -> int:
        """A register."""
        return self.cpu.get_reg(name)


@dataclass(frozen=True, slots=True)
class Tier:
    """A way in which the engine runs code, as tests force it.

    The bench is made with ``units``; ``start`` makes it ready, and gives whether this host has the tier;
    ``install`` makes code at a guest real address that was run before run in the tier, and gives whether it
    does now.
    """

    start: Callable[[Bench], bool]
    install: Callable[[Bench, int], bool]
    units: int = 0


#: every tier that tests can force; what runs on all tiers takes them from here
TIERS = {
    "interpreter": Tier(lambda bench: True, lambda bench, real: True),
    "units": Tier(lambda bench: HAS_UNITS, lambda bench, real: True, ROOM),
    "compiled": Tier(Bench.start_jit, Bench.compile),
}


class Radix:
    """A radix tree for process 0 and every process up to ``pids``: 52-bit, levels of 13, 9, 9, 9 bits."""

    LEVELS = ((39, 13), (30, 9), (21, 9), (12, 9))

    def __init__(self, memory: GuestMemory, base: int, pids: int = 1) -> None:
        self.memory, self.base = memory, base
        self._next = base + 0x1000
        self.root = self._table(13)
        for pid in range(pids):
            memory.write_u64(base + 16 * pid, self.process_entry(self.root))
        self.pids = pids

    @staticmethod
    def process_entry(root: int, *, rts: int = 21, bits: int = 13) -> int:
        """A process table entry: tree of 2**(rts + 31) bytes of address space."""
        return (rts >> 3) << 61 | (rts & 7) << 5 | root | bits

    def _table(self, bits: int) -> int:
        size = max(8 << bits, 0x1000)
        at, self._next = self._next, self._next + size
        return at

    def entry_address(self, ea: int, level: int = 3) -> int:
        """Where the entry for ``ea`` of a level (0 is the root) lies, making the tables above it."""
        at = self.root
        for depth, (shift, bits) in enumerate(self.LEVELS):
            where = at + 8 * (ea >> shift & ((1 << bits) - 1))
            if depth == level:
                return where
            entry = self.memory.read_u64(where)
            if not entry >> 63:
                below = self._table(9)
                self.memory.fill(below, 0x1000)
                entry = PTE_VALID | below | self.LEVELS[depth + 1][1]
                self.memory.write_u64(where, entry)
            at = entry & 0x0FFFFFFFFFFFFF00
        raise AssertionError(level)

    def map(self, ea: int, real: int, access: int, *, flags: int = PTE_R | PTE_C, level: int = 3) -> int:
        """Map a page (level 3: 4 KiB, 2: 2 MiB, 1: 1 GiB); gives the PTE's address."""
        where = self.entry_address(ea & 0x3FFFFFFFFFFFFFFF, level)
        self.memory.write_u64(where, PTE_VALID | PTE_LEAF | real | flags | access)
        return where

    def unmap(self, ea: int, level: int = 3) -> None:
        """Clear the page's entry."""
        self.memory.write_u64(self.entry_address(ea & 0x3FFFFFFFFFFFFFFF, level), 0)

    def use(self, cpu: SoftVcpu) -> None:
        """Make ``cpu`` translate through this tree."""
        cpu.set_process_table(self.base, (16 * self.pids - 1).bit_length(), radix=True, gtse=True)


@contextmanager
def watchdog(bench: Bench, seconds: float | None = None) -> Iterator[None]:
    """Kick the vCPU if it is still running after some time."""
    timer = threading.Timer(WATCHDOG if seconds is None else seconds, bench.cpu.kick)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


# -- cases ------------------------------------------------------------------------------------------

_GPR, _VSR = SLOTS["gpr"].place, SLOTS["vsr"].place
_SCALARS = ("lr", "ctr", "fpscr", "vscr", "tar")
FAULTS = {0x300: "SIGSEGV", 0x380: "SIGSEGV", 0x400: "SIGSEGV", 0x480: "SIGSEGV", 0x600: "SIGBUS"}
MSR = VEC | VSX | FP | PR | EE | IR | DR  #: of cases, besides their mode


class Cases:
    """Runs cases in one mode on a bench of its own."""

    def __init__(self, model: str = "POWER10", tier: str = "interpreter") -> None:
        self.bench = Bench(model=model, units=ROOM if tier == "units" else 0)
        self.bench.fill_vectors()
        self.radix = Radix(self.bench.memory, TABLES)
        self.radix.map(CODE, CODE, PAGE_R | PAGE_W | PAGE_X)
        self.radix.use(self.bench.cpu)
        self.state = self.bench.thread.state
        self.template = bytes(self.state.bytes[: SLOTS["ctlb"].place])
        self.pages = 0

    def _map_buffer(self, size: int) -> None:
        pages = max(1, -(-size // 0x1000))
        if pages != self.pages:
            for n, real in enumerate(PAGES):
                if n < pages:
                    self.radix.map(BUFFER + 0x1000 * n, real, PAGE_R | PAGE_W)
                else:
                    self.radix.unmap(BUFFER + 0x1000 * n)
            self.pages = pages
            self.bench.cpu.flush_tlb()

    def load(self, case: Case, *, little: bool, wide: bool, keep_code: bool = False) -> None:
        """Put the state block and memory as the case wants them; ``keep_code``: what is decoded stays."""
        before, state = case.before, self.state
        self._map_buffer(len(before.memory))
        room = state.get("unit_next"), state.get("unit_limit")
        state.bytes[: len(self.template)] = self.template
        state.set("unit_next", room[0])
        state.set("unit_limit", room[1])
        struct.pack_into("<32Q", state.bytes, _GPR, *before.gpr)
        vsr = b"".join(v.to_bytes(16, "little") for v in before.vsr)
        state.bytes[_VSR : _VSR + len(vsr)] = vsr
        self.bench.cpu.set_reg("cr", before.cr)
        for name, shift in XER_BITS.items():
            state.set(name, before.xer >> shift & 1)
        state.set("xer_low", before.xer & 0xFFFFFFFF & ~sum(1 << n for n in XER_BITS.values()))
        for name in _SCALARS:
            state.set(name, getattr(before, name))
        state.set("msr", MSR | SF * wide | LE * little)
        state.set("fscr", FSCR)
        state.set("pc", CODE)
        data = before.memory.ljust(self.pages * 0x1000, b"\0")
        for n in range(self.pages):
            self.bench.memory.write(PAGES[n], data[n * 0x1000 : (n + 1) * 0x1000])
        if not keep_code:
            self.bench.put_code(CODE, [*case.words, *[SC1] * (80 - len(case.words))], little=little)

    def save(self, case: Case) -> State:
        """The state after the exit."""
        state = self.state
        vsr = state.bytes[_VSR : _VSR + 1024]
        memory = b"".join(self.bench.memory.read(PAGES[n], 0x1000) for n in range(self.pages))
        xer = state.get("xer_low") | sum(state.get(n) << shift for n, shift in XER_BITS.items())
        return State(
            list(struct.unpack_from("<32Q", state.bytes, _GPR)),
            [int.from_bytes(vsr[at : at + 16], "little") for at in range(0, 1024, 16)],
            self.bench.cpu.get_reg("cr"),
            xer,
            **{n: state.get(n) for n in _SCALARS},
            memory=memory[: len(case.before.memory)],
            fault=self.fault(),
        )

    def fault(self) -> str:
        """The signal that Linux would send for the interrupt that ended the case; "" for its end."""
        vector, srr1 = (self.state.get("pc") - 4) & ~0x1F, self.state.get("srr1")
        if vector == 0xC00:
            return ""
        if vector == 0x700:
            return SIGNALS[{0x20000: 5, 0x100000: 8}.get(srr1 & 0x1E0000, 4)]
        return FAULTS.get(vector, f"{vector:#x}")

    def run(self, case: Case, *, little: bool, wide: bool) -> State:
        """The state after ``case``."""
        self.load(case, little=little, wide=wide)
        return self.go(case)

    def go(self, case: Case) -> State:
        """Run the case that was loaded."""
        self.bench.engine.code.run(self.state.address, self.bench.engine.code.base)
        reason = self.state.get("exit_reason")
        if reason != layout.EXIT_HCALL:
            raise RuntimeError(f"exit {reason} at {self.state.get('pc'):#x} in {case!r}")
        return self.save(case)


@functools.cache
def cases_on(model: str, tier: str = "interpreter") -> Cases:
    """One bench for each CPU model and tier, for the whole session."""
    return Cases(model, tier)


def run_engine(
    cases: Sequence[Case],
    *,
    little: bool = True,
    wide: bool = True,
    model: str = "POWER10",
    tier: str = "interpreter",
) -> list[State]:
    """The states after ``cases`` on a tier, interpreter or units; ``wide``: 64-bit mode.

    Raises RuntimeError when a case ends in no interrupt (it loops, or left for the machine).
    """
    bench = cases_on(model, tier)
    with watchdog(bench.bench):
        return [bench.run(case, little=little, wide=wide) for case in cases]


load_all()  # the oracle beside us knows only what is imported

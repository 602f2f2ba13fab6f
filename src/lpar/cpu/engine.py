# SPDX-License-Identifier: GPL-2.0-only
"""The engine: native code, the machine-wide tables, and one ``Thread`` of state per vCPU.

Memory that only exists as it is touched: record regions, page flags and state blocks are anonymous mappings.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from lpar.cpu import build, layout, linker, native_time
from lpar.cpu.arena import Arena
from lpar.cpu.layout import STATE_SIZE, State
from lpar.cpu.native_decode import RECORD_STRIDE
from lpar.cpu.native_shared import SHARED, SHARED_SIZE
from lpar.errors import HostError, InternalError

TICKS_PER_SECOND = 512_000_000
MAP_NORESERVE = 0x4000
LPCR_LD = 1 << 17
CODE_ROOM = 32 << 20  #: bytes of address space for the engine's own code
TABLE_ROOM = 8 << 20  #: and for each of its tables
UNITS_SIZE = 640 << 20  #: bytes of address space for units; taken as used
UNITS_SHARE = 128 << 20  #: an engine's part of it


_RETIRED: list[Region] = []


class Region:
    """An anonymous private mapping, zero until touched."""

    def __init__(self, size: int) -> None:
        self.size = (size + 4095) // 4096 * 4096
        try:
            self.map = mmap.mmap(-1, self.size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
        except (OSError, ValueError) as error:
            raise HostError(f"cannot map {self.size} bytes for the engine: {error}") from error
        self._pin = (ctypes.c_ubyte * 1).from_buffer(self.map)
        self.address = ctypes.addressof(self._pin)

    def retire(self) -> None:
        """Give its memory back, but keep the addresses: a thread that comes late finds zeros, no fault."""
        self.map.madvise(mmap.MADV_DONTNEED)
        _RETIRED.append(self)


class Code:
    """Native code of one kind (build.py): loaded once in a process, used by every machine."""

    _instances: ClassVar[dict[str, Code]] = {}
    _lock = threading.Lock()

    def __init__(self, kind: str, progress: build.Progress | None) -> None:
        bundle, self._pending = build.load_bundle(kind, progress)
        self.kind, self.key = kind, build.bundle_key(kind)
        self.engines: set[Engine] = set()
        self._news = threading.Condition()
        self.parts, self.complete = 0, False  #: how many parts of the code have come; whether that is all
        self.table, self.prefix_table = Region(len(bundle.decode)), Region(len(bundle.prefix))
        self.stencils, self.stencil_symbols = Region(TABLE_ROOM), Region(TABLE_ROOM)
        self._failure: InternalError | None = None
        self.arena: Arena | None = None  #: room for compiled regions; if there is none, why
        self.units: Arena | None = None  #: and for copies of stencils
        self.no_arena = ""
        if not self._reserve(bundle):
            return
        self._install(bundle)
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64)
        self.run = prototype(self.address("lp_run"))
        if self._pending is not None:
            threading.Thread(target=self._finish, name="lpar-builder", daemon=True).start()

    # -- loading ---------------------------------------------------------------------------------------
    def _reserve(self, bundle: build.Bundle) -> bool:
        """Executable memory for all that has to lie within 2 GiB; whether it can be had."""
        try:
            self._memory = Arena(0, CODE_ROOM)
            self.base = self._memory.address + bundle.symbols["lp_decode"]
            self._constants = Arena(self.base, TABLE_ROOM)
            self.arena = Arena(self.base)
            if self.kind == build.UNITS:
                self.units = Arena(self.base, UNITS_SIZE)
        except OSError as error:
            self.arena, self.no_arena = None, f"the host gives no executable memory: {error.strerror}"
        return self.arena is not None

    def _install(self, bundle: build.Bundle) -> None:
        """Put code and tables in their places, over the first part of the same where there is one."""
        self.bundle = bundle
        linker.put(self._memory.address, bundle.image, bundle.slots)
        ctypes.memmove(self._constants.address, bundle.constants, len(bundle.constants))
        self.stencils.map[: len(bundle.stencils)] = bundle.stencils
        symbols = linker.addresses(bundle.stencil_symbols, self._constants.address, self.address)
        self.stencil_symbols.map[: len(symbols)] = symbols
        self.links = {name: number for number, name in enumerate(bundle.links)}
        self.link_addresses = [self.address(name) for name in bundle.links]
        self.touched = bundle.touched
        self.table.map[: len(bundle.decode)] = bundle.decode
        self.prefix_table.map[: len(bundle.prefix)] = bundle.prefix
        with self._news:
            self.parts += 1
            self.complete = bundle.complete
            self._news.notify_all()

    def _finish(self) -> None:
        """Wait for the rest of the code and tell the engines."""
        assert self._pending is not None
        while not self.complete:
            try:
                more = self._pending.next()
            except InternalError as error:
                self._failure = error
                return
            self._install(more)
        for engine in list(self.engines):
            engine.code_complete()

    def wait(self, seen: int, seconds: float) -> int:
        """Wait until more than ``seen`` parts have come; how many.  Raises InternalError if none will."""
        with self._news:
            if self._failure is not None or (self.complete and seen == self.parts):
                raise self._failure or InternalError("an instruction has no code")
            self._news.wait_for(lambda: self.parts > seen, seconds)
        return self.parts

    def address(self, symbol: str) -> int:
        """The address of a symbol.  Raises KeyError if there is none."""
        return self._memory.address + self.bundle.symbols[symbol]

    def routine(self, name: str, *arguments: Any, result: Any = None, short: bool = False) -> Any:
        """A callable for a routine: ``f(state_address, ...)``; ``short``: it keeps the interpreter's lock."""
        kind = ctypes.PYFUNCTYPE if short else ctypes.CFUNCTYPE
        prototype = kind(result, ctypes.c_void_p, *arguments)
        return prototype(self.address("rt_" + name))

    @classmethod
    def get(cls, progress: build.Progress | None = None, kind: str = build.HANDLERS) -> Code:
        """The process's one instance of a kind, loaded when it is first asked for."""
        with cls._lock:
            if kind not in cls._instances:
                cls._instances[kind] = Code(kind, progress)
            return cls._instances[kind]


@dataclass(frozen=True, slots=True)
class Model:
    """What the engine must know of a CPU model: PVR, ISA level (207, 300, 310), decrementer width."""

    pvr: int
    isa: int
    dec_bits: int


class Engine:
    """The tables that a machine's vCPUs share."""

    def __init__(
        self,
        ram_address: int,
        ram_size: int,
        model: Model,
        progress: build.Progress | None = None,
        *,
        kind: str = build.HANDLERS,
    ) -> None:
        self.code = Code.get(progress, kind)
        self.code.engines.add(self)
        self.ram_address, self.ram_size, self.model = ram_address, ram_size, model
        pages = ram_size // 4096
        self.regions = [Region(pages * RECORD_STRIDE) for _ in range(3)]
        self.page_flags = Region(pages)
        self.shared = Region(SHARED_SIZE)
        self._shared = (ctypes.c_uint64 * (SHARED_SIZE // 8)).from_address(self.shared.address)
        self.threads: list[Thread] = []
        self.hpt: Region | None = None
        self.timer = Timer(self)
        self.jit: Any = None
        self._at_end: list[Callable[[], None]] = []
        self._rooms: list[tuple[int, int]] = []  # in the arena of units
        self._jit_wanted = self._jit_eager = False
        self._starting = threading.Lock()

    def share(self, name: str, value: int, index: int = 0) -> None:
        """Write a shared field."""
        self._shared[SHARED[name] // 8 + index] = value & ((1 << 64) - 1)

    def shared_value(self, name: str, index: int = 0) -> int:
        """Read a shared field."""
        return self._shared[SHARED[name] // 8 + index]

    def add_thread(self, index: int, tir: int) -> Thread:
        """A new vCPU."""
        thread = Thread(self, index, tir)
        self.threads.append(thread)
        self.share("states", thread.state.address, index)
        self.share("vcpus", len(self.threads))
        if len(self.threads) > 1:
            for each in self.threads:
                each.state.set("smp", 1)
        return thread

    def set_hpt(self, order: int) -> memoryview:
        """Allocate the hashed page table: 2**order bytes."""
        self.hpt = Region(1 << order)
        for thread in self.threads:
            thread.state.set("hpt_base", self.hpt.address)
            thread.state.set("hpt_mask", (1 << (order - 7)) - 1)
        return memoryview(self.hpt.map)

    def start_units(self, room: int = UNITS_SHARE) -> None:
        """Compile what runs by copying stencils; without effect where the host has no executable memory.

        ``room``: bytes for the copies; when they are full, all are forgotten.
        """
        code = self.code
        if code.units is None:
            return
        start = code.units.take(room)
        if start is None:
            return
        self._rooms.append((start, room))
        self.share("units_start", start)
        self.share("units_next", start)
        self.share("units_end", start + room)
        for thread in self.threads:
            thread.state.set("stencil_table", code.stencils.address)
            thread.state.set("unit_alone", code.address("lp_alone"))
            thread.state.set("stencil_symbols", code.stencil_symbols.address)

    def start_jit(self, *, eager: bool = False) -> None:
        """Compile what is hot from now on; without effect where the host has no executable memory for us.

        ``eager``: whatever is sampled once, even what is no quicker as a region (for tests).
        While the engine's own code is not complete it waits for that.
        """
        from lpar.cpu.jit import Jit

        with self._starting:
            self._jit_wanted, self._jit_eager = True, eager
            if self.code.arena is not None and self.code.complete and self.jit is None:
                self.jit = Jit(self, self.code.arena, eager=eager)

    def code_complete(self) -> None:
        """The rest of the engine's own code has come."""
        for thread in self.threads:
            thread.set_links()
        if self._jit_wanted:
            self.start_jit(eager=self._jit_eager)

    def at_end(self, action: Callable[[], None]) -> None:
        """Have something done by ``close``, before the tables go."""
        self._at_end.append(action)

    def close(self) -> None:
        """Stop the engine's threads and give the tables back.  No vCPU may be running."""
        for action in self._at_end:
            action()
        self.code.engines.discard(self)
        with self._starting:
            self._jit_wanted = False
            if self.jit is not None:
                self.jit.close()
        self.timer.close()
        for start, room in self._rooms:
            assert self.code.units is not None
            self.code.units.give_back(start, room)
        for thread in self.threads:
            os.close(thread.wake_fd)
            thread.block.retire()
        for region in (*self.regions, self.page_flags, self.shared):
            region.retire()


class Thread:
    """One hardware thread's state."""

    def __init__(self, engine: Engine, index: int, tir: int) -> None:
        self.engine = engine
        self.block = Region(STATE_SIZE)
        self.state = State(self.block.address)
        self.index = index
        self._parts = 0  # of the engine's code, when it last looked for an instruction that was missing
        self._run, self._base = engine.code.run, engine.code.base
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._flush = engine.code.routine("flush_state", ctypes.c_uint64)
        self._request = engine.code.routine("set_request", ctypes.c_uint64, short=True)
        self._change = engine.code.routine("change_pending", ctypes.c_uint64, ctypes.c_uint64, short=True)
        self._timebase = engine.code.routine("timebase", result=ctypes.c_uint64, short=True)
        self._random = engine.code.routine("random64", result=ctypes.c_uint64)
        self._set_up(tir)

    def _set_up(self, tir: int) -> None:
        engine, state = self.engine, self.state
        for name, value in {
            "ram_base": engine.ram_address,
            "ram_size": engine.ram_size,
            "page_flags": engine.page_flags.address,
            "shared": engine.shared.address,
            "handler_base": engine.code.base,
            "decode_table": engine.code.table.address,
            "prefix_table": engine.code.prefix_table.address,
            "index": self.index,
            "isa": engine.model.isa,
            "pvr": engine.model.pvr,
            "pir": self.index,
            "tir": tir,
            "dec_bits": engine.model.dec_bits,
            "dec_deadline": (1 << 63) - 1,
            "resv_addr": (1 << 64) - 1,
            "ctrl": 1,
            "wake_fd": self.wake_fd,
        }.items():
            state.set(name, value)
        for i, region in enumerate(engine.regions):
            state.set("code_base", region.address, i)
        self.set_links()
        if engine.model.dec_bits > 32:
            state.set("lpcr", LPCR_LD)
        self.flush_tlb()

    @property
    def busy(self) -> bool:
        """Whether it executes guest code: neither in Python nor asleep."""
        return self.running and not self.state.get("ceded")

    @property
    def running(self) -> bool:
        """Whether it is inside ``run``."""
        return bool(self.state.get("running"))

    def set_links(self) -> None:
        """What compiled regions may call."""
        for i, address in enumerate(self.engine.code.link_addresses):
            self.state.set("links", address, i)

    def run(self) -> int:
        """Run until an exit; gives the exit reason of ``layout``."""
        state = self.state
        while True:
            state.set("exit_reason", 0)
            self._run(state.address, self._base)
            reason = state.get("exit_reason")
            if reason != layout.EXIT_MISSING:
                return reason
            while (parts := self.engine.code.wait(self._parts, 0.05)) == self._parts:
                if state.get("exit_request") & layout.REQ_KICK:
                    return layout.EXIT_KICKED
            self._parts = parts
            state.set("look_again", 1)

    def request(self, bits: int) -> None:
        """Set bits of ``exit_request`` from any thread."""
        self._request(self.state.address, bits)

    def set_pending(self, bit: int, level: bool) -> None:
        """Raise or lower a pending interrupt from any thread."""
        self._change(self.state.address, 0 if level else bit, bit if level else 0)
        if level:
            self.request(layout.REQ_INTERRUPT)

    def flush_tlb(self) -> None:
        """Forget translations, from any thread: a fill under way is dropped."""
        self._flush(self.state.address, self.state.address)

    def timebase(self) -> int:
        """The timebase now."""
        return int(self._timebase(self.state.address))


class Timer:
    """The thread that notices decrementer deadlines while vCPUs run: native_time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        engine.share("timer_fd", self._fd)
        engine.share("next_wake", native_time.NEVER)
        self._block = Region(STATE_SIZE)
        state = State(self._block.address)
        state.set("shared", engine.shared.address)
        loop = engine.code.routine("timer_loop")
        self._thread = threading.Thread(target=loop, args=(state.address,), name="lpar-timer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._engine.share("stop", 1)
        os.eventfd_write(self._fd, 1)
        self._thread.join()
        os.close(self._fd)
        self._block.retire()

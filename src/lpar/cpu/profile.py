# SPDX-License-Identifier: GPL-2.0-only
"""Profiles of guest and engine: samples of what guests do, and of where host threads spend their CPU time.

The guest's samples are taken by wall clock at polls (``native_profile``) of vCPUs that run.  The engine's are
taken by each thread's own CPU clock: the kernel signals the thread, and a signal handler in native code notes
the host's program counter.  Python's own signal handling takes no part.
"""

from __future__ import annotations

import bisect
import ctypes
import struct
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from lpar.cpu import layout
from lpar.cpu.host_clock import HOST_HANDLER, ThreadClock, handler_module, install, uninstall
from lpar.cpu.native_profile import BUFFER, SAMPLES, WORDS

if TYPE_CHECKING:
    from lpar.cpu.engine import Engine

PERIOD = 0.001  #: seconds between samples of the guest
RATE = 997  #: samples of a host thread for each second of its CPU time
MSR_PR = 1 << 14
SAMPLE = struct.Struct(f"<{WORDS}Q")

#: (process, whether in problem state, pc, link register, return addresses of the frames)
Stack = tuple[int, bool, int, int, tuple[int, ...]]


class Profiler:
    """Takes samples from its making until ``stop``.  No vCPU may have been closed by then."""

    def __init__(self, engine: Engine) -> None:
        from lpar.cpu import compiler

        self._engine = engine
        self._buffers = [(ctypes.c_ubyte * BUFFER)() for _ in engine.threads]
        for thread, buffer in zip(engine.threads, self._buffers, strict=True):
            thread.state.set("profile", ctypes.addressof(buffer))
        self._taken = [0] * len(self._buffers)
        self.stacks: Counter[Stack] = Counter()
        self.missed = 0
        self._linker = compiler.Linker([compiler.compile_module(handler_module(), compiler.Effort.ROUTINES)])
        install(self._linker.address(HOST_HANDLER))
        self._clocks: dict[int, ThreadClock] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="lpar-profiler", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._stopped.wait(PERIOD):
            self._watch_new_threads()
            for i, thread in enumerate(self._engine.threads):
                self._take(i)
                if thread.busy:
                    thread.request(layout.REQ_PROFILE)

    def _take(self, index: int) -> None:
        """Count what vCPU ``index`` has noted."""
        buffer = self._buffers[index]
        count = int.from_bytes(buffer[:8], "little")
        first = max(self._taken[index], count - SAMPLES)
        self.missed += first - self._taken[index]
        for n in range(first, count):
            pc, lr, pid, msr, depth, *frames = SAMPLE.unpack_from(buffer, 8 + n % SAMPLES * 8 * WORDS)
            self.stacks[pid, bool(msr & MSR_PR), pc, lr, tuple(frames[:depth])] += 1
        self._taken[index] = count

    def _watch_new_threads(self) -> None:
        for thread in threading.enumerate():
            tid = thread.native_id
            if tid is not None and tid not in self._clocks and thread.name != "lpar-profiler":
                self._clocks[tid] = ThreadClock(thread.name, tid, RATE)

    def stop(self) -> None:
        """Take no more samples."""
        self._stopped.set()
        self._thread.join()
        for thread in self._engine.threads:
            thread.state.set("profile", 0)
        for index in range(len(self._buffers)):
            self._take(index)
        for clock in self._clocks.values():
            clock.stop()
        uninstall()

    def engine_seconds(self) -> dict[str, float]:
        """Seconds of CPU time by what the engine did."""
        places = Places(self._engine)
        out: Counter[str] = Counter()
        for clock in self._clocks.values():
            for address, weight in clock.samples():
                out[places.what(clock.name, address)] += weight
        spent = {what: count / RATE for what, count in out.items()}
        jit = self._engine.jit
        elsewhere = jit.compiler_seconds() if jit is not None else 0.0
        spent["compiling"] = spent.get("compiling", 0.0) + elsewhere
        return dict(sorted(spent.items(), key=lambda item: -item[1]))


class Places:
    """What the host's program counter says of what a thread does."""

    def __init__(self, engine: Engine) -> None:
        code = engine.code
        names = {*code.bundle.symbols, *code.bundle.links}
        found = sorted((code.address(name), name) for name in names)
        self._starts = [address for address, _ in found]
        self._names = [name for _, name in found]
        self._arenas = [("regions", code.arena), ("units", code.units)]
        self._objects = _mappings()

    def what(self, thread: str, address: int) -> str:
        """One of the few headings under which time is shown."""
        if thread == "lpar-compiler":
            return "compiling"
        for what, arena in self._arenas:
            if arena is not None and address in arena:
                return what
        n = bisect.bisect(self._starts, address) - 1
        if n >= 0 and address - self._starts[n] < (1 << 16) and address < self._starts[-1] + (1 << 16):
            return _heading(self._names[n])
        for start, end, path in self._objects:
            if start <= address < end:
                return _object(path)
        return "other"


WALKS = (
    *("radix", "hash", "guest_u64", "fill_", "search_group", "find_hpte", "code_fill"),
    *("flush", "tlbie", "slb"),
)
EXITS = ("lp_sc", "lp_scv", "lp_serve", "lp_fault", "lp_interrupt", "lp_poll", "lp_poll_pc", "lp_enter")


def _object(path: str) -> str:
    if "llvmlite" in path:
        return "compiling"
    return "Python and devices" if "python" in path else "C library"


def _heading(symbol: str) -> str:
    if symbol.startswith("rt_"):
        return "page walks and TLBs" if symbol[3:].startswith(WALKS) else "routines"
    if symbol in EXITS:
        return "interrupts and exits"
    return "dispatch" if symbol.startswith("lp_") else "interpreter"


def _mappings() -> list[tuple[int, int, str]]:
    out = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(None, 5)
        if "x" in fields[1] and len(fields) == 6:
            start, _, end = fields[0].partition("-")
            out.append((int(start, 16), int(end, 16), fields[5]))
    return out

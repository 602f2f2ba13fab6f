# SPDX-License-Identifier: GPL-2.0-only
"""Compiles regions in a process of its own, so that LLVM's memory and Python's lock are not the guest's.

``python -m lpar.cpu.region_worker`` reads pickles on standard input: first what regions may call (names and
numbers, what each routine touches), then what ``Compiler.region`` takes; it answers each with the
region, or None for code that stays as it is.
"""

from __future__ import annotations

import ctypes
import functools
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from lpar.cpu.build import python_environment
from lpar.cpu.region_cache import Stored

NICE = 10  #: the compiler takes what the vCPUs leave
STARTS = 3  #: of the process: one that dies again and again is given up
LARGEST = 140 << 20  #: bytes of memory at which it makes room for another: LLVM keeps 0.5 MiB for each region
FEWEST = 32  #: answers that one gives before that
PREFIX, BLOCK = 1, 16  #: a prefix's primary opcode; words in a block that prefixed instructions do not leave
DEBUG = bool(os.environ.get("LPAR_JIT_DEBUG"))


class Worker:
    """The process, started when it is first needed; one request at a time."""

    def __init__(self, links: dict[str, int], touched: dict[str, set[str]]) -> None:
        self._about = links, touched
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = self._answers = 0

    def compile(self, isa: int, entry: int, records: bytes, page: bytes, picky: bool) -> Stored | None:
        """The region at instruction ``entry`` of a page (its records, its content); None if there is none.

        ``picky``: nor if it would be no quicker than units.
        """
        with self._lock:
            while self._starts < STARTS or self._process is not None:
                try:
                    answer = self._ask((isa, entry, records, page, picky))
                    self._renew()
                    return answer
                except (OSError, EOFError, pickle.UnpicklingError):
                    self._end()
            return None

    def prepare(self) -> None:
        """Start the process before it is needed: that takes half a second."""
        with self._lock:
            if self._process is None and self._starts == 0:
                self._start()

    def cpu_seconds(self) -> float:
        """CPU time that the process has taken; 0 while there is none (proc(5), utime and stime)."""
        process = self._process
        try:
            stat = Path(f"/proc/{process.pid}/stat").read_text() if process is not None else ""
        except OSError:
            stat = ""
        ticks = stat.rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def _ask(self, request: Any) -> Stored | None:
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        pickle.dump(request, process.stdin)
        process.stdin.flush()
        answer = pickle.load(process.stdout)
        return answer if isinstance(answer, Stored) else None

    def _renew(self) -> None:
        """End a process that has grown; the next request starts another."""
        assert self._process is not None
        self._answers += 1
        if self._answers < FEWEST:
            return
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        if int(pages) * os.sysconf("SC_PAGE_SIZE") > LARGEST:
            self._end()
            self._starts -= 1

    def _start(self) -> None:
        self._starts += 1
        self._answers = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lpar.cpu.region_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if DEBUG else subprocess.DEVNULL,
            env=python_environment(),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        pickle.dump(self._about, self._process.stdin)
        self._process.stdin.flush()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._starts = STARTS
        process = self._process
        if process is not None:
            process.kill()
        with self._lock:
            self._end()


def executed_word(records: ctypes.Array[ctypes.c_uint64], index: int) -> int | None:
    """The instruction of a record that was executed, prefix << 32 | suffix if it is a prefixed one."""
    value = records[index]
    if not value >> 32:
        return None
    word = value & 0xFFFFFFFF
    if word >> 26 == PREFIX and index % BLOCK != BLOCK - 1:
        return word << 32 | records[index + 1] & 0xFFFFFFFF
    return word


class Compiler:
    """The other side: what the process does with a request."""

    def __init__(self, links: dict[str, int], touched: dict[str, set[str]]) -> None:
        from lpar.cpu.builder import import_definitions

        import_definitions()
        from lpar.cpu.decoder import Decoder

        self._links, self._touched = links, touched
        self._decoder = functools.cache(Decoder)  # to make one takes longer than most refusals

    def region(self, isa: int, entry: int, records: bytes, page: bytes, picky: bool) -> Stored | None:
        """The compiled region; None if there is none."""
        from lpar.cpu import compiler
        from lpar.cpu.arena import lay_out
        from lpar.cpu.ir import Module
        from lpar.cpu.plan import discover, worthwhile
        from lpar.cpu.region import trace_region

        words = (ctypes.c_uint64 * 1024).from_buffer_copy(records)
        plan = discover(entry, lambda i: executed_word(words, i), self._decoder(isa), page)
        module = Module(compiler.ARCH)
        if (picky and not worthwhile(plan)) or not trace_region(
            module, "region", plan, self._links, self._touched
        ):
            return None
        image, start = lay_out(compiler.compile_region(module))
        return Stored(entry, {i: w for i, (w, _) in plan.code.items()}, plan.cuts, start, image)


def main() -> None:
    """Serve until standard input ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.nice(NICE)
    compiler = Compiler(*pickle.load(sys.stdin.buffer))
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = compiler.region(*request)
        except Exception:  # a region that cannot be compiled stays as it is
            answer = None
            if DEBUG:
                import traceback

                traceback.print_exc()
        pickle.dump(answer, out)
        out.flush()


if __name__ == "__main__":
    main()

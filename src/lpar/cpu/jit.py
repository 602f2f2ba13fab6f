# SPDX-License-Identifier: GPL-2.0-only
"""The compiled tier: finds hot places by sampling, compiles them in the background, installs them.

Two daemon threads and a process for an engine.  The sampler asks running vCPUs, about a thousand times a
second, to note at their next poll where they are (polls are at loop heads, calls and returns: where regions
should begin), and installs what earlier runs compiled for pages that have just become code.  While nothing is
new it leaves the asking to the timer, whose interrupts of the guest are polls anyway.  The compiler takes
what was seen often, has it compiled (region_worker), leads the record of its entry to it, and keeps it for
the next run.

Rules of this file (against stale code): mark the page COMPILED, which fails for a page that is no code page
any more; compare the words compiled with RAM; install by compare-and-swap on the entry's record; then mark
and compare again, since a store in between may have taken the mark away.  See native_code.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from typing import TYPE_CHECKING

from lpar.cpu import build, layout
from lpar.cpu.arena import Arena
from lpar.cpu.native_decode import RECORD_BYTES, RECORD_STRIDE
from lpar.cpu.native_shared import NEW_PAGES
from lpar.cpu.region_cache import RegionCache, Stored, page_digest
from lpar.cpu.region_worker import DEBUG, Worker
from lpar.cpu.wanted import THRESHOLD, Wanted

if TYPE_CHECKING:
    from lpar.cpu.engine import Engine

PERIOD = 0.001  #: seconds between samples while vCPUs run
IDLE_PERIOD = 0.02
CALM = 256  #: samples without news until the timer asks for them
CALM_PERIOD = 0.016  #: seconds until those are read; a vCPU keeps 64
SWITCH_INTERVAL = 0.0005  #: seconds: a vCPU back from the guest must not wait for the compiler's Python
PAGE = 4096
WARM = 64  #: samples in all before the compiler's process starts: a short run does without
PREPARE = 0  #: no record: start that process


class Jit:
    """Sampling and compilation for one engine."""

    def __init__(self, engine: Engine, arena: Arena, *, eager: bool = False) -> None:
        self.engine = engine
        self.arena = arena
        arena.enter()
        self._base = engine.regions[0].address
        word = ctypes.c_uint64
        self._install = engine.code.routine("install", word, word, word, result=ctypes.c_bool)
        self._mark = engine.code.routine("mark_compiled", word, result=ctypes.c_bool)
        self._wanted = Wanted(1 if eager else THRESHOLD)
        self._picky = not eager
        self._samples = 0
        self._worker = Worker(engine.code.links, engine.code.touched)
        self._stop = False
        self.compiled = self.instructions = self.recalled = 0
        path = build.cache_directory() / f"regions-{engine.code.key}.db"
        self._store, self._recall = RegionCache(path), RegionCache(path)
        self._known = self._recall.pages()
        self._pages_seen = 0
        self.seconds = 0.0
        self._threads = [
            threading.Thread(target=self._sample_loop, name="lpar-sampler", daemon=True),
            threading.Thread(target=self._compile_loop, name="lpar-compiler", daemon=True),
        ]
        sys.setswitchinterval(SWITCH_INTERVAL)
        for thread in self._threads:
            thread.start()

    # -- sampling ------------------------------------------------------------------------------------
    def _sample_loop(self) -> None:
        seen: dict[int, int] = {}
        calm, known = 0, (0, 0)
        while not self._stop:
            self._recall_new_pages()
            running = [t for t in self.engine.threads if t.busy]
            for thread in running:
                thread.request(layout.REQ_SAMPLE)
            known, before = self._news(), known
            calm = calm + 1 if known == before else 0
            self.engine.share("tick_requests", layout.REQ_SAMPLE if calm > CALM else 0)
            time.sleep((PERIOD if calm <= CALM else CALM_PERIOD) if running else IDLE_PERIOD)
            for thread in self.engine.threads:
                state = thread.state
                n, last = state.get("n_samples"), seen.get(thread.index, 0)
                for i in range(max(last, n - 64), n):
                    self._count(state.get("samples", i & 63))
                seen[thread.index] = n

    def _news(self) -> tuple[int, int]:
        """What changes when the guest runs other code than before."""
        return self._pages_seen, self.compiled

    def _count(self, record: int) -> None:
        self._samples += 1
        if self._samples == WARM:
            self._wanted.want(PREPARE)
        self._wanted.sample(record)

    # -- recalling -----------------------------------------------------------------------------------
    def _recall_new_pages(self) -> None:
        """Install what earlier runs compiled for the pages that have just become code."""
        count = self.engine.shared_value("new_pages")
        self._pages_seen = max(self._pages_seen, count - NEW_PAGES)
        while self._pages_seen < count:
            at = self._pages_seen % NEW_PAGES
            page = self.engine.shared_value("new_page", at) - 1
            if page < 0:
                return  # its number is about to be written
            self.engine.share("new_page", 0, at)
            self._pages_seen += 1
            if self._known:
                self._recall_page(page)

    def _recall_page(self, page: int) -> None:
        digest = self._digest(page)
        if digest in self._known:
            for region in self._recall.find(digest):
                self._install_stored(page, region)

    def _digest(self, page: int) -> bytes:
        return page_digest(self.engine.model.isa, self._content(page))

    def _content(self, page: int) -> bytes:
        return ctypes.string_at(self.engine.ram_address + page * PAGE, PAGE)

    def _install_stored(self, page: int, region: Stored) -> None:
        record = self._base + page * RECORD_STRIDE + 8 * region.entry
        old = ctypes.c_uint64.from_address(record).value
        if self._handler(old) in self.arena or not self._unchanged(region.words, page):
            return
        address = self.arena.add(region.image)
        if address is not None:
            self.recalled += 1
            self._put(region.words, page, record, old, address + region.start)

    # -- compiling -----------------------------------------------------------------------------------
    def _compile_loop(self) -> None:
        while (record := self._wanted.take()) is not None:
            if record == PREPARE:
                self._worker.prepare()
                continue
            try:
                self._compile_at(record, picky=self._picky)
            except Exception as error:  # a region that cannot be compiled is interpreted
                if DEBUG:
                    import traceback

                    traceback.print_exc()
                    print(f"jit: {record:#x}: {error}", file=sys.stderr)

    def _compile_at(self, record: int, *, picky: bool = True) -> None:
        page, at = divmod(record - self._base, RECORD_STRIDE)
        if not 0 <= at < RECORD_BYTES:
            return
        old = ctypes.c_uint64.from_address(record).value
        if not old >> 32 or self._handler(old) in self.arena:
            return
        content = self._content(page)
        digest = page_digest(self.engine.model.isa, content)
        records = ctypes.string_at(self._base + page * RECORD_STRIDE, RECORD_BYTES)
        begin = time.perf_counter()
        region = self._worker.compile(self.engine.model.isa, at // 8, records, content, picky)
        self.seconds += time.perf_counter() - begin
        address = self.arena.add(region.image) if region else None
        if region is None or address is None:
            return
        self.compiled += 1
        self.instructions += len(region.words)
        self._put(region.words, page, record, old, address + region.start)
        for index in region.cuts:
            self._wanted.want(self._base + page * RECORD_STRIDE + 8 * index, record)
        if self._digest(page) == digest:
            self._store.add(digest, region)

    def _handler(self, value: int) -> int:
        offset = value >> 32
        return self.engine.code.base + (offset - (1 << 32) if offset >> 31 else offset)

    def _put(self, words: dict[int, int], page: int, record: int, old: int, address: int) -> None:
        """Lead a record to compiled code, if RAM still holds what that was made from."""
        state = self.engine.threads[0].state.address
        first = words[(record - self._base) % RECORD_STRIDE // 8]
        low = first >> 32 or first
        new = (address - self.engine.code.base << 32 | low) & ((1 << 64) - 1)
        if not self._mark(state, page) or not self._unchanged(words, page):
            return
        if not self._install(state, record, old, new):
            return
        if not self._mark(state, page) or not self._unchanged(words, page):
            self._install(state, record, new, 0)

    def _unchanged(self, words: dict[int, int], page: int) -> bool:
        now = (ctypes.c_uint32 * 1024).from_address(self.engine.ram_address + page * PAGE)
        return all(_same(now, i, word) for i, word in words.items())

    def compiler_seconds(self) -> float:
        """CPU time of the compiler's process."""
        return self._worker.cpu_seconds()

    def close(self) -> None:
        """End the threads and the process."""
        self._stop = True
        self._worker.close()
        self._wanted.close()
        for thread in self._threads:
            thread.join()
        self._store.trim()
        self._store.close()
        self._recall.close()
        self.arena.leave()
        if DEBUG:
            print(
                f"jit: {self.recalled} recalled, {self.compiled} regions, {self.instructions} instructions,"
                f" {self.seconds:.2f} s, {self.arena.used >> 10} KiB",
                file=sys.stderr,
            )


def _same(now: ctypes.Array[ctypes.c_uint32], index: int, word: int) -> bool:
    """Whether RAM holds a word, or a prefix and its suffix."""
    if word >> 32:
        return now[index] == word >> 32 and now[index + 1] == word & 0xFFFFFFFF
    return now[index] == word

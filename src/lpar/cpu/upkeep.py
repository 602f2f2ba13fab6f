# SPDX-License-Identifier: GPL-2.0-only
"""What the hypervisor owes the engine when it changes translations or guest memory from outside."""

from __future__ import annotations

import ctypes
import re

from lpar.cpu.engine import Engine

PAGE = 4096
_MARKED = re.compile(rb"[^\0]")  #: in the flags: a page with decoded code


class Upkeep:
    """For any host thread, while vCPUs run; the engine has at least one vCPU."""

    def __init__(self, engine: Engine) -> None:
        word = ctypes.c_uint64
        self._state = engine.threads[0].state.address  # routines need some vCPU to find the shared tables
        self._flags = engine.page_flags.map
        self._flush_hpte = engine.code.routine("flush_hpte", word, word)
        self._flush_everything = engine.code.routine("flush_everything")
        self._stored_code = engine.code.routine("stored_code", word, word)

    def flush_hpte(self, v: int, index: int) -> None:
        """Forget what was translated through entry ``index`` (-1: any); no vCPU uses it on return.

        ``v`` is the entry's first doubleword as it was; its valid bit in the table is clear by now.
        """
        if index < 0:
            self._flush_everything(self._state)
        else:
            self._flush_hpte(self._state, v, index)

    def memory_written(self, address: int, length: int) -> None:
        """RAM was written: forget the decoded instructions there."""
        end = address + length
        first, last = address // PAGE, (end + PAGE - 1) // PAGE
        if last - first == 1 and not self._flags[first]:
            return  # the most of what devices write
        for found in _MARKED.finditer(self._flags, first, last):
            start = max(found.start() * PAGE, address)
            self._stored_code(self._state, start, min(found.end() * PAGE, end) - start)


class TableLock:
    """The hashed page table's lock, for Python: ``with lock: ...``; it is not recursive."""

    def __init__(self, engine: Engine) -> None:
        self._state = engine.threads[0].state.address
        self._acquire = engine.code.routine("hpt_acquire")
        self._release = engine.code.routine("hpt_release")

    def __enter__(self) -> None:
        self._acquire(self._state)

    def __exit__(self, *error: object) -> None:
        self._release(self._state)

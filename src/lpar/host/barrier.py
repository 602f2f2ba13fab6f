# SPDX-License-Identifier: GPL-2.0-only
"""Memory barriers between a thread of ours and guest code that runs in others.

Python has none.  On x86 loads stay in order, and so do stores; only a store before a load needs
more, and taking a lock is a locked instruction there.  On hosts with weaker ordering a lock is
acquire and release only; membarrier(2), which orders all threads of the process, does it (about
1 microsecond).
"""

from __future__ import annotations

import ctypes
import functools
import platform
import threading
from collections.abc import Callable

Barrier = Callable[[], None]

_MEMBARRIER = {"aarch64": 283, "riscv64": 283, "ppc64le": 365, "ppc64": 365, "loongarch64": 283}
#: (command, its registration): memory accesses; and what was fetched of instructions, too
_EXPEDITED, _SYNC_CORE = (1 << 3, 1 << 4), (1 << 5, 1 << 6)
_IN_ORDER = platform.machine() in ("x86_64", "AMD64", "i686", "s390x")


def barriers() -> tuple[Barrier, Barrier]:
    """(loads before loads and stores before stores; everything before everything).

    For one thread at a time.
    """
    lock = threading.Lock()

    def locked() -> None:
        with lock:
            pass

    strong = locked if _IN_ORDER else _membarrier(*_EXPEDITED) or locked
    return (_nothing if _IN_ORDER else strong), strong


def _nothing() -> None:
    """Enough where the processor keeps the order by itself."""


def instructions_changed() -> None:
    """No thread goes on with what it fetched of code before; caches have been flushed.

    Linux offers it on arm64; where it does not, threads that never ran the code have nothing fetched of it.
    """
    _instruction_barrier()()


@functools.cache
def _instruction_barrier() -> Barrier:
    return _membarrier(*_SYNC_CORE) or _nothing


def _membarrier(command: int, registration: int) -> Barrier | None:
    """The system call, None where it cannot be had."""
    number = _MEMBARRIER.get(platform.machine())
    if number is None:
        return None
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    if syscall(number, registration, 0, 0) != 0:
        return None

    def barrier() -> None:
        syscall(number, command, 0, 0)

    return barrier

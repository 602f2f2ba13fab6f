# SPDX-License-Identifier: GPL-2.0-only
"""The thread that takes console output from the engine's ring, in as large pieces as have gathered."""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
from collections.abc import Callable

from lpar.cpu.engine import Engine
from lpar.cpu.native_shared import SHARED, TERM_RING

RETRY = 0.01  #: seconds until output that could not be taken is offered again
LAST_WAIT = 2.0  #: seconds that the rest of the output waits at the end for somebody who reads it


class Terminal:
    """Console hypercalls for ``unit`` are answered in the engine; ``write`` gets the output.

    ``write`` says False when it cannot take any now, after waiting a little by itself.
    """

    def __init__(self, engine: Engine, unit: int, write: Callable[[bytes], bool]) -> None:
        self._engine, self._write = engine, write
        self._lock = threading.Lock()
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._state = engine.threads[0].state.address
        self._idle = engine.code.routine("term_idle", result=ctypes.c_uint64)
        start = engine.shared.address + SHARED["term_ring"]
        self._ring = memoryview((ctypes.c_ubyte * TERM_RING).from_address(start)).cast("B")
        self._ended = False
        engine.share("term_unit", unit)
        engine.share("term_fd", self._fd)
        self._thread = threading.Thread(target=self._loop, name="lpar-terminal", daemon=True)
        self._thread.start()

    def set_input(self, waiting: bool) -> None:
        """Whether bytes wait to be read: only then H_GET_TERM_CHAR comes to the hypervisor."""
        self._engine.share("term_input", int(waiting))

    def flush(self) -> bool:
        """Write what is in the ring; False if it could not be taken."""
        with self._lock:
            head, tail = self._engine.shared_value("term_head"), self._engine.shared_value("term_tail")
            if head == tail:
                return True
            start, end = tail % TERM_RING, tail % TERM_RING + head - tail
            data = bytes(self._ring[start:end]) + bytes(self._ring[: max(end - TERM_RING, 0)])
            if not self._write(data):
                return False
            self._engine.share("term_tail", head)
            return True

    def _loop(self) -> None:
        while not self._ended:
            if not self._idle(self._state) and select.select([self._fd], [], [])[0]:
                os.eventfd_read(self._fd)
            if not self.flush():
                time.sleep(RETRY)

    def close(self) -> None:
        """Write the rest; the vCPUs make no more calls."""
        if self._ended:
            return
        self._ended = True
        self._engine.share("term_fd", 0)
        os.eventfd_write(self._fd, 1)
        self._thread.join()
        deadline = time.monotonic() + LAST_WAIT
        while not self.flush() and time.monotonic() < deadline:
            time.sleep(RETRY)

    def free(self) -> None:
        """Give the eventfd back: no vCPU runs any more."""
        self.close()
        os.close(self._fd)

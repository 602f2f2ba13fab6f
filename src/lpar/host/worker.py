# SPDX-License-Identifier: GPL-2.0-only
"""A thread that does a device's work: calls asked for by others, and descriptors that become ready.

``post`` is for any thread.  Everything else, and every callback, belongs to the worker's own thread
(or to the time before ``start``).  An exception in a callback is the owner's to handle:
``on_error`` gets it, and the worker goes on.
"""

from __future__ import annotations

import heapq
import itertools
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT

Work = Callable[[], None]


class Timer:
    """A call at a later time; ``cancel`` takes it back."""

    __slots__ = ("work",)

    def __init__(self, work: Work) -> None:
        self.work: Work | None = work

    def cancel(self) -> None:
        """Do not call."""
        self.work = None


class Worker:
    """One thread; it sleeps in epoll and costs nothing while there is nothing to do."""

    def __init__(self, name: str, on_error: Callable[[Exception], None]) -> None:
        self._on_error = on_error
        self._posted: deque[Work] = deque()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, READ)
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._asleep = True
        self._ending = False
        self._lock = threading.Lock()  #: of ``_wake``: descriptors are used again once closed
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """End after the work at hand; whether it ended within ``timeout`` seconds.  Once more is nothing."""
        self._ending = True
        self._ring()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        with self._lock:
            if self._wake >= 0:
                self._epoll.close()
                os.close(self._wake)
                self._wake = -1
        return True

    def post(self, work: Work) -> None:
        """Have ``work`` called soon.  From any thread; never blocks."""
        self._posted.append(work)
        if self._asleep:
            self._asleep = False
            self._ring()

    def _ring(self) -> None:
        """Wake the thread, unless it is gone for good."""
        with self._lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Call ``callback(ready events)`` while any of ``events`` (READ, WRITE) is there; 0: none now.

        Level triggered: while the device cannot take more, watch for less.
        """
        known = fd in self._callbacks
        self._callbacks[fd] = callback
        (self._epoll.modify if known else self._epoll.register)(fd, events)

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor; before it is closed."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_later(self, seconds: float, work: Work) -> Timer:
        """Have ``work`` called once, after ``seconds``."""
        timer = Timer(work)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), timer))
        return timer

    # -- the thread ----------------------------------------------------------------------------

    def _main(self) -> None:
        while not self._ending:
            self._run_posted()
            self._run_timers()
            for fd, events in self._sleep():
                if fd == self._wake:
                    os.eventfd_read(self._wake)
                elif fd in self._callbacks:
                    self._call(self._callbacks[fd], events)

    def _sleep(self) -> list[tuple[int, int]]:
        """Wait for something to do.  ``_asleep`` is set before the last look, so no post is missed."""
        self._asleep = True
        if self._posted or self._ending:
            return self._epoll.poll(0)
        return self._epoll.poll(self._timeout())

    def _timeout(self) -> float | None:
        while self._timers and self._timers[0][2].work is None:
            heapq.heappop(self._timers)
        return max(self._timers[0][0] - time.monotonic(), 0) if self._timers else None

    def _run_posted(self) -> None:
        for _ in range(len(self._posted)):
            self._call(self._posted.popleft())

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            work = heapq.heappop(self._timers)[2].work
            if work is not None:
                self._call(work)

    def _call(self, work: Callable[..., None], *args: int) -> None:
        try:
            work(*args)
        except Exception as error:
            self._on_error(error)

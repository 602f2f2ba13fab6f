# SPDX-License-Identifier: GPL-2.0-only
"""What is to be compiled next: the record that was sampled most of late.

Compiling takes longer than sampling finds, so that a queue in order of all samples would still be busy with
what a boot did a minute ago.  A sample weighs half of one that comes HALF seconds later.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

THRESHOLD = 8  #: samples at one place before it is compiled, and then at each power of two
HALF = 0.25  #: seconds
LARGEST = 500.0  #: of the exponent of a sample's weight, before all are made smaller


class Wanted:
    """Records by how hot they are; one thread takes, another counts."""

    def __init__(self, threshold: int = THRESHOLD, clock: Callable[[], float] = time.monotonic) -> None:
        self._threshold = threshold
        self._clock = clock
        self._since = clock()
        self._counts: dict[int, int] = {}
        self._heat: dict[int, float] = {}
        self._waiting: set[int] = set()
        self._closed = False
        self._changed = threading.Condition()

    def sample(self, record: int) -> None:
        """Count a sample."""
        n = self._counts[record] = self._counts.get(record, 0) + 1
        self._heat[record] = self._heat.get(record, 0.0) + self._weight()
        if n >= self._threshold and n & (n - 1) == 0:
            self._add(record)

    def _weight(self) -> float:
        exponent = (self._clock() - self._since) / HALF
        if exponent <= LARGEST:
            return float(2.0**exponent)
        self._since = self._clock()
        with self._changed:
            self._heat = {record: heat * 2.0**-exponent for record, heat in self._heat.items()}
        return 1.0

    def want(self, record: int, like: int | None = None) -> None:
        """Ask for a record as if it had been sampled like another; without one, before all others."""
        self._heat[record] = math.inf if like is None else self._heat.get(like, 0.0)
        self._add(record)

    def _add(self, record: int) -> None:
        with self._changed:
            self._waiting.add(record)
            self._changed.notify()

    def take(self) -> int | None:
        """The hottest record that is waiting, as soon as there is one; None after ``close``."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            hottest = max(self._waiting, key=lambda record: self._heat.get(record, 0.0))
            self._waiting.remove(hottest)
            return hottest

    def close(self) -> None:
        """Let ``take`` wait no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

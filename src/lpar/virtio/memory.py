# SPDX-License-Identifier: GPL-2.0-only
"""Guest memory as devices reach it: views, and word to the engine of what was written."""

from __future__ import annotations

import sys
from collections.abc import Callable

from lpar.host.memory import GuestMemory


class Words:
    """Whole-word access to a view: ``words[i]`` is one load or store of 2, 4 or 8 bytes.

    ``memoryview.cast`` has it in the host's byte order; this is the other order.
    """

    __slots__ = ("_size", "_words")

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._size = words.itemsize

    def __getitem__(self, index: int) -> int:
        value: int = self._words[index]
        return int.from_bytes(value.to_bytes(self._size, "little"), "big")

    def __setitem__(self, index: int, value: int) -> None:
        self._words[index] = int.from_bytes(value.to_bytes(self._size, "little"), "big")

    def tolist(self) -> list[int]:
        """All words."""
        return [self[index] for index in range(len(self._words))]

    def release(self) -> None:
        """Let the memory go."""
        self._words.release()


WordView = memoryview | Words
_CODES = {2: "H", 4: "I", 8: "Q"}


class DmaMemory:
    """RAM for bus masters.  ``written`` hears of each range that a device has changed."""

    def __init__(self, memory: GuestMemory, written: Callable[[int, int], None] | None = None) -> None:
        self.ram = memory
        self.view = memory.view  #: (address, length) to a writable view; GuestAccessError outside RAM
        self.whole = memory.view(0, memory.size)  #: all RAM, for who has checked his range
        self.size = memory.size
        self.written = written or (lambda address, length: None)

    def words(self, address: int, count: int, size: int, order: str = "little") -> WordView:
        """``count`` words of ``size`` bytes.  Raises GuestAccessError outside RAM."""
        view = self.view(address, count * size).cast(_CODES[size])  # type: ignore[call-overload]
        return view if order == sys.byteorder else Words(view)

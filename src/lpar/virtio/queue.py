# SPDX-License-Identifier: GPL-2.0-only
"""The split virtqueue, device side: no I/O, no threads, no interrupts of its own.

Source: Virtual I/O Device (VIRTIO) 1.2, 2.7 "Split Virtqueues".  Rings live in guest memory, which
the guest may change at any moment.  Rules of this file:

* every value is read from guest memory once, checked, and used from then on;
* indices are single loads and stores of 16 bits (``DmaMemory.words``), so none is seen half done;
* a chain is at most as long as the queue (an indirect table: ``MAX_INDIRECT``), so loops end;
* what the guest does wrong is a ``QueueError``; the device then asks for a reset.

A queue is not locked here: whoever pops and pushes holds ``queue.lock``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lpar.errors import GuestError
from lpar.host.barrier import barriers
from lpar.virtio.memory import DmaMemory, WordView

MAX_SIZE = 32768
MAX_INDIRECT = 1024  #: descriptors in one indirect table
NEXT, WRITE, INDIRECT = 1, 2, 4
NO_INTERRUPT = NO_NOTIFY = 1
_DESC_SIZE = 16


class QueueError(GuestError):
    """The guest broke the rules of the ring."""


@dataclass(slots=True)
class Chain:
    """One request: what the device may read, then what it may write, as views of guest memory.

    The views are good while the queue lives.  ``ranges`` are the (address, length) of ``writable``.
    """

    head: int
    readable: list[memoryview] = field(default_factory=list)
    writable: list[memoryview] = field(default_factory=list)
    ranges: list[tuple[int, int]] = field(default_factory=list)

    @property
    def readable_size(self) -> int:
        """Bytes to read; a hostile guest may name the same RAM many times: do not copy unbounded."""
        return sum(map(len, self.readable))

    @property
    def writable_size(self) -> int:
        """Bytes that may be written."""
        return sum(map(len, self.writable))

    def read(self, limit: int) -> bytes:
        """A copy of the first ``limit`` readable bytes."""
        return gather(self.readable, 0, limit)

    def read_from(self, start: int, limit: int) -> bytes:
        """A copy of up to ``limit`` readable bytes from byte ``start`` on."""
        return gather(self.readable, start, limit)

    def write(self, data: bytes | bytearray | memoryview, offset: int = 0) -> int:
        """Put ``data`` at ``offset`` of the writable bytes; how many of it fit."""
        return scatter(self.writable, data, offset)


def part(views: Sequence[memoryview], start: int, length: int) -> list[memoryview]:
    """``length`` bytes (or as many as there are) from byte ``start`` of a list of views, uncopied."""
    out: list[memoryview] = []
    for view in views:
        size = len(view)
        if start >= size:
            start -= size
            continue
        if length <= 0:
            break
        piece = view[start : start + length]
        out.append(piece)
        length -= len(piece)
        start = 0
    return out


def gather(views: Sequence[memoryview], start: int, length: int) -> bytes:
    """A copy of ``length`` bytes (or as many as there are) from byte ``start``."""
    if views and start + length <= len(views[0]):
        return bytes(views[0][start : start + length])
    return b"".join(part(views, start, length))


def scatter(views: Sequence[memoryview], data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """Copy ``data`` to byte ``start`` of a list of views on; how many bytes fit."""
    if views and start + len(data) <= len(views[0]):
        views[0][start : start + len(data)] = data
        return len(data)
    source, done = memoryview(data), 0
    for piece in part(views, start, len(data)):
        piece[:] = source[done : done + len(piece)]
        done += len(piece)
    return done


class Queue:
    """One queue of at most ``max_size`` descriptors.

    The transport sets ``size`` and the three addresses, then calls ``enable``.
    """

    def __init__(self, index: int, max_size: int) -> None:
        self.index = index
        self.max_size = max_size
        self.lock = threading.RLock()
        self.event_index = False
        self.indirect = False
        self._in_order, self._full_barrier = barriers()
        self.counters = {"chains": 0, "notifications": 0, "interrupts": 0}
        self._clear()

    def _clear(self) -> None:
        self.size = self.max_size
        self.desc = self.avail = self.used = 0  #: guest-physical addresses
        self.ready = False
        self.next_avail = 0  #: index of the next chain to take, 16 bits
        self.next_used = 0
        self._signalled = 0  #: used index when the guest was last told
        self._memory: DmaMemory | None = None

    # -- set-up ------------------------------------------------------------------------------

    def enable(self, memory: DmaMemory, *, event_index: bool, indirect: bool, order: str = "little") -> None:
        """Use the rings from now on.

        Raises QueueError for a size or alignment that cannot be, GuestAccessError outside RAM.
        """
        size = self.size
        if not 0 < size <= self.max_size or size & (size - 1):
            raise QueueError(f"queue {self.index}: size {size}")
        if self.desc % 16 or self.avail % 2 or self.used % 4:
            raise QueueError(f"queue {self.index}: a ring is not aligned")
        self._desc = memory.words(self.desc, 2 * size, 8, order)
        self._avail = memory.words(self.avail, size + 3, 2, order)
        self._used_elements = memory.words(self.used, 1 + 2 * size, 4, order)
        self._used = memory.words(self.used, 4 * size + 3, 2, order)
        self._memory, self._order = memory, order
        self.event_index, self.indirect = event_index, indirect
        self._mask = size - 1
        self._big = order == "big"
        self.ready = True

    def reset(self) -> None:
        """Forget the rings (reset of the queue or of the device)."""
        with self.lock:
            self._clear()

    # -- taking chains -----------------------------------------------------------------------

    def pending(self) -> int:
        """Chains that the guest has made available.  Raises QueueError for an impossible number."""
        count = (self._avail[1] - self.next_avail) & 0xFFFF
        if count > self.size:
            raise QueueError(f"queue {self.index}: {count} chains in a ring of {self.size}")
        return count

    def pop(self) -> Chain | None:
        """The next chain, None if there is none.  Raises QueueError, GuestAccessError."""
        return self.take() if self.ready and self.pending() else None

    def take(self) -> Chain:
        """The next chain, which is there: ``pending`` has said so."""
        self._in_order()  # the entry is read after the index
        head = self._avail[2 + (self.next_avail & self._mask)]
        chain = self._chain(head)
        self.next_avail = self.next_avail + 1 & 0xFFFF
        self.counters["chains"] += 1
        return chain

    def unpop(self, count: int = 1) -> None:
        """Give back the last ``count`` chains taken: they are popped again."""
        self.next_avail = self.next_avail - count & 0xFFFF
        self.counters["chains"] -= count

    def chains(self) -> Iterator[Chain]:
        """All chains there are, and those that come meanwhile; the guest notifies only after the last."""
        if not self.ready:
            return
        while True:
            self.suppress_notifications()
            while self.ready and (chain := self.pop()) is not None:
                yield chain
            if not self.ready or not self.ask_for_notification():
                return

    def _chain(self, head: int) -> Chain:
        if head >= self.size:
            raise QueueError(f"queue {self.index}: descriptor {head} of {self.size}")
        chain = Chain(head)
        address, length, flags, _ = self._descriptor(head)
        if flags & INDIRECT:
            self._add_indirect(chain, address, length, flags)
        else:
            self._add_all(chain, self._desc, self.size, head)
        return chain

    def _descriptor(self, index: int) -> tuple[int, int, int, int]:
        """(address, length, flags, next) of one in the ring's table."""
        address, word = self._desc[2 * index], self._desc[2 * index + 1]
        if self._big:
            return address, word >> 32, word >> 16 & 0xFFFF, word & 0xFFFF
        return address, word & 0xFFFF_FFFF, word >> 32 & 0xFFFF, word >> 48

    def _add_indirect(self, chain: Chain, address: int, length: int, flags: int) -> None:
        assert self._memory is not None
        count, rest = divmod(length, _DESC_SIZE)
        if not self.indirect or flags & NEXT or rest or not 0 < count <= MAX_INDIRECT:
            raise QueueError(f"queue {self.index}: indirect table of {length} bytes, flags {flags:#x}")
        table = self._memory.words(address, 2 * count, 8, self._order).tolist()
        self._add_all(chain, table, count, 0)

    def _add_all(self, chain: Chain, table: WordView | list[int], count: int, index: int) -> None:
        """Follow a chain in ``table`` of ``count`` descriptors, at most that many of them.

        This is what a request costs most: RAM is looked at here, without a call for each descriptor.
        """
        assert self._memory is not None
        ram, size, big = self._memory.whole, self._memory.size, self._big
        for _ in range(count):
            address, word = table[2 * index], table[2 * index + 1]
            if big:
                length, flags, index = word >> 32, word >> 16 & 0xFFFF, word & 0xFFFF
            else:
                length, flags, index = word & 0xFFFF_FFFF, word >> 32 & 0xFFFF, word >> 48
            end = address + length
            view = ram[address:end] if end <= size else self._memory.view(address, length)
            if flags & INDIRECT:
                raise QueueError(f"queue {self.index}: an indirect table inside a chain")
            if flags & WRITE:
                chain.writable.append(view)
                chain.ranges.append((address, length))
            elif chain.writable:
                raise QueueError(f"queue {self.index}: a readable descriptor behind a writable one")
            else:
                chain.readable.append(view)
            if not flags & NEXT:
                return
            if index >= count:
                raise QueueError(f"queue {self.index}: next descriptor {index} of {count}")
        raise QueueError(f"queue {self.index}: a chain without end")

    # -- giving them back --------------------------------------------------------------------

    def push(self, chain: Chain, written: int = 0) -> None:
        """Give a chain back, ``written`` bytes of it changed.  ``publish`` makes it visible."""
        if not self.ready or self._memory is None:
            return
        self._tell_written(chain, written)
        at = 1 + 2 * (self.next_used & self._mask)
        self._used_elements[at] = chain.head
        self._used_elements[at + 1] = written
        self.next_used = self.next_used + 1 & 0xFFFF

    def _tell_written(self, chain: Chain, written: int) -> None:
        assert self._memory is not None
        for address, length in chain.ranges:
            if written <= 0:
                return
            self._memory.written(address, min(length, written))
            written -= length

    def publish(self) -> bool:
        """Show the guest all that was pushed; whether it wants an interrupt now."""
        if not self.ready:
            return False
        self._in_order()  # entries before the index
        self._used[1] = self.next_used
        self._full_barrier()  # the index before the look at what the guest wants
        wanted = self._wants_interrupt()
        self._signalled = self.next_used
        if wanted:
            self.counters["interrupts"] += 1
        return wanted

    def finish(self) -> tuple[bool, bool]:
        """``publish`` and ``ask_for_notification`` with one barrier: (interrupt wanted, more is there)."""
        if not self.ready:
            return False, False
        self._in_order()
        self._used[1] = self.next_used
        if self.event_index:
            self._used[2 + 4 * self.size] = self.next_avail
        else:
            self._used[0] = 0
        self._full_barrier()
        wanted = self._wants_interrupt()
        self._signalled = self.next_used
        if wanted:
            self.counters["interrupts"] += 1
        return wanted, bool(self.pending())

    def _wants_interrupt(self) -> bool:
        old, new = self._signalled, self.next_used
        if old == new:
            return False
        if not self.event_index:
            return not self._avail[0] & NO_INTERRUPT
        event = self._avail[2 + self.size]
        return (new - event - 1 & 0xFFFF) < (new - old & 0xFFFF)

    # -- notifications from the guest --------------------------------------------------------

    def suppress_notifications(self) -> None:
        """The guest need not notify: we are looking."""
        if not self.event_index:
            self._used[0] = NO_NOTIFY

    def ask_for_notification(self) -> bool:
        """Have the guest notify of the next chain; whether there is one already."""
        if self.event_index:
            self._used[2 + 4 * self.size] = self.next_avail
        else:
            self._used[0] = 0
        self._full_barrier()  # the wish before the look at the index
        return bool(self.pending())

    # -- state -------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Plain data; no chain is in flight."""
        return {
            "size": self.size,
            "rings": [self.desc, self.avail, self.used],
            "ready": self.ready,
            "next": [self.next_avail, self.next_used, self._signalled],
            "event_index": self.event_index,
            "indirect": self.indirect,
        }

    def restore(self, data: dict[str, Any], memory: DmaMemory) -> None:
        """Take the state back."""
        with self.lock:
            self._clear()
            self.size = data["size"]
            self.desc, self.avail, self.used = data["rings"]
            if data["ready"]:
                self.enable(memory, event_index=data["event_index"], indirect=data["indirect"])
            self.next_avail, self.next_used, self._signalled = data["next"]

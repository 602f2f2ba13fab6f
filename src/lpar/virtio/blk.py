# SPDX-License-Identifier: GPL-2.0-only
"""virtio-blk: a disk.

Source: VIRTIO 1.2, 5.2 "Block Device".  A request is a header of 16 bytes (type, sector), data, and
a status byte.  Sectors are 512 bytes whatever the block size.

A request ends before it is given back: when the driver sees it used, a read's data is there and a
write is with the host; FLUSH waits for stable storage.  A driver that does not know FLUSH gets each
write on stable storage (5.2.6.2).
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Sequence

from lpar.backend.disk import SECTOR, Disk
from lpar.host.worker import Worker
from lpar.virtio.device import Device, virtio_device
from lpar.virtio.queue import Chain, Queue, QueueError, gather, part

F_SIZE_MAX, F_SEG_MAX, F_RO, F_BLK_SIZE, F_FLUSH = 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 9
F_MQ, F_DISCARD, F_WRITE_ZEROES = 1 << 12, 1 << 13, 1 << 14
IN, OUT, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPP = 0, 1, 2
HEADER = 16
QUEUE_SIZE = 256
SEG_MAX = QUEUE_SIZE - 2
SIZE_MAX = 1 << 20  #: bytes of one segment
MOST = SEG_MAX * SIZE_MAX  #: bytes of one request: a reset waits for the one at hand
MAX_RANGES = 16  #: ranges of one DISCARD or WRITE_ZEROES
MAX_RANGE = 1 << 20  #: sectors of one range
QUICK = 4  #: requests that are done in the vCPU's thread at a time
QUICK_SIZE = 1 << 20  #: bytes of one of them
BATCH = 8  #: requests given back together while more wait
_CONFIG = struct.Struct("<QII4xI8xBxHIIIIIB3x")
_HEADER = struct.Struct("<I4xQ")
_RANGE = struct.Struct("<QII")
_UNMAP = 1

Range = Callable[[int, int, int], None]

_log = logging.getLogger(__name__)


@virtio_device("blk", id=2, class_code=0x010000)
class Blk(Device):
    """A disk with one or more queues, each with a worker."""

    handles_now = True

    def __init__(self, disk: Disk, *, serial: str = "", queues: int = 1) -> None:
        features = F_SIZE_MAX | F_SEG_MAX | F_BLK_SIZE | F_FLUSH
        features |= F_RO if disk.read_only else F_DISCARD | F_WRITE_ZEROES
        features |= F_MQ if queues > 1 else 0
        super().__init__([QUEUE_SIZE] * queues, features, _config(disk, queues))
        self.disk = disk
        self.counters.update(reads=0, writes=0, flushes=0, read_bytes=0, written_bytes=0, failures=0)
        self._serial = serial.encode()[:20].ljust(20, b"\0")
        more = (Worker(f"virtio-blk-{i}", self._on_error) for i in range(1, queues))
        self._workers = (self.worker, *more)
        self._does = {
            IN: self._read,
            OUT: self._write,
            FLUSH: self._flush,
            GET_ID: self._get_id,
            DISCARD: self._discard,
            WRITE_ZEROES: self._write_zeroes,
        }

    def worker_of(self, index: int) -> Worker:
        """Each queue has its own."""
        return self._workers[index]

    def workers(self) -> Sequence[Worker]:
        """One for each queue."""
        return self._workers

    def handle_queue(self, queue: Queue) -> None:
        """Do all requests; the driver hears of them in batches while more wait."""
        unseen = 0
        for chain in queue.chains():
            queue.push(chain, self._request(chain))
            unseen += 1
            if unseen >= BATCH or not queue.pending():
                self.publish(queue)
                unseen = 0
        if unseen:
            self.publish(queue)

    def handle_now(self, queue: Queue) -> bool:
        """Reads and writes of the host's page cache, if there are only a few."""
        count = queue.pending()
        if count > QUICK:
            return False
        for _ in range(count):
            chain = queue.take()
            written = self._quick(chain)
            if written is None:
                queue.unpop()
                break
            queue.push(chain, written)
        wanted, more = queue.finish()
        if wanted:
            self.transport.interrupt(queue.index)
        return not more

    def _quick(self, chain: Chain) -> int | None:
        """Do a request that waits for nothing; None for any other, which is left as it is."""
        readable, writable = chain.readable, chain.writable
        if not readable or len(readable[0]) != HEADER or not writable or len(writable[-1]) != 1:
            return None
        kind, sector = _HEADER.unpack(readable[0])
        views = writable[:-1] if kind == IN else readable[1:]
        length = sum(map(len, views))
        if length > QUICK_SIZE or not self._inside(sector * SECTOR, length):
            return None
        try:
            if not self._is_quick(kind, sector * SECTOR, views, length):
                return None
        except OSError:
            return None  # the worker will see it again
        writable[-1][0] = OK
        return length + 1 if kind == IN else 1

    def _is_quick(self, kind: int, offset: int, views: Sequence[memoryview], length: int) -> bool:
        if kind == IN and self.disk.read_now(views, offset):
            self.counters["reads"] += 1
            self.counters["read_bytes"] += length
            return True
        may_write = kind == OUT and not self.disk.read_only and self.has(F_FLUSH)
        if may_write and self.disk.write_now(views, offset):
            self.counters["writes"] += 1
            self.counters["written_bytes"] += length
            return True
        return False

    def _request(self, chain: Chain) -> int:
        """Do one request; the bytes written.  Raises QueueError for one without header or status."""
        readable, writable = chain.readable, chain.writable
        if not readable or not writable or not len(writable[-1]):
            raise QueueError("a disk request without header or status")
        header, out = _split_header(readable)
        status, into = _split_status(writable)
        kind, sector = _HEADER.unpack_from(header)
        does = self._does.get(kind)
        try:
            status[0] = UNSUPP if does is None else does(sector * SECTOR, out, into)
        except OSError as error:
            status[0] = self._failed(kind, error)
        return sum(map(len, into)) + 1  # the status is behind all of the data's buffers

    def _failed(self, kind: int, error: OSError) -> int:
        self.counters["failures"] += 1
        _log.debug("virtio-blk: request of type %d: %s", kind, error)
        return IOERR

    # -- requests: all give the status ----------------------------------------------------------

    def _inside(self, offset: int, length: int) -> bool:
        aligned = length % SECTOR == 0
        return aligned and length <= MOST and offset + length <= self.disk.size

    def _read(self, offset: int, out: Sequence[memoryview], into: Sequence[memoryview]) -> int:
        length = sum(map(len, into))
        if not self._inside(offset, length):
            return IOERR
        self.disk.read(into, offset)
        self.counters["reads"] += 1
        self.counters["read_bytes"] += length
        return OK

    def _write(self, offset: int, out: Sequence[memoryview], into: Sequence[memoryview]) -> int:
        length = sum(map(len, out))
        if self.disk.read_only or not self._inside(offset, length):
            return IOERR
        self.disk.write(out, offset)
        self._settle()
        self.counters["writes"] += 1
        self.counters["written_bytes"] += length
        return OK

    def _settle(self) -> None:
        """A driver without FLUSH takes a write that ended for a stable one."""
        if not self.has(F_FLUSH):
            self.disk.flush()

    def _flush(self, offset: int, out: Sequence[memoryview], into: Sequence[memoryview]) -> int:
        self.disk.flush()
        self.counters["flushes"] += 1
        return OK

    def _get_id(self, offset: int, out: Sequence[memoryview], into: Sequence[memoryview]) -> int:
        done = 0
        for view in into:
            piece = self._serial[done : done + len(view)]
            view[: len(piece)] = piece
            done += len(piece)
        return OK

    def _discard(self, offset: int, out: Sequence[memoryview], into: Sequence[memoryview]) -> int:
        return self._each_range(out, 0, lambda start, length, flags: self.disk.discard(start, length))

    def _write_zeroes(self, offset: int, out: Sequence[memoryview], into: Sequence[memoryview]) -> int:
        def zero(start: int, length: int, flags: int) -> None:
            self.disk.write_zeroes(start, length, unmap=bool(flags & _UNMAP))

        return self._each_range(out, _UNMAP, zero)

    def _each_range(self, out: Sequence[memoryview], flags_known: int, do: Range) -> int:
        """Check all ranges, then do them; the status."""
        size = sum(map(len, out))
        if self.disk.read_only or size % _RANGE.size or not 0 < size <= MAX_RANGES * _RANGE.size:
            return IOERR
        ranges = list(_RANGE.iter_unpack(gather(out, 0, size)))
        for sector, count, flags in ranges:
            if flags & ~flags_known:
                return UNSUPP
            if count > MAX_RANGE or (sector + count) * SECTOR > self.disk.size:
                return IOERR
        for sector, count, flags in ranges:
            if count:
                do(sector * SECTOR, count * SECTOR, flags)
        self._settle()
        return OK


def _split_header(readable: list[memoryview]) -> tuple[bytes | memoryview, list[memoryview]]:
    """(header, data); the driver may cut them where it likes (2.7.4)."""
    if len(readable[0]) == HEADER:
        return readable[0], readable[1:]
    header = gather(readable, 0, HEADER)
    if len(header) < HEADER:
        raise QueueError("a disk request with a short header")
    return header, part(readable, HEADER, MOST + SIZE_MAX)


def _split_status(writable: list[memoryview]) -> tuple[memoryview, list[memoryview]]:
    last = writable[-1]
    if len(last) == 1:
        return last, writable[:-1]
    return last[-1:], [*writable[:-1], last[:-1]]


def _config(disk: Disk, queues: int) -> bytes:
    """The device's configuration (5.2.4)."""
    sectors, block = disk.size // SECTOR, disk.block_size // SECTOR
    return _CONFIG.pack(
        sectors, SIZE_MAX, SEG_MAX, disk.block_size, 1, queues,
        MAX_RANGE, MAX_RANGES, block, MAX_RANGE, MAX_RANGES, 1,
    )  # fmt: skip

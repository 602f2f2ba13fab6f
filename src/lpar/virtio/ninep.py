# SPDX-License-Identifier: GPL-2.0-only
"""virtio-9p: a shared folder.

Source: VIRTIO 1.2, 5.9 (reserved for 9P) and Linux's net/9p/trans_virtio.c: one queue; a chain is a
request and room for its reply; the configuration is the mount tag.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

from lpar.backend.ninep import Export, Server
from lpar.backend.ninep.messages import Kind
from lpar.virtio.device import Device, virtio_device
from lpar.virtio.queue import Chain, Queue

F_MOUNT_TAG = 1 << 0
QUEUE_SIZE = 128
QUICK = 4  #: requests that are done in the vCPU's thread at a time
QUICK_SIZE = 256 << 10  #: bytes of one of them
_SLOW = frozenset({Kind.FSYNC, Kind.LOCK, Kind.GETLOCK, Kind.STATFS})  #: may wait for more than a page cache
_KIND_AT = 4


@virtio_device("9p", id=9, class_code=0x018000)
class NineP(Device):
    """The folder ``export`` under the mount tag ``tag``; the session is the driver's."""

    def __init__(self, export: Export, tag: str) -> None:
        name = tag.encode()
        super().__init__([QUEUE_SIZE], F_MOUNT_TAG, struct.pack("<H", len(name)) + name)
        self._files = Server(export)
        self.counters = self._files.counters = Counter(self.counters)

    handles_now = True

    def handle_now(self, queue: Queue) -> bool:
        """A few short requests: the guest's process waits for them anyway, and no thread has to wake."""
        for _ in range(QUICK):
            chain = queue.pop()
            if chain is None:
                break
            if not _is_quick(chain):
                queue.unpop()
                return False
            queue.push(chain, self._files.handle(chain.readable, chain.writable))
            self.publish(queue)
        return not queue.ask_for_notification()

    def handle_queue(self, queue: Queue) -> None:
        """Answer each request at once: the guest's process waits for it."""
        for chain in queue.chains():
            written = self._files.handle(chain.readable, chain.writable)
            queue.push(chain, written)
            self.publish(queue)

    def on_reset(self) -> None:
        """The driver's fids, open files and locks go with it."""
        self._files.close()

    def on_close(self) -> None:
        """The same at the end."""
        self._files.close()

    def save_model(self) -> Any:
        """The session: fids by path."""
        return self._files.save()

    def restore_model(self, data: Any) -> None:
        """Walk and open all again."""
        self._files.restore(data)


def _is_quick(chain: Chain) -> bool:
    head = chain.read(_KIND_AT + 1)
    size = chain.readable_size + chain.writable_size
    return len(head) > _KIND_AT and head[_KIND_AT] not in _SLOW and size <= QUICK_SIZE

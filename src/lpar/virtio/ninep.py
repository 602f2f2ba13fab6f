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
from lpar.virtio.device import Device, virtio_device
from lpar.virtio.queue import Queue

F_MOUNT_TAG = 1 << 0
QUEUE_SIZE = 128


@virtio_device("9p", id=9, class_code=0x018000)
class NineP(Device):
    """The folder ``export`` under the mount tag ``tag``; the session is the driver's."""

    def __init__(self, export: Export, tag: str) -> None:
        name = tag.encode()
        super().__init__([QUEUE_SIZE], F_MOUNT_TAG, struct.pack("<H", len(name)) + name)
        self._files = Server(export)
        self.counters = self._files.counters = Counter(self.counters)

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

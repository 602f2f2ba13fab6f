# SPDX-License-Identifier: GPL-2.0-only
"""virtio-rng: random bytes from the host.

Source: VIRTIO 1.2, 5.4 "Entropy Device".
"""

from __future__ import annotations

import os
from collections.abc import Callable

from lpar.virtio.device import Device, virtio_device
from lpar.virtio.queue import Queue

MOST = 64 << 10  #: bytes for one request; the driver asks again


@virtio_device("rng", id=4)
class Rng(Device):
    """One queue of buffers to fill."""

    def __init__(self, entropy: Callable[[int], bytes] = os.urandom) -> None:
        super().__init__([64])
        self.counters["bytes"] = 0
        self._entropy = entropy

    def handle_queue(self, queue: Queue) -> None:
        """Fill every buffer."""
        for chain in queue.chains():
            wanted = min(chain.writable_size, MOST)
            written = chain.write(self._entropy(wanted))
            self.counters["bytes"] += written
            queue.push(chain, written)
            self.publish(queue)

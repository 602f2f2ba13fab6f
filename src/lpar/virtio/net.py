# SPDX-License-Identifier: GPL-2.0-only
"""virtio-net: a network card.

Source: VIRTIO 1.2, 5.1 "Network Device".  One pair of queues: frames pass through Python, which runs
one thread at a time, so a second pair moves nothing more.  Offloads are the network's behind it; a
header goes there and comes from there as it is.
"""

from __future__ import annotations

import struct
from collections import deque

from lpar.backend.network import F_MTU, HEADER_SIZE, MAX_FRAME, Network
from lpar.virtio.device import F_VERSION_1, Device, virtio_device
from lpar.virtio.queue import Chain, Queue, part, scatter

F_MAC, F_MRG_RXBUF, F_STATUS = 1 << 5, 1 << 15, 1 << 16
RX, TX = 0, 1
QUEUE_SIZE = 256
LINK_UP = 1
SHORT_HEADER = 10  #: bytes of the header without num_buffers (no VERSION_1, no MRG_RXBUF)
WAITING_LIMIT = 4 << 20  #: bytes of frames that wait for the guest's buffers

_CONFIG = struct.Struct("<6sHHH")  # mac, status, max_virtqueue_pairs, mtu
_COUNT = struct.Struct("<H")


@virtio_device("net", id=1, class_code=0x020000)
class Net(Device):
    """A card at ``network`` with the address ``mac`` (6 bytes)."""

    def __init__(self, network: Network, mac: bytes) -> None:
        features = F_MAC | F_MRG_RXBUF | F_STATUS | network.features & ~(0 if network.mtu else F_MTU)
        super().__init__([QUEUE_SIZE, QUEUE_SIZE], features, _CONFIG.pack(mac, LINK_UP, 1, network.mtu or 0))
        self.counters |= {"tx frames": 0, "tx bytes": 0, "rx frames": 0, "rx bytes": 0, "dropped": 0}
        self._network = network
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._header_size = HEADER_SIZE

    # -- the device's life ------------------------------------------------------------------

    def on_activate(self) -> None:
        """Bring the network up, in the worker."""
        features = self.features
        self._header_size = HEADER_SIZE if features & (F_VERSION_1 | F_MRG_RXBUF) else SHORT_HEADER

        def begin() -> None:
            self._network.agreed(features)
            self._network.start(self.worker, self._received)

        self.worker.post(begin)

    def on_reset(self) -> None:
        """Frames for the driver that is gone are lost."""
        self._waiting.clear()
        self._waiting_bytes = 0

    def on_close(self) -> None:
        """The network may get another card."""
        self._network.stop()

    # -- the worker -------------------------------------------------------------------------

    def handle_queue(self, queue: Queue) -> None:
        """New buffers, or frames to send."""
        if queue.index == RX:
            self._deliver_all(queue)
        else:
            self._send_all(queue)

    def _send_all(self, queue: Queue) -> None:
        for chain in queue.chains():
            self._send(chain)
            queue.push(chain)
        self.publish(queue)
        self._network.flush()

    def _send(self, chain: Chain) -> None:
        size = chain.readable_size - self._header_size
        if not 0 < size <= MAX_FRAME:
            self.counters["dropped"] += 1
            return
        header = chain.read(self._header_size).ljust(HEADER_SIZE, b"\0")
        self._network.send(header, part(chain.readable, self._header_size, size))
        self.counters["tx frames"] += 1
        self.counters["tx bytes"] += size

    def _received(self, header: bytes, frame: bytes) -> bool:
        """A frame from the network; False when it should wait with more."""
        if not self.is_live or self._waiting_bytes + len(frame) > WAITING_LIMIT:
            self.counters["dropped"] += 1
            return False
        self._waiting.append((header, frame))
        self._waiting_bytes += len(frame)
        self.schedule(RX)
        self._paused = self._waiting_bytes > WAITING_LIMIT // 2
        return not self._paused

    def _deliver_all(self, queue: Queue) -> None:
        while self._waiting:
            header, frame = self._waiting[0]
            if not self._deliver(queue, header, frame):
                if queue.ask_for_notification():
                    continue
                break
            self._waiting.popleft()
            self._waiting_bytes -= len(frame)
        self.publish(queue)
        if self._paused and not self._waiting:
            self._paused = False
            self._network.resume()

    def _deliver(self, queue: Queue, header: bytes, frame: bytes) -> bool:
        """Put one frame into the guest's buffers; False when there are too few."""
        chains = self._take(queue, self._header_size + len(frame))
        if chains is None:
            return False
        room = sum(chain.writable_size for chain in chains)
        if room < self._header_size + len(frame):  # no merging, or a ring full of nothing
            queue.unpop(len(chains) - 1)
            queue.push(chains[0])
            self.counters["dropped"] += 1
            return True
        self._fill(queue, chains, header[:SHORT_HEADER] + _COUNT.pack(len(chains)), frame)
        self.counters["rx frames"] += 1
        self.counters["rx bytes"] += len(frame)
        return True

    def _take(self, queue: Queue, wanted: int) -> list[Chain] | None:
        """Chains for so many bytes; None, and none taken, while the guest may still add some."""
        chains: list[Chain] = []
        room = 0
        merge = self.has(F_MRG_RXBUF)
        while room < wanted and len(chains) < (queue.size if merge else 1):
            chain = queue.pop()
            if chain is None:
                queue.unpop(len(chains))
                return None
            chains.append(chain)
            room += chain.writable_size
        return chains

    def _fill(self, queue: Queue, chains: list[Chain], header: bytes, frame: bytes) -> None:
        header = header[: self._header_size]
        first = chains[0]
        done = scatter(first.writable, header)
        data = memoryview(frame)
        at = 0
        for chain in chains:
            start = done if chain is first else 0
            written = scatter(chain.writable, data[at:], start)
            at += written
            queue.push(chain, start + written)

    # -- state ------------------------------------------------------------------------------

    def restore_model(self, data: object) -> None:
        """Connections of the network before are gone; the guest's stack finds out."""

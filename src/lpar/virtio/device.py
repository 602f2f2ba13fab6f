# SPDX-License-Identifier: GPL-2.0-only
"""What every virtio device has: features, queues, configuration, status, state, counters.

Source: VIRTIO 1.2, chapter 2 "Basic Facilities of a Virtio Device" and chapter 3 "General
Initialization And Device Operation".

A device model derives from ``Device``, registers with ``@virtio_device("rng", id=4)`` and writes
``handle_queue``.  docs/design/virtio.md tells how.

Threads: the transport calls in vCPU threads; ``handle_queue`` and watched descriptors run in the
device's worker.  A queue is used with its lock held; ``reset`` takes all locks, so that on return
nobody touches guest memory for this device.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from lpar.errors import GuestError, InternalError
from lpar.host.worker import Worker
from lpar.virtio.memory import DmaMemory
from lpar.virtio.queue import Queue

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 64, 128
F_NOTIFY_ON_EMPTY, F_ANY_LAYOUT = 1 << 24, 1 << 27
F_INDIRECT_DESC, F_EVENT_IDX = 1 << 28, 1 << 29
F_VERSION_1, F_RING_RESET = 1 << 32, 1 << 40
_ALWAYS = F_INDIRECT_DESC | F_EVENT_IDX | F_VERSION_1 | F_RING_RESET
CONFIG_LIMIT = 4096  #: bytes of device configuration that the transport has room for

_log = logging.getLogger(__name__)


class Transport(Protocol):
    """How a device reaches its driver.  From any thread."""

    def interrupt(self, queue: int) -> None:
        """A queue has used buffers."""

    def config_changed(self) -> None:
        """The configuration or the status has changed."""


class _NoTransport:
    """A device nobody drives."""

    def interrupt(self, queue: int) -> None:
        """Nobody listens."""

    def config_changed(self) -> None:
        """Nobody listens."""


class Device:
    """Base of device models.

    Set by a model: ``queue_sizes`` and ``features`` (before or in ``__init__``), ``config`` (the bytes
    of its configuration, little-endian).  Raises nothing for what a guest does.
    """

    name: ClassVar[str] = ""
    id: ClassVar[int] = 0
    class_code: ClassVar[int] = 0xFF0000  #: of the PCI function
    handles_now: ClassVar[bool] = False  #: whether ``handle_now`` does anything

    def __init__(self, queue_sizes: Sequence[int], features: int = 0, config: bytes = b"") -> None:
        self.queues = [Queue(index, size) for index, size in enumerate(queue_sizes)]
        self.offered = features | _ALWAYS
        self.config = bytearray(config)
        self.features = 0  #: what was agreed on
        self.status = 0
        self.transport: Transport = _NoTransport()
        self.memory: DmaMemory | None = None
        self.counters: dict[str, int] = {"resets": 0, "errors": 0}
        self.worker = Worker(f"virtio-{self.name}", self._on_error)
        self._posted = [False] * len(self.queues)
        self._status_lock = threading.RLock()
        self._started = False

    # -- what a model overrides ----------------------------------------------------------------

    def handle_queue(self, queue: Queue) -> None:
        """Do what is in a queue; in the worker (``worker_of``), with the queue's lock held."""

    def handle_now(self, queue: Queue) -> bool:
        """Do in the vCPU's thread what waits for nothing; False if there is work left for the worker.

        With the queue's lock held.  It spares two switches of threads for each request.
        """
        return False

    def worker_of(self, index: int) -> Worker:
        """The worker of a queue; all queues share one unless a model has more."""
        return self.worker

    def workers(self) -> Sequence[Worker]:
        """All workers."""
        return (self.worker,)

    def on_activate(self) -> None:
        """The driver is ready: queues may be used.  In a vCPU's thread."""

    def on_reset(self) -> None:
        """The driver is gone; forget what it asked for.  In a vCPU's thread, all locks held."""

    def on_close(self) -> None:
        """The machine ends: the workers have stopped, free what is the host's."""

    def write_config(self, offset: int, data: bytes) -> None:
        """The driver writes configuration; most devices have nothing to write."""

    def read_config(self, offset: int, size: int) -> bytes:
        """``size`` bytes of configuration, zero behind its end."""
        return bytes(self.config[offset : offset + size]).ljust(size, b"\0")

    def features_agreed(self) -> None:
        """``features`` is what the driver accepted; it may change nothing of the ring layout any more."""

    def save_model(self) -> Any:
        """Plain data that the model needs beyond the base's."""
        return None

    def restore_model(self, data: Any) -> None:
        """Take it back."""

    # -- what a model uses ---------------------------------------------------------------------

    def has(self, feature: int) -> bool:
        """Whether a feature (a bit mask) was agreed on."""
        return bool(self.features & feature)

    @property
    def is_live(self) -> bool:
        """Whether the driver is ready and nothing is broken."""
        return self.status & (DRIVER_OK | NEEDS_RESET | FAILED) == DRIVER_OK

    def publish(self, queue: Queue) -> None:
        """Show the driver what was pushed; interrupt it if it wants that."""
        if queue.publish():
            self.transport.interrupt(queue.index)

    def set_config(self, data: bytes) -> None:
        """Change the configuration and tell the driver."""
        self.config[:] = data
        if self.status & DRIVER_OK:
            self.transport.config_changed()

    @contextlib.contextmanager
    def using(self, queue: Queue) -> Iterator[bool]:
        """Hold a queue's lock; gives whether it may be used.  Faults of the guest end in ``broken``."""
        with queue.lock:
            try:
                yield queue.ready and self.is_live
            except GuestError as error:
                self.broken(error)

    def broken(self, error: Exception) -> None:
        """The guest broke the rules: nothing is done for it until it resets the device (2.1.2)."""
        self.counters["errors"] += 1
        _log.debug("virtio-%s: %s", self.name, error)
        with self._status_lock:
            if not self.status & DRIVER_OK or self.status & NEEDS_RESET:
                return
            self.status |= NEEDS_RESET
        self.transport.config_changed()

    def _on_error(self, error: Exception) -> None:
        if not isinstance(error, GuestError):
            _log.error("virtio-%s failed; this is a bug in lpar", self.name, exc_info=error)
        self.broken(error)

    # -- what the transport calls --------------------------------------------------------------

    def attach(self, memory: DmaMemory, transport: Transport) -> None:
        """The device is in a machine now."""
        self.memory, self.transport = memory, transport

    def notify(self, index: int) -> None:
        """The driver made chains available."""
        if not 0 <= index < len(self.queues) or not self.is_live:
            return
        queue = self.queues[index]
        queue.counters["notifications"] += 1
        if self.handles_now and not self._posted[index] and self._serve_now(queue):
            return
        self.schedule(index)

    def _serve_now(self, queue: Queue) -> bool:
        """Whether all was done; not if the worker is at it."""
        if not queue.lock.acquire(blocking=False):
            return False
        try:
            return not (queue.ready and self.is_live) or self.handle_now(queue)
        except GuestError as error:
            self.broken(error)
            return True
        finally:
            queue.lock.release()

    def schedule(self, index: int) -> None:
        """Have ``handle_queue`` called once for a queue, in its worker.  From any thread."""
        if not self._posted[index]:
            self._posted[index] = True
            self.worker_of(index).post(self._servers[index])

    @property
    def _servers(self) -> list[Callable[[], None]]:
        try:
            return self.__dict__["_made_servers"]  # type: ignore[no-any-return]
        except KeyError:
            made = [self._server(queue) for queue in self.queues]
            self.__dict__["_made_servers"] = made
            return made

    def _server(self, queue: Queue) -> Callable[[], None]:
        def serve() -> None:
            self._posted[queue.index] = False
            with self.using(queue) as usable:
                if usable:
                    self.handle_queue(queue)

        return serve

    def set_status(self, status: int) -> None:
        """The driver writes the status; 0 resets."""
        if status == 0:
            self.reset()
            return
        with self._status_lock:
            new = status & ~self.status & 0xFF
            self.status |= status & 0xFF
            if new & FEATURES_OK and not self._features_fit():
                self.status &= ~FEATURES_OK
            activated = bool(new & DRIVER_OK)
        if activated:
            self._activate()

    def _features_fit(self) -> bool:
        """Whether what the driver accepted is a set that we can do."""
        if self.features & ~self.offered:
            return False
        self.features_agreed()
        return True

    def _activate(self) -> None:
        if not self._started:
            self._started = True
            for worker in self.workers():
                worker.start()
        self.on_activate()
        for queue in self.queues:  # chains may be there already
            if queue.ready:
                self.schedule(queue.index)

    def enable_queue(self, queue: Queue, order: str = "little") -> None:
        """The driver's rings are set up.  A queue that cannot be leaves the device broken."""
        if self.memory is None:
            raise InternalError("a device without memory")
        event_index, indirect = self.has(F_EVENT_IDX), self.has(F_INDIRECT_DESC)
        with queue.lock:
            try:
                queue.enable(self.memory, event_index=event_index, indirect=indirect, order=order)
            except GuestError as error:
                queue.reset()
                self.broken(error)

    def reset(self) -> None:
        """Forget the driver.  On return nothing touches guest memory for it."""
        with contextlib.ExitStack() as held:
            for queue in self.queues:
                held.enter_context(queue.lock)
            with self._status_lock:
                self.status = 0
                self.features = 0
            for queue in self.queues:
                queue.reset()
            self.on_reset()
        self.counters["resets"] += 1

    def reset_queue(self, queue: Queue) -> None:
        """Forget one queue (F_RING_RESET)."""
        queue.reset()

    def close(self) -> None:
        """The machine ends.  Raises InternalError if a worker does not end."""
        self.reset()
        for worker in self.workers():
            if not worker.stop():
                raise InternalError(f"virtio-{self.name}: a worker does not stop")
        self.on_close()

    # -- state ---------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Plain data.  vCPUs are paused; what is under way ends first."""
        with contextlib.ExitStack() as held:
            for queue in self.queues:
                held.enter_context(queue.lock)
            return {
                "name": self.name,
                "status": self.status,
                "features": self.features,
                "config": bytes(self.config),
                "queues": [queue.save() for queue in self.queues],
                "model": self.save_model(),
            }

    def restore(self, data: dict[str, Any]) -> None:
        """Take the state back, into a device of the same kind.  Raises InternalError for another."""
        if data["name"] != self.name or len(data["queues"]) != len(self.queues) or self.memory is None:
            raise InternalError(f"state of {data['name']} given to {self.name}")
        self.status, self.features = data["status"], data["features"]
        self.config[:] = data["config"]
        for queue, saved in zip(self.queues, data["queues"], strict=True):
            queue.restore(saved, self.memory)
        self.restore_model(data["model"])
        if self.status & DRIVER_OK:
            self._activate()


D = TypeVar("D", bound=type[Device])
DEVICES: dict[str, type[Device]] = {}  #: by name; what the documentation table reads


def virtio_device(name: str, *, id: int, class_code: int = 0xFF0000) -> Callable[[D], D]:
    """Register the decorated class as virtio device ``name`` with the specification's device ID."""

    def register(model: D) -> D:
        if name in DEVICES:
            raise InternalError(f"virtio device {name} is registered twice")
        model.name, model.id, model.class_code = name, id, class_code
        DEVICES[name] = model
        return model

    return register

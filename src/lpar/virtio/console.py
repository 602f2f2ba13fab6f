# SPDX-License-Identifier: GPL-2.0-only
"""virtio-console: terminals and byte channels, several ports.

Source: VIRTIO 1.2, 5.3 "Console Device".  Port 0 has queues 0 (to the driver) and 1 (from it), the
control channel 2 and 3, port n > 0 has 2n + 2 and 2n + 3.  A driver without MULTIPORT has port 0 alone.

What a port is connected to is a ``Channel``: bytes the driver wrote go to its ``output``, ``Port.send``
queues bytes for the driver.  The queue is bounded, as the reference's console: ``send`` tells how much
was taken, ``Channel.ready`` is called when there is room again.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lpar.virtio.device import Device, virtio_device
from lpar.virtio.queue import Chain, Queue, QueueError

F_SIZE, F_MULTIPORT, F_EMERG_WRITE = 1 << 0, 1 << 1, 1 << 2
DEVICE_READY, DEVICE_ADD, DEVICE_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME = range(8)
QUEUE_SIZE = 64
INPUT_LIMIT = 4096  #: bytes that wait for the driver, for each port
OUTPUT_STEP = 4096  #: bytes given to the output at once
MOST = 1 << 24  #: bytes of one buffer from the driver
ROOM_WAIT = 1.0  #: seconds after which a sender looks again
RETRY = 0.01  #: seconds until a busy output is asked again
CONTROL_IN, CONTROL_OUT = 2, 3
_CONTROL = struct.Struct("<IHH")

Output = Callable[[bytes], bool | None]


def discard(data: bytes) -> None:
    """The output of a port nobody listens to."""


def _nothing() -> None:
    """Nobody waits for room."""


@dataclass
class Channel:
    """What a port is connected to.

    ``output`` gets the driver's bytes, in the worker; False means that it cannot take them now.
    ``ready`` is called when input that waited has been taken.  ``console``: a terminal, with a size.
    """

    output: Output = discard
    ready: Callable[[], None] = _nothing
    name: str = ""
    console: bool = False
    opened: Callable[[bool], None] = lambda is_open: None


class Port:
    """One port of a console."""

    def __init__(self, console: Console, number: int, channel: Channel) -> None:
        self.number = number
        self.channel = channel
        self.guest_open = False
        self.host_open = True
        self.receive, self.transmit = queues_of(number)
        self.waiting = bytearray()
        self.unsent: tuple[Chain, int] | None = None  #: an output chain whose rest must wait
        self._console = console
        self._room = threading.Event()

    def send_all(self, data: bytes) -> int:
        """Queue bytes for the driver, waiting for room; fewer only if the driver closes the port."""
        sent = 0
        while self.guest_open and sent < len(data):
            self._room.clear()
            sent += self.send(data[sent:])
            if sent < len(data):
                self._room.wait(ROOM_WAIT)
        return sent

    def taken(self) -> None:
        """The driver has taken some of what waited, or is gone."""
        self._room.set()
        self.channel.ready()

    def send(self, data: bytes) -> int:
        """Queue bytes for the driver; how many were taken.  From any thread."""
        with self._console.queues[self.receive].lock:
            taken = data[: max(INPUT_LIMIT - len(self.waiting), 0)]
            self.waiting += taken
        if taken:
            self._console.schedule(self.receive)
        return len(taken)

    def hang_up(self) -> None:
        """The host's end is closed: a reader in the guest finds the end of file.  From any thread."""
        self.host_open = False
        self._console._tell(self.number, PORT_OPEN, 0)


def queues_of(number: int) -> tuple[int, int]:
    """(to the driver, from the driver) of a port."""
    return (0, 1) if number == 0 else (2 * number + 2, 2 * number + 3)


@virtio_device("console", id=3, class_code=0x078000)
class Console(Device):
    """A console with a port for each channel; ``size`` is (columns, rows)."""

    def __init__(self, channels: Sequence[Channel], size: tuple[int, int] = (80, 24)) -> None:
        self.size = size
        count = len(channels)
        super().__init__(
            [QUEUE_SIZE] * (2 * count + 2),
            F_SIZE | F_EMERG_WRITE | F_MULTIPORT,
            self._config(size, count),
        )
        self.counters.update(in_bytes=0, out_bytes=0, control=0)
        self.ports = [Port(self, number, channel) for number, channel in enumerate(channels)]
        self._by_queue = {index: port for port in self.ports for index in (port.receive, port.transmit)}
        self._messages: list[bytes] = []  #: control messages that wait for the driver

    @staticmethod
    def _config(size: tuple[int, int], ports: int) -> bytes:
        return struct.pack("<HHII", *size, ports, 0)

    # -- the host's side -------------------------------------------------------------------------

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has another size now.  From any thread."""
        self.size = columns, rows
        self.set_config(self._config(self.size, len(self.ports)))
        if self.has(F_MULTIPORT):
            for port in self.ports:
                if port.channel.console and port.guest_open:
                    self._tell_size(port)

    def _tell_size(self, port: Port) -> None:
        self._tell(port.number, RESIZE, 0, struct.pack("<HH", *self.size))

    def _tell(self, port: int, event: int, value: int, more: bytes = b"") -> None:
        """Queue a control message."""
        with self.queues[CONTROL_IN].lock:
            self._messages.append(_CONTROL.pack(port, event, value) + more)
        self.schedule(CONTROL_IN)

    # -- queues ------------------------------------------------------------------------------------

    def handle_queue(self, queue: Queue) -> None:
        """Whatever the queue is for."""
        port = self._by_queue.get(queue.index)
        if port is None:
            (self._send_control if queue.index == CONTROL_IN else self._take_control)(queue)
        elif queue.index == port.receive:
            self._send_input(port, queue)
        else:
            self._take_output(port, queue)

    def _send_input(self, port: Port, queue: Queue) -> None:
        sent = 0
        queue.suppress_notifications()
        while port.waiting:
            chain = queue.pop()
            if chain is None:
                if not queue.ask_for_notification():
                    break
                continue
            written = chain.write(bytes(port.waiting[: chain.writable_size]))
            del port.waiting[:written]
            queue.push(chain, written)
            sent += written
        if sent:
            self.counters["in_bytes"] += sent
            self.publish(queue)
            port.taken()

    def _take_output(self, port: Port, queue: Queue) -> None:
        """Hand on what the driver wrote; a busy output is tried again soon."""
        if port.unsent is not None and not self._hand_on(port, queue, *port.unsent):
            return
        for chain in queue.chains():
            if not self._hand_on(port, queue, chain, 0):
                return

    def _hand_on(self, port: Port, queue: Queue, chain: Chain, start: int) -> bool:
        """Give a chain's bytes from ``start`` on to the output; False if it has to wait."""
        if chain.readable_size > MOST:
            raise QueueError("more output in one buffer than a console takes")
        while data := chain.read_from(start, OUTPUT_STEP):
            if port.channel.output(data) is False:
                port.unsent = chain, start
                self.worker.call_later(RETRY, lambda: self.schedule(queue.index))
                return False
            start += len(data)
            self.counters["out_bytes"] += len(data)
        port.unsent = None
        queue.push(chain)
        self.publish(queue)
        return True

    # -- control -----------------------------------------------------------------------------------

    def _send_control(self, queue: Queue) -> None:
        sent = False
        queue.suppress_notifications()
        while self._messages:
            chain = queue.pop()
            if chain is None:
                if not queue.ask_for_notification():
                    break
                continue
            queue.push(chain, chain.write(self._messages.pop(0)))
            sent = True
        if sent:
            self.publish(queue)

    def _take_control(self, queue: Queue) -> None:
        for chain in queue.chains():
            message = chain.read(_CONTROL.size)
            queue.push(chain)
            self.publish(queue)
            if len(message) == _CONTROL.size:
                self.counters["control"] += 1
                self._obey(*_CONTROL.unpack(message))

    def _obey(self, number: int, event: int, value: int) -> None:
        if event == DEVICE_READY and value == 1:
            self._announce()
        elif number < len(self.ports):
            port = self.ports[number]
            if event == PORT_READY and value == 1:
                self._introduce(port)
            elif event == PORT_OPEN:
                self._opened(port, bool(value))

    def _announce(self) -> None:
        """Tell the driver of all ports, once: what is queued already is not queued again."""
        if not self._messages:
            for port in self.ports:
                self._tell(port.number, DEVICE_ADD, 0)

    def _introduce(self, port: Port) -> None:
        if len(self._messages) > 8 * len(self.ports):
            return  # a driver that asks and never listens
        if port.channel.console:
            self._tell(port.number, CONSOLE_PORT, 1)
            self._tell_size(port)
        if port.channel.name:
            self._tell(port.number, PORT_NAME, 1, port.channel.name.encode())
        if port.host_open:
            self._tell(port.number, PORT_OPEN, 1)

    def _opened(self, port: Port, is_open: bool) -> None:
        if is_open != port.guest_open:
            port.guest_open = is_open
            port.channel.opened(is_open)
            port.taken()

    # -- the base's hooks ------------------------------------------------------------------------

    def write_config(self, offset: int, data: bytes) -> None:
        """Emergency write: one character without a queue (5.3.4)."""
        if offset == 8 and data:
            self.ports[0].channel.output(data[:1])

    def on_reset(self) -> None:
        """Ports are closed; what waits for the driver stays for the next one."""
        self._messages.clear()
        for port in self.ports:
            port.unsent = None
            self._opened(port, False)

    def save_model(self) -> Any:
        """Plain data: size, messages, what waits in each port, how far its output is."""
        ports = [
            {
                "open": port.guest_open,
                "waiting": bytes(port.waiting),
                "start": port.unsent[1] if port.unsent else None,
            }
            for port in self.ports
        ]
        return {"size": list(self.size), "messages": list(self._messages), "ports": ports}

    def restore_model(self, data: Any) -> None:
        """Take it back; a chain that waited for the output is popped again."""
        self.size = data["size"][0], data["size"][1]
        self._messages[:] = data["messages"]
        for port, saved in zip(self.ports, data["ports"], strict=True):
            port.guest_open = saved["open"]
            port.waiting[:] = saved["waiting"]
            if saved["start"] is not None:
                self._resume(port, saved["start"])

    def _resume(self, port: Port, start: int) -> None:
        queue = self.queues[port.transmit]
        queue.unpop()
        chain = queue.pop()
        port.unsent = None if chain is None else (chain, start)

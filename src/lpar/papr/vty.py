# SPDX-License-Identifier: GPL-2.0-only
"""Virtual terminals: hvterm1 devices of the virtual I/O bus.

Source: PAPR 14.5.4.7 "Console hypercalls".  Both directions keep every byte in order:

* output is handed to ``output`` in pieces of up to 16 bytes; if that answers False the guest gets
  H_BUSY and tries again.  An accelerator may gather it first: it is flushed before anything else is
  written, and at the end;
* input waits in a bounded queue; whoever feeds it blocks (:meth:`Vty.send`) or learns how much
  was taken (:meth:`Vty.feed`).

The interrupt is an edge whenever bytes arrive.  A level would be a storm: Linux's hvc driver
leaves bytes in the queue while its tty is throttled, but ends the interrupt at once; it reads on by
itself until a read comes back short (drivers/tty/hvc/hvc_console.c).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lpar.papr.xics import Source

if TYPE_CHECKING:
    from lpar.accel.protocol import Natives, NativeTerminal

TERM_CHARS = 16  #: bytes that fit two registers
INPUT_LIMIT = 4096  #: bytes of input that wait before the sender must

Output = Callable[[bytes], bool | None]


def discard(data: bytes) -> None:
    """The output of a terminal nobody listens to."""


class Vty:
    """One virtual terminal at ``unit`` (its address on the bus, ``reg`` of its node)."""

    def __init__(self, unit: int, irq: Source, output: Output = discard) -> None:
        self.unit = unit
        self.irq = irq
        self.output = output
        self.interrupt_enabled = True
        self._input = bytearray()
        self._room = threading.Condition(threading.Lock())
        self._output_lock = threading.Lock()
        self._closed = False
        self._native: NativeTerminal | None = None

    def use(self, natives: Natives) -> None:
        """Leave the usual case of both hypercalls to the accelerator."""
        self._native = natives.terminal(self.unit, self._put)

    # -- the host's side --------------------------------------------------------------------

    def feed(self, data: bytes) -> int:
        """Queue as much of ``data`` as fits; the number of bytes taken."""
        with self._room:
            taken = self._take(data)
        if taken and self.interrupt_enabled:
            self.irq.pulse()
        return taken

    def send(self, data: bytes, timeout: float | None = None) -> int:
        """Queue all of ``data``, waiting for room.  ``timeout`` in seconds is for each wait.

        The number of bytes taken: less than all only after a timeout or :meth:`close`.
        """
        sent = 0
        while sent < len(data):
            sent += self.feed(data[sent:])
            if sent < len(data) and not self._wait_for_room(timeout):
                break
        return sent

    def close(self) -> None:
        """Let every waiting sender go: the guest will read no more."""
        with self._room:
            self._closed = True
            self._room.notify_all()
        if self._native is not None:
            self._native.close()

    def _take(self, data: bytes) -> int:
        free = max(INPUT_LIMIT - len(self._input), 0)
        piece = data[:free]
        self._input += piece
        self._tell()
        return len(piece)

    def _tell(self) -> None:
        """What the accelerator must know of the input; with the lock held."""
        if self._native is not None:
            self._native.set_input(bool(self._input))

    def _wait_for_room(self, timeout: float | None) -> bool:
        with self._room:
            self._room.wait_for(lambda: self._closed or len(self._input) < INPUT_LIMIT, timeout)
            return not self._closed and len(self._input) < INPUT_LIMIT

    # -- the guest's side -------------------------------------------------------------------

    def read(self, limit: int = TERM_CHARS) -> bytes:
        """Up to ``limit`` bytes of input, empty if there are none (H_GET_TERM_CHAR)."""
        if not self._input:  # the guest polls: no lock for the usual answer
            return b""
        with self._room:
            data = bytes(self._input[:limit])
            del self._input[:limit]
            self._tell()
            self._room.notify_all()
            return data

    def write(self, data: bytes) -> bool:
        """Hand ``data`` to the output; False if it cannot take it now (H_PUT_TERM_CHAR)."""
        return (self._native is None or self._native.flush()) and self._put(data)

    def _put(self, data: bytes) -> bool:
        with self._output_lock:
            return self.output(data) is not False

    # -- state ------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        """Plain data: the bytes that wait, and whether the interrupt is enabled."""
        with self._room:
            return {"input": bytes(self._input), "interrupt_enabled": self.interrupt_enabled}

    def restore(self, data: dict[str, Any]) -> None:
        """Take the state back; senders that waited look again."""
        with self._room:
            self._input[:] = data["input"]
            self._tell()
            self.interrupt_enabled = data["interrupt_enabled"]
            self._room.notify_all()

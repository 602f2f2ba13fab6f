# SPDX-License-Identifier: GPL-2.0-only
"""A command's standard streams and its exit status, through ports of a virtio console.

Four ports: ``lpar.stdin``, ``lpar.stdout``, ``lpar.stderr`` and ``lpar.status``, to which the guest
writes one number.  Bytes pass as they are.
"""

from __future__ import annotations

import os
import select
import threading

from lpar.virtio.console import Channel, Console, Port

CHUNK = 4096
LONGEST_STATUS = 8  #: bytes
WRITE_WAIT = 100  #: milliseconds that output waits for room before the guest must


class Streams:
    """Connects descriptors 0, 1 and 2 (or others) to a command in the guest."""

    def __init__(self, stdin: int | None = 0, stdout: int = 1, stderr: int = 2) -> None:
        self._stdin = stdin
        self._outputs = (stdout, stderr)
        self._gone: set[int] = set()
        self._status = b""
        self._room = threading.Event()
        self._opened = threading.Event()
        self._port: Port | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._reader = threading.Thread(target=self._read, name="stdin", daemon=True)

    def device(self) -> Console:
        """The console, for one boot of the machine."""
        stdout, stderr = self._outputs
        console = Console(
            [
                Channel(ready=self._room.set, opened=self._on_opened, name="lpar.stdin"),
                Channel(output=lambda data: self._write(stdout, data), name="lpar.stdout"),
                Channel(output=lambda data: self._write(stderr, data), name="lpar.stderr"),
                Channel(output=self._take_status, name="lpar.status"),
            ]
        )
        self._port = console.ports[0]
        return console

    @property
    def status(self) -> int | None:
        """The command's exit status; None when the guest has told none, or what is none."""
        text = self._status.strip()
        return int(text) if text.isdigit() and int(text) < 256 else None

    def close(self) -> None:
        """Read no more."""
        os.eventfd_write(self._wake, 1)
        self._opened.set()
        self._room.set()
        if self._reader.is_alive():
            self._reader.join(1.0)

    # -- called in the console's worker -----------------------------------------------------

    def _take_status(self, data: bytes) -> bool:
        self._status = (self._status + data)[:LONGEST_STATUS]
        return True

    def _write(self, fd: int, data: bytes) -> bool:
        """Write all, or nothing when there is no room; output that nobody reads is thrown away."""
        if fd in self._gone:
            return True
        room = select.poll()
        room.register(fd, select.POLLOUT)
        if not room.poll(WRITE_WAIT):
            return False
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(fd, view) :]
        except OSError:
            self._gone.add(fd)
        return True

    def _on_opened(self, is_open: bool) -> None:
        if is_open and not self._opened.is_set():
            self._opened.set()
            self._reader.start()

    # -- the reader's thread ----------------------------------------------------------------

    def _read(self) -> None:
        while data := self._next():
            while data and not self._ended():
                self._room.clear()
                data = data[self._port.send(data) if self._port else len(data) :]
                if data:
                    self._room.wait(1.0)
        if self._port is not None and not self._ended():
            while self._port.waiting and not self._ended():
                self._room.wait(0.05)
            self._port.hang_up()

    def _ended(self) -> bool:
        return bool(select.select([self._wake], [], [], 0)[0])

    def _next(self) -> bytes:
        """Some input; empty at its end."""
        if self._stdin is None:
            return b""
        ready = select.select([self._stdin, self._wake], [], [])[0]
        if self._wake in ready:
            return b""
        try:
            return os.read(self._stdin, CHUNK)
        except OSError:
            return b""

# SPDX-License-Identifier: GPL-2.0-only
"""The user's side of the guest's console: a terminal in raw mode, or plain pipes.

On a terminal all keys go to the guest; Ctrl-a leads the few that are for lpar.  On a pipe bytes
pass as they are in both directions.  The terminal's settings are put back by ``close``, and by the
interpreter's end whatever happens before it.

Descriptors are never made non-blocking: they are shared with the shell that started us.
"""

from __future__ import annotations

import atexit
import enum
import os
import select
import termios
import threading
from collections.abc import Callable

from lpar.errors import HostError

CTRL_A = 0x01
READ_SIZE = 4096  #: bytes of input taken at once
WRITE_WAIT = 100  #: milliseconds that output waits for room before the guest is told to try again

KEYS_HELP = (
    "Ctrl-a x  end the guest\r\n"
    "Ctrl-a b  break: the next key is a SysRq command\r\n"
    "Ctrl-a p  pause, and go on\r\n"
    "Ctrl-a d  show registers, code and stack of every CPU\r\n"
    "Ctrl-a n  system reset interrupt (NMI) on every CPU\r\n"
    "Ctrl-a h  this help\r\n"
    "Ctrl-a Ctrl-a  a Ctrl-a for the guest\r\n"
)


class Key(enum.Enum):
    """What the user asks of lpar by a key after Ctrl-a."""

    EXIT = "x"
    HELP = "h"
    BREAK = "b"
    PAUSE = "p"
    DUMP = "d"
    NMI = "n"


_KEYS = {ord(key.value): key for key in Key}


class KeyFilter:
    """Separates what is for the guest from what is for lpar: bytes in, bytes and Keys out, in order.

    A key that means nothing after Ctrl-a is swallowed with it.
    """

    def __init__(self) -> None:
        self._escaped = False

    def feed(self, data: bytes) -> list[bytes | Key]:
        """Take the next bytes from the terminal; a Ctrl-a at the end waits for its key."""
        out: list[bytes | Key] = []
        plain = bytearray()
        for byte in data:
            key = self._take(byte, plain)
            if key is not None:
                _flush(plain, out)
                out.append(key)
        _flush(plain, out)
        return out

    def _take(self, byte: int, plain: bytearray) -> Key | None:
        if not self._escaped:
            if byte == CTRL_A:
                self._escaped = True
            else:
                plain.append(byte)
            return None
        self._escaped = False
        if byte == CTRL_A:
            plain.append(byte)
        return _KEYS.get(byte)


def _flush(plain: bytearray, out: list[bytes | Key]) -> None:
    if plain:
        out.append(bytes(plain))
        plain.clear()


class RawMode:
    """Raw mode of the terminal behind ``fd``, from ``enter`` to ``leave``.

    Output processing stays on, so that lpar's own lines look right beside the guest's.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: list[int | list[bytes | int]] | None = None

    def enter(self) -> None:
        """Remember the settings and go raw.  Raises HostError if the terminal refuses."""
        try:
            saved = termios.tcgetattr(self._fd)
            raw = termios.tcgetattr(self._fd)
            raw[0] &= ~_INPUT_OFF
            raw[3] &= ~_LOCAL_OFF
            raw[6][termios.VMIN] = 1
            raw[6][termios.VTIME] = 0
            termios.tcsetattr(self._fd, termios.TCSADRAIN, raw)
        except termios.error as err:
            raise HostError(f"cannot set up the terminal: {err.args[-1]}") from None
        self._saved = saved
        atexit.register(self.leave)

    def leave(self) -> None:
        """Put the settings back as they were; again is no harm.  A terminal that is gone is no error."""
        saved, self._saved = self._saved, None
        if saved is None:
            return
        atexit.unregister(self.leave)
        try:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, saved)
        except termios.error:
            pass


_INPUT_OFF = (
    termios.IGNBRK
    | termios.BRKINT
    | termios.PARMRK
    | termios.ISTRIP
    | termios.INLCR
    | termios.IGNCR
    | termios.ICRNL
    | termios.IXON
)
_LOCAL_OFF = termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN


def in_foreground(fd: int) -> bool:
    """Whether ``fd`` is a terminal that we may read and set: a background job would be stopped."""
    try:
        return os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


def ensure_standard_fds() -> None:
    """Open /dev/null for each of 0, 1, 2 that is closed, so that no other file takes its number."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def size_of(fd: int) -> tuple[int, int]:
    """(columns, rows) of a terminal; 80 by 24 where there is none."""
    try:
        size = os.get_terminal_size(fd)
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24


class Console:
    """Bytes between the guest's console and two descriptors of the host.

    ``on_key`` is called in the reader's thread for each Key but HELP, which the console answers
    itself; ``on_lost`` when nobody reads the output any more.
    """

    def __init__(
        self,
        on_key: Callable[[Key], None],
        on_lost: Callable[[], None],
        *,
        input_fd: int = 0,
        output_fd: int = 1,
        message_fd: int = 2,
    ) -> None:
        self._on_key = on_key
        self._on_lost = on_lost
        self._input, self._output, self._message = input_fd, output_fd, message_fd
        self._raw = RawMode(input_fd)
        self._keys: KeyFilter | None = None
        self._reader: threading.Thread | None = None
        self._wake: tuple[int, int] | None = None
        self._lost = False
        self._room = select.poll()
        self._room.register(output_fd, select.POLLOUT)

    def size(self) -> tuple[int, int]:
        """(columns, rows) of the terminal that shows the output."""
        return size_of(self._output)

    def start(self, feed: Callable[[bytes], object]) -> None:
        """Begin to read; ``feed`` gets the guest's input and may block until there is room.

        Raises HostError if the terminal cannot be made raw.
        """
        if os.isatty(self._input):
            if not in_foreground(self._input):
                return
            self._raw.enter()
            self._keys = KeyFilter()
        self._wake = os.pipe()
        self._reader = threading.Thread(target=self._read, args=(feed,), name="console", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Stop reading and restore the terminal; again is no harm."""
        self._raw.leave()
        reader, self._reader = self._reader, None
        if reader is None or self._wake is None:
            return
        os.write(self._wake[1], b"x")
        if reader is not threading.current_thread():
            reader.join(1.0)
        if not reader.is_alive():
            for fd in self._wake:
                os.close(fd)
        self._wake = None

    # -- input ------------------------------------------------------------------------------

    def _read(self, feed: Callable[[bytes], object]) -> None:
        assert self._wake is not None
        wake = self._wake[0]
        ready = select.poll()
        ready.register(self._input, select.POLLIN)
        ready.register(wake, select.POLLIN)
        while True:
            if any(fd == wake for fd, _ in ready.poll()):
                return
            data = self._take()
            if not data:
                return
            self._pass_on(data, feed)

    def _take(self) -> bytes:
        """Some input; empty at its end.  A terminal that hung up reads as EIO."""
        try:
            return os.read(self._input, READ_SIZE)
        except OSError:
            return b""

    def _pass_on(self, data: bytes, feed: Callable[[bytes], object]) -> None:
        if self._keys is None:
            feed(data)
            return
        for item in self._keys.feed(data):
            if isinstance(item, bytes):
                feed(item)
            elif item is Key.HELP:
                self._show(KEYS_HELP)
            else:
                self._on_key(item)

    def _show(self, text: str) -> None:
        try:
            os.write(self._message, b"\r\n" + text.encode())
        except OSError:
            pass

    # -- output -----------------------------------------------------------------------------

    def write(self, data: bytes) -> bool:
        """Write all of ``data``; False, and nothing written, when there is no room for a while.

        Output that nobody reads any more is thrown away, and ``on_lost`` told once.
        """
        if self._lost:
            return True
        if not self._room.poll(WRITE_WAIT):
            return False
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._output, view) :]
        except BlockingIOError:
            return self._write_rest(view)
        except OSError:
            self._lose()
        return True

    def _write_rest(self, view: memoryview) -> bool:
        """Somebody else made the output non-blocking: wait for room, however long it takes."""
        try:
            while view:
                self._room.poll()
                try:
                    view = view[os.write(self._output, view) :]
                except BlockingIOError:
                    continue
        except OSError:
            self._lose()
        return True

    def _lose(self) -> None:
        self._lost = True
        self._on_lost()

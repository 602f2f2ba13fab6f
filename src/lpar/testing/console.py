# SPDX-License-Identifier: GPL-2.0-only
"""A console matcher: starts a program, types at it, and waits for what it prints.

>>> with Session(["cat"]) as cat:
...     cat.send("hello")
...     _ = cat.expect("hello")

No sleeping: every wait ends as soon as the text is there, with an error that shows the last lines
when it does not come, or when the program ends first.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

DEFAULT_TIMEOUT = 120.0  #: seconds that one ``expect`` waits


class ConsoleError(AssertionError):
    """What was expected did not come."""


class Session:
    """A running program; on pipes, or with ``terminal`` on a pseudo-terminal of its own.

    ``env`` is its whole environment, ours unless given.  ``stderr`` holds, after ``wait``, what it
    wrote there.
    """

    def __init__(
        self, command: Sequence[str], *, terminal: bool = False, env: Mapping[str, str] | None = None
    ) -> None:
        self._env = env
        self.stderr = ""
        self.output = bytearray()  #: all that was printed so far
        self._at = 0  #: how much of it has been matched
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.terminal: int | None = None  #: the follower's side, to look at its settings
        if terminal:
            self._start_on_terminal(command)
        else:
            self._start_on_pipes(command)

    def _start_on_pipes(self, command: Sequence[str]) -> None:
        child_input, self._input = os.pipe()
        self._output, child_output = os.pipe()
        self.process = subprocess.Popen(
            command,
            stdin=child_input,
            stdout=child_output,
            stderr=self._errors,
            start_new_session=True,
            env=self._env,
        )
        os.close(child_input)
        os.close(child_output)

    def _start_on_terminal(self, command: Sequence[str]) -> None:
        """The child becomes a session leader whose controlling terminal is the new one."""
        leader, self.terminal = pty.openpty()
        self._input = self._output = leader
        become = [sys.executable, "-c", _ON_TERMINAL, *command]
        self.process = subprocess.Popen(
            become,
            stdin=self.terminal,
            stdout=self.terminal,
            stderr=self._errors,
            start_new_session=True,
            env=self._env,
        )

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, line: str) -> None:
        """Type a line."""
        self.send_bytes(line.encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        """Type these bytes."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._input, view) :]

    def close_input(self) -> None:
        """End of input (pipes only)."""
        if self._input >= 0:
            os.close(self._input)
        self._input = -1

    def expect(self, pattern: str, timeout: float = DEFAULT_TIMEOUT) -> re.Match[str]:
        """Wait for the regular expression in what was printed since the last match.

        Raises ConsoleError after ``timeout`` seconds, or when the program ends first.
        """
        wanted = re.compile(pattern)
        deadline = time.monotonic() + timeout
        while True:
            text = self.output[self._at :].decode("latin-1")
            if match := wanted.search(text):
                self._at += match.end()
                return match
            if not self._read(deadline):
                raise ConsoleError(f"no {pattern!r} {self._why(deadline)}; last lines:\n{self._tail()}")

    def read(self, count: int, timeout: float = DEFAULT_TIMEOUT) -> bytes:
        """The next ``count`` bytes that it prints.  Raises ConsoleError as ``expect``."""
        deadline = time.monotonic() + timeout
        while len(self.output) < self._at + count:
            if not self._read(deadline):
                got = f"{len(self.output) - self._at} bytes of {count}"
                raise ConsoleError(f"{got} {self._why(deadline)}; last lines:\n{self._tail()}")
        data = bytes(self.output[self._at : self._at + count])
        self._at += count
        return data

    def close_output(self) -> None:
        """Stop reading: the program's next output finds nobody (pipes only)."""
        if self._output >= 0:
            os.close(self._output)
        self._output = -1

    def wait(self, timeout: float = DEFAULT_TIMEOUT) -> int:
        """Read to the end; the exit status.  Raises ConsoleError when it does not end in time."""
        deadline = time.monotonic() + timeout
        while self._read(deadline):
            pass
        try:
            status = self.process.wait(max(deadline - time.monotonic(), 1.0))
        except subprocess.TimeoutExpired:
            raise ConsoleError(f"still running after {timeout:g} s; last lines:\n{self._tail()}") from None
        self._errors.seek(0)
        self.stderr = self._errors.read().decode(errors="replace")
        return status

    def kill(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the program alone."""
        self.process.send_signal(number)

    def close(self) -> None:
        """Kill it if it still runs; again is no harm."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        fds = {self._input, self._output, -1 if self.terminal is None else self.terminal} - {-1}
        for fd in fds:
            os.close(fd)
        self._input = self._output = -1
        self.terminal = None
        self._errors.close()

    def _read(self, deadline: float) -> bool:
        """Take some output; False at its end or at the deadline."""
        if self._output < 0:
            return False
        left = max(deadline - time.monotonic(), 0)
        if self.terminal is not None and self.process.poll() is not None:
            left = 0  # our copy of the follower keeps the terminal open: there is no end of file
        if not select.select([self._output], [], [], min(left, 0.2) if self.terminal is not None else left)[
            0
        ]:
            return left > 0.2 and self.terminal is not None and time.monotonic() < deadline
        try:
            data = os.read(self._output, 65536)
        except OSError:
            data = b""
        self.output += data
        return bool(data)

    def _why(self, deadline: float) -> str:
        return "in time" if time.monotonic() >= deadline else "before the end"

    def _tail(self) -> str:
        self._errors.seek(0)
        lines = self.output.splitlines()[-15:] + self._errors.read().splitlines()[-5:]
        return "\n".join(line.decode(errors="replace") for line in lines)


#: Makes the terminal on descriptor 0 the controlling one, then becomes the command.
_ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""

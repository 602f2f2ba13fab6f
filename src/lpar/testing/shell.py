# SPDX-License-Identifier: GPL-2.0-only
"""A shell in a booted guest: one command at a time, its output and its status."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lpar.testing.console import DEFAULT_TIMEOUT, ConsoleError, Session

LPAR: tuple[str, ...] = (sys.executable, "-m", "lpar")  #: the program as a user starts it
PROMPT = r"~ # "  #: of the guests' shell
PROMPT_ANSWER = 0.03  #: seconds in which a host with nothing else to do has a command's output
BOOT_TIMEOUT = 240.0  #: seconds to the prompt, on a slow host that tests other things beside


class Shell:
    """The shell of the guest that runs in ``session``.

    >>> shell = Shell(Session([*LPAR, "boot", "debian"]))  # doctest: +SKIP
    >>> shell.run("uname -m")  # doctest: +SKIP
    'ppc64le'
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def ready(self, timeout: float = BOOT_TIMEOUT) -> Shell:
        """Wait for the prompt, then keep the kernel's messages off the terminal.

        Raises ConsoleError if no prompt comes.
        """
        self.session.expect(PROMPT, timeout)
        self.run("dmesg -n 1")
        return self

    def run(self, line: str, timeout: float = DEFAULT_TIMEOUT) -> str:
        """Run a line; what it printed, with plain line ends.

        Raises ConsoleError when it fails or does not end in time.
        """
        status, output = self.try_run(line, timeout)
        if status:
            raise ConsoleError(f"status {status} of {line!r} in the guest:\n{output}")
        return output

    def try_run(self, line: str, timeout: float = DEFAULT_TIMEOUT) -> tuple[int, str]:
        """Run a line; its status and what it printed.

        The line must not end in ``&``.  The quotes in the marks keep the terminal's echo of the line
        from being taken for them.
        """
        self.session.send(f"echo '<'out'>'; {line}; echo '<'end $?'>'")
        self.session.expect(r"<out>\r*\n", timeout)
        found = self.session.expect(r"<end (\d+)>\r*\n", timeout)
        printed = found.string[: found.start()]
        self.session.expect(PROMPT, timeout)
        return int(found[1]), re.sub(r"\r+\n", "\n", printed).rstrip("\n")

    def power_off(self, timeout: float = DEFAULT_TIMEOUT) -> int:
        """Switch the guest off; the exit status of lpar."""
        self.session.send("poweroff -f")
        return self.session.wait(timeout)

    def uptime(self) -> tuple[float, float]:
        """(host's, guest's) seconds at one moment, good to some 10 ms: the quickest of a few answers, or of
        many on a busy host."""
        answers = [self._uptime() for _ in range(8)]
        while min(answers)[0] > PROMPT_ANSWER and len(answers) < 40:
            answers.append(self._uptime())
        return min(answers)[1:]

    def _uptime(self) -> tuple[float, float, float]:
        begin = time.monotonic()
        seconds = float(self.run("cat /proc/uptime").split()[0])
        took = time.monotonic() - begin
        return took, begin + took / 2, seconds


def resident(pid: int) -> int:
    """Bytes of RAM that a process of the host holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU time that a process of the host has used, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def boot_debian(*args: str, terminal: bool = False, command: Sequence[str] = LPAR) -> Shell:
    """Start ``lpar boot debian`` with these options; the shell is not ready yet."""
    return Shell(Session([*command, "boot", "debian", *args], terminal=terminal))

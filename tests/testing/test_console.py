# SPDX-License-Identifier: GPL-2.0-only
"""The console matcher, on programs of the host."""

from __future__ import annotations

import signal
import sys
import termios

import pytest

from lpar.testing.console import ConsoleError, Session


def test_pipes() -> None:
    with Session(["sh", "-c", "read a; echo got $a; read b; echo and $b; echo oops >&2; exit 3"]) as session:
        session.send("one")
        assert session.expect(r"got (\w+)")[1] == "one"
        session.send("two")
        session.expect("and two")
        assert session.wait() == 3
        assert session.stderr == "oops\n"
        assert session.output == b"got one\nand two\n"


def test_matches_in_order() -> None:
    with Session(["echo", "a b a"]) as session:
        session.expect("a")
        session.expect("a")
        with pytest.raises(ConsoleError, match=r"no 'a' before the end; last lines:\na b a"):
            session.expect("a")


def test_too_late() -> None:
    with Session(["sh", "-c", "echo here; exec cat"]) as session:
        session.expect("here")
        with pytest.raises(ConsoleError, match=r"in time; last lines:\nhere"):
            session.expect("never", timeout=0.05)
        with pytest.raises(ConsoleError, match="still running"):
            session.wait(timeout=0.05)
        session.close_input()
        assert session.wait() == 0


CATCHER = """
import os, signal, sys
def caught(number, frame):
    os.write(1, b"caught\\n")
    sys.exit(4)
signal.signal(signal.SIGINT, caught)
print(os.ttyname(0), "ready", flush=True)
signal.pause()
"""


def test_terminal() -> None:
    """The program has a controlling terminal: Ctrl-C reaches it as a signal."""
    with Session([sys.executable, "-c", CATCHER], terminal=True) as session:
        session.expect("/dev/pts/[0-9]+ ready")
        assert session.terminal is not None and termios.tcgetattr(session.terminal)[3] & termios.ECHO
        session.send_bytes(b"\x03")
        session.expect("caught")
        assert session.wait() == 4


@pytest.mark.parametrize("terminal", [False, True])
def test_kill(terminal: bool) -> None:
    with Session(["sh", "-c", "echo up; exec sleep 100"], terminal=terminal) as session:
        session.expect("up")
        session.kill(signal.SIGTERM)
        assert session.wait() == -signal.SIGTERM

# SPDX-License-Identifier: GPL-2.0-only
"""The console on a pseudo-terminal and on pipes."""

from __future__ import annotations

import os
import pty
import queue
import subprocess
import sys
import termios
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lpar
from lpar.host.tty import Console, Key, KeyFilter, RawMode, ensure_standard_fds

TIMEOUT = 5.0


@pytest.mark.parametrize(
    ("data", "out"),
    [
        (b"ls\r", [b"ls\r"]),
        (b"\x01x", [Key.EXIT]),
        (b"a\x01hb\x01bc", [b"a", Key.HELP, b"b", Key.BREAK, b"c"]),
        (b"\x01\x01", [b"\x01"]),
        (b"a\x01\x01x", [b"a\x01x"]),
        (b"a\x01zb", [b"ab"]),
        (b"\x01", []),
        (b"", []),
    ],
)
def test_keys(data: bytes, out: list[bytes | Key]) -> None:
    assert KeyFilter().feed(data) == out


@given(st.binary(), st.integers(0, 20))
def test_keys_in_pieces(data: bytes, cut: int) -> None:
    """However the bytes are cut, the same comes out."""
    pieces = KeyFilter()
    assert joined(pieces.feed(data[:cut]) + pieces.feed(data[cut:])) == joined(KeyFilter().feed(data))


def joined(items: list[bytes | Key]) -> list[bytes | Key]:
    return [
        piece
        for item in items
        for piece in ([bytes([b]) for b in item] if isinstance(item, bytes) else [item])
    ]


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    leader, follower = pty.openpty()
    yield leader, follower
    os.close(leader)
    os.close(follower)


@pytest.fixture
def in_foreground(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pseudo-terminal is not the controlling one of the test."""
    monkeypatch.setattr("lpar.host.tty.in_foreground", os.isatty)


def test_raw_mode_and_back(terminal: tuple[int, int]) -> None:
    before = termios.tcgetattr(terminal[1])
    raw = RawMode(terminal[1])
    raw.enter()
    inside = termios.tcgetattr(terminal[1])
    assert not inside[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert not inside[0] & (termios.ICRNL | termios.IXON)
    assert inside[1] == before[1]
    raw.leave()
    raw.leave()
    assert termios.tcgetattr(terminal[1]) == before


def test_terminal(terminal: tuple[int, int], in_foreground: None) -> None:
    """Keys of lpar are taken out, all else goes to the guest; help is shown."""
    leader, follower = terminal
    before = termios.tcgetattr(follower)
    fed: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    keys: queue.SimpleQueue[Key] = queue.SimpleQueue()
    console = Console(keys.put, lambda: None, input_fd=follower, output_fd=follower, message_fd=follower)
    console.start(fed.put)
    os.write(leader, b"\x03\x01h")
    assert fed.get(timeout=TIMEOUT) == b"\x03"
    assert b"Ctrl-a x" in os.read(leader, 1000)
    os.write(leader, b"\x01x")
    assert keys.get(timeout=TIMEOUT) is Key.EXIT
    assert console.write(b"guest\n")
    shown = b""
    while not shown.endswith(b"\n"):  # a terminal may give it in pieces
        shown += os.read(leader, 1000)
    assert shown == b"guest\r\n"
    console.close()
    console.close()
    assert termios.tcgetattr(follower) == before


def test_background_terminal_is_left_alone(terminal: tuple[int, int]) -> None:
    """The pseudo-terminal is not ours to read: no raw mode, no reader."""
    before = termios.tcgetattr(terminal[1])
    console = Console(print, print, input_fd=terminal[1], output_fd=terminal[1])
    console.start(print)
    assert termios.tcgetattr(terminal[1]) == before
    console.close()


def test_pipe_passes_every_byte() -> None:
    reader, writer = os.pipe()
    out_reader, out_writer = os.pipe()
    fed: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    console = Console(print, print, input_fd=reader, output_fd=out_writer)
    console.start(fed.put)
    data = bytes(range(256))
    os.write(writer, data)
    got = b""
    while len(got) < len(data):
        got += fed.get(timeout=TIMEOUT)
    assert got == data
    os.close(writer)
    assert console.write(data)
    assert os.read(out_reader, 1000) == data
    console.close()
    for fd in (reader, out_reader, out_writer):
        os.close(fd)


def test_slow_reader_gets_all_in_order() -> None:
    """A full pipe makes ``write`` refuse; nothing is lost when the refused is written again."""
    reader, writer = os.pipe()
    console = Console(print, print, input_fd=reader, output_fd=writer)
    pieces = [b"%07d\n" % n for n in range(30000)]
    refused = 0

    def guest() -> None:
        nonlocal refused
        for piece in pieces:
            while not console.write(piece):
                refused += 1
        os.close(writer)

    thread = threading.Thread(target=guest)
    thread.start()
    while not refused:
        pass
    with open(reader, "rb") as file:
        assert file.read() == b"".join(pieces)
    thread.join()


def test_nobody_reads() -> None:
    """Output to a closed pipe is thrown away, and told once."""
    reader, writer = os.pipe()
    os.close(reader)
    lost: list[int] = []
    console = Console(print, lambda: lost.append(1), input_fd=writer, output_fd=writer)
    assert console.write(b"a") and console.write(b"b")
    assert lost == [1]
    os.close(writer)


def test_closed_standard_descriptors() -> None:
    code = "from lpar.host.tty import ensure_standard_fds as e; e(); import os; os.fstat(0); os.fstat(1)"
    source = str(Path(lpar.__file__).parent.parent)
    shell = f"exec {sys.executable} -c '{code}' <&- >&-"
    subprocess.run(["sh", "-c", shell], env={"PYTHONPATH": source}, check=True)
    ensure_standard_fds()


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise ValueError", "raise KeyboardInterrupt"])
def test_restored_however_it_ends(end: str, terminal: tuple[int, int]) -> None:
    follower = terminal[1]
    before = termios.tcgetattr(follower)
    code = textwrap.dedent(f"""
        import sys, termios
        from lpar.host.tty import RawMode
        RawMode(0).enter()
        assert not termios.tcgetattr(0)[3] & termios.ECHO
        {end}
    """)
    source = str(Path(lpar.__file__).parent.parent)
    words = [sys.executable, "-c", code]
    done = subprocess.run(
        words, env={"PYTHONPATH": source}, stdin=follower, stderr=subprocess.DEVNULL, check=False
    )
    assert done.returncode != 0
    assert termios.tcgetattr(follower) == before

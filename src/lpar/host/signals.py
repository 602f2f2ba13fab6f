# SPDX-License-Identifier: GPL-2.0-only
"""Signals that ask lpar to end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@contextlib.contextmanager
def window_changes(on_change: Callable[[], None]) -> Iterator[None]:
    """Call ``on_change`` when the terminal gets another size, while the block runs.

    Outside the main thread nothing is changed, as with ``ending_signals``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda number, frame: on_change())
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


@contextlib.contextmanager
def ending_signals(on_signal: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call ``on_signal`` for each of ENDING while the block runs, then put the old handlers back.

    A signal that was ignored when we came (``nohup``) stays ignored.  Outside the main thread,
    where Python handles no signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        on_signal(signal.Signals(number))

    wanted = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, handle)) for number in wanted]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)

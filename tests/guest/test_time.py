# SPDX-License-Identifier: GPL-2.0-only
"""The guest's clocks, and what a guest costs that has nothing to do."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.guest.conftest import Idle, wait_until

from lpar.testing.shell import Shell, cpu_seconds

MINUTE = 60.0  #: seconds
WINDOW = 20.0  #: seconds that idleness is measured for
QUIET = 0.03  #: of a host core


def test_wall_clock(shared: Shell) -> None:
    """The guest reads the host's time at its boot, through RTAS."""
    before = time.time()
    told = int(shared.run("date +%s"))
    assert before - 3 < told < time.time() + 3


def test_sleep(shared: Shell) -> None:
    """Timers fire when they should: never early, and not late by a second unless the host is busy."""
    for _ in range(10):
        begin = time.monotonic()
        shared.run("sleep 1; sleep 1; sleep 1")
        took = time.monotonic() - begin
        assert took >= 3.0
        if took < 4.0:
            return
    pytest.fail(f"three seconds of sleep take {took:.1f} s, ten times")


def test_idle_guest_and_its_clock(idle: Idle) -> None:
    """Over a minute and more: clocks within 0.1 % of the host's, and in the end under 3 % of a host core.

    At first the engine may still be compiling what was hot during the boot.
    """
    wait_until(idle.host + MINUTE - WINDOW)
    busy = min(_until_quiet(idle.shell.session.process.pid))
    host, guest = idle.shell.uptime()
    drift = (guest - idle.guest) / (host - idle.host) - 1
    print(f"idle guest: {busy:.2%} of a core; clock {drift:+.4%} over {host - idle.host:.0f} s")
    assert busy < QUIET
    assert abs(drift) < 0.001
    assert idle.shell.power_off() == 0


def _until_quiet(pid: int) -> Iterator[float]:
    """The part of a host core that the process used in each of up to six windows, until one is quiet."""
    for _ in range(6):
        used, begin = cpu_seconds(pid), time.monotonic()
        wait_until(begin + WINDOW)
        busy = (cpu_seconds(pid) - used) / (time.monotonic() - begin)
        yield busy
        if busy < QUIET:
            return

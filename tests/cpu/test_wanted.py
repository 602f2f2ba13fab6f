# SPDX-License-Identifier: GPL-2.0-only
"""What is compiled next: what is hot now, before what was hot once."""

from __future__ import annotations

import threading

from lpar.cpu.wanted import HALF, LARGEST, THRESHOLD, Wanted


class Clock:
    """Seconds that tests move."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


def sampled(wanted: Wanted, record: int, times: int) -> None:
    for _ in range(times):
        wanted.sample(record)


def test_the_hottest_first() -> None:
    wanted = Wanted(clock=Clock())
    sampled(wanted, 8, THRESHOLD)
    sampled(wanted, 16, THRESHOLD * 2)
    sampled(wanted, 24, THRESHOLD - 1)
    assert [wanted.take(), wanted.take()] == [16, 8]


def test_what_was_hot_once_waits() -> None:
    clock = Clock()
    wanted = Wanted(clock=clock)
    sampled(wanted, 8, 1000)
    clock.now += 10 * HALF
    sampled(wanted, 16, THRESHOLD)
    assert [wanted.take(), wanted.take()] == [16, 8]


def test_weights_do_not_overflow() -> None:
    """Samples over hours keep their order."""
    clock = Clock()
    wanted = Wanted(clock=clock)
    for round in range(6):
        sampled(wanted, 8, THRESHOLD)
        sampled(wanted, 100 + round, THRESHOLD)
        clock.now += 0.9 * LARGEST * HALF
    sampled(wanted, 24, THRESHOLD)
    assert wanted.take() == 24
    assert {wanted.take() for _ in range(7)} == {8, *range(100, 106)}


def test_wants_of_the_engine_itself() -> None:
    wanted = Wanted(clock=Clock())
    sampled(wanted, 8, THRESHOLD)
    wanted.want(16, 8)
    wanted.want(0)
    assert wanted.take() == 0
    assert {wanted.take(), wanted.take()} == {8, 16}


def test_close_wakes_who_waits() -> None:
    wanted = Wanted()
    taken: list[int | None] = [1]
    thread = threading.Thread(target=lambda: taken.append(wanted.take()))
    thread.start()
    wanted.close()
    thread.join(10)
    assert taken == [1, None]

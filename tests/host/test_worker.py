# SPDX-License-Identifier: GPL-2.0-only
"""The thread of a device: posted work, descriptors, timers, errors, its end."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from lpar.host.worker import READ, Worker

WAIT = 20.0  #: seconds until a test gives up


@pytest.fixture
def errors() -> list[Exception]:
    return []


@pytest.fixture
def worker(errors: list[Exception]) -> Iterator[Worker]:
    made = Worker("test", errors.append)
    yield made
    assert made.stop()
    assert made.stop()
    made.post(lambda: None)  # nobody is there any more


def test_posts_from_many_threads(worker: Worker) -> None:
    """None is lost, whenever it comes."""
    worker.start()
    done, all_done, count = [0], threading.Event(), 4 * 500

    def work() -> None:
        done[0] += 1
        if done[0] == count:
            all_done.set()

    def poster() -> None:
        for _ in range(500):
            worker.post(work)

    threads = [threading.Thread(target=poster) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert all_done.wait(WAIT)
    for thread in threads:
        thread.join()


def test_descriptors(worker: Worker) -> None:
    """Called while there is something to read; not after ``unwatch``."""
    reader, writer = os.pipe()
    got, heard = b"", threading.Event()

    def ready(events: int) -> None:
        nonlocal got
        got += os.read(reader, 100)
        heard.set()

    worker.watch(reader, READ, ready)
    worker.start()
    os.write(writer, b"one")
    assert heard.wait(WAIT)
    quiet = threading.Event()

    def forget() -> None:
        worker.unwatch(reader)
        quiet.set()

    worker.post(forget)
    assert quiet.wait(WAIT)
    os.write(writer, b"two")
    flushed = threading.Event()
    worker.post(flushed.set)
    assert flushed.wait(WAIT)
    assert got == b"one"
    os.close(reader)
    os.close(writer)


def test_timers(worker: Worker) -> None:
    """In the order of their times; a cancelled one is not called."""
    order: list[int] = []
    last = threading.Event()
    worker.call_later(0.02, lambda: order.append(2))
    worker.call_later(0.001, lambda: order.append(1))
    worker.call_later(0.001, lambda: order.append(9)).cancel()
    worker.call_later(0.03, last.set)
    worker.start()
    assert last.wait(WAIT)
    assert order == [1, 2]


def test_an_error_is_told_and_the_worker_goes_on(worker: Worker, errors: list[Exception]) -> None:
    def broken() -> None:
        raise ValueError("as told")

    after = threading.Event()
    worker.post(broken)
    worker.post(after.set)
    worker.start()
    assert after.wait(WAIT)
    assert [str(error) for error in errors] == ["as told"]

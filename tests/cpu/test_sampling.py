# SPDX-License-Identifier: GPL-2.0-only
"""Who asks for samples when, and what a refusal costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.cpu.runner import LE, ME, SF, Bench

from lpar.cpu import decoder, jit, layout
from lpar.cpu.region_worker import Compiler


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 30) -> None:
    """Fails with ``what`` if it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


@contextmanager
def running(bench: Bench, lines: list[str], **regs: int) -> Iterator[None]:
    """An endless program runs meanwhile, with interrupts off: what is pending stays so."""
    bench.start(lines, msr=SF | ME | LE, **regs)
    guest = threading.Thread(target=bench.thread.run)
    guest.start()
    try:
        yield
    finally:
        bench.cpu.kick()
        guest.join(20)
    assert not guest.is_alive()


@pytest.mark.parametrize("bits", [0, layout.REQ_SAMPLE])
def test_the_timer_asks_for_a_sample(bench: Bench, bits: int) -> None:
    """With the interrupt of a deadline that has passed, and only when it is told to."""
    state = bench.thread.state
    bench.engine.share("tick_requests", bits)
    state.set("dec_level", 0)
    with running(bench, ["mtdec 3", "b ."], r3=500_000):
        wait_for("no poll sees the decrementer", lambda: state.get("dec_level") == 1)
    assert bool(state.get("n_samples")) == bool(bits)


def test_the_sampler_rests_while_nothing_is_new(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "CALM", 4)
    if not bench.start_jit():
        pytest.skip("no compiled tier here")
    with running(bench, ["b ."]):
        asked = bench.engine.shared_value
        wait_for("the sampler never rests", lambda: asked("tick_requests") == layout.REQ_SAMPLE)
        monkeypatch.setattr(jit, "CALM", 1 << 30)  # once awake it stays so
        bench.engine.jit.compiled += 1  # news
        wait_for("news do not wake it", lambda: asked("tick_requests") == 0)


def test_one_decoder_serves_all_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """To make one takes 11 ms, a refusal without 0.3, and four requests of five are refused."""
    made = []

    class Counting(decoder.Decoder):
        def __init__(self, isa: int) -> None:
            made.append(isa)
            super().__init__(isa)

    monkeypatch.setattr(decoder, "Decoder", Counting)
    compiler = Compiler({}, {})
    for isa in (300, 310, 300, 300):
        assert compiler.region(isa, 0, bytes(8192), bytes(4096), True) is None
    assert made == [300, 310]

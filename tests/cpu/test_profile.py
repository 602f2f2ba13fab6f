# SPDX-License-Identifier: GPL-2.0-only
"""Samples of the guest change nothing in it; samples of host threads find what they do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from tests.cpu.runner import DR, LE, ME, PAGE_PRIV, PAGE_R, PAGE_W, RI, SF, TABLES, Bench, Radix

from lpar.cpu import layout, region_worker
from lpar.cpu.profile import Profiler
from lpar.cpu.region_worker import Worker

MSR = SF | ME | RI | LE
STACK = 0x40000  #: guest real


@pytest.fixture
def profiler(bench: Bench) -> Iterator[Profiler]:
    made = Profiler(bench.engine)
    yield made
    made.stop()


def frames(bench: Bench, *addresses: int, at: int = STACK, real: int = STACK) -> int:
    """A stack with these return addresses; gives its r1."""
    for n in range(len(addresses) + 1):
        frame = real + 64 * n
        above = at + 64 * (n + 1) if n < len(addresses) else 0
        bench.memory.write(frame, above.to_bytes(8, "little"))
        if n:
            bench.memory.write(frame + 16, addresses[n - 1].to_bytes(8, "little"))
    return at


def sample(bench: Bench, **registers: int) -> None:
    """Run a loop with one request for a sample pending."""
    bench.start(["mtctr 5", "1: bdnz 1b"], msr=MSR, r5=10, **registers)
    bench.thread.request(layout.REQ_PROFILE)
    bench.go()


def test_the_stack_is_walked(bench: Bench, profiler: Profiler) -> None:
    profiler._stopped.set()  # this test asks for its samples itself
    profiler._thread.join()
    sample(bench, r1=frames(bench, 0x1234, 0x5678), lr=0x9ABC, pidr=77)
    profiler._take(0)
    [(stack, count)] = profiler.stacks.items()
    assert (stack[0], stack[1], stack[3], stack[4], count) == (77, False, 0x9ABC, (0x1234, 0x5678), 1)
    assert stack[2] in range(0x3000, 0x3010)


def test_hostile_stacks_end(bench: Bench, profiler: Profiler) -> None:
    """Chains that do not rise, that lie outside RAM or across pages, and one without end."""
    profiler._stopped.set()
    profiler._thread.join()
    endless = STACK + 0x1000
    for n in range(100):
        bench.memory.write(endless + 32 * n, (endless + 32 * (n + 1)).to_bytes(8, "little"))
    bench.memory.write(STACK + 0x800, (STACK + 0x800).to_bytes(8, "little"))
    bench.memory.write(STACK + 0x900, ((1 << 64) - 8).to_bytes(8, "little"))
    depths = []
    for r1 in (0, 3, STACK + 0x800, STACK + 0x900, (1 << 64) - 8, 1 << 50, endless):
        sample(bench, r1=r1, lr=0)
        profiler._take(0)
        depths.append(max(len(stack[4]) for stack in profiler.stacks))
    assert depths[-2] <= 1
    assert depths[-1] == 32


def test_a_sample_changes_nothing(bench: Bench, profiler: Profiler) -> None:
    """A walk that faults leaves DAR and DSISR alone, and no interrupt comes."""
    profiler._stopped.set()
    profiler._thread.join()
    tree = Radix(bench.memory, TABLES)
    tree.use(bench.cpu)
    tree.map(0xC000000000040000, STACK, PAGE_R | PAGE_W | PAGE_PRIV)
    r1 = frames(bench, 0x1234, at=0xC000000000040000)
    bench.memory.write(STACK + 64, (0xC000000000090000).to_bytes(8, "little"))  # the next frame is not mapped
    bench.start(["mtctr 5", "1: bdnz 1b"], msr=MSR | DR, r5=10, r1=r1)
    bench.cpu.set_reg("dar", 0x1111)
    bench.cpu.set_reg("dsisr", 0x2222)
    bench.thread.request(layout.REQ_PROFILE)
    bench.go()
    profiler._take(0)
    [stack] = profiler.stacks
    assert stack[4] == (0x1234,)
    assert (bench["dar"], bench["dsisr"]) == (0x1111, 0x2222)


def test_host_threads_are_seen(bench: Bench, profiler: Profiler) -> None:
    """Half a second of guest code and half a second of Python, in threads of their own."""

    def guest() -> None:
        bench.start(["li 3, -1", "srdi 3, 3, 20", "mtctr 3", "1: bdnz 1b"], msr=MSR)
        bench.thread.run()

    def python() -> None:
        end = time.thread_time() + 0.5
        while time.thread_time() < end:
            sum(range(1000))

    first, second = threading.Thread(target=guest), threading.Thread(target=python)
    first.start()
    second.start()
    second.join()
    deadline = time.monotonic() + 10
    while not profiler.stacks and time.monotonic() < deadline:
        time.sleep(0.01)
    bench.cpu.kick()
    first.join(10)
    profiler.stop()
    spent = profiler.engine_seconds()
    assert spent["Python and devices"] > 0.2
    assert sum(spent.get(name, 0) for name in ("units", "interpreter", "dispatch", "regions")) > 0.05
    assert spent.get("other", 0) < 0.2 * sum(spent.values())
    assert profiler.stacks


def test_the_compiler_process_counts() -> None:
    """CPU time of the process that compiles regions is the engine's time too."""
    worker = Worker({}, {})
    try:
        assert worker.cpu_seconds() == 0
        worker.prepare()
        deadline = time.monotonic() + 30
        while worker.cpu_seconds() == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert worker.cpu_seconds() > 0
    finally:
        worker.close()
    assert worker.cpu_seconds() == 0


def test_a_compiler_process_that_has_grown_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What LLVM keeps for each region goes with the process; nothing else is noticed of it."""
    monkeypatch.setattr(region_worker, "LARGEST", 0)
    worker = Worker({}, {})
    try:
        seen = set()
        for _ in range(region_worker.FEWEST * 2 + 1):
            assert worker.compile(300, 0, bytes(8192), bytes(4096), True) is None
            if worker._process is not None:
                seen.add(worker._process.pid)
        assert len(seen) == 3
    finally:
        worker.close()

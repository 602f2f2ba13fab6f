# SPDX-License-Identifier: GPL-2.0-only
"""Code that changes while it is decoded or compiled, and translations that change under another vCPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from tests.cpu.runner import (
    CODE,
    DR,
    FP,
    HAS_UNITS,
    LE,
    ME,
    PAGE_PRIV,
    PAGE_R,
    PAGE_W,
    ROOM,
    SC1,
    SF,
    TABLES,
    VEC,
    VSX,
    Bench,
    Radix,
)
from tests.isa.harness import assemble

from lpar.accel.soft import SoftVcpu
from lpar.cpu import layout
from lpar.cpu.native_code import FORGIVE
from lpar.cpu.upkeep import Upkeep

KERNEL = SF | ME | LE | FP | VEC | VSX
FUNCTION = 0x5000
LI1, LI2, BLR = 0x38600001, 0x38600002, 0x4E800020


@pytest.fixture(params=["decoded", "units", "compiled", "units and compiled"])
def machine(request: pytest.FixtureRequest) -> Iterator[tuple[Bench, bool]]:
    """A bench, and whether functions are compiled before they change."""
    if "units" in request.param and not HAS_UNITS:
        pytest.skip("no units here")
    bench = Bench(units=ROOM if "units" in request.param else 0)
    bench.fill_vectors()
    if "compiled" in request.param and not bench.start_jit():
        pytest.skip("no compiled tier here")
    yield bench, "compiled" in request.param
    bench.close()


def call(bench: Bench, *lines: str, at: int = FUNCTION, **regs: int) -> int:
    """Execute ``lines`` and ``isync``, then call the function at ``at`` with r4 as it is: gives r3."""
    text = [*lines, "isync", "mflr 31", "mtctr 30", "bctrl", "mtlr 31"]
    end = bench.execute(text, msr=KERNEL, r30=at, r3=0, **regs)
    return bench["r3"] if end >= CODE else -end


def function(bench: Bench, compiled: bool, words: list[int], at: int = FUNCTION) -> None:
    """Write a function, call it until it is decoded, and compile it if so wanted."""
    bench.put_code(at, words, little=True)
    assert call(bench, at=at) == 1
    if compiled:
        assert bench.compile(at)
        assert call(bench, at=at) == 1


PAIR = BLR << 32 | LI2
STORES = {
    "word": (["stw 6, 0(4)"], {"r6": LI2}),
    "doubleword": (["std 6, 0(4)"], {"r6": PAIR}),
    "halfword": (["sth 6, 0(4)"], {"r6": 2}),
    "byte": (["stb 6, 0(4)"], {"r6": 2}),
    "reversed": (["stwbrx 6, 0, 4"], {"r6": 0x02006038}),
    "unaligned": (["li 6, 2", "stb 6, 0(4)", "sth 7, 1(4)"], {"r6": 0, "r7": 0x6000}),
    "conditional": (["lwarx 7, 0, 4", "stwcx. 6, 0, 4"], {"r6": LI2}),
    "atomic": (["stwat 6, 4, 0"], {"r6": 1}),
    "quadword": (["mr 9, 6", "mr 8, 9", "stq 8, 0(4)"], {"r6": PAIR}),
    "vector": (["mtvsrdd 34, 6, 6", "stvx 2, 0, 4"], {"r6": PAIR}),
    "vector scalar": (["mtvsrdd 3, 6, 6", "stxvx 3, 0, 4"], {"r6": PAIR}),
    "float": (["mtvsrd 3, 6", "stxsdx 3, 0, 4"], {"r6": PAIR}),
    "with length": (["mtvsrdd 3, 6, 6", "li 7, 4", "sldi 7, 7, 56", "stxvl 3, 4, 7"], {"r6": PAIR}),
}


@pytest.mark.parametrize("name", STORES)
def test_every_store_is_noticed(machine: tuple[Bench, bool], name: str) -> None:
    bench, compiled = machine
    function(bench, compiled, [LI1, BLR, 0, 0])
    lines, regs = STORES[name]
    assert call(bench, *lines, r4=FUNCTION, **regs) == 2


def test_cleared_code_is_illegal(machine: tuple[Bench, bool]) -> None:
    bench, compiled = machine
    function(bench, compiled, [LI1, BLR])
    assert call(bench, "dcbz 0, 4", r4=FUNCTION) == -0x700


def test_a_store_across_two_pages_of_code(machine: tuple[Bench, bool]) -> None:
    """The last word of one page and the first of the next change in one unaligned store."""
    bench, compiled = machine
    at = FUNCTION + 0xFFC
    bench.put_code(FUNCTION + 0x1000, [BLR], little=True)
    function(bench, compiled, [LI1], at)
    bench.put_code(FUNCTION + 0x1000, [0x38630010, BLR], little=True)
    assert call(bench, at=at) == 0x11
    both = 0x38630020 << 32 | LI2
    assert call(bench, "std 6, 0(4)", at=at, r4=at, r6=both) == 0x22


def test_many_changes(machine: tuple[Bench, bool]) -> None:
    """More stores than a page is forgiven: it counts as data between, and as code again when it runs."""
    bench, compiled = machine
    function(bench, compiled, [LI1, BLR])
    for n in range(2, 3 * FORGIVE):
        assert call(bench, "stw 6, 0(4)", r4=FUNCTION, r6=0x38600000 | n) == n
    for n in range(2 * FORGIVE):
        call(bench, "stw 6, 0(4)", r4=FUNCTION + 0x100, r6=n)
    assert call(bench, "stw 6, 0(4)", r4=FUNCTION, r6=LI2) == 2


def test_a_store_through_another_address(machine: tuple[Bench, bool]) -> None:
    bench, compiled = machine
    radix = Radix(bench.memory, TABLES)
    radix.map(0x700000, FUNCTION, PAGE_R | PAGE_W | PAGE_PRIV)
    radix.use(bench.cpu)
    function(bench, compiled, [LI1, BLR])
    bench.execute(["lwz 7, 0(4)", "stw 7, 0x100(4)"], msr=KERNEL | DR, r4=0x700000)  # now in the TLB
    assert call(bench, at=FUNCTION) == 1
    bench.execute(["stw 6, 0(4)"], msr=KERNEL | DR, r4=0x700000, r6=LI2)
    assert call(bench, at=FUNCTION) == 2


def test_the_same_page_in_three_modes(machine: tuple[Bench, bool]) -> None:
    bench, compiled = machine
    function(bench, compiled, [LI1, BLR])
    big = FUNCTION + 0x200
    bench.put_code(big, [LI1, SC1], little=False)
    for msr in (SF | ME, ME):
        bench.cpu.set_reg("msr", msr)
        bench.cpu.set_reg("pc", big)
        assert (bench.go(), bench["r3"]) == (big + 4, 1)
    call(bench, "stw 6, 0(4)", "stwbrx 6, 0, 5", r4=FUNCTION, r5=big, r6=LI2)
    for msr in (SF | ME, ME):
        bench.cpu.set_reg("msr", msr)
        bench.cpu.set_reg("pc", big)
        assert (bench.go(), bench["r3"]) == (big + 4, 2)
    assert call(bench) == 2


def test_memory_that_the_machine_wrote(machine: tuple[Bench, bool]) -> None:
    """What hypercalls and devices write."""
    bench, compiled = machine
    function(bench, compiled, [LI1, BLR])
    bench.memory.write(FUNCTION, LI2.to_bytes(4, "little"))
    Upkeep(bench.engine).memory_written(FUNCTION, 4)
    assert call(bench) == 2


def test_many_pages_that_a_device_wrote() -> None:
    """Code in one of them: it is forgotten whatever part of the page was written."""
    bench = Bench()
    bench.fill_vectors()
    for start, length in ((FUNCTION - 0x2F10, 0x6000), (FUNCTION - 4, 8), (FUNCTION, 1 << 16), (0, 1 << 20)):
        function(bench, False, [LI1, BLR])
        bench.memory.write(FUNCTION, LI2.to_bytes(4, "little"))
        Upkeep(bench.engine).memory_written(start, length)
        assert call(bench) == 2
        bench.put_code(FUNCTION, [LI1, BLR], little=True)
        Upkeep(bench.engine).memory_written(FUNCTION, 4)
    bench.close()


# -- two vCPUs ----------------------------------------------------------------------------------------


def launch(
    bench: Bench, cpu: SoftVcpu, lines: list[str], at: int, msr: int = KERNEL, **regs: int
) -> threading.Thread:
    """Run a program on another vCPU in a thread of its own until a hypercall or a kick."""
    bench.put_code(at, [*assemble(lines), SC1], little=True)
    for name, value in {"msr": msr, "pc": at, **regs}.items():
        cpu.set_reg(name, value)
    thread = threading.Thread(target=cpu.thread.run)
    thread.start()
    return thread


def stop(bench: Bench, cpu: SoftVcpu, thread: threading.Thread) -> None:
    """Kick the vCPU until its thread ends."""
    cpu.thread.request(layout.REQ_KICK)
    thread.join(20)
    assert not thread.is_alive()


def test_no_region_goes_into_a_page_that_is_being_marked() -> None:
    bench = Bench()
    mark = bench.engine.code.routine("mark_compiled", layout.ctypes.c_uint64, result=layout.ctypes.c_bool)
    bench.engine.page_flags.map[8] = 1
    bench.engine.share("marking", 9)
    assert not mark(bench.thread.state.address, 8)
    bench.engine.share("marking", 0)
    assert mark(bench.thread.state.address, 8)
    bench.close()


def test_who_decodes_waits_for_who_marks_the_page(machine: tuple[Bench, bool]) -> None:
    """Until all write tags to the page are gone, stores go unnoticed.  Who marks may wait for who waits."""
    bench, _ = machine
    bench.put_code(0x8000, [LI1, SC1], little=True)
    for name, value in {"msr": KERNEL, "pc": 0x8000, "r3": 0}.items():
        bench.cpu.set_reg(name, value)
    page = 0x8000 // 4096
    bench.engine.page_flags.map[page] = 1
    bench.engine.share("marking", page + 1)
    thread = threading.Thread(target=bench.run)
    thread.start()
    time.sleep(0.05)
    assert thread.is_alive()
    assert not bench.thread.state.get("in_guest")
    bench.memory.write(0x8000, LI2.to_bytes(4, "little"))
    bench.engine.share("marking", 0)
    thread.join(20)
    assert bench["r3"] == 2


def test_another_vcpu_sees_new_code_at_its_next_isync(machine: tuple[Bench, bool]) -> None:
    bench, compiled = machine
    other = bench.add()
    function(bench, compiled, [LI1, BLR])
    loop = ["mtctr 30", "isync", "bctrl", "cmpwi 3, 2", "bne .-16"]
    thread = launch(bench, other, loop, 0x8000, r30=FUNCTION)
    time.sleep(0.05)
    assert thread.is_alive()
    bench.execute(["stw 6, 0(4)", "sync"], msr=KERNEL, r4=FUNCTION, r6=LI2)
    thread.join(20)
    alive = thread.is_alive()
    stop(bench, other, thread)
    assert not alive
    assert other.get_reg("r3") == 2


#: what is invalidated -> (RIC, RB without an address, process, address)
BROADCASTS = {
    "page": (0, 0, 0, 0x12345000),
    "all": (2, 3 << 10, 0, 0x12345000),
    "process": (2, 1 << 10, 1, 0x12345000),
    "process 0": (2, 1 << 10, 0, 0xC000000012345000),
}


@pytest.mark.parametrize("scope", BROADCASTS)
def test_tlbie_reaches_a_running_vcpu(machine: tuple[Bench, bool], scope: str) -> None:
    """When tlbie and ptesync are done, no store of another vCPU goes to the old page any more."""
    bench, compiled = machine
    ric, rb, pid, ea = BROADCASTS[scope]
    other = bench.add()
    radix = Radix(bench.memory, TABLES, pids=2)
    for cpu in (bench.cpu, other):
        radix.use(cpu)
    other.set_reg("pidr", 1)
    old, new = 0x90000, 0xA0000
    radix.map(ea, old, PAGE_R | PAGE_W | PAGE_PRIV)
    loop = ["addi 6, 6, 1", "std 6, 0(4)", "b .-8"]
    thread = launch(bench, other, loop, 0x8000, KERNEL | DR, r4=ea, r6=0)
    if compiled:
        time.sleep(0.05)
        bench.compile(0x8000)
    word = 0x7C000000 | 7 << 21 | ric << 18 | 1 << 17 | 1 << 16 | 5 << 11 | 306 << 1
    lost = []
    for n in range(20):
        source, target = (old, new) if n % 2 == 0 else (new, old)
        radix.map(ea, target, PAGE_R | PAGE_W | PAGE_PRIV)
        program = [f".long {word:#x}", "ptesync"]
        bench.execute(program, msr=SF | ME | LE, r5=rb or ea, r7=(pid if rb else 1) << 32)
        before = bench.memory.read(source, 8)
        reached = int.from_bytes(bench.memory.read(target, 8), "little")
        time.sleep(0.002)
        if bench.memory.read(source, 8) != before:
            lost.append(n)
        deadline = time.monotonic() + 10
        while int.from_bytes(bench.memory.read(target, 8), "little") <= reached:
            assert time.monotonic() < deadline, "the other vCPU stores nowhere"
            time.sleep(0.001)
    stop(bench, other, thread)
    assert not lost

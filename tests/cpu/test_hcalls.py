# SPDX-License-Identifier: GPL-2.0-only
"""Hypercalls that the engine answers do what the partition would; the rest still exits."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest
from tests.cpu.runner import EE, LE, ME, PR, RI, SF, Bench, watchdog
from tests.isa.harness import CODE

from lpar.accel.protocol import ExitReason
from lpar.accel.soft import SoftNatives, SoftVcpu
from lpar.cpu import native_hcalls, native_hpt, native_term
from lpar.host.memory import GuestMemory
from lpar.papr import numbers as n
from lpar.papr.partition import Partition
from lpar.papr.registry import HCALLS
from lpar.papr.vty import Vty
from lpar.papr.xics import Xics
from lpar.testing.fake_vcpu import FakeVcpu

MSR = SF | ME | RI | LE
RAM = 1 << 20
ORDER = 18
AREA = 0x30000  #: guest real: where a dispatch count is


@pytest.fixture
def natives(bench: Bench) -> SoftNatives:
    """Everything is answered that the engine can answer."""
    made = SoftNatives(bench.engine)
    made.answer(HCALLS)
    return made


@pytest.fixture
def partition() -> Iterator[Partition]:
    """What answers the same calls in Python."""
    with GuestMemory(RAM) as memory:
        yield Partition(memory, [FakeVcpu(0)], allocate_hpt=lambda order: memoryview(bytearray(1 << order)))


def call(bench: Bench, number: int, *args: int) -> bool:
    """Make a hypercall; gives whether it was answered without an exit."""
    registers = {f"r{i}": value & n.U64 for i, value in enumerate((number, *args), 3)}
    return bench.execute(["sc 1"], msr=MSR, **registers) == CODE + 4


def registers(vcpu: object) -> list[int]:
    return [vcpu.get_reg(f"r{i}") for i in range(3, 12)]  # type: ignore[attr-defined]


def test_numbers_are_paprs() -> None:
    for room in (native_hcalls, native_hpt, native_term):
        ours = {name: value for name, value in vars(room).items() if name.startswith("H_")}
        assert ours == {name: getattr(n, name) for name in ours}
        assert set(ours.values()) <= native_hcalls.CALLS
    assert (native_hpt.FLAG_EXACT, native_hpt.FLAG_AVPN) == (n.H_EXACT, n.H_AVPN)
    assert native_hpt.FLAG_ANDCOND == n.H_ANDCOND
    codes = (n.H_SUCCESS, n.H_PARAMETER, n.H_PTEG_FULL, n.H_NOT_FOUND)
    assert codes == (native_hpt.SUCCESS, native_hpt.PARAMETER, native_hpt.PTEG_FULL, native_hpt.NOT_FOUND)


def test_nothing_is_answered_unasked(bench: Bench) -> None:
    for number in native_hcalls.CALLS:
        assert not call(bench, number, 0, 0, 0)


def test_no_other_call_is_answered(bench: Bench, natives: SoftNatives) -> None:
    for number in [*set(HCALLS) - native_hcalls.CALLS, n.H_CEDE + 1, n.H_CEDE + 0x200, n.H_CEDE | 1 << 63]:
        assert not call(bench, number, 0, 0, 0)
    for number in native_hpt.CALLS | native_term.CALLS:
        assert not call(bench, number, 0, 0, 0), "there is no table or terminal yet"


# -- the page table ---------------------------------------------------------------------------------


def random_call(chosen: random.Random, seen: list[tuple[int, int]]) -> tuple[int, ...]:
    """A hypercall of the page table: half of its arguments are right, and many hit what is there."""
    kind = chosen.choice(sorted(native_hpt.CALLS))
    if kind == n.H_ENTER:
        large = chosen.choice((0, 4))
        v = chosen.randrange(1 << 20) << 7 | chosen.choice((0, 0x60, 0x18)) | large | 1
        low = chosen.choice((0x10, 0x10, 0x20, 0x28, 0x50, 0x30))
        pages = chosen.choice((1, 7, 8, 0x38, 0, 3, 0x12, chosen.randrange(1 << 12)))
        anywhere = n.U64 >> chosen.randrange(60)
        index = chosen.choice((chosen.randrange(64), chosen.randrange(1 << 15), anywhere))
        seen.append((index, v))
        return kind, chosen.choice((0, n.H_EXACT)), index, v, pages << 12 | low | chosen.choice((0, 0x180, 7))
    if kind == n.H_BULK_REMOVE:
        words: list[int] = []
        for _ in range(4):
            index, v = hit(chosen, seen)
            word = chosen.choice((1, 1, 1, 1, 1, 1, 3, 2, 0)) << 62 | chosen.choice((0, 1, 2, 0, 3)) << 56
            words += [word | index & (1 << 56) - 1, v & ~0x7F]
        return kind, *words
    index, v = hit(chosen, seen)
    flags = chosen.choice((0, n.H_AVPN, n.H_ANDCOND, n.H_AVPN | n.H_ANDCOND)) | chosen.randrange(1 << 16)
    return kind, flags, index, chosen.choice((v & ~0x7F, v, 0))


def hit(chosen: random.Random, seen: list[tuple[int, int]]) -> tuple[int, int]:
    if seen and chosen.random() < 0.8:
        index, v = chosen.choice(seen)
        return index & ~7 | chosen.choice((index & 7, chosen.randrange(8))), v
    return chosen.choice((chosen.randrange(64), 1 << 14, (1 << 14) - 1, n.U64)), chosen.randrange(n.U64)


@pytest.mark.parametrize("seed", range(4))
def test_page_table_calls_do_what_the_partition_does(
    bench: Bench, natives: SoftNatives, partition: Partition, seed: int
) -> None:
    table = bench.engine.set_hpt(ORDER)
    partition.hpt_order = ORDER
    chosen, seen, vcpu = random.Random(seed), [], partition.vcpus[0]
    statuses = set()
    for _ in range(400):
        arguments = random_call(chosen, seen)
        arguments = (*arguments, *[0] * 9)[:9]
        for i, value in enumerate(arguments, 3):
            vcpu.set_reg(f"r{i}", value)
        partition.handle_hcall(vcpu)
        assert call(bench, *arguments)
        assert registers(bench.cpu) == registers(vcpu), [hex(a) for a in arguments]
        statuses.add((arguments[0], vcpu.get_reg("r3")))
        hardware_sets_bits(chosen, table, partition)
    assert len(statuses) > 8
    other = partition.hash_table()
    assert other is not None and bytes(table) == other.save()


def hardware_sets_bits(chosen: random.Random, table: memoryview, partition: Partition) -> None:
    """R and C of some entries, in both tables."""
    other = partition.hash_table()
    assert other is not None
    for index in range(64):
        if table[16 * index + 7] & 1 and chosen.random() < 0.2:
            table[16 * index + 14] |= 1
            other._words.cast("B")[16 * index + 14] |= 1


def test_python_and_the_engine_exclude_each_other(bench: Bench, natives: SoftNatives) -> None:
    """While Python holds the lock, H_ENTER waits; and the other way round nothing is left locked."""
    bench.engine.set_hpt(ORDER)
    lock, answered = natives.table_lock(), threading.Event()

    def enter() -> None:
        call(bench, n.H_ENTER, 0, 8, 0x81, 0x10)
        answered.set()

    with lock:
        guest = threading.Thread(target=enter)
        guest.start()
        assert not answered.wait(0.1)
    assert answered.wait(10)
    guest.join()
    with lock:
        assert bench["r4"] == 8


# -- processors -------------------------------------------------------------------------------------


def test_a_decrementer_ends_cede(bench: Bench, natives: SoftNatives) -> None:
    """The interrupt is taken behind the call, with MSR[EE] on."""
    bench.fill_vectors()
    begin = time.monotonic()
    lines = ["mtdec 5", "sc 1"]
    assert bench.execute(lines, msr=MSR, r3=n.H_CEDE, r5=512_000 * 20) == 0x900
    assert time.monotonic() - begin > 0.019
    assert bench["r3"] == 0
    assert bench["srr0"] == CODE + 8
    assert bench["srr1"] & EE


def test_a_vcpu_that_ceded_is_idle(bench: Bench, natives: SoftNatives) -> None:
    """Neither the timer's thread nor the sampler bothers with it; it costs no CPU time."""
    bench.start(["sc 1"], msr=MSR, r3=n.H_CEDE)
    guest = threading.Thread(target=bench.run)
    guest.start()
    while not bench.cpu.get_reg("ceded"):
        time.sleep(0.001)
    assert bench.thread.running
    assert not bench.thread.busy
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1
    bench.cpu.set_external_interrupt(True)
    guest.join(10)
    assert not guest.is_alive()


def test_a_kick_ends_cede(bench: Bench, natives: SoftNatives) -> None:
    bench.start(["sc 1"], msr=MSR, r3=n.H_CEDE)
    threading.Timer(0.05, bench.cpu.kick).start()
    with watchdog(bench):
        assert bench.cpu.run().reason is ExitReason.KICKED
    assert (bench["pc"], bench["r3"]) == (CODE + 4, 0)
    bench.cpu.prod()
    assert call(bench, n.H_CEDE), "an H_PROD that came before"


def test_vcpus_wake_each_other(bench: Bench, natives: SoftNatives) -> None:
    """Two vCPUs in turn: H_PROD of one ends H_CEDE of the other, a thousand times, none lost."""
    other = bench.add()
    natives.answer(HCALLS)
    lines = [
        *("1:", f"li 3, {n.H_CEDE}", "sc 1", f"li 3, {n.H_PROD}", "mr 4, 31", "sc 1"),
        *("addi 30, 30, -1", "cmpdi 30, 0", "bne 1b", "li 3, 0"),
    ]
    bench.start(lines, msr=MSR, r31=1, r30=1000)
    for name, value in {"msr": MSR, "pc": CODE, "r31": 0, "r30": 1000}.items():
        other.set_reg(name, value)
    bench.cpu.prod()
    second = threading.Thread(target=run_to_zero, args=(other, bench.cpu))
    second.start()
    with watchdog(bench):
        run_to_zero(bench.cpu, other)
    other.prod()
    second.join(20)
    assert not second.is_alive()
    assert (bench["r30"], other.get_reg("r30")) == (0, 0)


def run_to_zero(vcpu: SoftVcpu, other: SoftVcpu) -> None:
    """Run to the call of number 0; H_PROD of one that is not asleep yet is answered as the partition does."""
    while vcpu.run().reason is ExitReason.HCALL and vcpu.get_reg("r3"):
        assert vcpu.get_reg("r3") == n.H_PROD
        other.prod()
        vcpu.hcall_return(n.H_SUCCESS)


def test_the_dispatch_count_is_odd_while_asleep(bench: Bench, natives: SoftNatives) -> None:
    bench.memory.write_u32(AREA, 6)
    natives.set_yield_count(0, AREA, shared=True)
    bench.start(["sc 1"], msr=MSR, r3=n.H_CEDE)
    guest = threading.Thread(target=bench.run)
    guest.start()
    deadline = time.monotonic() + 10
    while bench.memory.read_u32(AREA) != 7 and time.monotonic() < deadline:
        time.sleep(0.001)
    bench.cpu.prod()
    guest.join(10)
    assert bench.memory.read_u32(AREA) == 8


def test_confer(bench: Bench, natives: SoftNatives) -> None:
    bench.add()
    natives.answer(HCALLS)
    natives.set_yield_count(1, AREA, shared=True)
    for target, native in ((1, True), (n.U64, True), (0, False), (2, False)):
        assert call(bench, n.H_CONFER, target, 0) == native
        assert not native or bench["r3"] == 0


def test_addresses_outside_of_ram_are_no_dispatch_counts(bench: Bench, natives: SoftNatives) -> None:
    for address in (0, RAM - 3, RAM, n.U64):
        natives.set_yield_count(0, address, shared=True)
        assert bench.cpu.get_reg("yield_at") == 0


def test_problem_state_makes_no_hypercalls(bench: Bench, natives: SoftNatives) -> None:
    bench.fill_vectors()
    assert bench.execute(["sc 1"], msr=MSR | PR, r3=n.H_CONFER, r4=n.U64) == 0xC04, "sc 1 of the vector"
    assert bench["srr1"] & PR


# -- the console ------------------------------------------------------------------------------------


class Screen:
    """A terminal's output; ``busy`` refuses it."""

    def __init__(self) -> None:
        self.text, self.busy = bytearray(), False

    def write(self, data: bytes) -> bool:
        if not self.busy:
            self.text += data
        return not self.busy

    def shows(self, text: bytes) -> bool:
        """Whether this is all that comes to be seen, soon."""
        deadline = time.monotonic() + 10
        while self.text != text and time.monotonic() < deadline:
            time.sleep(0.001)
        return self.text == text


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def vty(natives: SoftNatives, screen: Screen) -> Iterator[Vty]:
    """The partition's terminal over the engine's ring."""
    made = Vty(n.VTY_BASE, Xics([lambda level: None]).allocate(), screen.write)
    made.use(natives)
    yield made
    made.close()


def put(bench: Bench, text: bytes, unit: int = n.VTY_BASE) -> bool:
    padded = text.ljust(16, b"\0")
    words = int.from_bytes(padded[:8], "big"), int.from_bytes(padded[8:16], "big")
    return call(bench, n.H_PUT_TERM_CHAR, unit, len(text), *words)


def test_output_goes_through_the_ring_in_order(bench: Bench, vty: Vty, screen: Screen) -> None:
    wanted = b""
    for n_bytes in range(300):
        piece = bytes((n_bytes + at) % 251 for at in range(n_bytes % 17))
        assert put(bench, piece, n.VTY_BASE if n_bytes % 2 else 0)
        assert bench["r3"] == 0
        wanted += piece
    assert screen.shows(wanted)


def test_what_python_writes_comes_after_what_waits(bench: Bench, vty: Vty, screen: Screen) -> None:
    screen.busy = True
    assert put(bench, b"first")
    assert not vty.write(b"x"), "H_BUSY"
    screen.busy = False
    assert vty.write(b" second")
    assert screen.shows(b"first second")


def test_a_full_ring_is_for_the_partition(bench: Bench, vty: Vty, screen: Screen) -> None:
    screen.busy = True
    count = 0
    while put(bench, b"0123456789abcdef"):
        count += 1
    assert count == 4096 // 16
    screen.busy = False
    assert screen.shows(b"0123456789abcdef" * count)
    assert put(bench, b"on")


def test_the_rest_is_written_at_the_end(bench: Bench, vty: Vty, screen: Screen) -> None:
    screen.busy = True
    assert put(bench, b"last words")
    threading.Timer(0.1, setattr, (screen, "busy", False)).start()
    vty.close()
    assert screen.text == b"last words"
    assert not put(bench, b"more")


def test_reading_exits_only_when_something_was_typed(bench: Bench, vty: Vty) -> None:
    assert call(bench, n.H_GET_TERM_CHAR, n.VTY_BASE, 9, 9, 9)
    assert registers(bench.cpu)[:4] == [0, 0, 0, 0]
    vty.feed(b"ab")
    assert not call(bench, n.H_GET_TERM_CHAR, n.VTY_BASE)
    assert vty.read(1) == b"a"
    assert not call(bench, n.H_GET_TERM_CHAR, n.VTY_BASE)
    assert vty.read() == b"b"
    assert call(bench, n.H_GET_TERM_CHAR, 0)


def test_wrong_console_calls_are_for_the_partition(bench: Bench, vty: Vty) -> None:
    assert not put(bench, b"x", unit=n.VTY_BASE + 1)
    assert not call(bench, n.H_PUT_TERM_CHAR, n.VTY_BASE, 17, 0, 0)
    assert not call(bench, n.H_PUT_TERM_CHAR, n.VTY_BASE, n.U64, 0, 0)
    assert not call(bench, n.H_GET_TERM_CHAR, n.VTY_BASE + 1)

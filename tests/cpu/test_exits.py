# SPDX-License-Identifier: GPL-2.0-only
"""What the machine sees of a vCPU: MMIO exits, kicks, waiting, time, registers."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from tests.cpu.runner import DR, EE, LE, ME, PAGE_PRIV, PAGE_R, PAGE_W, RI, SF, TABLES, VEC, VSX, Bench, Radix
from tests.isa.harness import CODE

from lpar.accel.protocol import ExitReason
from lpar.cpu.layout import REQ_KICK, SLOTS

DEVICE = 0x3F_0000_0000_0000
MODES = pytest.mark.parametrize("msr", [SF | ME | LE | VEC | VSX, SF | ME | VEC | VSX], ids=["LE", "BE"])
LOADS = [
    ("lbz 3, 8(4)", 1), ("lhz 3, 8(4)", 2), ("lwz 3, 8(4)", 4), ("ld 3, 8(4)", 8), ("lwbrx 3, 4, 5", 4),
    ("lhbrx 3, 4, 5", 2), ("ldbrx 3, 4, 5", 8), ("lha 3, 8(4)", 2), ("lwax 3, 4, 5", 4), ("ldux 3, 4, 5", 8),
]  # fmt: skip
STORES = [
    ("stb 3, 8(4)", 1), ("sth 3, 8(4)", 2), ("stw 3, 8(4)", 4), ("std 3, 8(4)", 8), ("stwbrx 3, 4, 5", 4),
    ("stdux 3, 4, 5", 8),
]  # fmt: skip
BUS = bytes(range(0x81, 0x89))  #: what the device has at its addresses


def plain(line: str, order: str) -> int:
    """What the load gives from BUS."""
    size = dict(LOADS)[line]
    if "brx" in line:
        order = "big" if order == "little" else "little"
    value = int.from_bytes(BUS[:size], order)  # type: ignore[arg-type]
    if line.startswith(("lha", "lwa")):
        value = value - (1 << 8 * size) & (1 << 64) - 1
    return value


@MODES
@pytest.mark.parametrize(("line", "size"), LOADS)
def test_loads_from_devices(bench: Bench, line: str, size: int, msr: int) -> None:
    """The machine answers with the bytes in address order; the load completes then, once."""
    bench.start([line], msr=msr, r4=DEVICE, r5=8)
    leaving = bench.cpu.run()
    assert (leaving.reason, leaving.addr, leaving.size) == (ExitReason.MMIO_READ, DEVICE + 8, size)
    bench.cpu.complete_mmio_read(int.from_bytes(BUS[:size], "big"))
    assert bench.cpu.run().reason is ExitReason.HCALL
    assert bench["r3"] == plain(line, "little" if msr & LE else "big")
    assert bench["r4"] == DEVICE + (8 if line.startswith("ldux") else 0)


@MODES
@pytest.mark.parametrize(("line", "size"), STORES)
def test_stores_to_devices(bench: Bench, line: str, size: int, msr: int) -> None:
    bench.start([line], msr=msr, r3=0x1122334455667788, r4=DEVICE, r5=8)
    leaving = bench.cpu.run()
    assert (leaving.reason, leaving.addr, leaving.size) == (ExitReason.MMIO_WRITE, DEVICE + 8, size)
    low = (0x1122334455667788).to_bytes(8, "big")[-size:]
    swapped = bool(msr & LE) != ("brx" in line)
    assert leaving.value.to_bytes(size, "big") == (low[::-1] if swapped else low)
    assert bench.cpu.run().reason is ExitReason.HCALL
    assert bench["r4"] == DEVICE + (8 if line.startswith("stdux") else 0)


def test_a_sequence_of_device_accesses(bench: Bench) -> None:
    """Each access exits once, in order; the answers do not get mixed up."""
    lines = ["lwbrx 3, 0, 4", "addi 3, 3, 1", "stwbrx 3, 0, 4", "lwbrx 5, 0, 4", "lwbrx 6, 0, 4"]
    bench.start(lines, msr=SF | ME | LE, r4=DEVICE)
    seen = []
    answers = iter([10, 20, 30])
    while (leaving := bench.cpu.run()).reason is not ExitReason.HCALL:
        seen.append((leaving.reason, leaving.value))
        if leaving.reason is ExitReason.MMIO_READ:
            bench.cpu.complete_mmio_read(next(answers))
    read, write = ExitReason.MMIO_READ, ExitReason.MMIO_WRITE
    assert seen == [(read, 0), (write, 11), (read, 0), (read, 0)]
    assert (bench["r5"], bench["r6"]) == (20, 30)


def test_atomics_on_devices_are_alignment_interrupts(bench: Bench) -> None:
    for line in ("stwcx. 3, 0, 4", "dcbz 0, 4", "lwat 6, 4, 0"):
        assert bench.execute([line], r4=DEVICE, resv_addr=DEVICE) == 0x600
        assert bench["dar"] == DEVICE


@pytest.mark.parametrize("line", ["lwz 3, 0(4)", "ld 3, 0(4)", "stw 3, 0(4)", "std 3, 0(4)", "lvx 2, 0, 5"])
@pytest.mark.parametrize("back", [False, True], ids=["RAM first", "device first"])
def test_half_in_ram_half_in_a_device(bench: Bench, line: str, back: bool) -> None:
    """An alignment interrupt, before anything is stored."""
    radix, edge = Radix(bench.memory, TABLES), 0x8000
    radix.map(edge - 0x1000, 0xFF000 if not back else DEVICE, PAGE_R | PAGE_W | PAGE_PRIV)
    radix.map(edge, DEVICE if not back else 0xFF000, PAGE_R | PAGE_W | PAGE_PRIV)
    radix.use(bench.cpu)
    if line.startswith("lvx"):
        line = "lxvx 2, 0, 4"
    assert bench.execute([line], msr=SF | ME | LE | DR | VSX, r3=(1 << 64) - 1, r4=edge - 2) == 0x600
    assert bench["dar"] == edge - 2
    assert bench.memory.read(0xFFFFE, 2) == bench.memory.read(0xFF000, 2) == bytes(2)


@pytest.mark.parametrize("line", ["lq 6, 0(4)", "stq 6, 0(4)", "lxvx 2, 0, 4", "stvx 2, 0, 4"])
def test_quadwords_of_devices_are_alignment_interrupts(bench: Bench, line: str) -> None:
    """No bus access has 16 bytes."""
    assert bench.execute([line], msr=SF | ME | LE | VEC | VSX, r4=DEVICE) == 0x600
    assert bench["dar"] == DEVICE


@pytest.mark.parametrize("write", [False, True])
def test_an_interrupt_does_not_come_between_an_exit_and_its_end(bench: Bench, write: bool) -> None:
    """Or the handler's device access would take the answer, and this one would be made twice."""
    bench.start(["stw 3, 0(4)" if write else "lwz 3, 0(4)", "nop", "b ."], msr=SF | ME | LE | EE, r4=DEVICE)
    assert bench.cpu.run().addr == DEVICE
    bench.cpu.set_external_interrupt(True)
    if not write:
        bench.cpu.complete_mmio_read(0x01020304)
    assert bench.go() == 0x500
    assert CODE < bench["srr0"] <= CODE + 8
    assert write or bench["r3"] == 0x04030201


def test_a_kick_does_not_come_between_either(bench: Bench) -> None:
    bench.start(["lwz 3, 0(4)", "b ."], msr=SF | ME | LE, r4=DEVICE)
    bench.cpu.run()
    bench.cpu.complete_mmio_read(0x01020304)
    bench.thread.request(REQ_KICK)
    assert bench.cpu.run().reason is ExitReason.KICKED
    assert (bench["pc"], bench["r3"]) == (CODE + 4, 0x04030201)


def test_translated_device_pages(bench: Bench) -> None:
    radix = Radix(bench.memory, TABLES)
    radix.map(0x7000, DEVICE + 0x5000, PAGE_R | PAGE_W | PAGE_PRIV)
    radix.use(bench.cpu)
    bench.start(["stw 3, 0x123(4)"], msr=SF | ME | LE | DR, r3=5, r4=0x7000)
    leaving = bench.cpu.run()
    assert (leaving.reason, leaving.addr) == (ExitReason.MMIO_WRITE, DEVICE + 0x5123)


def test_execution_outside_ram_is_an_instruction_storage_interrupt(bench: Bench) -> None:
    bench.start(["mtctr 4", "bctr"], msr=SF | ME | LE, r4=DEVICE)
    assert bench.go() == 0x400
    assert bench["srr0"] == DEVICE


# -- kicks, waiting, time -----------------------------------------------------------------------------


def test_a_kick_ends_a_run_and_is_kept(bench: Bench) -> None:
    bench.start(["b ."], msr=SF | ME | LE)
    timer = threading.Timer(0.05, bench.cpu.kick)
    timer.start()
    assert bench.cpu.run().reason is ExitReason.KICKED
    timer.join()
    assert bench["pc"] == CODE
    bench.cpu.kick()
    assert bench.cpu.run().reason is ExitReason.KICKED


def ceded(bench: Bench) -> float:
    """Seconds that ``wait`` takes."""
    start = time.monotonic()
    bench.cpu.wait()
    return time.monotonic() - start


def test_waiting_ends_with_what_comes(bench: Bench) -> None:
    for wake in (
        bench.cpu.prod,
        bench.cpu.kick,
        bench.cpu.raise_system_reset,
        lambda: bench.cpu.set_external_interrupt(True),
    ):
        timer = threading.Timer(0.03, wake)
        start = time.monotonic()
        timer.start()
        bench.cpu.wait()
        assert time.monotonic() - start > 0.02
        timer.join()
        bench.cpu.set_external_interrupt(False)
        bench.thread.state.set("pending", 0)
        if wake == bench.cpu.kick:
            bench.cpu.run()


def test_what_came_before_the_wait_counts(bench: Bench) -> None:
    bench.cpu.prod()
    assert ceded(bench) < 60
    bench.cpu.set_external_interrupt(True)
    assert ceded(bench) < 60


def test_waiting_ends_with_the_decrementer(bench: Bench) -> None:
    bench.execute(["mtdec 4"], r4=512_000_000 // 20)
    assert ceded(bench) < 60
    assert bench.execute(["mtmsrd 5, 1", "nop"], r5=EE | RI) == 0x900


def test_a_doorbell_wakes_a_waiting_sibling(bench: Bench) -> None:
    other = bench.add()
    woken = threading.Event()
    thread = threading.Thread(target=lambda: (other.wait(), woken.set()))
    thread.start()
    assert not woken.wait(0.02)
    bench.execute(["msgsndp 4"], r4=5 << 27 | 1)
    assert woken.wait(60)
    thread.join()


def test_the_timebase_is_the_hosts_clock(bench: Bench) -> None:
    """512 MHz of CLOCK_MONOTONIC: what the guest reads lies between two readings of ours."""
    first = bench.execute(["mftb 3"]) and bench["r3"]
    start = time.monotonic_ns()
    time.sleep(0.05)
    before = time.monotonic_ns() * 64 // 125
    bench.execute(["mftb 3", "mfspr 4, 268", "mfspr 5, 269"])
    after = time.monotonic_ns() * 64 // 125
    offset = bench.thread.state.get("tb_offset")
    assert before <= bench["r3"] - offset <= bench["r4"] - offset <= after + 1
    assert bench["r5"] == bench["r4"] >> 32
    assert bench["r3"] - first >= (time.monotonic_ns() - start) * 0.4


def test_the_timebase_can_be_set(bench: Bench) -> None:
    bench.cpu.set_reg("tb", 1 << 40)
    bench.execute(["mftb 3"])
    assert 1 << 40 <= bench["r3"] < (1 << 40) + 512_000_000 * 10


# -- registers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [*(f"r{n}" for n in range(32)), "pc", "msr", "lr", "ctr", "srr0", "lpcr", "dar"]
)
def test_registers_are_read_as_written(bench: Bench, name: str) -> None:
    bench.cpu.set_reg(name, 0x1_FEDC_BA98_7654_3210)
    assert bench[name] == 0xFEDC_BA98_7654_3210


def test_registers_made_of_parts(bench: Bench) -> None:
    bench.cpu.set_reg("cr", 0x12345678)
    bench.cpu.set_reg("xer", 0xE00C0055)
    assert (bench["cr"], bench["xer"]) == (0x12345678, 0xE00C0055)
    bench.execute(["mfcr 3", "mfxer 4"])
    assert (bench["r3"], bench["r4"]) == (0x12345678, 0xE00C0055)


def test_unknown_registers(bench: Bench) -> None:
    for name in ("r32", "r", "nothing", "R3"):
        with pytest.raises(KeyError):
            bench.cpu.get_reg(name)
        with pytest.raises(KeyError):
            bench.cpu.set_reg(name, 0)


def test_hypercall_arguments_and_results(bench: Bench) -> None:
    bench.execute(["nop"], **{f"r{n}": n for n in range(32)})
    assert bench.cpu.hcall_args() == tuple(range(3, 13))
    bench.cpu.hcall_return(-4, 7, 8)
    assert [bench[f"r{n}"] for n in range(3, 7)] == [(1 << 64) - 4, 7, 8, 6]


def test_fields_do_not_overlap() -> None:
    rows = sorted((s.offset, s.offset + s.stride * max(1, s.count), n) for n, s in SLOTS.items())
    for (_, end, one), (start, _, other) in itertools.pairwise(rows):
        assert end <= start, (one, other)

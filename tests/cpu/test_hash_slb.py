# SPDX-License-Identifier: GPL-2.0-only
"""The SLB's instructions, and what changes of the page table from outside wipe."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator

import pytest
from tests.cpu.hash_guest import (
    CLASS,
    CODE,
    DR,
    LP,
    MIB,
    HashGuest,
    Segment,
    slbfee,
    slbia,
    slbie,
    state_of,
)

from lpar.papr.hpt import HPTE_R_C

REAL = 32 * MIB  #: where mapped data lies
KERNEL = Segment(0xC000000000010000, 0x1234567, shift=40)
VMALLOC = Segment(0xD000000000020000, 0x7654321, shift=40, base=16)
USER = Segment(0x10030000, 0xABCDE, flags=CLASS)
STACK = Segment(0x7FFF00040000, 0xABCDF, shift=40, base=16, flags=CLASS)


@pytest.fixture(scope="module")
def machines() -> Iterator[dict[str, HashGuest]]:
    """One of each model, loaded once; POWER9 has two vCPUs."""
    guests = {"POWER8": HashGuest("POWER8"), "POWER9": HashGuest("POWER9", 2)}
    yield guests
    for guest in guests.values():
        guest.close()


@pytest.fixture
def guest(machines: dict[str, HashGuest]) -> HashGuest:
    """No segments, no pages."""
    machines["POWER9"].clear()
    return machines["POWER9"]


def mapped(guest: HashGuest, *segments: Segment) -> list[Segment]:
    """Each with one page, all in use; page n holds n."""
    for n, s in enumerate(segments):
        guest.segment(s, n)
        guest.page(s, s.esid, REAL + 0x10000 * n)
        guest.put(REAL + 0x10000 * n, n)
        assert guest.load(s.esid) == n
    return list(segments)


def alive(guest: HashGuest, segments: list[Segment]) -> list[bool]:
    """Which of them still translate."""
    return [guest.load(s.esid) is not None for s in segments]


@pytest.mark.parametrize(
    ("model", "ih", "left"),
    [
        ("POWER9", 0, [True, False, False, False]),
        ("POWER9", 1, [True, False, False, False]),
        ("POWER9", 2, [True, False, False, False]),
        ("POWER9", 6, [True, False, False, False]),
        ("POWER9", 3, [False, True, False, True]),
        ("POWER9", 4, [False, False, False, False]),
        ("POWER9", 7, [True, True, True, True]),
        ("POWER8", 0, [True, False, False, False]),
        ("POWER8", 3, [True, False, False, False]),
        ("POWER8", 7, [True, False, False, False]),
    ],
)
def test_slbia(machines: dict[str, HashGuest], model: str, ih: int, left: list[bool]) -> None:
    """Which entries each form takes; their translations end at once, the others stay."""
    guest = machines[model]
    guest.clear()
    segments = mapped(guest, STACK, KERNEL, USER, VMALLOC)
    guest.run(slbia(ih))
    assert alive(guest, segments) == left
    assert [bool(guest.vcpus[0].thread.state.get("slb_esid", n) & 1 << 27) for n in range(4)] == left


@pytest.mark.parametrize("gone", range(4))
def test_slbie(guest: HashGuest, gone: int) -> None:
    """It ends one segment, whatever address in it is named."""
    segments = mapped(guest, STACK, KERNEL, USER, VMALLOC)
    s = segments[gone]
    guest.run(slbie(5), r5=s.rb(0) | (1 << s.shift) - (1 << 28))
    assert alive(guest, segments) == [n != gone for n in range(4)]
    guest.load(s.esid)
    assert guest.vector() == 0x380


def test_slbie_of_nothing(guest: HashGuest) -> None:
    """No such segment: nothing happens, and nothing is wiped."""
    segments = mapped(guest, STACK, KERNEL)
    fills = state_of(guest.vcpus[0], "n_tlb_fill")
    guest.run(slbie(5), r5=USER.esid)
    assert alive(guest, segments) == [True, True]
    assert state_of(guest.vcpus[0], "n_tlb_fill") == fills


def test_slbmte_over_an_entry(guest: HashGuest) -> None:
    """A replaced entry's segment is gone; the same address may get another page by another VSID."""
    mapped(guest, USER, KERNEL)
    guest.page(Segment(USER.esid, 0x999), USER.esid, REAL + 0x40000)
    guest.put(REAL + 0x40000, 77)
    guest.segment(Segment(USER.esid, 0x999), 0)
    assert guest.load(USER.esid) == 77
    guest.segment(VMALLOC, 0)
    assert guest.load(USER.esid) is None
    assert guest.vector() == 0x380
    assert guest.load(KERNEL.esid) == 1


def test_slbmte_wipes_little(guest: HashGuest) -> None:
    """New entries, and one written again, wipe nothing; replacing one wipes its segment alone."""
    segments = mapped(guest, KERNEL, USER)
    fills = state_of(guest.vcpus[0], "n_tlb_fill")
    guest.segment(USER, 1)
    guest.segment(STACK, 2)
    guest.segment(VMALLOC, 2)
    assert alive(guest, segments) == [True, True]
    assert state_of(guest.vcpus[0], "n_tlb_fill") == fills


def test_slbmte_ends_an_entry(guest: HashGuest) -> None:
    """V=0 takes it away."""
    mapped(guest, USER)
    guest.run(31 << 26 | 5 << 21 | 6 << 11 | 402 << 1, r5=USER.rs, r6=USER.rb(0) & ~(1 << 27))
    assert guest.load(USER.esid) is None
    assert guest.vector() == 0x380


def test_moves_from_the_slb(guest: HashGuest) -> None:
    """slbmfee, slbmfev, slbfee. give back what slbmte put in."""
    guest.segment(USER, 3)
    guest.run(31 << 26 | 5 << 21 | 6 << 11 | 915 << 1, r6=3)
    assert guest.reg("r5") == USER.rb(0)
    guest.run(31 << 26 | 5 << 21 | 6 << 11 | 851 << 1, r6=3)
    assert guest.reg("r5") == USER.rs
    guest.run(slbfee(5, 6), r6=USER.esid + 0x123456)
    assert (guest.reg("r5"), guest.reg("cr") >> 28 & 14) == (USER.rs, 2)
    guest.run(slbfee(5, 6), r6=KERNEL.esid)
    assert (guest.reg("r5"), guest.reg("cr") >> 28 & 14) == (0, 0)


@pytest.mark.parametrize("secondary", [False, True])
@pytest.mark.parametrize("shift", [28, 40])
@pytest.mark.parametrize(("base", "actual"), [s for s in LP if s != (34, 34)])
@pytest.mark.parametrize("vcpu", [0, 1])
def test_removed_page(
    guest: HashGuest, base: int, actual: int, shift: int, secondary: bool, vcpu: int
) -> None:
    """H_REMOVE ends a page's translations on every vCPU and leaves its neighbours'."""
    s = Segment(0x7F0012345678, 0x5A5A5, shift, base)
    guest.segment(s, 7, vcpu)
    step = 1 << base
    ea = 0x7F0012345678 >> base << base
    index = guest.page(s, ea, REAL, shift=actual, secondary=secondary)
    guest.page(s, ea + step, REAL + step, secondary=not secondary, slot=6)
    offsets = range(0, min(step, 0x10000), 0x1000)
    cpu = guest.vcpus[vcpu]
    assert all(guest.load(ea + n, vcpu) is not None for n in offsets)
    assert guest.load(ea + step, vcpu) is not None
    fills = state_of(cpu, "n_tlb_fill")
    guest.table.remove(index, 0, 0)
    if base != 24:
        assert guest.load(ea + step, vcpu) is not None
        assert state_of(cpu, "n_tlb_fill") == fills
    assert all(guest.load(ea + n, vcpu) is None for n in offsets)


def test_protected_page(guest: HashGuest) -> None:
    """H_PROTECT takes writing away at once."""
    s = guest.segment(USER)
    index = guest.page(s, USER.esid, REAL)
    assert guest.store(USER.esid, 1)
    guest.table.protect(index, 0, 3)
    assert not guest.store(USER.esid, 2)
    assert guest.load(USER.esid) == 1


def test_removed_code(guest: HashGuest) -> None:
    """A removed page is not executed any more."""
    s = guest.segment(USER)
    index = guest.page(s, USER.esid, CODE)
    assert guest.fetch(USER.esid) == 0
    guest.table.remove(index, 0, 0)
    assert guest.fetch(USER.esid) == 0x400


def test_cleared_table(guest: HashGuest) -> None:
    """H_CLEAR_HPT ends everything."""
    segments = mapped(guest, STACK, KERNEL, USER, VMALLOC)
    guest.table.clear()
    assert alive(guest, segments) == [False] * 4


def test_code_written_from_outside(guest: HashGuest) -> None:
    """A hypercall that writes over decoded instructions: the new ones run, across pages, too."""
    at = 0x8FFC
    for value in (1, 2):
        code = struct.pack("<3I", 0x38600000 | value, 0x38800000 | value, 0x44000022)
        guest.memory.write(at, code)
        guest.accelerator.memory_written(at, len(code))
        guest.run(0, DR, pc=at, r3=0, r4=0)
        assert (guest.reg("r3"), guest.reg("r4")) == (value, value)


ADD_STORE_LOOP = (0x38630001, 0xF8640000, 0x4BFFFFF8)  #: addi r3,r3,1; std r3,0(r4); b to the addi


def test_removed_under_a_running_vcpu(guest: HashGuest) -> None:
    """H_REMOVE while another vCPU stores to the page: no store after it, none without C."""
    s = guest.segment(USER, vcpu=1)
    cpu, loop = guest.vcpus[1], 0x9000
    guest.memory.write(loop, struct.pack("<3I", *ADD_STORE_LOOP))
    guest.accelerator.memory_written(loop, 12)
    ending = threading.Event()

    def drive() -> None:
        while not ending.is_set():
            for name, value in {"msr": 1 << 63 | DR | 1, "pc": loop, "r4": s.esid}.items():
                cpu.set_reg(name, value)
            cpu.run()

    guest.put(REAL, 0)
    cpu.set_reg("r3", 0)
    thread = threading.Thread(target=drive)
    thread.start()
    try:
        for _ in range(300):
            churn(guest, s)
    finally:
        ending.set()
        cpu.kick()
        thread.join()
    assert guest.memory.read(REAL, 8) != bytes(8)


def churn(guest: HashGuest, s: Segment) -> None:
    """Map the page, let it be stored to, take it away; see that it rests."""
    before = guest.memory.read(REAL, 8)
    index = guest.page(s, s.esid, REAL)
    for _ in range(100):
        if guest.memory.read(REAL, 8) != before:
            break
        time.sleep(0.0001)
    status, _, r = guest.table.remove(index, 0, 0)
    after = guest.memory.read(REAL, 8)
    assert status == 0
    assert before == after or r & HPTE_R_C
    time.sleep(0.0002)
    assert guest.memory.read(REAL, 8) == after


def test_saved_state_has_the_slb(guest: HashGuest) -> None:
    made = guest.segment(Segment(0x3 << 28, 0x77, flags=CLASS), index=5)
    saved = guest.vcpus[0].thread.state.save()
    assert (saved["slb_esid"][5], saved["slb_vsid"][5]) == (made.rb(0), made.rs)
    assert len(saved["gpr"]) == 32

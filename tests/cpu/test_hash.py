# SPDX-License-Identifier: GPL-2.0-only
"""Hash translation: pages of all sizes found, protected, marked; faults told as POWER8 and POWER9 do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cpu.hash_guest import CODE, DR, KP, KS, LP, MIB, NOEXEC, PR, RAM, HashGuest, Segment

from lpar.accel.protocol import ExitReason
from lpar.cpu.layout import FILL_LOG, TLB_ENTRIES
from lpar.papr.hpt import HPTE_R_C, HPTE_R_G, HPTE_R_N, HPTE_R_R, page_shift

REAL = 32 * MIB  #: where mapped data lies
DSISR_NOPTE, DSISR_PROT, DSISR_STORE, DSISR_KEY = 0x40000000, 0x08000000, 0x02000000, 0x00200000
SRR1_NOPTE, SRR1_NOEXEC, SRR1_PROT, SRR1_KEY = 0x40000000, 0x10000000, 0x08000000, 0x00200000
KERNEL = Segment(0xC000000000000000, 0x1234567, shift=40, base=16)
USER = Segment(0x10000000, 0xABCDE, base=12)
MTAMR_R5 = 0x7C000000 | 5 << 21 | 29 << 16 | 467 << 1


@pytest.fixture(scope="module")
def machine() -> Iterator[HashGuest]:
    """One for all tests of the file: the engine is loaded once."""
    guest = HashGuest()
    yield guest
    guest.close()


@pytest.fixture
def guest(machine: HashGuest) -> HashGuest:
    """No segments, no pages."""
    machine.clear()
    return machine


@pytest.mark.parametrize("secondary", [False, True])
@pytest.mark.parametrize("segment_shift", [28, 40])
@pytest.mark.parametrize(("base", "actual"), [s for s in LP if s != (34, 34)])
def test_page_sizes(guest: HashGuest, base: int, actual: int, segment_shift: int, secondary: bool) -> None:
    """Every page size in both segment sizes and groups, at an offset that needs all bits of the page."""
    s = guest.segment(Segment(0x7F0012345678, 0x5A5A5, segment_shift, base), 7)
    ea = (0x7F0012345678 >> base << base) + (1 << base) - 8
    guest.page(s, ea, REAL, shift=actual, secondary=secondary, slot=5)
    guest.put(REAL + ea % (1 << actual), 0x1122334455667788)
    assert guest.load(ea) == 0x1122334455667788
    assert guest.store(ea, 99)
    assert guest.memory.read(REAL + ea % (1 << actual), 1) == b"c"


def test_16g_page(guest: HashGuest) -> None:
    """A 16 GiB page at real 0 in a 1 TiB segment."""
    s = guest.segment(Segment(1 << 40, 0x77, 40, 34))
    guest.page(s, 3 << 34 | 1 << 40, 0)
    guest.put(REAL, 5)
    assert guest.load(1 << 40 | 3 << 34 | REAL) == 5


_EA = st.integers(0, (1 << 64) - 1)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ea=_EA,
    vsid=st.integers(0, (1 << 26) - 1) | st.integers(0, (1 << 38) - 1),
    shift=st.sampled_from([28, 40]),
    base=st.sampled_from([12, 16, 24]),
    secondary=st.booleans(),
    slot=st.integers(0, 7),
    other=st.integers(0, 77),
)
def test_any_address(
    guest: HashGuest, ea: int, vsid: int, shift: int, base: int, secondary: bool, slot: int, other: int
) -> None:
    """Any address in any segment is found where Python's integers put it; one bit off, it is not."""
    guest.clear()
    ea &= ~7
    s = guest.segment(Segment(ea, vsid & (1 << (78 - shift)) - 1, shift, base), slot)
    index = guest.page(s, ea, REAL, secondary=secondary, slot=slot)
    real = REAL + ea % (1 << base)
    guest.put(real, ea ^ 0x5555)
    assert guest.load(ea) == ea ^ 0x5555
    bit = 1 << other % 64
    if bit >= 1 << base:
        assert guest.load(ea ^ bit) is None
        wanted = 0x300 if bit < 1 << shift else 0x380
        assert (guest.vector(), guest.reg("dar")) == (wanted, ea ^ bit)
    v, r = guest.table.read(index)
    guest.table.remove(index, 0, 0)
    guest.table.enter(index, v ^ (1 << max(7, other) if other < 64 else 2), r, True)
    assert guest.load(ea) is None
    assert guest.vector() == 0x300


@pytest.mark.parametrize("base", [12, 16, 24, 34])
def test_page_encodings(guest: HashGuest, base: int) -> None:
    """Every L and LP: an entry is used if the hypercalls know its size and its base size is the segment's."""
    s = guest.segment(Segment(0x10000000000, 0x99, 40, base))
    ea = 0x10000000000
    index = guest.page(s, ea, 0)
    v, r = guest.table.read(index)
    for large in (0, 4):
        for lp in range(256):
            guest.table.remove(index, 0, 0)
            guest.table.enter(index, v & ~4 | large, r & ~0xFFFFF000 | lp << 12, True)
            shift = page_shift(v & ~4 | large, lp << 12)
            assert (guest.load(ea) is not None) == (base in bases_of(shift, large, lp)), (large, lp)


def bases_of(shift: int, large: int, lp: int) -> set[int]:
    """Base page shifts that go with an entry of the actual size 2**shift and its L and LP."""
    if not large:
        return {12}
    bits = 15 if shift == 16 else 255
    return {b for (b, a), n in LP.items() if a == shift and n is not None and n == lp & bits}


def test_reference_and_change(guest: HashGuest) -> None:
    """A load sets R alone; a store, also after that load, sets C."""
    s = guest.segment(USER)
    index = guest.page(s, USER.esid, REAL)
    bits = HPTE_R_R | HPTE_R_C
    assert guest.table.read(index)[1] & bits == 0
    assert guest.load(USER.esid) is not None
    assert guest.table.read(index)[1] & bits == HPTE_R_R
    assert guest.store(USER.esid, 1)
    assert guest.table.read(index)[1] & bits == bits
    guest.table.clear_bits(index, HPTE_R_C)
    assert guest.load(USER.esid) == 1
    assert guest.table.read(index)[1] & bits == HPTE_R_R
    assert guest.store(USER.esid, 2)
    assert guest.table.read(index)[1] & bits == bits
    guest.table.clear_bits(index, HPTE_R_R)
    assert guest.load(USER.esid) == 2
    assert guest.table.read(index)[1] & bits == bits


def test_refused_access_marks_nothing(guest: HashGuest) -> None:
    """An access that faults leaves R and C alone."""
    s = guest.segment(USER)
    index = guest.page(s, USER.esid, REAL, flags=3)
    assert not guest.store(USER.esid, 1)
    assert guest.table.read(index)[1] & (HPTE_R_R | HPTE_R_C) == 0


#: pp -> access with key 0 and key 1 (Power ISA 2.07 Book III-S, figure 31); reserved ones allow nothing
PROTECTION = {
    0: ("rw", ""), 1: ("rw", "r"), 2: ("rw", "rw"), 3: ("r", "r"),
    4: ("", ""), 5: ("", ""), 6: ("r", ""), 7: ("", ""),
}  # fmt: skip
#: AMR and IAMR bits of a key -> whether loads, stores, fetches go
CLASS_KEYS = ((1, 0, 0, 1, 1), (2, 0, 1, 0, 1), (3, 0, 0, 0, 1), (0, 1, 1, 1, 0))


@pytest.mark.parametrize("pp", PROTECTION)
@pytest.mark.parametrize("problem", [0, PR])
@pytest.mark.parametrize("keys", [0, KS, KP, KS | KP])
def test_protection(guest: HashGuest, keys: int, problem: int, pp: int) -> None:
    """Ks, Kp, pp: loads, stores and fetches."""
    s = guest.segment(Segment(USER.esid, 0x42, flags=keys))
    guest.page(s, USER.esid, CODE, flags=(pp & 4) << 61 | pp & 3)
    allowed = PROTECTION[pp][bool(keys & (KP if problem else KS))]
    assert (guest.load(USER.esid, msr=DR | problem) is not None) == ("r" in allowed)
    if "r" not in allowed:
        assert (guest.vector(), guest.reg("dsisr"), guest.reg("dar")) == (0x300, DSISR_PROT, USER.esid)
    assert guest.store(USER.esid + 64, 0, DR | problem) == ("w" in allowed)
    if "w" not in allowed:
        assert (guest.vector(), guest.reg("dsisr")) == (0x300, DSISR_PROT | DSISR_STORE)
    assert guest.fetch(USER.esid, problem) == (0 if "r" in allowed else 0x400)
    if "r" not in allowed:
        assert guest.reg("srr1") & 0x783F0000 == SRR1_PROT


@pytest.mark.parametrize("why", ["n", "g", "segment"])
def test_no_execute(guest: HashGuest, why: str) -> None:
    """N, G and the segment's N forbid fetching, not loading; the segment's does without a page."""
    s = guest.segment(Segment(USER.esid, 0x42, flags=NOEXEC if why == "segment" else 0))
    if why == "segment":
        assert guest.fetch(USER.esid) == 0x400
        assert guest.reg("srr1") & 0x783F0000 == SRR1_NOEXEC
    guest.page(s, USER.esid, CODE, flags=2 | {"n": HPTE_R_N, "g": HPTE_R_G, "segment": 0}[why])
    assert guest.fetch(USER.esid) == 0x400
    assert guest.reg("srr1") & 0x783F0000 == SRR1_NOEXEC
    assert guest.load(USER.esid) is not None


@pytest.mark.parametrize("key", [0, 1, 7, 8, 21, 31])
def test_class_keys(guest: HashGuest, key: int) -> None:
    """AMR forbids loads and stores, IAMR fetches, of the page's class alone."""
    s = guest.segment(USER)
    guest.page(s, USER.esid, CODE, flags=2 | (key >> 3) << 60 | (key & 7) << 9)
    field = 62 - 2 * key
    for amr, iamr, loads, stores, fetches in CLASS_KEYS:
        guest.vcpus[0].set_reg("amr", amr << field)
        guest.vcpus[0].set_reg("iamr", iamr << field)
        guest.vcpus[0].flush_tlb()
        assert (guest.load(USER.esid) is not None) == loads
        assert loads or guest.reg("dsisr") == DSISR_KEY
        assert guest.store(USER.esid + 64, 0) == stores
        assert stores or guest.reg("dsisr") == DSISR_KEY | DSISR_STORE
        assert guest.fetch(USER.esid) == (0 if fetches else 0x400)
        assert fetches or guest.reg("srr1") & 0x783F0000 == SRR1_KEY
    guest.vcpus[0].set_reg("amr", ~(3 << field))
    guest.vcpus[0].set_reg("iamr", ~(3 << field))
    guest.vcpus[0].flush_tlb()
    assert guest.load(USER.esid) is not None


def test_amr_written_by_the_guest(guest: HashGuest) -> None:
    """mtspr AMR takes rights away at once, and gives them back."""
    s = guest.segment(USER)
    guest.page(s, USER.esid, REAL, flags=2 | 1 << 9)
    guest.put(REAL, 8)
    for amr, result in ((0, 8), (3 << 60, None), (0, 8), (3 << 58, 8)):
        guest.run(MTAMR_R5, r5=amr)
        assert guest.load(USER.esid) == result


@pytest.mark.parametrize("pages", [FILL_LOG - 1, FILL_LOG, FILL_LOG + 1, TLB_ENTRIES])
def test_flush_after_many_fills(guest: HashGuest, pages: int) -> None:
    """A flush ends every translation, however many were made since the last one."""
    s = guest.segment(USER)
    addresses = [USER.esid + 0x1000 * n for n in range(pages)]
    for ea in addresses:
        guest.page(s, ea, REAL, flags=2 | 1 << 9)
        assert guest.load(ea) is not None
    guest.run(MTAMR_R5, r5=3 << 60)
    assert not any(guest.load(ea) is not None for ea in addresses)


def test_no_page(guest: HashGuest) -> None:
    """No entry: NOPTE, for loads, stores and fetches."""
    guest.segment(USER)
    ea = USER.esid + 0x123450
    assert guest.load(ea) is None
    assert (guest.vector(), guest.reg("dsisr"), guest.reg("dar")) == (0x300, DSISR_NOPTE, ea)
    assert not guest.store(USER.esid, 0)
    assert guest.reg("dsisr") == DSISR_NOPTE | DSISR_STORE
    assert guest.fetch(USER.esid) == 0x400
    assert guest.reg("srr1") & 0x783F0000 == SRR1_NOPTE


def test_no_segment(guest: HashGuest) -> None:
    """No SLB entry: 0x380 with DAR, 0x480 with SRR0."""
    assert guest.load(0xD000000000001238) is None
    assert (guest.vector(), guest.reg("dar")) == (0x380, 0xD000000000001238)
    assert guest.fetch(0xD000000000001238) == 0x480
    assert guest.reg("srr0") == 0xD000000000001238


def test_outside_ram(guest: HashGuest) -> None:
    """A page outside RAM is a device's: the exit has the real address."""
    s = guest.segment(USER)
    guest.page(s, USER.esid, RAM + 0x5000)
    exit = guest.run(0xE8640000, r4=USER.esid + 0x18)
    assert (exit.reason, exit.addr, exit.size) == (ExitReason.MMIO_READ, RAM + 0x5018, 8)
    guest.vcpus[0].complete_mmio_read(0)
    guest.vcpus[0].run()


def test_no_table(guest: HashGuest) -> None:
    """A guest that turns translation on before it has a table finds no page."""
    guest.segment(USER)
    state = guest.vcpus[0].thread.state
    base = state.get("hpt_base")
    state.set("hpt_base", 0)
    assert guest.load(USER.esid) is None
    state.set("hpt_base", base)
    assert guest.reg("dsisr") == DSISR_NOPTE


def test_reserved_sizes(guest: HashGuest) -> None:
    """L and LP or B without a meaning: no page is found, nothing breaks."""
    guest.page(USER, USER.esid, REAL)
    for rs in (USER.rs | 0x10, USER.rs | 0x20, USER.rs | 0x130, USER.rs | 2 << 62, USER.rs | 3 << 62):
        guest.run(0x7C000000 | 5 << 21 | 6 << 11 | 402 << 1, r5=rs, r6=USER.rb(0))
        assert guest.load(USER.esid) is None


def test_first_of_two_groups(guest: HashGuest) -> None:
    """The primary group wins."""
    s = guest.segment(KERNEL)
    guest.page(s, KERNEL.esid, REAL + 0x10000, secondary=True)
    guest.page(s, KERNEL.esid, REAL, slot=7)
    guest.put(REAL, 1)
    guest.put(REAL + 0x10000, 2)
    assert guest.load(KERNEL.esid) == 1

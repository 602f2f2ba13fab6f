# SPDX-License-Identifier: GPL-2.0-only
"""Radix translation (Power ISA 3.0B, Book III, 5.7.10 to 5.7.12) and its invalidation, seen by programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cpu.runner import (
    CODE,
    DR,
    EE,
    IR,
    LE,
    ME,
    PAGE_PRIV,
    PAGE_R,
    PAGE_W,
    PAGE_X,
    PR,
    PTE_C,
    PTE_LEAF,
    PTE_R,
    PTE_VALID,
    SC1,
    SF,
    TABLES,
    Bench,
    Radix,
)

from lpar.cpu import layout

RAM = 8 << 20
USER, KERNEL = SF | ME | LE | IR | DR | EE | PR, SF | ME | LE | IR | DR
NOPTE, PROT, STORE, BADCONFIG, NOEXEC = 0x40000000, 0x08000000, 0x02000000, 0x00080000, 0x10000000
EA, REAL = 0x0007_1234_5678_9000, 0x300000  #: where test pages lie
KERNEL_BIT = 0xC000000000000000


@dataclass(frozen=True)
class Fault:
    """An interrupt: its vector and what it says (DSISR, or SRR1's cause for fetches)."""

    vector: int
    cause: int = 0


class Guest:
    """A bench whose code page is mapped for both privileges; accesses go through programs."""

    def __init__(self) -> None:
        self.bench = Bench(RAM)
        self.bench.fill_vectors()
        self.reset()

    def reset(self) -> None:
        """An empty tree but for the code; nothing cached."""
        self.bench.memory.fill(TABLES, 0x60000)
        self.tree = Radix(self.bench.memory, TABLES, pids=2)
        self.tree.map(CODE, CODE, PAGE_R | PAGE_X)
        self.tree.use(self.bench.cpu)
        for name in ("amr", "iamr", "pidr", "dar", "dsisr"):
            self.bench.cpu.set_reg(name, 0)
        self.bench.put_code(REAL, [SC1] * 1024, little=True)
        self.bench.memory.write(REAL, (SC1 | 0x1122334400000000).to_bytes(8, "little"))

    def attempt(self, line: str, ea: int, msr: int = USER, value: int = 0) -> int | Fault:
        """Execute ``line`` with r4 = ``ea`` and r6 = ``value``: gives r6 or the fault."""
        bench = self.bench
        bench.start([line], msr=msr, r4=ea, r6=value)
        reason = bench.run()
        if reason == layout.EXIT_MMIO_READ:
            bench.cpu.set_reg("mmio_ready", 0)
            return Fault(-1, bench["exit_addr"])
        assert reason == layout.EXIT_HCALL
        vector = bench["pc"] - 4
        if vector in (0x300, 0x380):
            assert bench["srr0"] == CODE
            assert bench["srr1"] == msr
            return Fault(vector, bench["dsisr"] if vector == 0x300 else 0)
        assert vector in (0xC00, CODE + 4), hex(vector)
        return bench["r6"]

    def load(self, ea: int, msr: int = USER) -> int | Fault:
        """A doubleword."""
        return self.attempt("ld 6, 0(4)", ea, msr)

    def store(self, ea: int, msr: int = USER, value: int = 0) -> int | Fault:
        """Store a doubleword; gives it back if that worked."""
        return self.attempt("std 6, 0(4)", ea, msr, value)

    def fetch(self, ea: int, msr: int = USER) -> int | Fault:
        """Jump to a ``sc 1``; gives 0 if it was reached."""
        bench = self.bench
        bench.start(["mtctr 4", "bctr"], msr=msr, r4=ea)
        at = bench.go()
        if at in (0x400, 0x480):
            assert bench["srr0"] == ea & ~3
            return Fault(at, bench["srr1"] & 0x783F0000)
        assert at == ea if not msr & PR else (at, bench["srr0"]) == (0xC00, ea + 4)
        return 0


@pytest.fixture(scope="module")
def machine() -> Iterator[Guest]:
    """One for all tests of the file."""
    made = Guest()
    yield made
    made.bench.close()


@pytest.fixture
def guest(machine: Guest) -> Guest:
    """An empty tree."""
    machine.reset()
    return machine


# -- permissions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [True, False], ids=["PR", "kernel"])
@pytest.mark.parametrize("eaa", range(16))
def test_access_authority(guest: Guest, eaa: int, problem: bool) -> None:
    guest.tree.map(EA, REAL, eaa)
    msr = USER if problem else KERNEL
    allowed = not (problem and eaa & PAGE_PRIV)
    readable, writable = allowed and eaa & (PAGE_R | PAGE_W), allowed and eaa & PAGE_W
    assert (guest.load(EA + 8, msr) == (SC1 << 32 | SC1)) if readable else True
    assert readable or guest.load(EA + 8, msr) == Fault(0x300, PROT)
    wanted = 5 if writable else Fault(0x300, PROT | STORE)
    assert guest.store(EA + 16, msr, value=5) == wanted
    assert guest.fetch(EA + 24, msr) == (0 if allowed and eaa & PAGE_X else Fault(0x400, NOEXEC))


def test_missing_pages(guest: Guest) -> None:
    for msr in (USER, KERNEL):
        assert guest.load(EA, msr) == Fault(0x300, NOPTE)
        assert guest.bench["dar"] == EA
        assert guest.store(EA, msr) == Fault(0x300, NOPTE | STORE)
        assert guest.fetch(EA, msr) == Fault(0x400, NOPTE)


@pytest.mark.parametrize(
    ("amr", "read", "write"), [(0, True, True), (1, False, True), (2, True, False), (3, False, False)]
)
def test_kernel_is_kept_from_user_pages(guest: Guest, amr: int, read: bool, write: bool) -> None:
    """Key 0 of AMR: its bits withhold pages without Privilege from privileged loads and stores."""
    guest.tree.map(EA, REAL, PAGE_R | PAGE_W)
    guest.tree.map(EA + 0x1000, REAL, PAGE_R | PAGE_W | PAGE_PRIV)
    program = ["ld 6, 8(5)", "std 6, 16(5)", "mtspr 29, 4"]  # in the TLB before AMR changes
    for access, allowed in (("ld 7, 8(5)", read), ("std 7, 16(5)", write)):
        guest.bench.cpu.set_reg("amr", 0)
        at = guest.bench.execute([*program, access], msr=KERNEL, r4=amr << 62, r5=EA)
        assert (at == 0x300) is not allowed
    assert (guest.load(EA + 8, KERNEL) == Fault(0x300, PROT)) is not read
    assert (guest.store(EA + 8, KERNEL) == Fault(0x300, PROT | STORE)) is not write
    assert guest.store(EA + 0x1008, KERNEL, value=3) == 3
    assert guest.store(EA + 8, USER, value=4) == 4
    guest.bench.execute(["mtspr 29, 4"], msr=KERNEL, r4=0)
    assert guest.load(EA + 8, KERNEL) == 4


def test_kernel_executes_no_user_pages_under_iamr(guest: Guest) -> None:
    guest.tree.map(EA, REAL, PAGE_R | PAGE_X)
    guest.tree.map(CODE, CODE, PAGE_R | PAGE_X | PAGE_PRIV)
    assert guest.fetch(EA + 8, KERNEL) == 0
    guest.bench.execute(["mtspr 61, 4"], msr=KERNEL, r4=1 << 62)
    assert guest.fetch(EA + 8, KERNEL) == Fault(0x400, NOEXEC)


def test_reference_and_change_bits(guest: Guest) -> None:
    def bits() -> int:
        return guest.bench.memory.read_u64(where) & (PTE_R | PTE_C)

    where = guest.tree.map(EA, REAL, PAGE_R | PAGE_W | PAGE_X, flags=0)
    assert guest.store(EA, SF | LE | ME | DR | IR | EE | PR) == 0
    assert bits() == PTE_R | PTE_C
    guest.tree.map(EA, REAL, PAGE_R | PAGE_W | PAGE_X, flags=0)
    guest.bench.cpu.flush_tlb()
    guest.load(EA)
    assert bits() == PTE_R
    guest.store(EA)
    assert bits() == PTE_R | PTE_C
    guest.tree.map(EA, REAL, PAGE_R | PAGE_X, flags=0)
    assert guest.fetch(EA + 8) == 0
    assert bits() == PTE_R
    guest.store(EA)  # refused: no Change
    assert bits() == PTE_R


# -- page sizes and trees -----------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "shift"), [(3, 12), (2, 21), (1, 30)])
@pytest.mark.parametrize("top", [0, KERNEL_BIT], ids=["low", "high"])
def test_page_sizes(guest: Guest, level: int, shift: int, top: int) -> None:
    base = top | EA >> shift << shift
    guest.tree.map(base, REAL >> shift << shift, PAGE_R | PAGE_W | PAGE_X | PAGE_PRIV, level=level)
    offset = REAL & (1 << shift) - 1
    assert guest.load(base + offset, KERNEL) == 0x1122334400000000 | SC1
    assert guest.fetch(base + offset + 0x100, KERNEL) == 0
    assert guest.store(base + offset + 0xFF8, KERNEL, value=7) == 7
    assert guest.bench.memory.read(REAL + 0xFF8, 1) == b"\7"
    assert guest.load(base + (1 << shift), KERNEL) == Fault(0x300, NOPTE)
    assert guest.load(base - 8, KERNEL) == Fault(0x300, NOPTE)


def test_64k_pages(guest: Guest) -> None:
    """A last level of 5 bits."""
    upper = guest.tree.entry_address(EA, level=2)
    table = TABLES + 0x5F000
    guest.bench.memory.write_u64(upper, PTE_VALID | table | 5)
    index = EA >> 16 & 31
    guest.bench.memory.write_u64(
        table + 8 * index, PTE_VALID | PTE_LEAF | PTE_R | PTE_C | REAL | PAGE_R | PAGE_W
    )
    base = EA & ~0xFFFF
    guest.bench.memory.write(REAL + 0xABC8, b"\x55")
    assert guest.load(base + 0xABC8) == 0x55
    assert guest.load(base + 0x10000) == Fault(0x300, NOPTE)


@pytest.mark.parametrize("quadrant", [1, 2])
def test_middle_quadrants_are_no_addresses(guest: Guest, quadrant: int) -> None:
    ea = quadrant << 62 | 0x1000
    assert guest.load(ea) == Fault(0x380)
    assert guest.bench["dar"] == ea
    assert guest.fetch(ea) == Fault(0x480)


def test_addresses_beyond_the_tree(guest: Guest) -> None:
    assert guest.load(1 << 52) == Fault(0x380)
    assert guest.fetch(1 << 52) == Fault(0x480)


def test_process_number_beyond_the_table(guest: Guest) -> None:
    guest.bench.cpu.set_reg("pidr", 2)
    assert guest.bench.cpu.get_reg("prtb_size") == 32
    assert guest.bench.thread.state.get("pidr") == 2
    bench = guest.bench
    bench.start(["nop"], msr=USER)
    assert bench.go() == 0x400


def test_page_outside_ram_is_for_the_machine(guest: Guest) -> None:
    guest.tree.map(EA, 0x3F_0000_0000_0000 & 0x01FFFFFFFFFFF000, PAGE_R | PAGE_W)
    assert guest.load(EA + 0x128) == Fault(-1, 0x3F_0000_0000_0128)


@pytest.mark.parametrize("bits", [0, 1, 4, 17, 31])
def test_bad_level_sizes(guest: Guest, bits: int) -> None:
    upper = guest.tree.entry_address(EA, level=2)
    guest.bench.memory.write_u64(upper, PTE_VALID | (TABLES + 0x5F000) | bits)
    assert guest.load(EA) == Fault(0x300, BADCONFIG)


def test_table_outside_ram(guest: Guest) -> None:
    upper = guest.tree.entry_address(EA, level=2)
    for table in (RAM, RAM - 0x100 + 0x1000, 0x0FFFFFFFFFFFFF00):
        guest.bench.memory.write_u64(upper, PTE_VALID | table | 9)
        assert guest.load(EA) == Fault(0x300, NOPTE)


@given(
    garbage=st.lists(st.integers(0, (1 << 64) - 1), min_size=4, max_size=4),
    forms=st.lists(st.sampled_from(["any", "valid", "table", "leaf"]), min_size=4, max_size=4),
    base=st.sampled_from([TABLES, RAM - 16, RAM - 8, RAM, (1 << 60) - 16, 0]),
    ea=st.integers(0, (1 << 64) - 1),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_garbage_tables(machine: Guest, garbage: list[int], forms: list[str], base: int, ea: int) -> None:
    """Whatever the tables hold, an access ends: done, an interrupt, or for the machine."""
    machine.reset()
    bench, tree = machine.bench, machine.tree
    ea &= ~7
    shape = {"any": lambda v: v, "valid": lambda v: v | PTE_VALID,
             "table": lambda v: v & 0x7FFF00 & ~PTE_LEAF | PTE_VALID | 5 + v % 12,
             "leaf": lambda v: v & 0x7FFFFF | PTE_VALID | PTE_LEAF}  # fmt: skip
    entries = [shape[f](v) for f, v in zip(forms, garbage, strict=True)]
    if (ea & 0x3FFFFFFFFFFFFFFF) >> 39 != CODE >> 39:
        places = [tree.entry_address(ea & 0x000FFFFFFFFFFFFF, level) for level in range(4)]
        for where, entry in zip(places, entries, strict=True):
            bench.memory.write_u64(where, entry)
    if base != TABLES:
        bench.cpu.set_reg("prtb_base", base)
    bench.memory.fill(0x50_0000, 0x1000)
    for line in ("ld 6, 0(4)", "std 6, 0(4)", "lq 6, 0(4)"):
        bench.start([line], msr=KERNEL, r4=ea)
        bench.cpu.set_reg("mmio_ready", 0)
        assert bench.run() in (layout.EXIT_HCALL, layout.EXIT_MMIO_READ, layout.EXIT_MMIO_WRITE)


# -- pages and processes ------------------------------------------------------------------------------


def test_processes_have_their_own_pages(guest: Guest) -> None:
    """A new PIDR shows the other process's page at once; quadrant 3 stays process 0's."""
    bench, tree = guest.bench, guest.tree
    other = Radix(bench.memory, TABLES + 0x80000)
    other.map(CODE, CODE, PAGE_R | PAGE_X)
    bench.memory.write_u64(TABLES + 16, Radix.process_entry(other.root))
    tree.map(EA, REAL, PAGE_R)
    other.map(EA, REAL + 0x1000, PAGE_R)
    bench.memory.write(REAL, (10).to_bytes(8, "little"))
    bench.memory.write(REAL + 0x1000, (11).to_bytes(8, "little"))
    for pid in (0, 1, 0, 1):
        bench.execute(["mtspr 48, 4"], msr=SF | ME | LE, r4=pid)
        assert guest.load(EA) == 10 + pid
        assert guest.load(KERNEL_BIT | EA, KERNEL) == 10


def test_real_and_translated_accesses_do_not_mix(guest: Guest) -> None:
    bench = guest.bench
    guest.tree.map(0x5000, REAL, PAGE_R | PAGE_W)
    bench.memory.write(0x5000, (1).to_bytes(8, "little"))
    bench.memory.write(REAL, (2).to_bytes(8, "little"))
    for _ in range(2):
        assert guest.load(0x5000, SF | ME | LE) == 1
        assert guest.load(0x5000, KERNEL) == 2
        assert guest.load(0x5000, SF | ME | LE | IR) == 1


# -- invalidation within a program: nothing else flushes ----------------------------------------------

TREE = 0xC000000000700000  #: where the kernel sees the tables
BASES = {"lower": EA, "upper": KERNEL_BIT | EA}


class Touched:
    """Pages of one half that a program touches, unmaps and touches again, all before it comes back.

    At ``level`` 2 it is one page of 2 MiB, and ``base`` is where the program touches it.
    """

    def __init__(self, guest: Guest, base: int, count: int, access: str, level: int = 3) -> None:
        self.guest, self.base, self.count, self.access, self.level = guest, base, count, access, level
        self.real = REAL if access == "fetch" else REAL + 0x2000  # no code is stored to
        if level == 2:
            self.base = base >> 21 << 21 | self.real & 0x1FFFFF
        for n in range(count):
            self.map(n)
        self.entries = guest.tree.entry_address(base & ~KERNEL_BIT, level)
        for real in range(TABLES, TABLES + 0x60000, 0x1000):
            guest.tree.map(TREE + real, real, PAGE_R | PAGE_W | PAGE_PRIV)
        for half in (0, KERNEL_BIT):
            guest.tree.map(half | CODE, CODE, PAGE_R | PAGE_X | PAGE_PRIV)

    def map(self, n: int = 0) -> None:
        """Map a page."""
        within = ~0xFFF if self.level == 3 else ~0x1FFFFF
        where, access = self.base + 0x1000 * n & within, PAGE_R | PAGE_W | PAGE_X | PAGE_PRIV
        self.guest.tree.map(where, self.real & within, access, level=self.level)

    def again(self, invalidation: list[str], rb: int = 0, rs: int = 0, *, entry: int = 0) -> int:
        """The vector of an access to the first page behind the invalidation, 0xC00 if it went well.

        ``entry`` is what the page's entry holds by then.
        """
        bench = self.guest.bench
        ways = {"load": ["ld 3, 8(10)"], "store": ["std 3, 8(10)"], "fetch": ["mtlr 10", "blrl"]}
        touch = ways[self.access]
        if self.access == "fetch":
            bench.put_code(REAL, [0x4E800020] * 1024, little=True)  # blr
        loop = ["mr 10, 9", "mr 12, 8", *touch, "addi 10, 10, -0x1000", "addic. 12, 12, -1"]
        loop.append(f"bne .-{4 * (len(loop) - 2)}")
        lines = [*loop, "stdbrx 11, 0, 7", "ptesync", *invalidation, "ptesync", "mr 10, 4", *touch]
        regs = {"r4": self.base, "r8": self.count, "r9": self.base + 0x1000 * (self.count - 1)}
        bench.start(lines, msr=KERNEL, r5=rb, r6=rs, r7=TREE + self.entries, r11=entry, **regs)
        at = bench.go()
        return at if at < 0x1000 else 0xC00


def radix_word(extended: int, ric: int = 0) -> str:
    """tlbie (306) or tlbiel (274) of a process, RB = r5, RS = r6."""
    return f".long {0x7C000000 | 6 << 21 | ric << 18 | 3 << 16 | 5 << 11 | extended << 1:#x}"


#: what is invalidated -> (IS field, RIC)
SCOPES = {"page": (0, 0), "pid": (1, 0), "lpid": (2, 2), "all": (3, 2), "pid and PWC": (1, 2)}
PAGE_SIZES = {3: 0, 2: 1}  #: level -> AP encoding


@pytest.mark.parametrize("access", ["load", "store", "fetch"])
@pytest.mark.parametrize("extended", [306, 274], ids=["tlbie", "tlbiel"])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("level", PAGE_SIZES)
def test_invalidated_pages_are_gone(guest: Guest, level: int, scope: str, extended: int, access: str) -> None:
    """Each scope ends a page of each size, which was still found before."""
    guest.bench.cpu.set_reg("pidr", 1)
    pages = Touched(guest, EA, 1, access, level)
    assert pages.again([]) == 0xC00
    pages.map()
    kind, ric = SCOPES[scope]
    where = pages.base & ~0xFFF | PAGE_SIZES[level] << 5 if kind == 0 else kind << 10
    assert pages.again([radix_word(extended, ric)], where, 1 << 32) == (0x400 if access == "fetch" else 0x300)


def test_a_withdrawn_permission(guest: Guest) -> None:
    for access, found in (("load", 0xC00), ("store", 0x300)):
        pages = Touched(guest, EA, 1, access)
        readable = PTE_VALID | PTE_LEAF | PTE_R | PTE_C | PAGE_R | PAGE_PRIV | pages.real
        assert pages.again([radix_word(274)], pages.base, 0, entry=readable) == found
    assert guest.bench["dsisr"] == PROT | STORE


def test_another_page_stays_right(guest: Guest) -> None:
    """Pages that share a TLB entry (1024 pages apart) and neighbours are told apart, and end alone."""
    bench = guest.bench
    gone = Touched(guest, EA, 1, "load")
    for n, page in enumerate((1, 1024, 2048, 512)):
        guest.tree.map(EA + page * 0x1000, REAL + n * 0x1000, PAGE_R | PAGE_W | PAGE_PRIV)
        bench.memory.write(REAL + n * 0x1000, n.to_bytes(8, "little"))
    loads = [f"ldx {21 + n}, 4, {13 + n}" for n in range(4)]
    offsets = {f"r{13 + n}": page * 0x1000 for n, page in enumerate((1, 1024, 2048, 512))}
    start = ["ld 3, 0(4)", *loads, "ld 3, 0(4)", "li 11, 0", "std 11, 0(7)", "ptesync"]
    end = [radix_word(274), "ptesync", *(f"li {21 + n}, -1" for n in range(4)), *loads, "ld 3, 0(4)"]
    at = bench.execute([*start, *end], msr=KERNEL, r4=EA, r5=EA, r6=0, r7=TREE + gone.entries, **offsets)
    assert (at, bench["dsisr"], bench["dar"]) == (0x300, NOPTE, EA)
    assert [bench[f"r{21 + n}"] for n in range(4)] == [0, 1, 2, 3]


COUNTS = [1, layout.FILL_LOG - 1, layout.FILL_LOG, layout.FILL_LOG + 1]


@pytest.mark.parametrize("access", ["load", "store", "fetch"])
@pytest.mark.parametrize("half", BASES)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("extended", [306, 274], ids=["tlbie", "tlbiel"])
def test_a_process_is_invalidated(guest: Guest, access: str, half: str, count: int, extended: int) -> None:
    """What ends process 1 ends the lower half and leaves the upper one alone, and the other way round."""
    pages = Touched(guest, BASES[half], count, access)
    guest.bench.cpu.set_reg("pidr", 1)
    fault = 0x400 if access == "fetch" else 0x300
    for pid in (0, 1, 5):
        pages.map()
        ended = pid == {"lower": 1, "upper": 0}[half] or (pid == 0 and half == "lower")
        found = pages.again([radix_word(extended, 2)], 1 << 10, pid << 32)
        assert found == (fault if ended else 0xC00), pid
    pages.map()
    assert pages.again([radix_word(extended)], pages.base, 1 << 32 if half == "lower" else 0) == fault
    pages.map()
    assert pages.again([radix_word(extended)], pages.base + 0x1000, 0) == 0xC00


@pytest.mark.parametrize("access", ["load", "store", "fetch"])
@pytest.mark.parametrize("half", BASES)
@pytest.mark.parametrize("count", COUNTS)
def test_another_process(guest: Guest, access: str, half: str, count: int) -> None:
    """A new PIDR ends the lower half, whatever was there, and leaves the upper one alone."""
    pages = Touched(guest, BASES[half], count, access)
    found = pages.again(["li 9, 1", "mtspr 48, 9", "isync"])
    assert found == (0xC00 if half == "upper" else 0x400 if access == "fetch" else 0x300)
    pages.map()
    assert pages.again(["li 9, 1", "mtspr 48, 9", "isync"]) == 0xC00  # the same again is no change

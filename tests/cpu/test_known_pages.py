# SPDX-License-Identifier: GPL-2.0-only
"""Pages that regions keep in registers: which bases are worth it, and when they must be looked up again."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from tests.cpu.runner import DR, LE, ME, PAGE_PRIV, PAGE_R, PAGE_W, SF, TABLES, Bench, Radix
from tests.isa.harness import assemble

from lpar.cpu import layout, native_tlb
from lpar.cpu.ir import Function, Module
from lpar.cpu.known_pages import Bases, KnownPages, site_of, source_of_step
from lpar.cpu.native_memory import LOADS
from lpar.cpu.native_sample import PASSED

KERNEL = SF | ME | LE
CODE, EA, TABLE_EA = 0x8000, 0x12345000, 0x22345000
OLD, NEW = 0x90000, 0xA0000
READ, WRITE = 0, 8


@pytest.mark.parametrize(
    ("line", "register", "source"),
    [
        ("addi 3, 3, 8", 3, (3, 0)),
        ("addis 4, 3, 1", 4, (3, 0)),
        ("li 3, 8", 3, None),
        ("mr 4, 3", 4, (3, 0)),
        ("or 4, 3, 5", 4, None),
        ("add 3, 3, 5", 3, (3, 5)),
        ("subf 3, 5, 3", 3, (3, 5)),
        ("lwzu 5, 4(3)", 3, (3, 0)),
        ("lwzu 5, 4(3)", 5, None),
        ("stwu 3, 4(3)", 3, (3, 0)),
        ("ldu 5, 8(3)", 3, (3, 0)),
        ("ldux 5, 3, 6", 3, (3, 6)),
        ("ldux 5, 3, 6", 5, None),
        ("stbux 5, 3, 6", 3, (3, 6)),
        ("ld 3, 8(3)", 3, None),
        ("mulld 3, 3, 5", 3, None),
    ],
)
def test_steps(line: str, register: int, source: tuple[int, int] | None) -> None:
    [word] = assemble([line])
    assert source_of_step(word, register) == source


def worth(line: str, *writers: str) -> bool:
    """Whether an access has a site in a region with these other instructions, all of which write r3 to r9."""
    by: dict[int, list[int]] = {}
    for word, text in zip(assemble(list(writers)), writers, strict=True):
        by.setdefault(int(text.split()[1].rstrip(",")), []).append(word)
    [word] = assemble([line])
    return Bases(by).worth(site_of(word, READ))


def test_bases() -> None:
    """A base that stays or walks; a table with any index; not what was loaded."""
    assert worth("ld 10, 8(3)")
    assert worth("ld 10, 8(3)", "addi 3, 3, 8")
    assert worth("ld 10, 8(4)", "addi 3, 3, 8", "addi 4, 3, 64")
    assert not worth("ld 10, 8(3)", "ld 3, 0(3)")
    assert not worth("ld 10, 8(4)", "ld 3, 0(3)", "addi 4, 3, 64")
    assert worth("ldx 10, 3, 4", "ld 4, 0(5)")
    assert not worth("ldx 10, 3, 4", "ld 4, 0(5)", "ld 3, 0(5)")
    assert worth("ldx 10, 3, 4", "add 3, 3, 5")
    assert worth("ldx 10, 0, 4", "addi 4, 4, 1")
    assert not worth("ldx 10, 0, 4", "ld 4, 0(5)")


def test_sites() -> None:
    """Near displacements share a site; loads and stores do not."""
    near, also, far = assemble(["ld 10, 8(1)", "std 10, 504(1)", "ld 10, 512(1)"])
    assert site_of(near, READ) == site_of(also, READ) != site_of(far, READ)
    assert site_of(near, READ) != site_of(near, WRITE)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A bench with a compiled tier."""
    bench = Bench()
    bench.fill_vectors()
    if not bench.start_jit():
        pytest.skip("no compiled tier here")
    yield bench
    bench.close()


def run(bench: Bench, lines: list[str], *, first: bool, **regs: int) -> None:
    """Run a program: the ``first`` time written and decoded, later as it is."""
    if first:
        bench.start(lines, msr=KERNEL | DR, at=CODE)
    for name, value in {"pc": CODE, "msr": KERNEL | DR, **regs}.items():
        bench.cpu.set_reg(name, value)
    bench.go()


def test_own_invalidation_ends_what_is_known(bench: Bench) -> None:
    """A region that reads a page, maps another in its place, says so with tlbiel, and reads again."""
    radix = Radix(bench.memory, TABLES)
    radix.use(bench.cpu)
    entry = radix.map(EA, OLD, PAGE_R | PAGE_W | PAGE_PRIV)
    radix.map(TABLE_EA, entry & ~0xFFF, PAGE_R | PAGE_W | PAGE_PRIV)
    radix.map(CODE, CODE, PAGE_R | PAGE_W | PAGE_PRIV)
    bench.memory.write(OLD, (1).to_bytes(8, "little"))
    bench.memory.write(NEW, (2).to_bytes(8, "little"))
    tlbiel = 0x7C000000 | 7 << 21 | 1 << 17 | 1 << 16 | 5 << 11 | 274 << 1
    program = ["ld 10, 0(4)", "std 6, 0(8)", "ptesync", f".long {tlbiel:#x}", "ptesync", "ld 11, 0(4)"]
    old = bench.memory.read_u64(entry)
    new = old - OLD + NEW
    for n in range(4):
        value = int.from_bytes((new if n % 2 == 0 else old).to_bytes(8, "big"), "little")
        regs = {"r4": EA, "r5": EA, "r6": value, "r7": 0, "r8": TABLE_EA + (entry & 0xFFF)}
        run(bench, program, first=n == 0, **regs)
        if n == 0:
            assert bench.compile(CODE)
        assert (bench["r10"], bench["r11"]) == ((1, 2) if n % 2 == 0 else (2, 1)), n


APART, BESIDE, MIXED = (0x90, 0xB0, 0xA0, 0xC0), (0x90, 0x91, 0x92, 0x93), (0x90, 0x91, 0xA0, 0xA1)


def map_pages(bench: Bench, frames: tuple[int, ...]) -> bytes:
    """Map pages from EA on to these frames of real memory; gives what is in them."""
    radix = Radix(bench.memory, TABLES)
    radix.use(bench.cpu)
    data = bytes(n * 7 % 251 for n in range(4 * 0x1000))
    for n, frame in enumerate(frames):
        real = frame << 12
        radix.map(EA + n * 0x1000, real, PAGE_R | PAGE_W | PAGE_PRIV)
        bench.memory.write(real, data[n * 0x1000 : (n + 1) * 0x1000])
    return data


@pytest.mark.parametrize("frames", [APART, BESIDE, MIXED])
@pytest.mark.parametrize("step", [1, 3, 8, 13, 4095, -1, -13, -4095])
def test_walks(bench: Bench, step: int, frames: tuple[int, ...]) -> None:
    """A region that walks over pages, up or down, beside each other or not, by any steps."""
    data = map_pages(bench, frames)
    count = (4 * 0x1000 - 8) // abs(step)
    first = 0 if step > 0 else 4 * 0x1000 - 8
    lines = ["ld 6, 0(4)", "add 10, 10, 6", f"addi 4, 4, {step}", "bdnz .-12"]
    regs = {"r4": EA + first, "r10": 0, "ctr": count}
    run(bench, lines, first=True, **regs | {"ctr": 1})
    assert bench.compile(CODE)
    run(bench, lines, first=False, **regs)
    places = [first + n * step for n in range(count)]
    expected = sum(int.from_bytes(data[at : at + 8], "little") for at in places)
    assert bench["r10"] == expected % 2**64


@pytest.mark.parametrize("frames", [APART, BESIDE, MIXED])
def test_to_and_fro(bench: Bench, frames: tuple[int, ...]) -> None:
    """A region that comes back to the page before, over and over."""
    data = map_pages(bench, frames)
    count = (3 * 0x1000 - 8) // 8
    lines = ["ld 6, 0(4)", "addi 4, 4, 4096", "ld 7, 0(4)", "addi 4, 4, -4088"]
    lines += ["add 10, 10, 6", "add 10, 10, 7", "bdnz .-24"]
    regs = {"r4": EA, "r10": 0, "ctr": count}
    run(bench, lines, first=True, **regs | {"ctr": 1})
    assert bench.compile(CODE)
    run(bench, lines, first=False, **regs)
    places = [n * 8 + far for n in range(count) for far in (0, 0x1000)]
    expected = sum(int.from_bytes(data[at : at + 8], "little") for at in places)
    assert bench["r10"] == expected % 2**64


def test_what_may_change_translations_ends_all_sites() -> None:
    """A region has its sites, unless it calls what is not known to leave translations alone."""
    [word] = assemble(["ld 10, 8(3)"])
    for routine, used in ((LOADS[8], 1), (native_tlb.tlbie_radix, 0)):
        f = Function("define void @f()", Module("x86_64"))
        pages = KnownPages(f)
        name, _ = pages.site(word, READ)
        pages.called(routine)
        assert f"{name}.on = icmp eq i64 0, {1 - used}" in pages.close(Bases({}))


@pytest.mark.parametrize(
    ("request_bits", "stays"), [(layout.REQ_SAMPLE, 1), (layout.REQ_QUIESCE, 0), (24, 0)]
)
def test_only_samples_pass_a_region_by(request_bits: int, stays: int) -> None:
    """At every PASSED-th poll it leaves with the sample; whatever else is asked for is left to the poll."""
    bench = Bench()
    state = bench.thread.state
    may_stay = bench.engine.code.routine("may_stay", result=layout.ctypes.c_bool)
    for count in range(1, 2 * PASSED + 1):
        state.set("exit_request", request_bits)
        staying = bool(stays and count % PASSED)
        assert may_stay(state.address) is staying
        passed = layout.REQ_SAMPLE if count % PASSED else 0
        assert state.get("exit_request") == request_bits & ~passed
    bench.close()


def test_a_region_passes_samples_by(bench: Bench) -> None:
    """Samples asked for while a loop runs as a region: it stays for most, and is left now and then."""
    lines = ["addi 10, 10, 1", "bdnz .-4"]
    bench.start(lines, msr=KERNEL, at=CODE, r10=0, ctr=2)
    bench.go()
    assert bench.compile(CODE)
    state, done = bench.thread.state, threading.Event()
    begun, sampled = state.get("n_passed"), state.get("n_samples")

    def ask() -> None:
        while not done.wait(0.0005):
            bench.thread.request(layout.REQ_SAMPLE)

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(100):
        if state.get("n_passed") - begun >= 4 * PASSED:
            break
        for name, value in {"pc": CODE, "msr": KERNEL, "r10": 0, "ctr": 20_000_000}.items():
            bench.cpu.set_reg(name, value)
        bench.go()
        assert bench["r10"] == 20_000_000
    done.set()
    asking.join()
    assert state.get("n_passed") - begun >= 4 * PASSED
    assert state.get("n_samples") > sampled

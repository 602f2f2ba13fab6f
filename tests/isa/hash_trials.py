# SPDX-License-Identifier: GPL-2.0-only
"""Trials of the hash MMU: a big-endian program that runs as firmware of a pseries machine, here and on QEMU.

For each trial it enters a page by H_ENTER, writes two SLB entries, AMR and IAMR, sometimes reads the page,
then protects it otherwise, executes one instruction of segments or translations, and makes one access under
an MSR.  A row of results says what came of it: the interrupt, SRR0, SRR1, DAR, DSISR, the value, both SLB
entries, what the instruction gave, and the page's entry after it by H_READ.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from tests.cpu.hash_guest import LP, SLB_LLP, Segment
from tests.cpu.runner import DR, IR, ME, PR, RI, SF
from tests.isa import judge
from tests.isa.mmu_trials import (
    DONE,
    MARK,
    RESULTS,
    branch,
    forget_undefined,
    partition_memory,
    put,
    qemu_memory,
)

from lpar.papr.partition import Partition

RAM = 256 << 20
GROUPS = 1 << (21 - 7)  #: of the page table of 2 MiB that both machines give 256 MiB of RAM
TRIALS, CODE, COMMON, DISPATCH = 0x100000, 0x4000, 0x5800, 0x5000
FRAMES = 0x2000000  #: real pages that are mapped, 16 MiB aligned
LOAD, STORE, RESERVE, CLEAR = 0x6000, 0x6040, 0x6080, 0x60C0
PROGRAM_SEGMENT = Segment(0x2 << 60, 0x1234)  #: where problem state finds the code of accesses
H_REMOVE, H_ENTER, H_READ, H_PROTECT = 0x4, 0x8, 0xC, 0x18
FIELDS = (
    "vector", "srr0", "srr1", "dar", "dsisr", "value", "entered", "index", "v", "r", "rt", "cr",
    "esid0", "vsid0", "esid2", "vsid2",
)  # fmt: skip
TRIAL, ROW = 160, 128
COUNT_AT = 152
HPTE_M, HPTE_N, HPTE_R, HPTE_C = 0x10, 0x4, 0x100, 0x80
NOP = 0x60000000
#: where a page is not read before: QEMU forgets no translations when AMR and IAMR change, executes from
#: segments with N what it has read before, and completes slbieg at the next slbsync only
NOEXEC = 0x200
UNJUDGED = ((12, 16),)  #: QEMU's machine has no 64K pages in 4K segments, as KVM
SLOT = 0x5700  #: where the program puts the trial's instruction


@dataclass(frozen=True, slots=True)
class Trial:
    """H_ENTER's index, v, r; SLB entries 0 and 2; AMR, IAMR; whether the page is read before; H_PROTECT's
    flags (0: no call); the instruction and its operands r25, r26; the access: EA, MSR, code that makes it.
    """

    index: int
    v: int
    r: int
    rs: int
    rb: int
    rs2: int
    rb2: int
    amr: int
    iamr: int
    warm: int
    protect: int
    word: int
    a: int
    b: int
    ea: int
    msr: int
    code: int

    def packed(self) -> bytes:
        """As the program reads it."""
        return struct.pack(">17Q", *astuple(self)).ljust(TRIAL, b"\0")


def constant(register: int, value: int) -> list[str]:
    """Load a constant of 64 bits."""
    parts = [value >> n & 0xFFFF for n in (48, 32, 16, 0)]
    return [
        f"lis {register}, {parts[0] - (parts[0] >> 15 << 16)}",
        f"ori {register}, {register}, {parts[1]}",
        f"sldi {register}, {register}, 32",
        f"oris {register}, {register}, {parts[2]}",
        f"ori {register}, {register}, {parts[3]}",
    ]


def map_program() -> list[str]:
    """H_ENTER the page of the accesses' code."""
    s = PROGRAM_SEGMENT
    group = s.hash(s.esid) % GROUPS
    return [
        f"li 3, {H_ENTER}", "li 4, 0", *constant(5, group * 8), *constant(6, s.virtual(s.esid) >> 16 | 1),
        *constant(7, LOAD | HPTE_M | HPTE_R | HPTE_C | 2), "sc 1",
    ]  # fmt: skip


#: r20: trial, r21: result row, r19: how many are left
PROGRAM = (
    *constant(20, TRIALS), *constant(21, RESULTS), f"ld 19, {COUNT_AT}(20)", *map_program(),
)  # fmt: skip
ONE = (
    f"li 3, {H_ENTER}", "li 4, 0", "ld 5, 0(20)", "ld 6, 8(20)", "ld 7, 16(20)", "sc 1",
    "std 3, 48(21)", "std 4, 56(21)", "mr 24, 4",
    *constant(5, PROGRAM_SEGMENT.rs), *constant(6, PROGRAM_SEGMENT.rb(1)), "slbmte 5, 6",
    "ld 5, 24(20)", "ld 6, 32(20)", "slbmte 5, 6", "ld 5, 40(20)", "ld 6, 48(20)", "slbmte 5, 6",
    "isync", "ld 7, 112(20)",
    "ld 5, 72(20)", "cmpdi 5, 0", "beq .+32",
    "mfmsr 9", "ori 6, 9, 0x10", "mtmsrd 6", "isync", "ld 10, 0(7)", "mtmsrd 9", "isync",
    "ld 4, 80(20)", "cmpdi 4, 0", "beq .+24",
    f"li 3, {H_PROTECT}", "mr 5, 24", "li 6, 0", "sc 1", "ld 7, 112(20)",
    "ld 5, 56(20)", "mtspr 29, 5", "ld 6, 64(20)", "mtspr 61, 6", "isync",
    "ld 5, 88(20)", *constant(4, SLOT), "stw 5, 0(4)", "dcbst 0, 4", "sync", "icbi 0, 4", "sync", "isync",
    "ld 25, 96(20)", "ld 26, 104(20)", "li 23, 0", "li 5, 0", "mtcr 5",
)  # fmt: skip
AFTER = (
    "mfcr 5", "std 23, 80(21)", "std 5, 88(21)", "isync",
    "li 5, 0", "slbmfee 6, 5", "std 6, 96(21)", "slbmfev 6, 5", "std 6, 104(21)",
    "li 5, 2", "slbmfee 6, 5", "std 6, 112(21)", "slbmfev 6, 5", "std 6, 120(21)",
    "ld 7, 112(20)", "ld 8, 120(20)", "ld 9, 128(20)", "li 10, 0", "lis 11, 0x7777", "li 12, 0",
    "lis 13, 0x7FFF", "mtspr 22, 13", "mtspr 19, 12", "mtspr 18, 12", "mtspr 26, 9", "mtspr 27, 8", "rfid",
)  # fmt: skip
#: r22: the vector
FINISH = (
    "std 22, 0(21)", "mfspr 3, 26", "std 3, 8(21)", "mfspr 3, 27", "std 3, 16(21)", "mfspr 3, 19",
    "std 3, 24(21)", "mfspr 3, 18", "std 3, 32(21)", "std 10, 40(21)",
    f"li 3, {H_READ}", "li 4, 0", "mr 5, 24", "sc 1", "std 4, 64(21)", "std 5, 72(21)",
    f"li 3, {H_REMOVE}", "li 4, 0", "mr 5, 24", "li 6, 0", "sc 1",
    "li 5, 0", "li 6, 0", "slbmte 5, 6", "li 6, 1", "slbmte 5, 6", "li 6, 2", "slbmte 5, 6", "isync",
    f"addi 20, 20, {TRIAL}", f"addi 21, 21, {ROW}", "addic. 19, 19, -1",
)  # fmt: skip


def image(trials: Sequence[Trial]) -> bytes:
    """The firmware: vectors, program and trials."""
    made = bytearray(RESULTS)
    for vector in range(0x200, 0x1000, 0x20):
        if vector & 0x7F == 0 or vector in (0xF20, 0xF40, 0xF60, 0xE20, 0xE40):
            branch(made, put(made, vector, [f"li 22, {vector}"]), COMMON)
    branch(made, 0x100, CODE)
    first = put(made, CODE, PROGRAM)
    branch(made, put(made, first, ONE), SLOT)
    branch(made, SLOT + 4, DISPATCH)
    put(made, DISPATCH, AFTER)
    at = branch(made, put(made, COMMON, FINISH), first, 0x40820000)  # bne
    done = [*constant(3, DONE), *constant(4, MARK), "std 4, 0(3)", "li 3, 0x7FFC", "sc 1"]
    at = put(made, at, done)
    branch(made, at, at)
    accesses = ("ld 10, 0(7)", "std 11, 0(7)", "ldarx 10, 0, 7", "dcbz 0, 7")
    for where, line in zip((LOAD, STORE, RESERVE, CLEAR), accesses, strict=True):
        put(made, where, [line, "sc"])
    packed = bytearray(b"".join(t.packed() for t in trials))
    struct.pack_into(">Q", packed, COUNT_AT, len(trials))
    made[TRIALS : TRIALS + len(packed)] = packed
    return bytes(made)


def slbie(rb: int) -> int:
    """slbie RB."""
    return 31 << 26 | rb << 11 | 434 << 1


#: instructions between: r25 and r26 are operands, r23 and CR what they give
WORDS = {
    "slbie": slbie(25),
    **{f"slbia {ih}": 31 << 26 | ih << 21 | 498 << 1 for ih in (0, 1, 3, 4, 6, 7)},
    "slbmte": 31 << 26 | 25 << 21 | 26 << 11 | 402 << 1,
    "slbmfee": 31 << 26 | 23 << 21 | 26 << 11 | 915 << 1,
    "slbmfev": 31 << 26 | 23 << 21 | 26 << 11 | 851 << 1,
    "slbfee.": 31 << 26 | 23 << 21 | 26 << 11 | 979 << 1 | 1,
    "tlbie": 31 << 26 | 25 << 21 | 26 << 11 | 306 << 1,
    "tlbiel": 31 << 26 | 25 << 21 | 26 << 11 | 274 << 1,
    "tlbsync": 31 << 26 | 566 << 1,
    "slbieg": 31 << 26 | 25 << 21 | 26 << 11 | 466 << 1,
    "slbsync": 31 << 26 | 338 << 1,
}
SINCE_3 = ("slbieg", "slbsync", *(f"slbia {ih}" for ih in (1, 3, 4, 6, 7)))


def random_segment(rng: random.Random) -> Segment:
    """256 MiB or 1 TiB, of 4K, 64K or 16M pages, with Ks, Kp, N and C at random."""
    shift = rng.choice((28, 28, 40))
    flags = rng.choice((0, 0, 0x800, 0x400, 0xC00)) | (0x200 if rng.random() < 0.15 else 0)
    flags |= 0x80 if rng.random() < 0.3 else 0
    esid = rng.randrange(1, 1 << 36) << 28
    return Segment(
        esid >> shift << shift,
        rng.getrandbits(37 if shift == 28 else 25),
        shift,
        rng.choice((12, 12, 16, 24)),
        flags,
    )


def entry(s: Segment, ea: int, rng: random.Random) -> tuple[int, int, int]:
    """(index, v, r) of a page for ``ea``: sizes, pp, key, N, R, C, primary or secondary group."""
    actual = rng.choice([a for b, a in LP if b == s.base and a <= 24 and (b, a) not in UNJUDGED])
    lp = LP[s.base, actual]
    secondary = rng.random() < 0.25
    group = (~s.hash(ea) if secondary else s.hash(ea)) % GROUPS
    avpn = s.virtual(ea) >> max(23, s.base) << max(23, s.base)
    v = (s.shift == 40) << 62 | avpn >> 16 | 2 * secondary | (0 if lp is None else 4) | 1
    real = FRAMES + (0 if actual == 24 else rng.randrange(64) << actual if actual == 12 else 0)
    pp = rng.choice((2, 2, 0, 1, 3, 0, 1, 3, 6))
    r = real | (lp or 0) << 12 | HPTE_M | pp & 3 | pp >> 2 << 63
    r |= HPTE_N if rng.random() < 0.2 else 0
    r |= rng.choice((0, 0, HPTE_R, HPTE_R | HPTE_C))
    key = rng.choice((0, 0, rng.randrange(32)))
    return group * 8, v, r | key >> 3 << 60 | (key & 7) << 9


def keys(rng: random.Random, r: int) -> tuple[int, int]:
    """AMR and IAMR: sometimes about the page's key."""
    if rng.random() < 0.5:
        return 0, 0
    key = (r >> 57 & 0x18) | (r >> 9 & 7)
    amr = rng.getrandbits(2) << (62 - 2 * key) | rng.choice((0, rng.getrandbits(64) & ~(3 << 62)))
    return amr & (1 << 64) - 1, (rng.getrandbits(1) << (62 - 2 * key)) if rng.random() < 0.5 else 0


def instruction(rng: random.Random, s: Segment, ea: int, since3: bool) -> tuple[int, int, int]:
    """(word, r25, r26): mostly none, else one of segments or translations."""
    if rng.random() < 0.6:
        return NOP, 0, 0
    name = rng.choice([n for n in WORDS if since3 or n not in SINCE_3])
    low = (s.shift == 40) << 25 | (s.flags & 0x80) << 20
    if name == "slbie":
        return WORDS[name], ea >> 28 << 28 | low, 0
    if name == "slbmte":  # the second entry
        other = Segment(rng.getrandbits(36) << 28, rng.getrandbits(30), rng.choice((28, 40)))
        return WORDS[name], other.rs, other.rb(2)
    if name in ("slbmfee", "slbmfev"):
        return WORDS[name], 0, rng.choice((0, 2, 2, 5))
    return WORDS[name], low, ea


def random_trial(rng: random.Random, since3: bool = True) -> Trial:
    """A page in a segment, and an access to it or beside it."""
    s, other = random_segment(rng), Segment(0x7 << 60, 5, 28, flags=rng.choice((0, 0x80)))
    ea = s.esid + (rng.getrandbits(s.shift) & ~0x7F)
    index, v, r = entry(s, ea, rng)
    amr, iamr = keys(rng, r)
    target = ea
    if rng.random() < 0.06:
        target = ea ^ 1 << rng.choice((12, 16, 24, 28, 30, 40, 63))
    code = rng.choice((LOAD, LOAD, STORE, STORE, RESERVE, CLEAR, 0, 0))
    msr = SF | ME | RI | (DR if code else IR) | rng.choice((0, PR))
    if msr & PR:  # implies IR and DR
        code += PROGRAM_SEGMENT.esid if code else 0
    word, a, b = instruction(rng, s, ea, since3)
    protect = rng.choice((0, 0, 0, 1, 3, 0x100, 4)) if rng.random() < 0.3 else 0
    unsure = amr or iamr or word == WORDS["slbieg"] or (s.flags & NOEXEC and not code)
    return Trial(
        index, v, r, s.rs, s.rb(0) & (~(1 << 27) if rng.random() < 0.05 else -1), other.rs, other.rb(2),
        amr, iamr, int(rng.random() < 0.3 and not unsure), protect, word, a, b, target, msr, code or target,
    )  # fmt: skip


def rows(results: bytes, count: int) -> list[dict[str, int]]:
    """The results by name; what an interrupt leaves undefined is left out."""
    made = []
    for n in range(count):
        row = dict(zip(FIELDS, struct.unpack_from(">16Q", results, ROW * n), strict=True))
        row["v"] &= ~0x60  # software's bits: QEMU marks entries that a migration must send
        forget_undefined(row)
        made.append(row)
    return made


def use_hash_table(partition: Partition) -> None:
    """Have the vCPU walk the partition's table, which must be as large as the trials expect."""
    table = partition.hash_table()
    assert table is not None
    assert table.order == GROUPS.bit_length() + 6
    partition.vcpus[0].set_hash_table(table.order)


def run_here(trials: Sequence[Trial], model: str = "POWER9") -> list[dict[str, int]]:
    """The trials on the engine, with the partition's own hypercalls."""
    results = partition_memory(image(trials), RAM, FRAMES, ROW * len(trials), model, use_hash_table)
    return rows(results, len(trials))


def run_qemu(trials: Sequence[Trial], cpu: str = "power9") -> list[dict[str, int]]:
    """The trials on qemu-system-ppc64.  Raises RuntimeError."""
    machine = "pseries,cap-hpt-max-page-size=16777216"
    return rows(qemu_memory(image(trials), machine, cpu, FRAMES, judge.system()), len(trials))


assert set(SLB_LLP) >= {12, 16, 24}

# SPDX-License-Identifier: GPL-2.0-only
"""Trials of interrupts: a big-endian program that runs as firmware of a pseries machine, here and on QEMU.

For each trial it sets FSCR, FPSCR, two FPRs and DAWR0 (by H_SET_MODE), and runs one instruction (then ``sc``)
under an MSR.  A row of results has the interrupt with SRR0, SRR1, DAR, DSISR, and LR, CTR, FSCR, SIAR.

Left out, since QEMU 10 differs: CIABR (it interrupts before the instruction, not at its completion), the bit
of DAWRX for problem state (it takes that for supervisor state's), DSISR's bit for stores at a watchpoint,
rfebb (it aborts), exceptions enabled for decimal instructions (none) and for xsdivdp by 0 (it hangs), SPR 3
(it does not know it), SPRs 0, 4, 5, 6 (privileged in place of illegal).
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from tests.cpu.runner import DR, FP, IR, ME, PAGE_R, PAGE_W, PR, RI, SF, VEC, VSX
from tests.isa import judge
from tests.isa.harness import assemble
from tests.isa.hash_trials import constant
from tests.isa.mmu_trials import (
    DONE,
    FRAMES,
    H_REGISTER_PROC_TBL,
    LEAF,
    LEAVES,
    LOAD,
    MAPPED,
    MARK,
    RADIX_GTSE,
    RESULTS,
    TABLE,
    VALID,
    branch,
    partition_memory,
    put,
    qemu_memory,
    tables,
)

TRIALS, CODE, COMMON = 0x100000, 0x4000, 0x6000
SLOT = LOAD + 0xF00  #: real address of the instruction, in the page that is mapped at MAPPED
DATA = 16 << 12  #: where two pages of data are mapped
TRIAL = ROW = 128
COUNT_AT = 120
H_SET_MODE = 0x31C
DSISR_WATCH, DSISR_STORE = 0x00400000, 0x02000000
SE, BE, FE0, FE1 = 0x400, 0x200, 0x800, 0x100
FIELDS = ("vector", "srr0", "srr1", "dar", "dsisr", "lr", "ctr", "fscr", "siar", "value")


@dataclass(frozen=True, slots=True)
class Trial:
    """The instruction (of two words), its MSR and address; r7, r8; FPSCR, f1, f2; FSCR; DAWR0, DAWRX0."""

    words: int
    msr: int
    start: int
    r7: int
    r8: int
    fpscr: int
    f1: int
    f2: int
    fscr: int
    dawr: int
    dawrx: int

    def packed(self) -> bytes:
        """As the program reads it."""
        return struct.pack(">11Q", *astuple(self)).ljust(TRIAL, b"\0")


def set_mode(resource: int, first: str, second: str) -> list[str]:
    """H_SET_MODE with two values."""
    return [f"li 3, {H_SET_MODE}", "li 4, 0", f"li 5, {resource}", first, second, "sc 1"]


#: r20: trial, r21: result row, r19: how many are left
PROGRAM = (
    *constant(20, TRIALS), *constant(21, RESULTS), f"ld 19, {COUNT_AT}(20)",
    f"li 3, {H_REGISTER_PROC_TBL}", f"li 4, {RADIX_GTSE}", f"lis 5, {TABLE >> 16}", "li 6, 0", "li 7, 0",
    "sc 1", "li 3, 0", "mtspr 48, 3", "isync",
)  # fmt: skip
ONE = (
    *set_mode(2, "ld 6, 72(20)", "ld 7, 80(20)"),
    *constant(4, SLOT), "ld 5, 0(20)", "std 5, 0(4)", "dcbst 0, 4", "sync", "icbi 0, 4", "sync", "isync",
    *constant(5, FP | SF | ME), "mtmsrd 5", "isync",
    "lfd 0, 40(20)", "mtfsf 255, 0, 1, 0", "lfd 1, 48(20)", "lfd 2, 56(20)",
    "ld 5, 64(20)", "mtspr 153, 5", "lis 13, 0x7FFF", "mtspr 22, 13",
    "li 12, 0", "mtspr 19, 12", "mtspr 18, 12", "mtspr 796, 12", "mtlr 12", "mtctr 12", "li 10, 0",
    "ld 7, 24(20)", "ld 8, 32(20)", "ld 9, 16(20)", "mtspr 26, 9", "ld 9, 8(20)", "mtspr 27, 9", "rfid",
)  # fmt: skip
#: r22: the vector
FINISH = (
    "std 22, 0(21)", "mfspr 3, 26", "std 3, 8(21)", "mfspr 3, 27", "std 3, 16(21)", "mfspr 3, 19",
    "std 3, 24(21)", "mfspr 3, 18", "std 3, 32(21)", "mflr 3", "std 3, 40(21)", "mfctr 3", "std 3, 48(21)",
    "mfspr 3, 153", "std 3, 56(21)", "mfspr 3, 796", "std 3, 64(21)", "std 10, 72(21)",
    *set_mode(2, "li 6, 0", "li 7, 0"),
    f"addi 20, 20, {TRIAL}", f"addi 21, 21, {ROW}", "addic. 19, 19, -1",
)  # fmt: skip


def image(trials: Sequence[Trial]) -> bytes:
    """The firmware: vectors, program, page tables and trials."""
    made = bytearray(RESULTS)
    for vector in range(0x200, 0x1000, 0x20):
        if vector & 0x7F == 0 or vector in (0xF20, 0xF40, 0xF60, 0xE20, 0xE40):
            branch(made, put(made, vector, [f"li 22, {vector}"]), COMMON)
    for level in range(8):
        branch(
            made, put(made, 0x17000 + 32 * level, ["lis 22, 1", f"ori 22, 22, {0x7000 + 32 * level}"]), COMMON
        )
    branch(made, 0x100, CODE)
    first = put(made, CODE, PROGRAM)
    assert put(made, first, ONE) < LOAD
    at = branch(made, put(made, COMMON, FINISH), first, 0x40820000)  # bne
    at = put(made, at, [*constant(3, DONE), *constant(4, MARK), "std 4, 0(3)", "li 3, 0x7FFC", "sc 1"])
    branch(made, at, at)
    put(made, SLOT + 8, ["sc", "sc", "sc"])
    tables(made)
    for n in range(2):
        pte = VALID | LEAF | FRAMES + 0x1000 * n | 0x180 | PAGE_R | PAGE_W
        struct.pack_into(">Q", made, LEAVES + 8 * ((DATA >> 12) + n), pte)
    packed = bytearray(b"".join(t.packed() for t in trials))
    struct.pack_into(">Q", packed, COUNT_AT, len(trials))
    made[TRIALS : TRIALS + len(packed)] = packed
    return bytes(made)


LINES = (
    "nop", "add 10, 7, 8", "ld 10, 0(7)", "std 8, 0(7)", "lwz 10, 2(7)", "stb 8, 7(7)", "ldarx 10, 0, 7",
    "lwarx 10, 0, 7", "dcbz 0, 7", "tw 31, 0, 0", "tdi 4, 7, 0", "twi 4, 8, 1", "sc", "scv 0", "scv 5",
    "mfspr 10, 26", "mfmsr 10", "hrfid", "slbia", "tlbsync", "mfspr 10, 815", "mtspr 815, 8",
    "mfspr 10, 17", "mfspr 10, 804", "mfspr 10, 1009", "mtspr 1009, 8", "fadd 3, 1, 2", "fdiv 3, 1, 2",
    "fsqrt 3, 1", "fmr 3, 1", "lfd 3, 0(7)", "fmul 3, 1, 2", "vaddubm 1, 2, 3", "lvx 1, 0, 7",
    "xxlor 1, 2, 3", "lxvd2x 1, 0, 7", "xsmuldp 3, 1, 2", "dadd 3, 1, 2", "bl .+4", "b .+4", "bdnz .+4",
    "beq .+4", "cmpdi 7, 5", "attn", "lwsync", "isync", ".long 0", "msgclrp 8", "mfspr 10, 1023",
    "mfspr 10, 287", "mtfsb1 24", "addpcis 10, 1", "stxvd2x 1, 0, 7", "stvx 1, 0, 7",
)  # fmt: skip
DOUBLES = (
    0,
    0x3FF0000000000000,
    0x7FF0000000000001,
    0x7FE123456789ABCD,
    0xBFF8000000000000,
    0x7FF0000000000000,
)


def random_trial(rng: random.Random) -> Trial:
    """An instruction under an MSR; often traced, sometimes watched."""
    [word] = assemble([rng.choice(LINES)])
    msr = SF | ME | RI
    for bits in (FP, VEC, VSX, IR, DR):
        msr |= bits if rng.random() < 0.7 else 0
    msr |= rng.choice((0, 0, FE0, FE1, FE0 | FE1)) | rng.choice((0, 0, 0, SE, BE))
    msr |= (PR | IR | DR | 1 << 15) if rng.random() < 0.5 else 0
    base = DATA if msr & DR else FRAMES
    r7 = base + rng.choice((0, 8, 0x40, 0x41, 0xFFC, 0x1FFC, 0x500004))
    start = MAPPED + (SLOT & 0xFFF) if msr & IR else SLOT
    watched = rng.random() < 0.3
    return Trial(
        word << 32 | 0x44000002, msr, start, r7, rng.choice((0, 1, 1 << 63, 0x40, 5 << 27)),
        rng.choice((0, 0, 0xF8, 0x80, 0x10)) if word >> 26 != 59 else 0,
        rng.choice(DOUBLES), rng.choice(DOUBLES),
        rng.choice((0, 1 << 12, 0x184, 0x1184)), base + 0x40 if watched else 0,
        rng.choice((0x20, 0x40, 0x60)) | 11 if watched else 0,
    )  # fmt: skip


def rows(results: bytes, count: int) -> list[dict[str, int]]:
    """The results by name; what an interrupt leaves undefined is left out."""
    made = []
    for n in range(count):
        row = dict(zip(FIELDS, struct.unpack_from(">10Q", results, ROW * n), strict=True))
        if row["vector"] not in (0x300, 0x380, 0x600):
            del row["dar"]
        if row["vector"] != 0x300:
            del row["dsisr"]
        elif row["dsisr"] & DSISR_WATCH:
            row["dsisr"] &= ~DSISR_STORE
        if row["vector"] != 0xD00:
            del row["siar"]
        if row["vector"] >= 0x17000:
            del row["srr0"], row["srr1"]
        made.append(row)
    return made


def run_here(trials: Sequence[Trial], model: str = "POWER9") -> list[dict[str, int]]:
    """The trials on the engine, with the partition's own hypercalls."""
    length = ROW * len(trials)
    results = partition_memory(image(trials), 256 << 20, FRAMES, length, model, lambda _: None)
    return rows(results, len(trials))


def run_qemu(trials: Sequence[Trial], cpu: str = "power9") -> list[dict[str, int]]:
    """The trials on qemu-system-ppc64.  Raises RuntimeError."""
    return rows(qemu_memory(image(trials), "pseries", cpu, FRAMES, judge.system()), len(trials))

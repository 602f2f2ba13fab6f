# SPDX-License-Identifier: GPL-2.0-only
"""Trials of the radix MMU: a big-endian program that runs as firmware of a pseries machine, here and on QEMU.

For each trial it writes a PTE, forgets translations, sets AMR and IAMR, and makes one access under an MSR;
what came of it (the interrupt, SRR0, SRR1, DAR, DSISR, the value, the PTE after) is a row of results.
"""

from __future__ import annotations

import random
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from tests.cpu.runner import DR, IR, ME, PAGE_R, PAGE_X, PR, RI, SF, Bench, watchdog
from tests.isa.harness import assemble

from lpar.accel.protocol import ExitReason
from lpar.accel.soft import SoftAccelerator
from lpar.cpu import layout
from lpar.host.memory import GuestMemory
from lpar.papr.partition import Partition

FIRMWARE_DONE = 0x7FFC  #: the hypercall that ends a firmware

RAM = 128 << 20
TABLE, ROOT, DIRECTORY, MIDDLE, LEAVES, LEAVES64 = 0x20000, 0x30000, 0x40000, 0x41000, 0x42000, 0x43000
TRIALS, RESULTS, DONE, CODE = 0x100000, 0x180000, 0x1FF000, 0x4000
FRAMES = 0x2000000  #: real pages that are mapped, 2 MiB aligned
LOAD, STORE, RESERVE, FETCH = 0x5000, 0x5040, 0x5080, 0
LARGE = 510  #: which 2 MiB have pages of 64 KiB
MAPPED = 511 << 12  #: where problem state finds the code of accesses
H_REGISTER_PROC_TBL, RADIX_GTSE, MARK = 0x37C, 0x1D, 0x5EED
VALID, LEAF = 1 << 63, 1 << 62
FIELDS = ("vector", "srr0", "srr1", "dar", "dsisr", "value", "pte")
ROW = 64


@dataclass(frozen=True, slots=True)
class Trial:
    """One access: where the PTE goes and what it is; AMR, IAMR; EA, MSR; the code that makes the access."""

    at: int
    pte: int
    amr: int
    iamr: int
    ea: int
    msr: int
    code: int

    def packed(self) -> bytes:
        """As the program reads it."""
        return struct.pack(">8Q", *astuple(self), 0)


#: r20: trial, r21: result row, r19: how many are left
PROGRAM = (
    f"lis 20, {TRIALS >> 16}", f"lis 21, {RESULTS >> 16}",
    f"li 3, {H_REGISTER_PROC_TBL}", f"li 4, {RADIX_GTSE}", f"lis 5, {TABLE >> 16}", "li 6, 0", "li 7, 0",
    "sc 1", "li 3, 0", "mtspr 48, 3", "isync", "ld 19, 56(20)",
    # a trial
    "ld 3, 0(20)", "ld 4, 8(20)", "std 4, 0(3)", "ptesync",
    "li 5, 0x400", "li 6, 0", "tlbie 5, 6, 2, 1, 1", "eieio", "tlbsync", "ptesync",
    "ld 5, 16(20)", "mtspr 29, 5", "ld 6, 24(20)", "mtspr 61, 6", "isync",
    "ld 7, 32(20)", "ld 8, 40(20)", "ld 9, 48(20)", "li 10, 0", "lis 11, 0x7777", "li 12, 0",
    "lis 13, 0x7FFF", "mtspr 22, 13", "mtspr 19, 12", "mtspr 18, 12", "mtspr 26, 9", "mtspr 27, 8", "rfid",
)  # fmt: skip
#: r22: the vector
COMMON = (
    "std 22, 0(21)", "mfspr 3, 26", "std 3, 8(21)", "mfspr 3, 27", "std 3, 16(21)", "mfspr 3, 19",
    "std 3, 24(21)", "mfspr 3, 18", "std 3, 32(21)", "std 10, 40(21)", "ld 3, 0(20)", "ld 3, 0(3)",
    "std 3, 48(21)", "addi 20, 20, 64", "addi 21, 21, 64", "addic. 19, 19, -1",
)  # fmt: skip
FIRST = 12  #: the word of PROGRAM that a trial begins with


def put(image: bytearray, at: int, lines: Sequence[str]) -> int:
    """Assemble ``lines`` at an address, big-endian; gives the address after them."""
    words = assemble(lines)
    image[at : at + 4 * len(words)] = struct.pack(f">{len(words)}I", *words)
    return at + 4 * len(words)


def branch(image: bytearray, at: int, to: int, opcode: int = 0x48000000) -> int:
    """A branch (unconditional, or ``opcode`` of a conditional one)."""
    struct.pack_into(">I", image, at, opcode | (to - at) & (0x3FFFFFC if opcode == 0x48000000 else 0xFFFC))
    return at + 4


def image(trials: Sequence[Trial]) -> bytes:
    """The firmware: vectors, program, page tables and trials."""
    made = bytearray(RESULTS)
    for vector in range(0x200, 0x1000, 0x20):
        if vector & 0x7F == 0 or vector in (0xF20, 0xF40, 0xF60, 0xE20, 0xE40):
            branch(made, put(made, vector, [f"li 22, {vector}"]), CODE + 0x800)
    branch(made, 0x100, CODE)
    put(made, CODE, PROGRAM)
    at = put(made, CODE + 0x800, COMMON)
    at = branch(made, at, CODE + 4 * FIRST, 0x40820000)  # bne
    done = [
        f"lis 3, {DONE >> 16}",
        f"ori 3, 3, {DONE & 0xFFFF}",
        f"li 4, {MARK}",
        "std 4, 0(3)",
        "li 3, 0x7FFC",
        "sc 1",
    ]
    at = put(made, at, done)
    branch(made, at, at)
    for where, line in ((LOAD, "ld 10, 0(7)"), (STORE, "std 11, 0(7)"), (RESERVE, "ldarx 10, 0, 7")):
        put(made, where, [line, "sc"])
    tables(made)
    first = bytearray(b"".join(t.packed() for t in trials))
    struct.pack_into(">Q", first, 56, len(trials))
    made[TRIALS : TRIALS + len(first)] = first
    return bytes(made)


def tables(made: bytearray) -> None:
    """Process 0: 52 bits, levels of 13, 9, 9 and 9 bits (or 5: 64 KiB pages); one table of each level."""
    struct.pack_into(">Q", made, TABLE, 2 << 61 | 5 << 5 | ROOT | 13)
    struct.pack_into(">Q", made, ROOT, VALID | DIRECTORY | 9)
    struct.pack_into(">Q", made, DIRECTORY, VALID | MIDDLE | 9)
    struct.pack_into(">Q", made, MIDDLE, VALID | LEAVES | 9)
    struct.pack_into(">Q", made, MIDDLE + 8 * LARGE, VALID | LEAVES64 | 5)
    struct.pack_into(">Q", made, LEAVES + 8 * 511, VALID | LEAF | LOAD | 0x180 | PAGE_R | PAGE_X)


def random_trial(rng: random.Random, touch: bool = True) -> Trial:
    """A PTE of 4 KiB, 64 KiB, 2 MiB or 1 GiB and an access to it (or now and then beside it).

    ``touch``: R and C may be 0.
    """
    size = rng.choice((12, 12, 12, 16, 16, 21, 30))
    index = rng.randrange(1, 500 if size != 16 else 32)
    table = {12: LEAVES, 16: LEAVES64, 21: MIDDLE, 30: DIRECTORY}[size]
    real = {12: FRAMES + 0x1000 * rng.randrange(64), 16: FRAMES + 0x10000 * rng.randrange(4)}.get(size, 0)
    real = FRAMES if size == 21 else real
    access = rng.choice((rng.getrandbits(4), 7, 15, 6, 4))
    touched = rng.choice((0x180, 0x180, 0x100, 0x80, 0)) if touch else 0x180
    pte = (VALID if rng.random() < 0.95 else 0) | LEAF | real | touched | access | rng.getrandbits(1) << 61
    offset = {12: 0, 16: 0x1000 * rng.randrange(16), 21: 0x1000 * rng.randrange(64), 30: FRAMES}[size]
    ea = (index << size) + offset + 0x20 * rng.randrange(100) + (LARGE << 21 if size == 16 else 0)
    if rng.random() < 0.05:
        ea |= rng.choice((1 << 62, 1 << 63, 3 << 62, 1 << 53, 1 << 52, 1 << 51))
    code = rng.choice((LOAD, LOAD, STORE, STORE, RESERVE, FETCH))
    msr = SF | ME | RI | (IR if code == FETCH else DR) | rng.choice((0, PR))
    amr = rng.getrandbits(2) << 62 if rng.random() < 0.4 else 0
    iamr = rng.getrandbits(1) << 62 if rng.random() < 0.4 else 0
    if msr & PR:  # implies IR
        code += MAPPED - LOAD if code else 0
    return Trial(table + 8 * index, pte, amr, iamr, ea, msr, code or ea)


def real_frames() -> bytes:
    """What the mapped pages hold: system calls, so that a fetch ends, too."""
    return struct.pack(">I", 0x44000002) * (0x40000 // 4)


def forget_undefined(row: dict[str, int]) -> None:
    """Leave out what the interrupt does not set."""
    if row["vector"] not in (0x300, 0x380):
        del row["dar"]
    if row["vector"] != 0x300:
        del row["dsisr"]


def rows(results: bytes, count: int) -> list[dict[str, int]]:
    """The results by name; what an interrupt leaves undefined is left out."""
    made = []
    for n in range(count):
        row = dict(zip(FIELDS, struct.unpack_from(">7Q", results, ROW * n), strict=True))
        forget_undefined(row)
        made.append(row)
    return made


def run_here(trials: Sequence[Trial], model: str = "POWER9") -> list[dict[str, int]]:
    """The trials on the engine."""
    bench = Bench(RAM, model)
    load(bench.memory, image(trials))
    for name, value in {"msr": SF | ME, "pc": 0x100}.items():
        bench.cpu.set_reg(name, value)
    with watchdog(bench, 120):
        while True:
            reason = bench.thread.run()
            if reason != layout.EXIT_HCALL:
                raise RuntimeError(f"exit {reason} at {bench['pc']:#x}")
            if bench["r3"] != H_REGISTER_PROC_TBL:
                break
            bench.cpu.set_process_table(TABLE, 12, radix=True, gtse=True)
            bench.cpu.set_reg("r3", 0)
    results = bench.memory.read(RESULTS, ROW * len(trials))
    bench.close()
    return rows(results, len(trials))


def partition_memory(
    firmware: bytes, ram: int, at: int, length: int, model: str, prepare: Callable[[Partition], None]
) -> bytes:
    """The results of a firmware that ran on the engine, in a partition; the frames are at ``at``."""
    with GuestMemory(ram) as memory:
        accelerator = SoftAccelerator()
        [vcpu] = accelerator.create_vcpus(memory, 1, model)
        partition = Partition(memory, [vcpu], allocate_hpt=accelerator.allocate_hpt)
        prepare(partition)
        memory.write(0, firmware)
        memory.write(at, real_frames())
        for name, value in {"msr": SF | ME, "pc": 0x100, "lpcr": 0}.items():
            vcpu.set_reg(name, value)
        while True:
            exit = vcpu.run()
            assert exit.reason is ExitReason.HCALL, exit
            if vcpu.get_reg("r3") == FIRMWARE_DONE:
                break
            partition.handle_hcall(vcpu)
        results = memory.read(RESULTS, length)
        accelerator.close()
    return results


def load(memory: GuestMemory, firmware: bytes) -> None:
    """Put the firmware and the mapped pages."""
    memory.write(0, firmware)
    memory.write(FRAMES, real_frames())


def run_qemu(trials: Sequence[Trial], qemu: Sequence[str], cpu: str = "power9") -> list[dict[str, int]]:
    """The trials on qemu-system-ppc64.  Raises RuntimeError."""
    return rows(qemu_memory(image(trials), "pseries", cpu, FRAMES, qemu), len(trials))


def qemu_memory(image: bytes, machine: str, cpu: str, at: int, command: Sequence[str]) -> bytes:
    """The results that firmware leaves on qemu-system-ppc64, read through its monitor; frames lie ``at``.

    Raises RuntimeError.
    """
    with tempfile.TemporaryDirectory(prefix="lpar-mmu-") as work:
        firmware, pages, saved = Path(work, "fw"), Path(work, "pages"), Path(work, "saved")
        firmware.write_bytes(image)
        pages.write_bytes(real_frames())
        words = [
            *command, "-M", machine, "-cpu", cpu, "-accel", "tcg,thread=single", "-m", "256",
            "-nodefaults", "-display", "none", "-bios", str(firmware), "-monitor", "stdio",
            "-device", f"loader,file={pages},addr={at:#x},force-raw=on",
        ]  # fmt: skip
        quiet = subprocess.DEVNULL
        qemu = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, text=True)
        try:
            return _saved(qemu, saved)
        finally:
            qemu.kill()
            qemu.communicate()


def _saved(qemu: subprocess.Popen[str], to: Path) -> bytes:
    """The results, once the program has left its mark."""
    size = DONE + 8 - RESULTS
    for _ in range(600):
        if qemu.poll() is not None:
            raise RuntimeError(f"qemu ended with {qemu.returncode}")
        assert qemu.stdin is not None
        qemu.stdin.write(f'pmemsave {RESULTS:#x} {size:#x} "{to}"\n')
        qemu.stdin.flush()
        time.sleep(0.2)
        data = to.read_bytes() if to.exists() else b""
        if len(data) == size and int.from_bytes(data[-8:], "big") == MARK:
            return data
    raise RuntimeError("qemu did not come to the end of the trials")

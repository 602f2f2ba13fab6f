# SPDX-License-Identifier: GPL-2.0-only
"""Runs garbage: ``python -m tests.cpu.hostile SEED COUNT [jit]``.  It ends, whatever the guest does.

Pages of random instructions (every definition, privileged ones too) and random words, random registers, modes
and translation set-ups; each is run for some milliseconds, its exits answered with random values.  The state
of a run that kills the process is told by its number, printed before.
"""

from __future__ import annotations

import random
import sys
import threading

from tests.cpu.runner import TABLES, Bench, Radix
from tests.isa.harness import random_word

from lpar.cpu import layout
from lpar.isa.registry import INSTRUCTIONS

RAM = 1 << 20
SLICE = 0.005  #: seconds for one run
MODE_BITS = (1 << 63, 1 << 25, 1 << 23, 1 << 15, 1 << 14, 1 << 13, 1 << 11, 1 << 8, 1 << 5, 1 << 4, 2, 1)
SPECIAL_REGISTERS = ("lr", "ctr", "srr0", "srr1", "amr", "iamr", "pidr", "tar", "fscr", "uamor")


def address(rng: random.Random) -> int:
    """Somewhere in RAM, at its end, high up, or anywhere."""
    inside, end, high = rng.randrange(RAM), RAM - rng.randrange(20), 0xC000000000000000 | rng.randrange(RAM)
    device = 0x3F0000000000 | rng.getrandbits(12)
    return rng.choice((inside, end, high, device, rng.randrange(64), rng.getrandbits(64)))


def words(rng: random.Random, count: int) -> list[int]:
    """Instructions and garbage."""
    made = []
    for _ in range(count):
        found = rng.choice(INSTRUCTIONS)
        kind = rng.random()
        if found.prefix and kind < 0.9:
            made.append(found.prefix[1] | rng.getrandbits(18))
        made.append(random_word(found, rng) & 0xFFFFFFFF if kind < 0.9 else rng.getrandbits(32))
    return made


def prepare(bench: Bench, rng: random.Random) -> None:
    """A new guest in the old one's memory."""
    little = rng.random() < 0.7
    code = words(rng, 512)
    for page in (0, 0x1000, 0x5000, 0x17000, 0x18000):
        shuffled = rng.sample(code, len(code)) * 2
        bench.put_code(page, shuffled[:1024], little=little)
    bench.memory.fill(TABLES, RAM - TABLES)
    cpu = bench.cpu
    if rng.random() < 0.5:
        radix = Radix(bench.memory, TABLES)
        for _ in range(30):
            radix.map(address(rng) & 0x000FFFFFFFFFF000, rng.randrange(RAM) & ~0xFFF, rng.getrandbits(4))
        for page in range(0, 0x20000, 0x1000):
            radix.map(page, page, 7)
        radix.use(cpu)
    cpu.set_reg("lpcr", rng.getrandbits(64) & (1 << 20 | 1 << 22 | 3 << 23 | 1 << 25 | 1 << 17 | 1 << 10))
    if rng.random() < 0.2:
        cpu.set_reg("prtb_base", address(rng))
        cpu.set_reg("prtb_size", rng.getrandbits(rng.randrange(64)))
    for n in range(32):
        cpu.set_reg(f"r{n}", address(rng))
        bench.thread.state.set("vsr", rng.getrandbits(128), n)
    for name in SPECIAL_REGISTERS:
        cpu.set_reg(name, address(rng))
    cpu.set_reg("fpscr", rng.getrandbits(32))
    cpu.set_reg("msr", sum(b for b in MODE_BITS if rng.random() < 0.5) & ~(0 if little else 1) | little)
    cpu.set_reg("pc", rng.choice((0x1000, 0x5000, address(rng) & ~3)))
    cpu.set_reg("dec", rng.getrandbits(31))
    bench.thread.state.set("pending", rng.choice((0, 0, 1, 2, 4)))
    cpu.flush_tlb()


def play(bench: Bench, rng: random.Random) -> None:
    """Run for a while."""
    timer = threading.Timer(SLICE, bench.thread.request, (layout.REQ_KICK,))
    timer.start()
    while (reason := bench.thread.run()) != layout.EXIT_KICKED:
        if reason == layout.EXIT_MMIO_READ:
            bench.cpu.complete_mmio_read(rng.getrandbits(64))
        elif reason == layout.EXIT_MMIO_WRITE:
            bench.thread.state.set("mmio_ready", 2)
        elif reason == layout.EXIT_HCALL:
            bench.cpu.hcall_return(rng.choice((0, -4, -2)))
        elif reason != layout.EXIT_HALTED:
            raise AssertionError(f"exit {reason} at {bench.cpu.get_reg('pc'):#x}")
        if rng.random() < 0.01 or reason == layout.EXIT_HALTED:
            bench.cpu.set_reg("pc", rng.randrange(0x6000) & ~3)
    timer.join()


def main(seed: int, count: int, *jit: str) -> None:
    """``count`` guests from ``seed`` on."""
    bench = Bench(RAM, model=("POWER8", "POWER9", "POWER10")[seed % 3])
    bench.engine.set_hpt(18)
    if jit:
        bench.start_jit()
    for n in range(seed, seed + count):
        print(n, flush=True)
        rng = random.Random(n)
        prepare(bench, rng)
        play(bench, rng)
    bench.close()
    print("end", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])

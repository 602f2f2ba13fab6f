# SPDX-License-Identifier: GPL-2.0-only
"""Random states as frames: special values of every type in the registers, modes and status bits at random."""

from __future__ import annotations

import random
import struct

from tests.isa.case import BUFFER, BUFFER_SIZE
from tests.isa.float_cases import STICKY, double, quad, single
from tests.isa.fuzz.program import Names, Program
from tests.isa.harness import value64

SIZE = BUFFER_SIZE
NEW = 192  #: values of each kind made afresh for a batch
#: with NJ, QEMU keeps results that are tiny before rounding and the least normal number after it; ours are 0
FUSED = ("vmaddfp", "vnmsubfp")
ENABLES = (0x80, 0x40, 0x20, 0x10, 0x08, 0xF8)


class Values:
    """Pools of register contents, renewed for each batch: drawing from a pool is cheap."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.gpr: list[int] = []
        self.vsr: list[tuple[int, int]] = []
        self.renew()

    def renew(self) -> None:
        """New values."""
        rng = self.rng
        self.gpr = [value64(rng) for _ in range(NEW)] + [double(rng) for _ in range(8)]
        makers = (_halves, _doubles, _singles, _quad, _packed_decimal, _decimal, _small, _bytes)
        self.vsr = [divmod(make(rng), 1 << 64) for make in makers for _ in range(NEW // 4)]

    def frame(self, program: Program, who: Names) -> bytes:
        """A state for a program."""
        rng = self.rng
        gpr = rng.choices(self.gpr, k=32)
        gpr[who.base] = address(program.edge, rng)
        gpr[who.index] = rng.choice((0, 8, 16, 48, -32, -16)) % 2**64
        lr, ctr, tar = rng.choices(self.gpr, k=3)
        ctr = rng.randrange(1, 4) if program.loop else ctr
        nj = not (program.judged and any(unit.name in FUSED for unit in program.units))
        scalars = (rng.getrandbits(32), xer(rng), lr, ctr, fpscr(rng, program.judged), vscr(rng, nj), tar)
        halves = [h for pair in rng.choices(self.vsr, k=64) for h in pair]
        block = struct.pack("<170Q", *gpr, *scalars, 0, 0, 0, *halves)
        return block + self._memory(program.edge)

    def _memory(self, edge: bool) -> bytes:
        """A buffer with values where they are accessed: all over, or around its middle."""
        if edge:
            return struct.pack("<512Q", *self.rng.choices(self.gpr, k=SIZE // 8))
        values = b"".join(struct.pack(">2Q", *pair) for pair in self.rng.choices(self.vsr, k=32))
        return bytes(SIZE // 2 - 256) + values + bytes(SIZE // 2 - 256)


def address(edge: bool, rng: random.Random) -> int:
    """Where a program's accesses go: the middle of the buffer or near its ends."""
    if edge:
        return BUFFER + rng.choice((0, SIZE)) + rng.randrange(-80, 80)
    return BUFFER + SIZE // 2 + rng.choice((0, 0, 0, 8, -16, 3))


def xer(rng: random.Random) -> int:
    """SO, OV, CA, OV32, CA32 and the string count."""
    return rng.getrandbits(3) << 29 | rng.getrandbits(2) << 18 | rng.choice((0, 5, 16, rng.getrandbits(7)))


def fpscr(rng: random.Random, judged: bool) -> int:
    """Rounding modes, FPRF, often sticky bits, seldom enabled exceptions (QEMU has them otherwise)."""
    value = rng.getrandbits(2) | rng.getrandbits(3) << 32 | rng.getrandbits(5) << 12
    if not judged and rng.random() < 0.1:
        return value | rng.choice(ENABLES)
    if rng.getrandbits(1):
        value |= rng.getrandbits(32) & STICKY
        value |= 0x20000000 if value & 0x1F80700 else 0
        value |= 0x80000000  # QEMU sets FX for an exception that is not new, too
    return value


def vscr(rng: random.Random, nj: bool) -> int:
    """SAT and perhaps NJ."""
    return rng.getrandbits(1) | (rng.random() < 0.1 and nj) << 16


def _halves(rng: random.Random) -> int:
    return value64(rng) << 64 | value64(rng)


def _doubles(rng: random.Random) -> int:
    return double(rng) << 64 | double(rng)


def _singles(rng: random.Random) -> int:
    return int.from_bytes(struct.pack(">4I", *(single(rng) for _ in range(4))), "big")


def _quad(rng: random.Random) -> int:
    return quad(rng)


def _packed_decimal(rng: random.Random) -> int:
    digits = "".join(rng.choices("0123456789", k=31)) if rng.random() < 0.7 else "0" * 20 + "9" * 11
    return int(digits + rng.choice("ABCDEFABCDEF1"), 16)


def _decimal(rng: random.Random) -> int:
    """Decimal floating point: exponents near the middle, so that operands meet."""
    exponent = rng.choice((0x2238 << 48, 0x2208 << 48, rng.getrandbits(63)))
    high = rng.getrandbits(1) << 63 | exponent | rng.getrandbits(46)
    return high << 64 | rng.getrandbits(64)


def _small(rng: random.Random) -> int:
    width = rng.choice((8, 16, 32, 64))
    parts = [rng.randrange(-20, 20) % (1 << width) for _ in range(128 // width)]
    return sum(p << width * n for n, p in enumerate(parts))


def _bytes(rng: random.Random) -> int:
    return rng.getrandbits(128)

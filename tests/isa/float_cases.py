# SPDX-License-Identifier: GPL-2.0-only
"""Operands for floating-point cases: values near every edge of both formats, NaNs, integers, anything."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from types import ModuleType

from lpar.isa.registry import INSTRUCTIONS, Instruction
from tests.isa.harness import Case, State, random_word

FR = 0x40000
STICKY = 0x9FF80700  #: FX and the exception bits
SPECIAL = (
    0, 1, 0xF_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0x7FF8_0000_0000_0000,
    0x7FF0_0000_0000_0001, 0x7FFA_BCDE_F123_4567, 0x7FF4_0000_2000_0000, 0x3FF0_0000_0000_0000, 0x3FF0_0000_0000_0001,
    0x3FE0_0000_0000_0000, 0x3FEF_FFFF_FFFF_FFFF, 0x3FF8_0000_0000_0000, 0x4000_0000_0000_0000, 0x47EF_FFFF_E000_0000,
    0x47EF_FFFF_F000_0000, 0x47F0_0000_0000_0000, 0x3810_0000_0000_0000, 0x3800_0000_0000_0000, 0x36A0_0000_0000_0000,
    0x3690_0000_0000_0000, 0x380F_FFFF_F000_0000, 0x43E0_0000_0000_0000, 0x43DF_FFFF_FFFF_FFFF, 0x43F0_0000_0000_0000,
    0x43EF_FFFF_FFFF_FFFF, 0x41E0_0000_0000_0000, 0x41DF_FFFF_FFC0_0000, 0x41DF_FFFF_FFE0_0000, 0x41EF_FFFF_FFE0_0000,
    0x41F0_0000_0000_0000, 0x4330_0000_0000_0001, 0x432F_FFFF_FFFF_FFFF, 0x4004_0000_0000_0000, 0x6FE0_0000_0000_0000,
)  # fmt: skip
SIGN = 1 << 63


def defined_in(*modules: ModuleType) -> list[Instruction]:
    """The definitions of some files."""
    names = {m.__name__ for m in modules}
    return [i for i in INSTRUCTIONS if i.body.__module__ in names]


def double(rng: random.Random) -> int:
    """A binary64: special, near 1, a single, an integer or anything."""
    kind = rng.randrange(8)
    sign = rng.getrandbits(1) << 63
    if kind < 2:
        return rng.choice(SPECIAL) | sign
    if kind == 2:
        return rng.getrandbits(64)
    if kind == 3:
        return as_double(single(rng))
    if kind == 4:
        return struct.unpack("<Q", struct.pack("<d", rng.randrange(-(1 << rng.randrange(1, 70)), 1 << 40) / 4))[0]
    near = rng.choice((1023, 1, 2046, 897, 1150, 1086))
    exp = min(max(near + rng.randrange(-4, 5), 0), 2046)
    fraction = rng.getrandbits(52) & (rng.getrandbits(52) | rng.choice((0, (1 << 52) - 1)))
    return sign | exp << 52 | rng.choice((fraction, fraction & ~0x1FFFFFFF, 0, fraction >> 40))


def single(rng: random.Random) -> int:
    """A binary32 bit pattern."""
    if rng.randrange(3) == 0:
        return rng.choice((0, 1, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x7F800001, 0x3F800000))
    exp = rng.choice((127, 127, 1, 254, 0)) + rng.randrange(-3, 4)
    return rng.getrandbits(1) << 31 | min(max(exp, 0), 254) << 23 | rng.getrandbits(23)


def as_double(x: int) -> int:
    """A binary32 as binary64, NaN bits and all."""
    if x & 0x7FFFFFFF > 0x7F800000:
        return (x & 0x80000000) << 32 | 0x7FF << 52 | (x & 0x7FFFFF) << 29
    return struct.unpack("<Q", struct.pack("<d", struct.unpack("<f", struct.pack("<I", x))[0]))[0]


def float_state(rng: random.Random, values: Sequence[int] = (), enables: int = 0) -> State:
    """A state whose VSRs hold ``values`` or random doubles in both halves; RN and sticky bits at random."""
    state = State(cr=rng.getrandbits(32))
    pool = list(values) or [double(rng) for _ in range(12)]
    state.vsr = [rng.choice(pool) << 64 | rng.choice(pool) for _ in range(64)]
    state.fpscr = rng.getrandbits(2) | rng.getrandbits(3) << 32 | rng.getrandbits(5) << 12 | enables
    if rng.getrandbits(1) and not enables:
        state.fpscr |= rng.getrandbits(32) & STICKY
        state.fpscr |= 0x80000000  # qemu sets FX for an exception that is not new, too
        state.fpscr |= 0x20000000 if state.fpscr & 0x1F80700 else 0
    return state


def float_cases(found: Instruction, count: int, enables: int = 0, **given: int) -> list[Case]:
    """``count`` cases of one instruction on random registers."""
    rng = random.Random(f"{found.name}{found.value}{enables}")
    return [
        Case((random_word(found, rng, **given),), float_state(rng, enables=enables), found.name) for _ in range(count)
    ]


def no_fr(state: State) -> State:
    """``state`` without FPSCR[FR], which qemu does not compute."""
    state.fpscr &= ~FR
    return state

# SPDX-License-Identifier: GPL-2.0-only
"""Operands for floating-point cases: values near every edge of both formats, NaNs, integers, anything."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from tests.isa.harness import Case, State, check, load_oracle, random_word, save_oracle

from lpar.isa.oracle import Interrupt
from lpar.isa.registry import INSTRUCTIONS, Instruction

FR = 0x40000
STICKY = 0x9FF80700  #: FX and the exception bits
SPECIAL = (
    0, 1, 0xF_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000,
    0x7FEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0x7FF8_0000_0000_0000, 0x7FF0_0000_0000_0001,
    0x7FFA_BCDE_F123_4567, 0x7FF4_0000_2000_0000, 0x3FF0_0000_0000_0000, 0x3FF0_0000_0000_0001,
    0x3FE0_0000_0000_0000, 0x3FEF_FFFF_FFFF_FFFF, 0x3FF8_0000_0000_0000, 0x4000_0000_0000_0000,
    0x47EF_FFFF_E000_0000, 0x47EF_FFFF_F000_0000, 0x47F0_0000_0000_0000, 0x3810_0000_0000_0000,
    0x3800_0000_0000_0000, 0x36A0_0000_0000_0000, 0x3690_0000_0000_0000, 0x380F_FFFF_F000_0000,
    0x43E0_0000_0000_0000, 0x43DF_FFFF_FFFF_FFFF, 0x43F0_0000_0000_0000, 0x43EF_FFFF_FFFF_FFFF,
    0x41E0_0000_0000_0000, 0x41DF_FFFF_FFC0_0000, 0x41DF_FFFF_FFE0_0000, 0x41EF_FFFF_FFE0_0000,
    0x41F0_0000_0000_0000, 0x4330_0000_0000_0001, 0x432F_FFFF_FFFF_FFFF, 0x4004_0000_0000_0000,
    0x6FE0_0000_0000_0000,
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
        return bits_of(rng.randrange(-(1 << rng.randrange(1, 70)), 1 << 40) / 4)
    near = rng.choice((1023, 1, 2046, 897, 1150, 1086))
    exp = min(max(near + rng.randrange(-4, 5), 0), 2046)
    fraction = rng.getrandbits(52) & (rng.getrandbits(52) | rng.choice((0, (1 << 52) - 1)))
    return sign | exp << 52 | rng.choice((fraction, fraction & ~0x1FFFFFFF, 0, fraction >> 40))


def bits_of(x: float) -> int:
    """The binary64 pattern of a number."""
    return int(struct.unpack("<Q", struct.pack("<d", x))[0])


def single(rng: random.Random) -> int:
    """A binary32 bit pattern."""
    if rng.randrange(3) == 0:
        return rng.choice((0, 1, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x7F800001))
    exp = rng.choice((127, 127, 1, 254, 0)) + rng.randrange(-3, 4)
    return rng.getrandbits(1) << 31 | min(max(exp, 0), 254) << 23 | rng.getrandbits(23)


QUADS = (
    0, 1, (1 << 112) - 1, 1 << 112, 0x7FFF << 112, 0x7FFF8 << 108, 0x7FFF << 112 | 1, 0x3FFF << 112,
    0x3FFE << 112, 0x4000 << 112, 0x401E << 112, 0x403E << 112, 0x407E << 112, 0x43FE << 112, 0x3C01 << 112,
    0x3C00 << 112,
    0x7FFE << 112 | (1 << 112) - 1, 0x43FE_FFFF_FFFF_FFFF_F7FF_FFFF_FFFF_FFFF,
)  # fmt: skip
QUAD_EXPONENTS = (16383, 1, 32766, 16383 + 31, 16383 + 63, 16383 + 112, 16383 + 127, 0x3C00, 0x3BCC, 0x43FE)


def quad(rng: random.Random) -> int:
    """A binary128: special, at an edge of some format, doubles' bits, or anything."""
    kind = rng.randrange(6)
    sign = rng.getrandbits(1) << 127
    if kind == 0:
        return sign | rng.choice(QUADS)
    if kind == 1:
        return rng.getrandbits(128)
    if kind == 2:
        return double(rng) << 64 | double(rng)
    exp = min(max(rng.choice(QUAD_EXPONENTS) + rng.randrange(-5, 6), 0), 32766)
    fraction = rng.getrandbits(112)
    nearly_one = fraction >> 100 ^ (1 << 112) - 1
    shapes = (fraction, fraction >> 52 << 52, fraction >> 60 << 60, 0, fraction >> 80, nearly_one)
    return sign | exp << 112 | rng.choice(shapes)


def as_double(x: int) -> int:
    """A binary32 as binary64, NaN bits and all."""
    if x & 0x7FFFFFFF > 0x7F800000:
        return (x & 0x80000000) << 32 | 0x7FF << 52 | (x & 0x7FFFFF) << 29
    return struct.unpack("<Q", struct.pack("<d", struct.unpack("<f", struct.pack("<I", x))[0]))[0]


def float_state(rng: random.Random, values: Sequence[int], modes: Sequence[int]) -> State:
    """A state whose VSRs hold ``values`` in both halves; a rounding mode, FPRF and sticky bits at random."""
    state = State(cr=rng.getrandbits(32), gpr=[double(rng) for _ in range(32)])
    state.vsr = [rng.choice(values) << 64 | rng.choice(values) for _ in range(64)]
    state.fpscr = rng.choice(modes) | rng.getrandbits(3) << 32 | rng.getrandbits(5) << 12
    if rng.getrandbits(1):
        state.fpscr |= rng.getrandbits(32) & STICKY
        state.fpscr |= 0x80000000  # qemu sets FX for an exception that is not new, too
        state.fpscr |= 0x20000000 if state.fpscr & 0x1F80700 else 0
    return state


def float_cases(
    found: Instruction, count: int, *, modes: Sequence[int] = range(4), **given: int
) -> list[Case]:
    """``count`` cases of one instruction on random registers; for quad precision the VRs hold binary128."""
    rng = random.Random(f"{found.name}{found.value}")
    cases = []
    for _ in range(count):
        pool = [double(rng) for _ in range(12)]
        case = Case((random_word(found, rng, **given),), float_state(rng, pool, modes), found.name)
        if "qp" in found.name:
            quads = [quad(rng) for _ in range(12)]
            case.before.vsr[32:] = [rng.choice(quads) for _ in range(32)]
        cases.append(case)
    return cases


@dataclass(frozen=True, slots=True)
class Deviation:
    """Where qemu 7.2 leaves the ISA, or the ISA leaves a choice: what not to compare, and why."""

    names: str  #: regular expression
    why: str
    fpscr: int = 0  #: bits not to compare
    modes: Sequence[int] = range(4)  #: rounding modes to compare
    mask: int = (1 << 128) - 1  #: bits of the target to compare (in VSR 5, which the case then uses)
    zeros: bool = True  #: whether zeros are compared

    def fits(self, name: str) -> bool:
        """Whether it is about this instruction."""
        return re.fullmatch(self.names, name.replace("{.}", "")) is not None


XX, FX, ZX, UX, C, FI = 0x02000000, 0x80000000, 0x04000000, 0x08000000, 0x10000, 0x20000
FPRF = 0x1F000
SINGLES = r"(f(add|sub|mul|div|sqrt|n?m(add|sub)|r|rsqrt)e?s|frsp|xs.*sp)"
DEVIATIONS = (
    Deviation(SINGLES, "FPRF tells a denormal of the single format (ISA: class of the result as single)", C),
    Deviation(r"xs(add|sub|mul|div)sp", "qemu rounds to double first", UX | FX, modes=(1, 2, 3)),
    Deviation(r"(f|xs)nm(add|sub).*", "qemu negates before rounding, the ISA after it", modes=(0, 1)),
    Deviation(r"(f|xs)r(sqrt)?e(s|dp|sp)?", "ISA: FI is undefined, XX is not altered", XX | FX | FI),
    Deviation(r"fr(sqrt)?es?", "qemu gives 0.5 for 1/0", zeros=False),
    Deviation(r"xsr(sqrt)?e[ds]p", "qemu does not set ZX", ZX | FX),
    Deviation(r"fcti.*|xscvdp[su]x.s", "ISA: FPRF is undefined", FPRF),
    Deviation(r"fctiw.*", "ISA: the upper word is undefined", mask=0xFFFFFFFF << 64),
    Deviation(r"fcfid(u|s|us)", "qemu leaves FPRF alone", FPRF),
    Deviation(r"fcmpo", "qemu sets C for an invalid comparison, the ISA leaves it", C),
    Deviation(r"xsrqp(i|ix|xp)", "qemu takes RN for its own numbers: 1 and 3 differ", modes=(0, 2)),
    Deviation(r"xsrqpxp", "qemu reports underflow, the ISA does not", UX | FX),
    Deviation(r"mtfsb1", "qemu does not set FX for a new exception, nor NI", FX | 4),
)


def deviations(found: Instruction) -> list[Deviation]:
    """What is known about an instruction."""
    return [d for d in DEVIATIONS if d.fits(found.name)]


def check_instruction(found: Instruction, count: int, cpu: str = "power10") -> None:
    """Compare with qemu on ``count`` cases, except where deviations are known."""
    known = deviations(found)
    modes = next((d.modes for d in known if len(d.modes) < 4), range(4))
    mask = next((d.mask for d in known if d.mask + 1 != 1 << 128), None)
    ignored = FR | sum({bit for d in known for bit in _bits(d.fpscr)})
    cases = float_cases(found, count, modes=modes, **({"FRT": 5} if mask is not None else {}))
    if any(not d.zeros for d in known):
        for case in cases:
            case.before.vsr = [v if v >> 64 & ~SIGN else 1 << 126 for v in case.before.vsr]

    def adjust(state: State) -> State:
        state.fpscr &= ~ignored
        if ignored & FX:
            state.cr &= ~0x08000000
        if mask is not None:
            state.vsr[5] &= mask
        return state

    check(cases, adjust=adjust, cpu=cpu)


def _bits(value: int) -> list[int]:
    return [1 << n for n in range(value.bit_length()) if value >> n & 1]


MSR_FE = 1 << 11 | 1 << 8
SIGFPE = "SIGFPE"


def run_trapping(case: Case) -> State:
    """The oracle with MSR[FE0] and MSR[FE1] set, as a program has them under Linux."""
    cpu = load_oracle(case.before)
    cpu.msr = cpu.msr | MSR_FE
    fault = ""
    try:
        cpu.execute(case.words[0])
    except Interrupt as interrupt:
        fault = {"program fp": SIGFPE}.get(interrupt.kind, interrupt.kind)
    return save_oracle(cpu, fault)

# SPDX-License-Identifier: GPL-2.0-only
"""Matrix-multiply assist against qemu and binutils."""

from __future__ import annotations

import random

import pytest
from tests.isa.float_cases import double, single
from tests.isa.harness import Case, State, check, disassemble, overlaps, random_state, random_word

from lpar.isa import mma
from lpar.isa.registry import INSTRUCTIONS, Instruction
from lpar.isa.softfloat_core import OX, UX

ALL = [i for i in INSTRUCTIONS if i.body.__module__ == mma.__name__]
FR_FI = 0x60000  #: vector instructions leave these alone; qemu sets them from what came last


def masks(name: str, rng: random.Random) -> int:
    """Random masks without reserved bits."""
    word = rng.choice((rng.getrandbits(16), 0xFFFF))
    if "f64" in name:
        return word & 0xFC
    ranks = 8 if "ger8" in name else 4 if "ger4" in name else 2 if "ger2" in name else 0
    return word & (0xFF | ~(0xFFFF >> ranks))


def words_of(found: Instruction, rng: random.Random, **given: int) -> tuple[int, ...]:
    """One or two words; the accumulator does not overlap with X and Y."""
    names = {f.name for f in found.fields}
    given |= {f"AT{n}": 20 + n for n in range(4)}
    given |= {
        "XA": rng.choice((3, 40)),
        "XAe": 40,
        "XAo": 41,
        "XB": rng.choice((8, 50)),
        "MASKS": masks(found.name, rng),
    }
    word = random_word(found, rng, **{k: v for k, v in given.items() if k in names})
    if found.prefix is None:
        return (word,)
    word |= found.prefix[1] << 32
    return word >> 32, word & 0xFFFFFFFF


def half(rng: random.Random) -> int:
    """A half or bfloat16 bit pattern: near one, special, or any."""
    return rng.choice(
        (rng.getrandbits(16), 0x3C00 ^ rng.getrandbits(11), 0x3F80 ^ rng.getrandbits(9), 0x7C00, 0)
    )


def vector(found: Instruction, rng: random.Random) -> int:
    """A VSR of elements that suit the instruction."""
    if "f64" in found.name:
        return double(rng) << 64 | double(rng)
    if "f32" in found.name:
        return sum(single(rng) << n for n in range(0, 128, 32))
    if "f16" in found.name:
        return sum(half(rng) << n for n in range(0, 128, 16))
    if rng.randrange(4) == 0:
        return rng.choice((0x8000, 0x7FFF, 0xFFFF, 0x80FF)) * ((1 << 128) - 1) // 0xFFFF
    return rng.getrandbits(128)


def cases(found: Instruction, count: int) -> list[Case]:
    """Random operands, masks and rounding modes."""
    rng = random.Random(found.name)
    made = []
    for _ in range(count):
        state = random_state(rng)
        state.vsr = [vector(found, rng) for _ in range(64)]
        if "f16" in found.name:
            state.vsr[20:24] = [sum(single(rng) << n for n in range(0, 128, 32)) for _ in range(4)]
        nearer = found.name[-2:] in ("np", "nn")  # qemu 7.2 negates before rounding: alike in modes 0 and 1
        state.fpscr = rng.getrandbits(1 if nearer else 2)
        made.append(Case(words_of(found, rng), state, found.name))
    return made


def without_lost_flags(state: State) -> State:
    """qemu 7.2 reports no underflow of one cell next to an overflow of another."""
    state.fpscr &= ~FR_FI
    if state.fpscr & OX:
        state.fpscr &= ~UX
    return state


@pytest.mark.parametrize("found", ALL, ids=lambda i: i.name)
def test_against_qemu(found: Instruction) -> None:
    check(cases(found, 60), adjust=without_lost_flags)


def test_encodings() -> None:
    """binutils 2.41 and later have names with dm in them for some."""
    rng = random.Random(2)
    words = [words_of(found, rng) for found in ALL for _ in range(3)]
    texts = disassemble([w for group in words for w in group])
    names = [text.split()[0].replace("dm", "").replace("xxset", "set") for text in texts]
    assert names == [found.name.replace("xxset", "set") for found in ALL for _ in range(3)]


def test_no_overlaps() -> None:
    plain = [i for i in ALL if i.prefix is None]
    assert overlaps(plain) == []
    assert overlaps([i for i in ALL if i.prefix]) == []

# SPDX-License-Identifier: GPL-2.0-only
"""Operands for decimal floating-point cases, and the way between Python's decimals and register images.

A number is ``(sign, digits, exponent)`` with the exponent of the last digit; DPD is made here by the table
of the ISA (Book I, section 5.3.1.1), case by case, apart from the formulas under test.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal

from tests.isa.harness import Case, State, random_word

from lpar.isa.registry import Instruction


@dataclass(frozen=True, slots=True)
class Format:
    """Sizes in bits, precision in digits, bias of the exponent."""

    size: int
    digits: int
    bias: int
    continuation: int

    @property
    def top(self) -> int:
        """The largest biased exponent."""
        return 3 * (1 << self.continuation) - 1

    @property
    def trailing(self) -> int:
        """Bits of the trailing significand."""
        return self.size - 6 - self.continuation

    def context(self, rounding: str) -> Context:
        """Python's context for results of this format; nothing raises."""
        emax = self.top - self.bias + self.digits - 1
        context = Context(self.digits, rounding, 1 - emax, emax, capitals=1, clamp=1)
        context.clear_traps()
        return context


SHORT, LONG, QUAD = Format(32, 7, 101, 6), Format(64, 16, 398, 8), Format(128, 34, 6176, 12)
#: by FPSCR[DRN]
ROUNDINGS = (
    "ROUND_HALF_EVEN", "ROUND_DOWN", "ROUND_CEILING", "ROUND_FLOOR",
    "ROUND_HALF_UP", "ROUND_HALF_DOWN", "ROUND_UP", "ROUND_05UP",
)  # fmt: skip


def declet_digits(code: int) -> tuple[int, int, int]:
    """Three digits of a declet."""
    p, q, r, s, t, u, v, w, x, y = (code >> n & 1 for n in range(9, -1, -1))
    pq, st = 4 * p + 2 * q, 4 * s + 2 * t
    if not v:
        return pq + r, st + u, 4 * w + 2 * x + y
    if (w, x) == (0, 0):
        return pq + r, st + u, 8 + y
    if (w, x) == (0, 1):
        return pq + r, 8 + u, st + y
    if (w, x) == (1, 0):
        return 8 + r, st + u, pq + y
    return {
        (0, 0): (8 + r, 8 + u, pq + y),
        (0, 1): (8 + r, pq + u, 8 + y),
        (1, 0): (pq + r, 8 + u, 8 + y),
        (1, 1): (8 + r, 8 + u, 8 + y),
    }[s, t]


@functools.cache
def declets() -> dict[tuple[int, int, int], int]:
    """The canonical declet of three digits: bits that do not matter are 0."""
    return {declet_digits(code): code for code in range(1023, -1, -1)}


def significand(digits: str) -> int:
    """Declets of a multiple of three digits."""
    found = 0
    for n in range(0, len(digits), 3):
        first, second, third = (int(d) for d in digits[n : n + 3])
        found = found << 10 | declets()[first, second, third]
    return found


def digits_of(trailing: int, fmt: Format) -> str:
    """The digits of a trailing significand."""
    codes = [trailing >> n & 1023 for n in range(fmt.trailing - 10, -1, -10)]
    return "".join(str(d) for code in codes for d in declet_digits(code))


def encode(value: Decimal, fmt: Format) -> int:
    """The canonical encoding of a decimal in range."""
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)) if exponent != "F" else "0"
    text = text.rjust(fmt.digits, "0")
    if isinstance(exponent, str):
        head = {"F": 60, "n": 62, "N": 63}[exponent]
        return sign << fmt.size - 1 | head << fmt.size - 7 | significand(text[1:])
    biased, first = exponent + fmt.bias, int(text[0])
    high = biased >> fmt.continuation
    g = 24 | high << 1 | first & 1 if first > 7 else high << 3 | first
    low = biased & (1 << fmt.continuation) - 1
    return ((sign << 5 | g) << fmt.continuation | low) << fmt.trailing | significand(text[1:])


def decode(word: int, fmt: Format) -> Decimal:
    """The decimal that an encoding stands for."""
    sign, g = word >> fmt.size - 1, word >> fmt.size - 6 & 31
    rest = digits_of(word & (1 << fmt.trailing) - 1, fmt)
    if g == 30:
        return Decimal((sign, (0,), "F"))
    if g == 31:
        signalling = word >> fmt.size - 7 & 1
        return Decimal((sign, tuple(map(int, rest.lstrip("0"))), "N" if signalling else "n"))
    high, first = (g >> 1 & 3, 8 + (g & 1)) if g >= 24 else (g >> 3, g & 7)
    low = word >> fmt.trailing & (1 << fmt.continuation) - 1
    exponent = (high << fmt.continuation | low) - fmt.bias
    return Decimal((sign, (first, *map(int, rest)), exponent))


# -- operands --------------------------------------------------------------------------------------


def coefficient(rng: random.Random, digits: int) -> int:
    """A coefficient of at most so many digits: nines, ties, short or long ones."""
    count = rng.choice((digits, digits, rng.randrange(1, digits + 1), rng.randrange(1, 4)))
    number = rng.randrange(10**count)
    shape = rng.randrange(8)
    if shape == 0:
        return 10**count - 1
    if shape == 1:
        return 10 ** (count - 1)
    if shape == 2:
        return number // 10 ** (count // 2) * 10 ** (count // 2)
    if shape == 3:
        return 5 * 10 ** (count - 1)
    if shape == 4:
        return int(str(number)[: count // 2 + 1].ljust(count, "5")[:count])
    return number


def number(rng: random.Random, fmt: Format) -> Decimal:
    """Any decimal of the format: near 1, at the ends of the range, special."""
    sign = rng.getrandbits(1)
    kind = rng.randrange(20)
    if kind == 0:
        return Decimal((sign, (0,), "F"))
    if kind in (1, 2):
        payload = tuple(map(int, str(coefficient(rng, fmt.digits - 1))))
        return Decimal((sign, payload, "nN"[kind - 1]))
    exponent = rng.choice((fmt.bias, fmt.bias, fmt.bias - fmt.digits, 0, fmt.top, rng.randrange(fmt.top)))
    biased = min(max(exponent + rng.randrange(-fmt.digits - 2, fmt.digits + 2), 0), fmt.top)
    digits = 0 if kind == 3 else coefficient(rng, fmt.digits)
    return Decimal((sign, tuple(map(int, str(digits))), biased - fmt.bias))


def image(rng: random.Random, fmt: Format) -> int:
    """The encoding of some number, now and then not the canonical one."""
    word = encode(number(rng, fmt), fmt)
    if rng.randrange(12) == 0 and word >> fmt.size - 6 & 31 != 30:
        return word ^ rng.getrandbits(fmt.trailing)
    return word


def decimal_state(rng: random.Random, fmt: Format, drn: Sequence[int] = range(8)) -> State:
    """FPRs that hold numbers (quads in even-odd pairs); a rounding mode, FPRF and sticky bits at random."""
    state = State(cr=rng.getrandbits(32))
    pool = [image(rng, fmt) for _ in range(8)]
    for n in range(0, 32, 2):
        if fmt.size == 128:
            words = [(w := rng.choice(pool)) >> 64, w & (1 << 64) - 1]
        else:
            words = [rng.choice(pool), rng.choice(pool)]
        state.vsr[n : n + 2] = [w << 64 for w in words]
    state.fpscr = rng.choice(drn) << 32 | rng.getrandbits(5) << 12 | rng.getrandbits(2)
    return state


def decimal_cases(found: Instruction, fmt: Format, count: int, **given: int) -> list[Case]:
    """``count`` cases of one instruction on random registers."""
    rng = random.Random(f"{found.name}{count}")
    return [
        Case((random_word(found, rng, **given),), decimal_state(rng, fmt), found.name) for _ in range(count)
    ]

# SPDX-License-Identifier: GPL-2.0-only
"""The vector facility against qemu: every instruction on random and special elements, and the encodings."""

from __future__ import annotations

import random
from collections.abc import Iterable
from types import ModuleType

import pytest
from tests.isa.harness import (
    BUFFER,
    Case,
    State,
    assemble,
    check,
    check_encodings,
    overlaps,
    random_state,
    random_word,
    run_oracle,
    value64,
)

from lpar.isa import (
    vmx_common,
    vmx_compare,
    vmx_crypto,
    vmx_divide,
    vmx_element,
    vmx_integer,
    vmx_logic,
    vmx_memory,
    vmx_multiply,
    vmx_permute,
)
from lpar.isa.registry import INSTRUCTIONS, Instruction

MODULES = [
    vmx_compare,
    vmx_crypto,
    vmx_divide,
    vmx_element,
    vmx_integer,
    vmx_logic,
    vmx_memory,
    vmx_multiply,
    vmx_permute,
]
SPECIAL = {
    width: (0, 1, 2, (1 << width - 1) - 1, 1 << width - 1, (1 << width) - 1) for width in (8, 16, 32, 64, 128)
}
VSCR_NJ, VSCR_SAT = 1 << 16, 1


def defined_in(module: ModuleType) -> list[Instruction]:
    """The definitions that the import of one file made."""
    return [i for i in INSTRUCTIONS if owner(i) == module.__name__]


def owner(found: Instruction) -> str:
    """The file that a definition belongs to; a family's body belongs to the file of its element function."""
    cells = [c.cell_contents for c in found.body.__closure__ or ()]
    functions = [c for c in cells if callable(c)]
    name = found.body.__module__
    if name != vmx_common.__name__:
        return name
    return next(
        f.__module__ for f in functions if f.__name__ not in ("add", "subtract") or len(functions) == 1
    )


def vector(rng: random.Random) -> int:
    """128 bits: elements of one width, each special or any; or a run of bits."""
    kind = rng.randrange(8)
    if kind == 0:
        return ((1 << rng.randrange(129)) - (1 << rng.randrange(129))) & ((1 << 128) - 1)
    width = rng.choice((8, 16, 32, 64, 128))
    value = 0
    for _ in range(128 // width):
        element = rng.choice(SPECIAL[width]) if rng.randrange(3) == 0 else rng.getrandbits(width)
        value = value << width | element
    return value


def vmx_case(found: Instruction, rng: random.Random, memory: int = 0) -> Case:
    """One case with random fields, VRs and VSCR."""
    state = random_state(rng, memory=memory)
    state.vsr = [0] * 32 + [vector(rng) for _ in range(32)]
    for n in range(rng.randrange(8)):  # equal registers, for the comparisons
        state.vsr[32 + rng.randrange(32)] = state.vsr[32 + 4 * n]
    state.vscr = rng.choice((0, VSCR_SAT)) | rng.choice((0, VSCR_NJ))
    return Case((random_word(found, rng),), state, found.name)


def cases(definitions: Iterable[Instruction], count: int) -> list[Case]:
    """``count`` cases of each definition."""
    made = []
    for found in definitions:
        rng = random.Random(found.name)
        made += [vmx_case(found, rng) for _ in range(count)]
    return made


# -- what the ISA leaves undefined is not asked for -----------------------------------------------------


def numbers(case: Case) -> tuple[int, int]:
    """The positions of VRA and VRB in ``vsr``."""
    return 32 + (case.words[0] >> 16 & 31), 32 + (case.words[0] >> 11 & 31)


def same_bytes(case: Case) -> None:
    """vsl and vsr: all bytes of VRB hold the same shift amount."""
    b = numbers(case)[1]
    case.before.vsr[b] = int.from_bytes(bytes([case.before.vsr[b] & 255]) * 16, "big")


def decimal_digit(case: Case) -> None:
    """vmul10: VRB's digit is at most 9."""
    b = numbers(case)[1]
    value = case.before.vsr[b]
    case.before.vsr[b] = value & ~15 | min(value & 15, 9)


def signed(value: int, width: int) -> int:
    """``value`` as a two's complement number."""
    return value - (value >> width - 1 << width)


def divisible(case: Case) -> None:
    """Divisions: no divisor of 0, no quotient that does not fit."""
    a, b = numbers(case)
    width = {"w": 32, "d": 64, "q": 128}[case.name[-1]]
    columns = []
    for low in range(128 - width, -1, -width):
        x, y = (case.before.vsr[n] >> low & ((1 << width) - 1) for n in (a, b))
        columns.append(divisible_pair(case.name, x, y, width) if a != b else (1, 1))
    for n, values in zip((a, b), zip(*columns, strict=True), strict=True):
        case.before.vsr[n] = sum(v << 128 - width * (k + 1) for k, v in enumerate(values))


def divisible_pair(name: str, x: int, y: int, width: int) -> tuple[int, int]:
    """``x`` and ``y`` changed as little as it takes."""
    is_signed = name[-2] == "s"
    if y == 0 or (is_signed and y == (1 << width) - 1):
        y = 3
    if name.startswith("vdive"):
        size = abs(signed(y, width)) // 2 if is_signed else y
        x = x % size if size else 0
    return x, y


ELEMENT = {"b": 1, "h": 2, "w": 4, "d": 8}


def inside(case: Case) -> None:
    """Extracts and inserts: the element lies within the register."""
    name, word = case.name, case.words[0]
    if name.endswith(("lx", "rx")):
        size = ELEMENT[name.rstrip("lrx").removesuffix("v")[-1]]
        number = word >> 6 if name.startswith("vextd") else word >> 16
        limit = (32 if name.startswith("vextd") else 16) - size
        case.before.gpr[number & 31] = case.before.gpr[number & 31] & ~31 | min(number >> 5 & 31, limit)
    else:
        limit = 16 - ELEMENT[name[-1]]
        case.words = (word & ~0xF0000 | min(word >> 16 & 15, limit) << 16,)


def any_step(case: Case) -> None:
    """vgnb: N is at least 2."""
    case.words = (case.words[0] | 2 << 16,)


RULES = {
    "vgnb": any_step,
    "vsl": same_bytes,
    "vsr": same_bytes,
    "vmul10euq": decimal_digit,
    "vmul10ecuq": decimal_digit,
}


def defined_result(case: Case) -> Case:
    """The case changed so that its result is defined."""
    if case.name.startswith(("vdiv", "vmod")):
        divisible(case)
    elif case.name.startswith(("vextra", "vextu", "vextd", "vins")) and not case.name.endswith("m"):
        inside(case)
    elif case.name in RULES:
        RULES[case.name](case)
    return case


@pytest.mark.parametrize("module", [m for m in MODULES if m is not vmx_memory], ids=lambda m: m.__name__[9:])
def test_registers_only(module: ModuleType) -> None:
    """All but vrldmi, into which qemu 7.2.22 and 10 insert zeros instead of VRT."""
    known = [i for i in defined_in(module) if i.name != "vrldmi"]
    check([defined_result(c) for c in cases(known, 60)])


def test_rotate_and_insert() -> None:
    """vrldmi: mb 56, me 59, no rotation, in both doublewords."""
    before = State()
    masks = 0x383B00_0000000000383B00
    before.vsr[33:36] = [0x1111111111111111_2222222222222222, 0xFF_000000000000003F, masks]
    after = run_oracle(Case(assemble(["vrldmi 1, 2, 3"]), before))
    assert after.vsr[33] == 0x11111111111111F1_2222222222222232


def aim(case: Case, rng: random.Random) -> Case:
    """Put RA and RB of a memory access so that it lies in the buffer."""
    ra, rb = case.words[0] >> 16 & 31, case.words[0] >> 11 & 31
    target, gpr = BUFFER + rng.randrange(16, 200), case.before.gpr
    if ra in (0, rb):
        gpr[rb] = target if ra == 0 else target // 2
    else:
        gpr[rb] = value64(rng)
        gpr[ra] = target - gpr[rb] & 0xFFFFFFFFFFFFFFFF
    return case


@pytest.mark.parametrize("little", [True, False])
def test_memory(little: bool) -> None:
    rng = random.Random(5)
    made = [
        aim(vmx_case(found, rng, memory=256), rng)
        if "RB" in {f.name for f in found.fields}
        else vmx_case(found, rng)
        for found in defined_in(vmx_memory)
        for _ in range(60)
    ]
    for case in made:
        if case.name == "mtvscr":
            case.before.vsr[32 + (case.words[0] >> 11 & 31)] &= VSCR_NJ | VSCR_SAT
    check(made, little=little)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__[9:])
def test_encodings(module: ModuleType) -> None:
    found = defined_in(module)
    assert found
    check_encodings(found)


def test_no_overlaps() -> None:
    assert overlaps([i for module in MODULES for i in defined_in(module)]) == []

# SPDX-License-Identifier: GPL-2.0-only
"""The fuzzer's fixed-seed part, and the fuzzer itself: a wrong engine is found, and its case made small."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterator

import pytest
from tests.cpu.runner import TIERS
from tests.isa import judge
from tests.isa.case import BUFFER, BUFFER_SIZE, CODE, NOP
from tests.isa.fuzz import decode, frames
from tests.isa.fuzz.compare import Sides, items
from tests.isa.fuzz.frames import Engine, Work, run_qemu
from tests.isa.fuzz.known import DEVIATIONS
from tests.isa.fuzz.program import KEEPERS, THEMES, Names, Program, Unit, make, pool
from tests.isa.fuzz.shrink import Shrinker
from tests.isa.fuzz.state import Values
from tests.isa.harness import assemble, random_word

from lpar.isa.disassemble import disassemble
from lpar.isa.registry import Instruction

WHO = Names((3, 6, 7), (1, 2, 33), 4, 5)


def usable(tier: str) -> bool:
    """Whether this host has a tier."""
    try:
        Engine(tier).close()
    except ValueError:
        return False
    return True


@pytest.fixture(scope="module")
def tiers() -> list[str]:
    """The tiers of this host, the interpreter first."""
    return [t for t in TIERS if usable(t)]


@pytest.mark.parametrize(("little", "judged"), [(True, True), (True, False), (False, True), (False, False)])
def test_fixed_seed(tiers: list[str], little: bool, judged: bool) -> None:
    """Programs on every tier, the oracle and QEMU; in big-endian mode there is only the interpreter."""
    qemu = judge.version(little)
    rng = random.Random(f"{little}{judged}")
    values = Values(rng)
    sides = Sides(tiers if little else tiers[:1], little, qemu, oracle_share=0.15)
    count, length = (60, 30) if little else (400, 40)
    batch = items(rng, values, count, qemu=qemu if judged else 0, little=little, length=length, states=8)
    found = sides.batch(batch, rng)
    sides.close()
    assert not found, "\n".join(m.report() for m in found[:3])
    assert sides.executed["interpreter"] > 20 * count
    assert all(e.installed > count // 2 for e in sides.engines)


def test_narrow_mode_against_the_oracle() -> None:
    """32-bit mode, which QEMU's user mode does not have."""
    rng = random.Random(32)
    values = Values(rng)
    engine = Engine("interpreter", wide=False)
    for item in items(rng, values, 40, qemu=0, little=True, length=16, states=1):
        words = item.program.words()
        if item.program.relative:
            continue
        [ours] = engine.run(words, item.frames) or [b""]
        assert ours == frames.run_oracle(words, item.frames[0], little=True, wide=False), words
    engine.close()


@pytest.fixture
def broken() -> Iterator[Shrinker]:
    """A shrinker for an engine that is wrong about ``add``: it has 1 more in r3 if the program holds any."""
    engine = Engine("interpreter")

    def right(work: Work) -> list[list[bytes]]:
        return [engine.run(words, given) or [] for words, given in work]

    def wrong(work: Work) -> list[list[bytes]]:
        results = right(work)
        for (words, _), made in zip(work, results, strict=True):
            if any(w >> 26 == 31 and w & 0x7FE == 266 << 1 for w in words):
                made[:] = [r[:24] + bytes([r[24] ^ 1]) + r[25:] for r in made]
        return results

    yield Shrinker(right, wrong)
    engine.close()


def test_a_mismatch_is_made_small(broken: Shrinker) -> None:
    rng = random.Random(3)
    values = Values(rng)
    program = make(rng, 12, WHO, qemu=10, little=True)
    add = Unit(tuple(assemble(["add 6, 7, 3"])), "add")
    units = (*program.units[:6], add, *program.units[6:])
    program = Program(units, program.loop, addresses=program.addresses)
    frame = values.frame(program, WHO)
    found = broken.failing([(program, frame)])
    assert found is not None
    small = broken.shrink(found)
    assert small.program.units == (add,)
    assert "add     r6,r7,r3" in small.report()
    assert "State(gpr=registers({4: " in small.report()  # all else is zero


def test_qemu_sees_what_the_engine_sees() -> None:
    """Signal and address of a fault, memory and every register pass both ways, in both byte orders."""
    words = assemble(["stdu 3, 8(4)", "fmr 5, 6", "vor 7, 8, 8", "mtctr 3", "tw 31, 0, 0"])
    rng = random.Random(9)
    program = Program((Unit(tuple(words)),), addresses=(4, 5))
    frame = Values(rng).frame(program, WHO)
    for little in (True, False):
        engine = Engine("interpreter", little=little)
        [ours] = engine.run(words, [frame]) or [b""]
        [[theirs]] = run_qemu([(words, [frame])], little=little)
        engine.close()
        assert ours == theirs
        assert int.from_bytes(ours[8 * frames.NIP_AT :][:8], "little") == CODE + 16
        assert ours != frame


def test_every_theme_has_judged_instructions() -> None:
    for theme in THEMES:
        judged, everything = (set(map(id, pool(theme, q, True)[0])) for q in (10, 0))
        assert len(judged) > 5
        assert judged <= everything


def test_every_deviation_is_about_something() -> None:
    plain, enders = pool("all", 0, True)
    names = {i.name for i in (*plain, *enders)} | {"copy", "hashst", "hashchk"}
    assert [d.names for d in DEVIATIONS if not any(d.fits(n) for n in names)] == []


def test_words_are_instructions_or_not() -> None:
    """Random words with reserved bits: legal here as on QEMU, or the reason is known."""
    if judge.version(False) < 10:
        pytest.skip("the reasons are QEMU 10's")
    rng, engine = random.Random(2), Engine("interpreter", little=False)
    found = decode.differences([decode.random_word(rng) for _ in range(decode.BATCH)], engine)
    engine.close()
    unexplained = [f"{word:#010x}" for word, here in found if not decode.explanation(word, here)]
    assert not unexplained
    assert found  # reserved fields, at least


def test_reserved_fields_are_ignored() -> None:
    """Bits that the ISA shows as reserved: the same instruction with and without."""
    pairs = (
        (0x7C642896, 1 << 10),
        (0x7C642894, 1 << 10),
        (0x7C640094, 1),
        (0xF00209D8, 1),
        (0x10401581, 1 << 9),
    )
    for word, bit in pairs:
        assert disassemble(word).split()[0] == disassemble(word | bit).split()[0] != ".long"


def test_what_qemu_keeps_is_reset() -> None:
    """Which instructions take exceptions of an earlier one for theirs on QEMU is what ``KEEPERS`` says."""
    if judge.version() < 10:
        pytest.skip("the list is QEMU 10's")
    engine = Engine("interpreter")
    lines = ("xvaddsp 1, 4, 4", "xvdivsp 1, 2, 3")
    kept: set[str] = set()
    for order in (lines, lines[::-1]):
        clear = assemble([*order, *(f"mcrfs 0, {n}" for n in range(6))])
        programs = [(found, [*clear, *words]) for found, words in exact_programs()]
        results = run_qemu([(words, [STALE_STATE]) for _, words in programs], little=True)
        for (found, words), [theirs] in zip(programs, results, strict=True):
            [ours] = engine.run(words, [STALE_STATE]) or [b""]
            if (exceptions(ours) ^ exceptions(theirs)) & XX_AND_SNAN:
                kept.add(found.name)
    engine.close()
    assert kept
    assert {name for name in kept if not re.fullmatch(KEEPERS, name)} == set()


XX_AND_SNAN = 0x03000000
_VALUES = {2: 0x3F800000, 3: 0x40400000, 4: 0x7F800001}  #: 1, 3 and a signaling NaN in all words
STALE_STATE = struct.pack(
    "<170Q",
    *[BUFFER + BUFFER_SIZE // 2] * 32,
    *[0] * 10,
    *(value | value << 32 for n in range(64) for value in [_VALUES.get(n, 0)] * 2),
) + bytes(BUFFER_SIZE)


def exceptions(frame: bytes) -> int:
    """FPSCR."""
    return int(struct.unpack_from("<Q", frame, 8 * frames.FPSCR_AT)[0])


def exact_programs() -> Iterator[tuple[Instruction, list[int]]]:
    """Every instruction of the floating-point and vector facilities on zeros, which raise nothing."""
    rng = random.Random(1)
    zeros = dict.fromkeys(("XA", "XB", "XC", "FRA", "FRB", "FRC", "VRA", "VRB", "VRC"), 8)
    targets = dict.fromkeys(("XT", "FRT", "VRT"), 9)
    for found in pool("all", 0, True)[0]:
        if set(found.needs) & {"FP", "VSX", "VEC"} and not re.match("mtfs|mcrfs|mffs", found.name):
            names = {f.name for f in found.fields}
            word = random_word(found, rng, **{n: v for n, v in (zeros | targets).items() if n in names})
            whole = [NOP] * 8 + [*divmod(word | found.prefix[1] << 32, 1 << 32)] if found.prefix else [word]
            yield found, whole

# SPDX-License-Identifier: GPL-2.0-only
"""The fuzzer's fixed-seed part, and the fuzzer itself: a wrong engine is found, and its case made small."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from tests.cpu.runner import TIERS
from tests.isa import judge
from tests.isa.case import CODE
from tests.isa.fuzz import frames
from tests.isa.fuzz.compare import Sides, items
from tests.isa.fuzz.frames import Engine, Work, run_qemu
from tests.isa.fuzz.known import DEVIATIONS
from tests.isa.fuzz.program import THEMES, Names, Program, Unit, make, pool
from tests.isa.fuzz.shrink import Shrinker
from tests.isa.fuzz.state import Values
from tests.isa.harness import assemble

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

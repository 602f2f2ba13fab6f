# SPDX-License-Identifier: GPL-2.0-only
"""Random words: which are instructions?  ``python -m tests.isa.fuzz.decode -n 100000``; the judge is QEMU.

Primary and extended opcodes are drawn evenly, the other bits at random, so that reserved fields are often
not zero.  A word is an instruction unless it ends in SIGILL.  Differences that are not in ``EXPLAINED`` are
shown.  Big-endian, where QEMU has no alignment interrupts to die of.
"""

from __future__ import annotations

import argparse
import random
import re
import struct
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.isa import judge
from tests.isa.case import BUFFER, BUFFER_SIZE
from tests.isa.fuzz.frames import SIGNAL_AT, Engine, swapped
from tests.isa.harness import load_all

from lpar.isa.disassemble import disassemble
from lpar.isa.registry import INSTRUCTIONS

SIGILL = 4
BATCH = 4000
TIMEOUT = 60  #: seconds for a batch
PREFIX = 1
#: system calls and branches, which leave the program
LEAVERS = {16, 17, 18}
WAITS = {30, 62, 339, 371, 467}  #: extended opcodes of 31: what waits, and SPRs, of some of which QEMU dies
STORES = {6, *range(32, 64)}  #: D-forms: with RA 0 they would hit the driver
NOP = 0x60000000


@dataclass(frozen=True, slots=True)
class Explained:
    """Instructions (a regular expression over mnemonics) that run here and not on QEMU."""

    names: str
    why: str


IGNORED = "a reserved field that is not zero: ignored (Book I, 1.3.3), illegal on QEMU"
EXPLAINED = (
    Explained(r"l(bz|hz|ha|wz|wa|d|fs|fd)ux?", "RA = RT or RA = 0: an invalid form; loads"),
    Explained(r"lswi|lswx|lmw", "RA or RB among the targets: an invalid form; loads"),
    Explained(
        r"d[a-z]+q|dctqpq|dcffixqq?|dctfixqq", "odd registers of pairs: an invalid form; the even ones"
    ),
    Explained(r"stxvp|lxvp|plxvp|pstxvp", "the same"),
    Explained(r"mtocrf|mfocrf", "not one field: an invalid form"),
    Explained(r"t(begin|end|check|sr|abort[dw]?ci?|abort|reclaim|rechkpt)", "facility unavailable"),
    Explained(r"rfebb|clrbhrb|mfbhrbe", "facility unavailable"),
    Explained(r"hash(st|chk)p?|dss(all)?|dstt?|dststt?|icbt|cpabort", "not in QEMU's user mode"),
)
#: opcodes of words that QEMU takes for instructions, since its tables look at some bits only
TAKEN = {
    4: "the vector table ignores bits of extended opcodes and of those in VRA",
    19: "any extended opcode with five zeros at its end is mcrf",
    31: "stores conditional without their last bit; mcrxr, which is no more; sync with reserved L",
    57: "lfdp with an odd register",
    60: "xvcmpne[sd]p, which ISA 3.0B has no more",
    61: "stfdp with an odd register",
}


def random_word(rng: random.Random) -> int:
    """Any primary opcode, any extended one."""
    while True:
        opcode = rng.randrange(64)
        word = opcode << 26 | rng.getrandbits(26)
        if rng.random() < 0.5:  # few bits besides the opcodes: reserved fields are zero, but for one perhaps
            word &= 0xFC0007FF | rng.getrandbits(26) & rng.getrandbits(26)
        if opcode in STORES:
            word = word & ~(31 << 16) | 5 << 16
        xo = word >> 1 & 0x3FF
        leaves = opcode in LEAVERS or (opcode == 19 and xo in (16, 528, 560))
        if opcode != PREFIX and not leaves and not (opcode == 31 and xo in WAITS):
            return word


def frame() -> bytes:
    """Every GPR points to the middle of the buffer, every VSR holds ones; LR, CTR and TAR lead nowhere."""
    gpr = [BUFFER + BUFFER_SIZE // 2] * 32
    return struct.pack("<170Q", *gpr, *[0] * 10, *[0x3FF0000000000000] * 128) + bytes(BUFFER_SIZE)


def illegal(result: bytes) -> bool:
    """Whether a state has ended in SIGILL."""
    return result[8 * SIGNAL_AT] == SIGILL


def differences(words: Sequence[int], engine: Engine) -> list[tuple[int, bool]]:
    """(word, whether it runs here) where QEMU differs."""
    start = frame()
    work = [([word, NOP], [swapped(start)]) for word in words]
    theirs = judge.run_programs(work, BUFFER_SIZE, little=False, timeout=TIMEOUT)
    found = []
    for word, [their] in zip(words, theirs, strict=True):
        [ours] = engine.run([word, NOP], [start]) or [b""]
        if illegal(ours) != illegal(swapped(their)):
            found.append((word, not illegal(ours)))
    return found


def reserved(word: int) -> int:
    """The bits of an instruction that are neither opcode nor field."""
    found = next((i for i in INSTRUCTIONS if i.prefix is None and i.matches(word)), None)
    if found is None:
        return 0
    return word & ~(found.mask | sum(f.mask for f in found.fields)) & 0xFFFFFFFF


def explanation(word: int, here: bool) -> str:
    """Why QEMU differs about a word; empty if nobody knows."""
    if not here:
        return TAKEN.get(word >> 26, "")
    name = disassemble(word).split()[0].rstrip(".")
    reason = next((e.why for e in EXPLAINED if re.fullmatch(e.names, name)), "")
    return reason or (IGNORED if reserved(word) else "")


def main() -> int:
    """Show what is not explained; 1 if there is any."""
    parser = argparse.ArgumentParser(prog="python -m tests.isa.fuzz.decode", description=__doc__)
    parser.add_argument("-n", "--words", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="show what is explained, too")
    given = parser.parse_args()
    load_all()
    rng, engine = random.Random(given.seed), Engine("interpreter", little=False)
    seen: Counter[tuple[str, bool]] = Counter()
    examples: dict[tuple[str, bool], int] = {}
    for _ in range(0, given.words, BATCH):
        for word, here in differences([random_word(rng) for _ in range(BATCH)], engine):
            if given.all or not explanation(word, here):
                key = disassemble(word).split()[0], here
                key = (f"opcode {word >> 26}" if key[0] == ".long" else key[0]), here
                seen[key] += 1
                examples.setdefault(key, word)
    engine.close()
    for (name, here), count in sorted(seen.items()):
        side = "runs here only" if here else "runs on QEMU only"
        print(f"{name:20} {side}: {count}, as {examples[name, here]:#010x}")
    return int(bool(seen))


if __name__ == "__main__":
    sys.exit(main())

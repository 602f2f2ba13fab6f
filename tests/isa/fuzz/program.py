# SPDX-License-Identifier: GPL-2.0-only
"""Random programs: sequences of instructions of all chapters, and the states that they begin in.

A program is a list of *units*, so that it can be shrunk: a unit is one instruction, or a few that belong
together, or a branch over the next units.  Two registers of a program are addresses and are written by
update forms only; the others come from a few, so that values pass from one instruction to the next.
"""

from __future__ import annotations

import functools
import random
import re
from dataclasses import dataclass

from tests.isa.case import CODE, NOP
from tests.isa.fuzz.known import known
from tests.isa.harness import load_all, random_word

from lpar.isa.fields import Kind
from lpar.isa.registry import INSTRUCTIONS, Instruction

GPR_FIELDS = ("RT", "RS", "RA", "RB", "RC", "RA0", "RTe", "RTo", "RT1", "RT2", "RSp", "RTp", "RT_I")
MEMORY = (
    "fixed_load", "fixed_store", "float_memory", "vmx_memory", "vsx_memory", "vsx_scalar_memory", "storage",
    "storage_atomic", "accelerator", "fixed_string",
)  # fmt: skip
THEMES: dict[str, tuple[str, ...]] = {
    "fixed": ("fixed_arithmetic", "fixed_bits", "fixed_compare", "fixed_decimal", "fixed_logical",
              "fixed_multiply", "fixed_rotate", "condition", "spr_user"),
    "float": ("float_arith", "float_move", "float_memory", "vsx_scalar", "vsx_scalar_memory", "float_quad"),
    "decimal": ("decimal_float", "float_move", "vmx_decimal", "fixed_decimal"),
    "vmx": ("vmx_common", "vmx_compare", "vmx_crypto", "vmx_divide", "vmx_element", "vmx_float",
            "vmx_integer", "vmx_logic", "vmx_memory", "vmx_multiply", "vmx_permute"),
    "vsx": ("vsx_arithmetic", "vsx_convert", "vsx_half", "vsx_logical", "vsx_memory", "vsx_permute",
            "vsx_prefixed", "vsx_scalar", "vsx_scalar_memory"),
    "mma": ("mma", "vsx_logical", "vsx_memory"),
    "memory": (*MEMORY, "prefixed", "fixed_arithmetic"),
    "all": (),
}  # fmt: skip
#: what ends most sequences (traps, privileged use) or sends addresses astray: seldom taken
ENDERS = r"t[dw]i?|lmw|stmw|[ls]t?sw[ix]|lqarx|stqcx\.|lq|stq"
ENDER_CHANCE = 0.02
#: no two runs agree, the machine is left, or a case's state does not hold it
NEVER = (
    r"sc|scv|wait|stop|darn|mftb|rfebb|mfbhrbe|clrbhrb|attn|copy|paste\.|cpabort|b[cl]?.*\{l\}.*"
    r"|hashst|hashchk"
)
SPRS = (1, 8, 9, 815)  #: XER, LR, CTR, TAR: what a case's state holds
#: FPSCR bits that QEMU does not know (FR), keeps where it should not (FI), has otherwise for denormal
#: singles (C) or loses (UX, VXSNAN): cleared before they are read.  mtfsb0 13; 14; 15; 4; 7
CLEAR = (0xFDA0008C, 0xFDC0008C, 0xFDE0008C, 0xFC80008C, 0xFCE0008C)
#: QEMU does not forget the exceptions of earlier instructions before these (its ``fp_status`` is not reset):
#: they would set XX or VXSNAN for what an earlier instruction, state or program did.  An mtfsb0 resets it
KEEPERS = r"xscmpexp[dq]p|x[sv](max|min)[cj]?[dsq]p|xvcvspbf16|xvcv[su]xdsp|(pm)?xv(b?f16|f32|f64)ger.*"
SET_FX = 0xFC00004C  #: mtfsb1 0: QEMU sets FX for an exception that is not new, too


@dataclass(frozen=True, slots=True)
class Unit:
    """Instructions that stay together; ``over``: the last is a branch over so many units, its BD open."""

    words: tuple[int, ...]
    name: str = ""
    over: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    """Units; ``loop``: ends with a bdnz to its start.  ``judged``: QEMU is asked too.

    ``edge``: accesses go to the ends of the buffer, not to its middle.  ``addresses``: registers that hold
    them.
    """

    units: tuple[Unit, ...]
    loop: bool = False
    judged: bool = True
    edge: bool = False
    addresses: tuple[int, ...] = ()

    def words(self) -> list[int]:
        """The code; no prefixed instruction lies across a 64-byte boundary."""
        starts, at = [], 0
        for unit in self.units:
            at += self._gap(unit, at)
            starts.append(at)
            at += len(unit.words)
        code = [NOP] * at
        for n, (unit, start) in enumerate(zip(self.units, starts, strict=True)):
            code[start : start + len(unit.words)] = unit.words
            if unit.over:
                end = n + 1 + unit.over
                target = starts[end] if end < len(starts) else at
                last = start + len(unit.words) - 1
                code[last] |= 4 * (target - last)
        if self.relative:
            code += [NOP] * 8  # what the last relative load may read
            at += 8
        if self.loop:
            code.append(0x42000000 | -4 * at & 0xFFFC)
        return code

    @property
    def relative(self) -> bool:
        """Whether some access is relative to its instruction: it reads the program."""
        return any(w >> 26 == 1 and w >> 20 & 1 for unit in self.units for w in unit.words)

    @staticmethod
    def _gap(unit: Unit, at: int) -> int:
        crossing = any(
            w >> 26 == 1 and (at + n + CODE // 4) % 16 == 15 for n, w in enumerate(unit.words[:-1])
        )
        return int(crossing)


@dataclass(frozen=True, slots=True)
class Names:
    """The registers of one program: what it computes with, and the two addresses."""

    gpr: tuple[int, ...]
    vsr: tuple[int, ...]
    base: int
    index: int


def names(rng: random.Random) -> Names:
    """Registers at random."""
    base, index, *rest = rng.sample(range(1, 32), 9)
    gpr = (*rest, 0) if rng.random() < 0.5 else tuple(rest)
    return Names(gpr, tuple(rng.sample(range(64), 10)), base, index)


@functools.cache
def pool(theme: str, qemu: int, little: bool) -> tuple[list[Instruction], list[Instruction]]:
    """The instructions of a theme, plain ones and enders; ``qemu``: a version that must know them, or 0."""
    load_all()
    files = THEMES[theme]
    found = [i for i in INSTRUCTIONS if not files or i.body.__module__.rsplit(".", 1)[1] in files]
    found = [i for i in found if _usable(i) and not (qemu and known(i.name, qemu, little))]
    enders = [i for i in found if re.fullmatch(ENDERS, i.name) or "PRIV" in i.needs or "HV" in i.needs]
    return [i for i in found if i not in enders], enders


def _usable(found: Instruction) -> bool:
    if found.name.startswith("pst") and found.static_values.get("R_P") == (1,):
        return False  # would write to the program
    if re.fullmatch(NEVER, found.name) or found.body.__module__.endswith(("refused", "event_branch")):
        return False
    if found.name not in ("mfspr", "mtspr"):
        return True
    return bool(set(found.static_values.get("SPR", ())) & set(SPRS))


def word_of(found: Instruction, who: Names, rng: random.Random) -> int:
    """A word of ``found`` with the program's registers and addresses near the buffer's middle."""
    memory = found.body.__module__.endswith(MEMORY) or found.name[:2] in ("pl", "ps")
    memory = memory and found.name[:2] not in ("mf", "mt")
    given: dict[str, int] = {}
    for f in found.fields:
        if f.name in GPR_FIELDS:
            given[f.name] = rng.choice(who.gpr)
        elif f.kind is Kind.REG and f.width in (5, 6):
            given[f.name] = rng.choice(who.vsr) % (1 << f.width)
    if memory:
        given |= _address(found, who, rng)
    if found.body.__module__.endswith("mma"):  # an accumulator must not be an operand
        given |= {n: rng.choice(range(32, 64)) for n in ("XA", "XB")} | {"XAe": 32 + 2 * rng.randrange(16)}
    if "FXM" in given or "ocrf" in found.name:
        given["FXM"] = 1 << rng.randrange(8)
    if "R_P" in found.static_values:
        relative = found.static_values["R_P"] == (1,)
        given |= {"RA0": 0, "RA": 0, "D34": 0} if relative and memory else {}
    return random_word(found, rng, **given)


def _address(found: Instruction, who: Names, rng: random.Random) -> dict[str, int]:
    given = {"RA": who.base, "RA0": who.base, "RB": who.index}
    step = rng.choice((1, 4, 16, 16, 16))
    if found.name.startswith(("hash",)):
        step = 8
    given |= dict.fromkeys(("D", "DS", "DQ", "D34"), rng.randrange(-64, 64) // step * step)
    free = rng.choice([n for n in range(0, 32, 2) if n not in (who.base & ~1, who.index & ~1)])
    return given | {"RTe": free, "RTo": free + 1}


def plain_unit(found: Instruction, who: Names, rng: random.Random) -> Unit:
    """One instruction; FR is cleared before what reads it, since QEMU does not know it."""
    word = word_of(found, who, rng)
    words: tuple[int, ...] = (word,)
    if found.prefix:
        whole = word | found.prefix[1] << 32
        words = (whole >> 32, whole & 0xFFFFFFFF)
    if re.fullmatch(KEEPERS, found.name):
        return Unit((CLEAR[0], *words), found.name)
    if found.name.startswith(("mffs", "mcrfs", "mtfs")):
        return Unit((*CLEAR, word, SET_FX), found.name)
    if re.match(r"div[dw]u?{", found.name):
        return Unit((*_divisor(word >> 11 & 31), word), found.name)
    return Unit(words, found.name)


def _divisor(register: int) -> tuple[int, int]:
    """Make it positive: other quotients may be undefined.  clrldi by 33; ori with 1."""
    both = register << 21 | register << 16
    return 0x78000060 | both, 0x60000001 | both


def reserve_unit(who: Names, rng: random.Random) -> Unit:
    """A reservation, aligned, and the store to it, which succeeds."""
    load, store = rng.choice(((52, 694), (116, 726), (20, 150), (84, 214)))
    first, second = rng.sample(who.gpr, 2)
    if 0 in (first, second):
        return Unit((NOP,), "nop")
    clear = 0x78000000 | who.base << 21 | first << 16 | 59 << 6 & 0x7C0 | 0x24  # rldicr, ME below
    return Unit(
        (
            clear,
            0x7C000000 | second << 21 | first << 11 | load << 1,
            0x7C000001 | second << 21 | first << 11 | store << 1,
        ),
        "reserve",
    )


def skip_unit(rng: random.Random) -> Unit:
    """A conditional branch over one to three units; CTR is not touched."""
    bo = rng.choice((4, 12, 4, 12, 20))
    word = 0x40000000 | bo << 21 | rng.randrange(32) << 16 | (rng.random() < 0.2)
    return Unit((word,), "bc", rng.randrange(1, 4))


def linked_unit(who: Names, rng: random.Random) -> Unit:
    """A branch by LR, CTR or TAR to the next unit, whichever way its condition goes."""
    register = rng.choice(who.gpr)
    spr, xo = rng.choice(((8, 16), (9, 528), (815, 560)))
    bo = rng.choice((4, 12, 20) if spr == 9 else (4, 12, 20, 0, 2, 8, 10, 16, 18))
    move = 0x7C0003A6 | register << 21 | (spr & 31) << 16 | spr >> 5 << 11
    jump = 0x4C000000 | bo << 21 | rng.randrange(32) << 16 | xo << 1 | rng.getrandbits(1)
    here = (0x429F0005, 0x7C0802A6 | register << 21)  # bcl 20,31,.+4; mflr
    if register == 0:
        return Unit((NOP,), "nop")
    return Unit((*here, 0x38000000 | register << 21 | register << 16 | 16, move, jump), "branch")


def make(rng: random.Random, length: int, who: Names, *, qemu: int, little: bool) -> Program:
    """A program of ``length`` units; ``qemu``: the judge's version, 0 for a program that it is not asked."""
    plain, enders = pool(rng.choice(tuple(THEMES)), qemu, little)
    loop = rng.random() < 0.15
    units: list[Unit] = []
    while len(units) < length:
        kind = rng.random()
        if kind < 0.05:
            units.append(skip_unit(rng))
        elif kind < 0.06 and not loop:
            units.append(linked_unit(who, rng))
        elif kind < 0.065:
            units.append(reserve_unit(who, rng))
        else:
            some = enders if enders and rng.random() < ENDER_CHANCE else plain
            found = rng.choice(some)
            if not (loop and found.static_values.get("SPR") == (9,)):
                units.append(plain_unit(found, who, rng))
    return Program(tuple(units), loop, bool(qemu), rng.random() < 0.03, (who.base, who.index))

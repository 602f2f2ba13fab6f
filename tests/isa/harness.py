# SPDX-License-Identifier: GPL-2.0-only
"""Differential tests of instructions: the same cases on our engines and on qemu's user-mode emulator.

A case (``case``) is data: instruction words and the state before.  ``run_oracle`` and ``run_qemu``
(``judge``) give the state after; ``check`` compares them over many cases in one qemu process and prints a
failing case ready to paste.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import pkgutil
import random
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import pytest
from tests.isa.case import (  # noqa: F401 (tests take them from here)
    BUFFER,
    BUFFER_SIZE,
    CODE,
    CODE_WORDS,
    NOP,
    SIGNALS,
    XER_BITS,
    XER_FLAGS,
    Case,
    State,
    registers,
)
from tests.isa.judge import run_qemu, tool

import lpar.isa
from lpar.isa.fields import Kind
from lpar.isa.oracle import MSR_SF, Interrupt, Oracle
from lpar.isa.registry import INSTRUCTIONS, Instruction

INTERRUPT_SIGNALS = {
    "program illegal": "SIGILL",
    "program privileged": "SIGILL",
    "program trap": "SIGTRAP",
    "program fp": "SIGFPE",
    "alignment": "SIGBUS",
    "data storage": "SIGSEGV",
}

# -- our side -----------------------------------------------------------------------------------------


def load_oracle(state: State, *, little: bool = True, wide: bool = True) -> Oracle:
    """An oracle in ``state``; ``wide``: 64-bit mode."""
    cpu = Oracle(bytearray(state.memory), BUFFER, little=little)
    if not wide:
        cpu.msr = cpu.msr & (MSR_SF - 1)
    cpu._s["gpr"][:] = state.gpr
    cpu._s["vsr"][:] = state.vsr
    cpu._s["cr"][:] = [state.cr >> (28 - 4 * n) & 15 for n in range(8)]
    for name, shift in XER_BITS.items():
        setattr(cpu, name, state.xer >> shift & 1)
    cpu.xer_low = state.xer & 0xFFFFFFFF & ~XER_FLAGS
    for name in ("lr", "ctr", "fpscr", "vscr", "tar"):
        setattr(cpu, name, getattr(state, name))
    cpu._pc = CODE
    return cpu


def save_oracle(cpu: Oracle, fault: str = "") -> State:
    """The state of an oracle."""
    s = cpu._s
    xer = s["xer_low"][0] | sum(s[n][0] << shift for n, shift in XER_BITS.items())
    cr = sum(f << (28 - 4 * n) for n, f in enumerate(s["cr"]))
    scalars = {n: s[n][0] for n in ("lr", "ctr", "fpscr", "vscr", "tar")}
    return State(list(s["gpr"]), list(s["vsr"]), cr, xer, **scalars, memory=bytes(cpu._memory), fault=fault)


def run_oracle(case: Case, *, little: bool = True, wide: bool = True, steps: int = 10_000) -> State:
    """Run ``case`` on the oracle until control leaves its words or an interrupt comes."""
    cpu = load_oracle(case.before, little=little, wide=wide)
    fault = ""
    try:
        for _ in range(steps):
            index = (cpu._pc - CODE) // 4
            if not 0 <= index < len(case.words):
                break
            cpu.execute(*case.words[index : index + (2 if case.words[index] >> 26 == 1 else 1)])
    except Interrupt as interrupt:
        fault = INTERRUPT_SIGNALS.get(interrupt.kind, interrupt.kind)
    return save_oracle(cpu, fault)


# -- comparing ----------------------------------------------------------------------------------------


def compare(expected: State, got: State, ignore: Iterable[str] = ()) -> list[str]:
    """The differences, one line each: ``gpr[3]: expected 0x1, got 0x2``."""
    found = []
    for f in fields(State):
        a, b = getattr(expected, f.name), getattr(got, f.name)
        if f.name in ignore or a == b:
            continue
        if isinstance(a, list):
            found += [
                f"{f.name}[{n}]: expected {x:#x}, got {y:#x}"
                for n, (x, y) in enumerate(zip(a, b, strict=True))
                if x != y
            ]
        elif isinstance(a, bytes):
            found += [
                f"memory[{n:#x}]: expected {x:#04x}, got {y:#04x}"
                for n, (x, y) in enumerate(zip(a, b, strict=True))
                if x != y
            ]
        elif isinstance(a, int):
            found.append(f"{f.name}: expected {a:#x}, got {b:#x}")
        else:
            found.append(f"{f.name}: expected {a!r}, got {b!r}")
    return found


def check(
    cases: Sequence[Case],
    *,
    little: bool = True,
    cpu: str = "power10",
    ignore: Iterable[str] = (),
    adjust: Callable[[State], State] = lambda s: s,
    run: Callable[[Case], State] | None = None,
) -> None:
    """Fail unless ``run`` leaves the state that qemu leaves, for every case.

    Without ``run`` it is the oracle, and the interpreter must agree as well (``tests.cpu.differential``).
    ``ignore`` names fields of State not to compare; ``adjust`` maps both results before comparing
    (to mask what the ISA leaves undefined).
    """
    ours = run or functools.partial(run_oracle, little=little)
    ignored = tuple(ignore)
    problems = []
    wanted = run_qemu(cases, little=little, cpu=cpu)
    for case, expected in zip(cases, wanted, strict=True):
        differences = compare(adjust(expected), adjust(ours(case)), ignored)
        if differences:
            problems.append(f"{case!r}\n    {disassemble(case.words)}\n    " + "\n    ".join(differences[:8]))
    if run is None:
        from tests.cpu.differential import engine_problems

        problems += engine_problems(cases, wanted, little=little, cpu=cpu, ignore=ignored, adjust=adjust)
    if problems:
        pytest.fail(
            f"{len(problems)} of {len(cases)} cases differ from qemu:\n" + "\n".join(problems[:5]),
            pytrace=False,
        )


# -- making cases -------------------------------------------------------------------------------------

SPECIAL = (
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x100000000,
    0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF80000000, 0xFFFFFFFF00000000,
)  # fmt: skip


def value64(rng: random.Random) -> int:
    """A 64-bit value: a special one, a small one, a bit run or any."""
    kind = rng.randrange(5)
    if kind == 0:
        return rng.choice(SPECIAL)
    if kind == 1:
        return rng.randrange(-70, 70) & 0xFFFFFFFFFFFFFFFF
    if kind == 2:
        return ((1 << rng.randrange(65)) - (1 << rng.randrange(65))) & 0xFFFFFFFFFFFFFFFF
    return rng.getrandbits(64)


def random_state(rng: random.Random, *, memory: int = 0, vsr: bool = False) -> State:
    """Random GPRs, CR, XER, LR, CTR, and on request vector registers and a memory buffer."""
    state = State(
        gpr=[value64(rng) for _ in range(32)], cr=rng.getrandbits(32), lr=value64(rng), ctr=value64(rng)
    )
    state.xer = rng.getrandbits(5) << 29 & 0xE0000000 | rng.getrandbits(2) << 18 | rng.getrandbits(7)
    if vsr:
        state.vsr = [value64(rng) << 64 | value64(rng) for _ in range(64)]
    if memory:
        state.memory = rng.randbytes(memory)
    return state


def random_word(instruction: Instruction, rng: random.Random, **given: int) -> int:
    """``instruction`` with random fields, except those given (raw register numbers, scaled immediates)."""
    word = instruction.value
    for f in instruction.fields:
        if f.name in given:
            value = given[f.name]
        elif f.name in instruction.static_values:
            value = rng.choice(instruction.static_values[f.name])
        else:
            value = rng.getrandbits(f.width) << f.scale
        word |= f.insert(value) & ~instruction.mask
    return word


def load_all() -> None:
    """Import every module of the ISA, so that every definition is registered."""
    for module in pkgutil.iter_modules(lpar.isa.__path__, "lpar.isa."):
        importlib.import_module(module.name)


def find(name: str) -> Instruction:
    """The definition whose name is ``name`` (as in the decorator)."""
    return next(i for i in INSTRUCTIONS if i.name == name)


def fuzz(
    name: str, count: int, *, seed: int = 1, memory: int = 0, vsr: bool = False, **given: int
) -> list[Case]:
    """``count`` cases of one instruction with random fields (except ``given``) and state."""
    rng = random.Random(f"{name}{seed}")
    found = find(name)
    return [
        Case((random_word(found, rng, **given),), random_state(rng, memory=memory, vsr=vsr), name)
        for _ in range(count)
    ]


def with_gpr(case: Case, values: dict[int, int]) -> Case:
    """``case`` with some GPRs replaced."""
    gpr = [values.get(n, v) for n, v in enumerate(case.before.gpr)]
    return replace(case, before=replace(case.before, gpr=gpr))


# -- binutils -----------------------------------------------------------------------------------------


def assemble(lines: Iterable[str]) -> list[int]:
    """The words of assembly ``lines`` (big-endian numbers; prefixed instructions give two)."""
    with tempfile.TemporaryDirectory() as directory:
        made, raw = Path(directory, "x.o"), Path(directory, "x.bin")
        text = "\n".join(lines) + "\n"
        command = [tool(True, "as"), "-mpower10", "-mregnames", "-o", made, "-"]
        subprocess.run(command, input=text, text=True, check=True)
        subprocess.run([tool(True, "objcopy"), "-O", "binary", "-j", ".text", made, raw], check=True)
        return [w for (w,) in struct.iter_unpack("<I", raw.read_bytes())]


def disassemble(words: Sequence[int]) -> list[str]:
    """binutils' text for ``words``, without extended mnemonics; a prefix and its suffix give one line."""
    with tempfile.NamedTemporaryFile(suffix=".bin") as raw:
        raw.write(struct.pack(f"<{len(words)}I", *words))
        raw.flush()
        command = [
            tool(True, "objdump"),
            "-D",
            "-z",
            "-b",
            "binary",
            "-EL",
            "-m",
            "powerpc:common64",
            "-Mpower10,raw",
        ]
        text = subprocess.run([*command, raw.name], check=True, capture_output=True, text=True).stdout
    rows = [line.split("\t") for line in text.splitlines() if line.startswith(" ")]
    return [" ".join(row[2:]).strip() for row in rows if len(row) > 2]


def expand_name(name: str, values: dict[str, int]) -> str:
    """The mnemonic for a definition's name: ``add{o}{.}`` with OE=1 Rc=0 gives ``addo``."""
    parts = {"{.}": (".", "Rc"), "{o}": ("o", "OE"), "{l}": ("l", "LK"), "{a}": ("a", "AA")}
    for mark, (text, field_name) in parts.items():
        record = values.get(field_name, values.get("RcV", 0) if mark == "{.}" else 0)
        name = name.replace(mark, text if record else "")
    return name


def check_encodings(
    instructions: Iterable[Instruction],
    *,
    given: dict[str, int] | None = None,
    allow: dict[str, str] | None = None,
    seed: int = 1,
) -> None:
    """Fail unless binutils gives every definition's encodings the definition's name.

    ``given``: field values for all (where binutils is picky); ``allow``: a definition's name to binutils'.
    """
    rng = random.Random(seed)
    wanted: list[tuple[str, int]] = []
    for found in instructions:
        for _ in range(4):
            names = {f.name for f in found.fields}
            word = random_word(found, rng, **{k: v for k, v in (given or {}).items() if k in names})
            values = {f.name: f.extract(word) for f in found.fields}
            wanted.append((expand_name((allow or {}).get(found.name, found.name), values), word))
    texts = disassemble([word for _, word in wanted])
    assert len(texts) == len(wanted)
    wrong = [
        f"{name}: {word:#010x} is {text}"
        for (name, word), text in zip(wanted, texts, strict=True)
        if text.split()[0] != name
    ]
    assert not wrong, "\n".join(wrong)


def overlaps(instructions: Sequence[Instruction]) -> list[tuple[str, str]]:
    """Pairs of definitions that some word matches both of."""
    return [
        (a.name, b.name)
        for a, b in itertools.combinations(instructions, 2)
        if (a.value ^ b.value) & a.mask & b.mask == 0 and not _statics_differ(a, b)
    ]


def _statics_differ(a: Instruction, b: Instruction) -> bool:
    """Whether static values or fixed bits keep two definitions apart."""
    for one, other in ((a, b), (b, a)):
        for f in one.fields:
            values = one.static_values.get(f.name)
            if f.kind is not Kind.STATIC or values is None:
                continue
            if f.name in other.static_values and not set(values) & set(other.static_values[f.name]):
                return True
            if f.mask & other.mask == f.mask and f.extract(other.value) not in values:
                return True
    return False

# SPDX-License-Identifier: GPL-2.0-only
"""Differential tests of instructions: the same cases on our engines and on qemu's user-mode emulator.

A case is data: instruction words and the state before.  ``run_oracle`` and ``run_qemu`` give the state
after; ``check`` compares them over many cases in one qemu process and prints a failing case ready to paste.
The program that runs under qemu is ``driver.s``.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import pkgutil
import random
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import pytest

import lpar.isa
from lpar.isa.fields import Kind
from lpar.isa.oracle import MSR_SF, Interrupt, Oracle
from lpar.isa.registry import INSTRUCTIONS, Instruction

#: where the memory buffer of a case lies, and its size
BUFFER = 0x20000000
BUFFER_SIZE = 4096
#: where the instruction words of a case lie (so that branch targets can be given in LR and CTR)
CODE = 0x3000
CODE_WORDS = 64
NOP = 0x60000000

SIGNALS = {4: "SIGILL", 5: "SIGTRAP", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV"}
INTERRUPT_SIGNALS = {
    "program illegal": "SIGILL",
    "program privileged": "SIGILL",
    "program trap": "SIGTRAP",
    "program fp": "SIGFPE",
    "alignment": "SIGBUS",
    "data storage": "SIGSEGV",
}
XER_BITS = {"so": 31, "ov": 30, "ca": 29, "ov32": 19, "ca32": 18}
_XER_FLAGS = sum(1 << n for n in XER_BITS.values())
_HEAD = "32Q10Q"  # gpr; cr xer lr ctr fpscr vscr tar signal nip spare
_SCALARS = ("cr", "xer", "lr", "ctr", "fpscr", "vscr", "tar")


@dataclass(slots=True)
class State:
    """Problem state before or after a case.

    ``vsr`` are 128-bit integers, element 0 most significant; VR n is ``vsr[32 + n]``, FPR n the upper
    half of ``vsr[n]``.  ``memory`` is the buffer at ``BUFFER`` (at most ``BUFFER_SIZE`` bytes), ``fault``
    the signal that Linux would send, "" for none.
    """

    gpr: list[int] = field(default_factory=lambda: [0] * 32)
    vsr: list[int] = field(default_factory=lambda: [0] * 64)
    cr: int = 0
    xer: int = 0
    lr: int = 0
    ctr: int = 0
    fpscr: int = 0
    vscr: int = 0
    tar: int = 0
    memory: bytes = b""
    fault: str = ""

    def __repr__(self) -> str:
        """Only what is not zero, as an expression that makes the state again."""
        parts = []
        for name in ("gpr", "vsr"):
            values = getattr(self, name)
            if any(values):
                shown = ", ".join(f"{n}: {v:#x}" for n, v in enumerate(values) if v)
                parts.append(f"{name}=registers({{{shown}}}, {len(values)})")
        parts += [f"{n}={getattr(self, n):#x}" for n in _SCALARS if getattr(self, n)]
        if self.memory:
            shown = self.memory.rstrip(b"\0").hex()
            parts.append(f"memory=bytes.fromhex({shown!r}).ljust({len(self.memory)}, bytes(1))")
        if self.fault:
            parts.append(f"fault={self.fault!r}")
        return f"State({', '.join(parts)})"


def registers(values: dict[int, int], count: int = 32) -> list[int]:
    """A register file that is zero except for ``values``."""
    return [values.get(n, 0) for n in range(count)]


@dataclass(slots=True)
class Case:
    """Instruction words (at ``CODE``) and the state before them."""

    words: Sequence[int]
    before: State
    name: str = ""

    def __repr__(self) -> str:
        words = ", ".join(f"{w:#010x}" for w in self.words)
        return f"Case(({words},), {self.before!r}, {self.name!r})"


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
    cpu.xer_low = state.xer & 0xFFFFFFFF & ~_XER_FLAGS
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


# -- qemu's side --------------------------------------------------------------------------------------


def _tool(little: bool, name: str) -> str:
    """A cross tool of binutils; skips the test where it is not installed."""
    return _installed(f"powerpc64{'le' if little else ''}-linux-gnu-{name}")


def _installed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


@functools.cache
def _driver(little: bool) -> Path:
    """The assembled ``driver.s``; it lives as long as the process."""
    directory = Path(_directory().name)
    made, program = directory / f"driver{little:d}.o", directory / f"driver{little:d}"
    source = Path(__file__).with_name("driver.s")
    subprocess.run([_tool(little, "as"), "-mpower9", "-o", made, source], check=True)
    linking = [
        "--section-start=.run=0x1000",
        "-z",
        "max-page-size=4096",
        "-e",
        "_start",
        "--no-warn-rwx-segments",
    ]
    subprocess.run([_tool(little, "ld"), *linking, "-o", program, made], check=True)
    return program


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lpar-isa-")


def _pack(case: Case, order: str, size: int) -> bytes:
    s = case.before
    if len(case.words) > CODE_WORDS:
        raise ValueError(f"{len(case.words)} words, at most {CODE_WORDS}")
    code = struct.pack(f"{order}{CODE_WORDS}I", *case.words, *[NOP] * (CODE_WORDS - len(case.words)))
    halves = [h for v in s.vsr for h in (v >> 64, v & 0xFFFFFFFFFFFFFFFF)]
    scalars = [getattr(s, n) for n in _SCALARS]
    return (
        code
        + struct.pack(f"{order}{_HEAD}128Q", *s.gpr, *scalars, 0, 0, 0, *halves)
        + s.memory.ljust(size, b"\0")
    )


def _unpack(data: bytes, order: str, before: State) -> State:
    head = struct.calcsize(order + _HEAD)
    values = struct.unpack_from(order + _HEAD, data)
    halves = struct.unpack_from(f"{order}128Q", data, head)
    vsr = [halves[n] << 64 | halves[n + 1] for n in range(0, 128, 2)]
    memory = data[head + 1024 :][: len(before.memory)]
    scalars = dict(zip(_SCALARS, values[32:], strict=False))
    return State(list(values[:32]), vsr, **scalars, memory=memory, fault=SIGNALS.get(values[39], ""))


def run_qemu(cases: Sequence[Case], *, little: bool = True, cpu: str = "power10") -> list[State]:
    """Run all cases in one process of qemu's user-mode emulator (which sends a fault as a signal).

    Raises RuntimeError when the process does not come to the end of the cases.
    """
    qemu = _installed(f"qemu-ppc64{'le' if little else ''}-static")
    order = "<" if little else ">"
    size = max((len(c.before.memory) for c in cases), default=0)
    result_size = struct.calcsize(f"{order}{_HEAD}128Q") + size
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as got:
        given.write(struct.pack(order + "Q", size))
        given.writelines(_pack(c, order, size) for c in cases)
        given.seek(0)
        command = [qemu, "-cpu", cpu, str(_driver(little))]
        done = subprocess.run(command, stdin=given, stdout=got, stderr=subprocess.PIPE, timeout=300)
        got.seek(0)
        results = got.read()
    count = len(results) // result_size
    if count != len(cases) or done.returncode:
        raise RuntimeError(
            f"qemu stopped ({done.returncode}) in case {cases[count]!r}: {done.stderr.decode()}"
        )
    return [
        _unpack(results[n * result_size : (n + 1) * result_size], order, c.before)
        for n, c in enumerate(cases)
    ]


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
        command = [_tool(True, "as"), "-mpower10", "-mregnames", "-o", made, "-"]
        subprocess.run(command, input=text, text=True, check=True)
        subprocess.run([_tool(True, "objcopy"), "-O", "binary", "-j", ".text", made, raw], check=True)
        return [w for (w,) in struct.iter_unpack("<I", raw.read_bytes())]


def disassemble(words: Sequence[int]) -> list[str]:
    """binutils' text for ``words``, without extended mnemonics; a prefix and its suffix give one line."""
    with tempfile.NamedTemporaryFile(suffix=".bin") as raw:
        raw.write(struct.pack(f"<{len(words)}I", *words))
        raw.flush()
        command = [
            _tool(True, "objdump"),
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

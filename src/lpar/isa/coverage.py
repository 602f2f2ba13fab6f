# SPDX-License-Identifier: GPL-2.0-only
"""What is defined of the Power ISA, measured against binutils.

``python -m lpar.isa.coverage > docs/isa-coverage.md`` makes the page.  The disassembler is asked for the
name of samples of all encodings, once for each processor; a mnemonic is covered if our definitions decode its
samples.  Needs powerpc64le-linux-gnu-objdump.
"""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lpar.isa.registry import INSTRUCTIONS, Instruction

OBJDUMP = "powerpc64le-linux-gnu-objdump"
#: binutils' processor for each version of the ISA
LEVELS = {"2.07": "power8", "3.0": "power9", "3.1": "power10"}
#: opcodes with extended opcodes -> values to try in bits 11:15, which may extend them further
EXTENDED: dict[int, Iterable[int]] = {
    **dict.fromkeys((4, 60, 63), range(32)),
    **dict.fromkeys((19, 31), (0, 1, 3, 8, 16, 31)),
    **dict.fromkeys((6, 17, 30, 56, 57, 58, 59, 61, 62), (0, 3)),
}
#: why something is not defined; by the whole mnemonic
REASONS = {
    "in binutils' table, not in the processor": (
        "dcbi eciwx ecowx mtsle mtsrd mtsrdin pbt. rfi rmieg tlbia tlbld tlbli"
    ),
    "coprocessor requests; POWER9 has them no more, and a partition never had a coprocessor": "icswx icswx.",
}


@dataclass(slots=True)
class Mnemonic:
    """One name of binutils: the first ISA version that has it, sample words, which of them we decode."""

    name: str
    since: str
    samples: list[int] = field(default_factory=list)
    decoded: list[Instruction] = field(default_factory=list)


def import_definitions() -> None:
    """Import every module of this package, so that all definitions are registered."""
    package = importlib.import_module("lpar.isa")
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"lpar.isa.{info.name}")


# -- samples of encodings --------------------------------------------------------------------------


def plain_words() -> Iterator[int]:
    """Words of every opcode and extended opcode."""
    for opcode in set(range(2, 64)) - {5}:
        for middle in EXTENDED.get(opcode, (0, 3)):
            for target in (0, 1, 2, 20):
                first = opcode << 26 | target << 21 | middle << 16
                lows = range(2048) if opcode in EXTENDED else (0,)
                yield from (first | low for low in lows)
    yield from (60 << 26 | 31 << 16 | n << 11 | 360 << 1 for n in range(32))  # lxvkq


def prefixed_words() -> Iterator[int]:
    """Prefix << 32 | suffix for every form."""
    for prefix in (0x04000000, 0x06000000):
        yield from (prefix << 32 | opcode << 26 | 2 << 21 for opcode in range(64))
    for opcode in (32, 33, 34):
        for middle in range(32):
            yield from (0x05000000 << 32 | opcode << 26 | middle << 16 | xo << 4 for xo in range(4))
    for target in range(3):
        yield from (0x07900000 << 32 | 59 << 26 | target << 21 | low for low in range(2048))
    yield 0x07000000 << 32


def names(words: list[int], processor: str, size: int) -> list[str]:
    """binutils' mnemonic for each word of ``size`` bytes; empty where it knows none."""
    with tempfile.NamedTemporaryFile(suffix=".bin") as raw:
        raw.write(b"".join(w.to_bytes(size, "big") for w in words))
        raw.flush()
        command = [OBJDUMP, "-D", "-z", "-b", "binary", "-EB", "-m", "powerpc:common64", f"-M{processor},raw"]
        text = subprocess.run([*command, raw.name], check=True, capture_output=True, text=True).stdout
    found: dict[int, str] = {}
    for line in text.splitlines():
        parts = line.split("\t")
        if len(parts) > 2 and parts[0].endswith(":"):
            found[int(parts[0].strip(" :"), 16)] = parts[2].split()[0]
    result = (found.get(size * n, "") for n in range(len(words)))
    return [name if name and not name.startswith(".") else "" for name in result]


# -- measuring -------------------------------------------------------------------------------------


def decoder() -> dict[int, list[Instruction]]:
    """Definitions by primary opcode (of the suffix, plus 64, if prefixed), most specific first."""
    table: dict[int, list[Instruction]] = {n: [] for n in range(128)}
    for found in INSTRUCTIONS:
        table[(found.value >> 26) + (64 if found.prefix else 0)].append(found)
    for candidates in table.values():
        candidates.sort(key=lambda i: (bool(i.static_values), i.mask.bit_count()), reverse=True)
    return table


def measure() -> dict[str, Mnemonic]:
    """Every mnemonic with what we decode of it.  Raises FileNotFoundError without binutils."""
    import_definitions()
    table = decoder()
    result: dict[str, Mnemonic] = {}
    for words, size in ((sorted(set(plain_words())), 4), (sorted(set(prefixed_words())), 8)):
        for since, processor in LEVELS.items():
            if size == 8 and since != "3.1":
                continue
            for word, name in zip(words, names(words, processor, size), strict=True):
                if not name:
                    continue
                mnemonic = result.setdefault(name, Mnemonic(name, since))
                if mnemonic.since == since and len(mnemonic.samples) < 40:
                    mnemonic.samples.append(word)
    for mnemonic in result.values():
        mnemonic.decoded = [d for w in mnemonic.samples if (d := _decode(table, w)) is not None]
    return result


def _decode(table: dict[int, list[Instruction]], word: int) -> Instruction | None:
    key = (word >> 26 & 63) + (64 if word >> 32 else 0)
    return next((i for i in table[key] if i.matches(word)), None)


def reason(name: str) -> str:
    """Why a mnemonic is missing."""
    return next((why for why, names in REASONS.items() if name in names.split()), "other")


# -- the page ----------------------------------------------------------------------------------------


def render(mnemonics: dict[str, Mnemonic]) -> str:
    """The page as Markdown."""
    lines = [
        "# Coverage of the Power ISA",
        "",
        "Made by `python -m lpar.isa.coverage` from the definitions in `src/lpar/isa` and binutils' opcode",
        "tables; record and overflow forms count by themselves. What is not defined raises an",
        "illegal-instruction program interrupt. What is in `refused.py` only raises its interrupt: the",
        "partition has no hypervisor state and no transactional memory.",
        "",
        "| first in | processor | mnemonics | defined | missing |",
        "|---|---|---|---|---|",
    ]
    for since, processor in LEVELS.items():
        here = [m for m in mnemonics.values() if m.since == since]
        done = sum(bool(m.decoded) for m in here)
        lines.append(f"| {since} | {processor.upper()} | {len(here)} | {done} | {len(here) - done} |")
    for since, processor in LEVELS.items():
        lines += ["", f"## Missing of ISA {since} ({processor.upper()})", ""]
        lines += _missing([m.name for m in mnemonics.values() if m.since == since and not m.decoded])
    lines += ["", "## Defined, by file", "", *_by_file()]
    return "\n".join(lines) + "\n"


def _missing(missing: list[str]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for name in sorted(missing):
        groups.setdefault(reason(name), []).append(name)
    if not groups:
        return ["Nothing."]
    return [f"* {why}: {' '.join(f'`{n}`' for n in group)}" for why, group in groups.items()]


def _by_file() -> list[str]:
    groups: dict[str, set[str]] = {}
    for found in INSTRUCTIONS:
        groups.setdefault(found.body.__module__.rsplit(".", 1)[1], set()).add(found.name)
    return [f"* `{module}.py`: {' '.join(sorted(group))}" for module, group in sorted(groups.items())]


def main() -> int:
    """Print the page."""
    try:
        sys.stdout.write(render(measure()))
    except FileNotFoundError:
        sys.stderr.write(f"error: {OBJDUMP} is not installed\n")
        sys.stderr.write("hint: apt install binutils-powerpc64le-linux-gnu\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0-only
"""Builds the bare-metal programs of this directory with binutils, in either byte order."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.isa.harness import assemble
from tests.isa.judge import tool

HERE = Path(__file__).parent
#: switches from big- to little-endian and goes on behind itself; r3 and r13 stay
SWITCH = """
    mfmsr 11
    xori 11, 11, 1
    bcl 20, 31, .+4
    mflr 10
    addi 10, 10, 20
    mtsrr0 10
    mtsrr1 11
    rfid
"""
HOOKS = ("secondary", "external", "decrementer")  #: labels that a program may leave to us
LINK = ("-Ttext=0", "-e", "0", "-z", "max-page-size=4096", "--no-warn-rwx-segments", "-N")


def source(name: str, *, little: bool) -> str:
    """The whole text of a program."""
    text = (HERE / f"{name}.s").read_text()
    switch = "".join(f"\t.byte {', '.join(map(str, w.to_bytes(4, 'big')))}\n" for w in assemble([SWITCH]))
    macro = f"\t.macro SWITCH_BYTE_ORDER\n{switch if little else ''}\t.endm\n"
    rest = "".join(f"{hook}:\tb .\n" for hook in HOOKS if f"{hook}:" not in text)
    library = (HERE / "lib.s").read_text()
    return f"\t.set LITTLE, {little:d}\n{macro}{library}\t.text\n{text}\t.text\n{rest}"


def build(name: str, directory: Path, *, little: bool) -> Path:
    """The program ``name`` as an ELF file in ``directory``, linked and entered at 0."""
    made, program = directory / f"{name}{little:d}.o", directory / f"{name}{little:d}.elf"
    text = source(name, little=little)
    subprocess.run([tool(little, "as"), "-o", made, "-"], input=text, text=True, check=True)
    subprocess.run([tool(little, "ld"), *LINK, "-o", program, made], check=True)
    return program

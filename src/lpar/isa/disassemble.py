# SPDX-License-Identifier: GPL-2.0-only
"""Words as instructions, from the definitions that run them: mnemonic and fields as the manual has them."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from lpar.isa.registry import INSTRUCTIONS, Instruction

PREFIX_OPCODE = 1


@functools.cache
def _definitions() -> dict[int, list[Instruction]]:
    """All definitions by primary opcode; modules that name no instructions are no harm."""
    package = importlib.import_module("lpar.isa")
    for info in pkgutil.iter_modules(package.__path__):
        if info.name not in ("coverage", "oracle"):
            importlib.import_module(f"lpar.isa.{info.name}")
    found: dict[int, list[Instruction]] = {}
    for one in INSTRUCTIONS:
        found.setdefault(one.value >> 26 if one.prefix is None else PREFIX_OPCODE, []).append(one)
    return found


def disassemble(word: int, suffix: int | None = None) -> str:
    """One instruction; ``suffix`` is the word behind, for a prefixed one.  Unknown ones are shown as data."""
    opcode = word >> 26
    if opcode == PREFIX_OPCODE and suffix is not None:
        word = word << 32 | suffix
    for one in _definitions().get(opcode, ()):
        if one.matches(word):
            return _text(one, word)
    return f".long {word & 0xFFFFFFFF:#010x}"


def _text(one: Instruction, word: int) -> str:
    shown = {f.name: f.extract(word) for f in one.fields}
    name = one.name.replace("{.}", "." if shown.pop("Rc", 0) else "")
    name = name.replace("{o}", "o" if shown.pop("OE", 0) else "")
    fields = ", ".join(f"{field}={value}" for field, value in shown.items())
    return f"{name} {fields}".rstrip()

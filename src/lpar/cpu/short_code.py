# SPDX-License-Identifier: GPL-2.0-only
"""Shorter code for stencils: general registers are addressed by one byte, where LLVM would take four.

LLVM may know that a hole (holes.py) lies between -128 and 127, but encodes an address that it does not know
in 32 bits.  So a stencil's assembly text is changed before it is assembled: the address becomes 0, and a
directive says where the hole goes.  A guest instruction names two or three registers, and large programs are
bound by how much code the host has to fetch (docs/design/engine.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from lpar.cpu.holes import Node, bounds

#: mnemonic; an immediate of four bytes, or none; the hole with the state pointer as its base; what follows
_LINE = re.compile(
    r"\t((?:mov[lq]\t\$[\w@.+-]+, )|[a-u]\w*\t(?:%\w+, )?)(v\d+)(\+\d+)?\(%r13\)((?:, %\w+)?)\s*"
)
_WIDE = 4  #: bytes of the immediate of movl and movq


def shorten(assembly: str, holes: Mapping[str, Node]) -> Iterator[str]:
    """The assembly's lines, with short addresses where the holes allow it."""
    for number, line in enumerate(assembly.splitlines()):
        found = _LINE.fullmatch(line)
        plus = int(found[3] or 0) if found else 0
        if found is None or not _fits(holes.get(found[2]), plus):
            yield line
            continue
        behind = 1 + _WIDE * ("$" in found[1])
        yield f"\t{found[1]}0(%r13){found[4]}"
        yield f".Lshort{number}:"
        yield f"\t.reloc .Lshort{number}-{behind}, R_X86_64_8, {found[2]}+{plus}"


def _fits(node: Node | None, plus: int) -> bool:
    if node is None:
        return False
    low, high = bounds(node, 64)
    return low + plus >= -128 and high + plus <= 127


def as_module(lines: Iterable[str]) -> str:
    """An LLVM module that is nothing but assembly."""
    escaped = (re.sub(r'[\\"]', lambda m: f"\\{ord(m[0]):02X}", line) for line in lines)
    return "\n".join(f'module asm "{line}"' for line in escaped)

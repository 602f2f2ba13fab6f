# SPDX-License-Identifier: GPL-2.0-only
"""From stencils as LLVM compiled them to the table that native code copies them from (native_unit.py).

The table is position independent: headers, then code, operations and patches, all by their offset.

| part | bytes | layout |
|---|---|---|
| header | 32 | code u32, size u16, flags u16, operations u32, their number u16, of patches u16, patches u32 |
| operation | 16 | operator u8, width u8, operands a b c u8, result's width u8, -, immediate u64 |
| patch | 16 | offset u16, kind u8, value u8, symbol u32, addend i64 |

Operations make values: value 0 is the instruction word, each operation makes the next.  Operand 255 is the
immediate.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lpar.cpu.arena import SHF_ALLOC, SHT_NOBITS, SHT_RELA, SHT_SYMTAB, Section, read_sections
from lpar.cpu.holes import Node
from lpar.cpu.linker import Symbol, read_symbols
from lpar.cpu.native_decode import PAIRS
from lpar.cpu.stencil import NEXT

USES_REC, GOES_ON = 1, 2
HEADER, OPERATION, PATCH = 32, 16, 16
IMMEDIATE = 255
MAX_VALUES = 64
MAX_CODE = 2048  #: bytes of one stencil
SHF_EXECINSTR = 4
HANDLERS = ("h", "lp_")  #: how their symbols begin
PLACED = ("lp_goto", "lp_poll")  #: what they take for %rec is no sum of records
RODATA = "(constants)"  #: the symbol of the constants that LLVM keeps beside code
#: ELF relocation types of x86-64: absolute 64, 32, 32S, 16, 8, relative PC32, PLT32
KINDS = {1: 0, 10: 1, 11: 1, 12: 2, 14: 3, 2: 4, 4: 4}
#: patch kinds: up to ABSOLUTE a value; a symbol; what follows; a handler, which wants %rec
ABSOLUTE, RELATIVE, FOLLOW, EXIT = 3, 4, 5, 6
MAX_EXITS = 4  #: of a stencil that does not use %rec itself
#: numbers of the operators in native_unit
OPERATORS = {name: n for n, name in enumerate((
    "field", "add", "mul", "shl", "lshr", "ashr", "and", "or", "xor", "sub", "const", "sext", "rotl",
    "eq", "ne", "ult", "ule", "ugt", "uge", "slt", "sle", "sgt", "sge", "select",
))}  # fmt: skip


@dataclass(slots=True)
class Stencil:
    """One stencil: code, relocations (offset, ELF type, symbol or None, addend), flags."""

    code: bytes
    relocations: list[tuple[int, int, str, int]]
    flags: int = 0


class Unsupported(Exception):
    """The stencil needs something that native_unit cannot do: its instruction has none."""


class _Program:
    """The operations that make a stencil's values."""

    def __init__(self) -> None:
        self.numbers: dict[Node, int] = {("word",): 0}
        self.code = bytearray()

    def value(self, node: Node) -> int:
        """The number of the node's value."""
        if node not in self.numbers:
            self._make(node)
        return self.numbers[node]

    def _make(self, node: Node) -> None:
        if node[0] == "const":
            return self._emit(node, "const", 64, 64, (), node[1])
        operator, width, kept, *operands = node
        if operator in ("zext", "trunc"):
            return self._emit(node, "and", 64, width, (self.value(operands[0]),), (1 << width) - 1)
        if operator == "sext":
            return self._emit(node, "sext", kept, width, (self.value(operands[0]),), 0)
        if operator not in OPERATORS:
            raise Unsupported(operator)
        if operator == "and" and operands[1][0] == "const" and operands[0][0] == "lshr":
            source, amount = operands[0][3:5]
            if amount[0] == "const" and operands[0][1] == width:
                place = (self.value(source), amount[1])
                return self._emit(node, "field", width, width, place, operands[1][1])
        *first, last = operands
        numbers = tuple(self.value(n) for n in first)
        if last[0] == "const" and operator != "select":
            return self._emit(node, operator, kept, width, (*numbers, IMMEDIATE), last[1])
        return self._emit(node, operator, kept, width, (*numbers, self.value(last)), 0)

    def _emit(
        self, node: Node, operator: str, width: int, result: int, numbers: tuple[int, ...], immediate: int
    ) -> None:
        a, b, c = (*numbers, IMMEDIATE, IMMEDIATE, IMMEDIATE)[:3]
        immediate &= (1 << 64) - 1
        self.code += struct.pack("<6BHQ", OPERATORS[operator], width, a, b, c, result, 0, immediate)
        self.numbers[node] = len(self.numbers)
        if len(self.numbers) > MAX_VALUES:
            raise Unsupported("too many values")


@dataclass
class Table:
    """The table under construction."""

    image: bytearray = field(default_factory=lambda: bytearray(64))
    symbols: list[str] = field(default_factory=lambda: [RODATA])
    constants: bytearray = field(default_factory=bytearray)

    def add_object(
        self, data: bytes, holes: dict[str, Node], flags: dict[str, int], places: dict[str, int]
    ) -> None:
        """Add the stencils of an object file that have flags; ``places`` gets where each header is."""
        base = len(self.constants) + -len(self.constants) % 64
        for name, stencil in _stencils(data, self.constants, base):
            if name not in flags:
                continue
            stencil.flags = flags[name]
            try:
                places[name] = self._add(stencil, holes)
            except Unsupported:
                continue

    def add_pairs(self, places: Sequence[int], about: int, kind: int) -> int:
        """A list of the pairs that begin with an instruction; see pair.py and native_decode.find_pair."""
        self.image += bytes(-len(self.image) % 16)
        self.image += struct.pack(f"<{PAIRS}I2I", *places, *[0] * (PAIRS - len(places)), about, kind)
        return len(self.image) - 4 * (PAIRS + 2)

    def _add(self, stencil: Stencil, holes: dict[str, Node]) -> int:
        code, relocations = stencil.code, stencil.relocations
        if relocations and relocations[-1][2] == NEXT and relocations[-1][0] == len(code) - 4:
            code, relocations = code[:-5], relocations[:-1]
        if len(code) > MAX_CODE:
            raise Unsupported("long")
        if sum(name.startswith(HANDLERS) for _, _, name, _ in relocations) > MAX_EXITS:
            stencil.flags |= USES_REC
        program = _Program()
        patches = b"".join(self._patch(r, holes, program) for r in relocations)
        parts = []
        for part in (code, program.code, patches):
            self.image += bytes(-len(self.image) % 16)
            parts.append(len(self.image))
            self.image += part
        self.image += bytes(-len(self.image) % 32 + 32)
        header = len(self.image) - 32
        counts = len(program.code) // OPERATION, len(patches) // PATCH
        struct.pack_into(
            "<IHHIHHI", self.image, header, parts[0], len(code), stencil.flags, parts[1], *counts, parts[2]
        )
        return header

    def _patch(
        self, relocation: tuple[int, int, str, int], holes: dict[str, Node], program: _Program
    ) -> bytes:
        offset, elf, name, addend = relocation
        if elf not in KINDS:
            raise Unsupported(f"relocation {elf}")
        kind, value, symbol = KINDS[elf], 0, 0
        if name == NEXT:
            kind = FOLLOW
        elif kind == RELATIVE:
            symbol = self._symbol(name)
            kind = EXIT if name.startswith(HANDLERS) and name not in PLACED else RELATIVE
        elif name in holes:
            value = program.value(holes[name])
        else:
            raise Unsupported(f"absolute {name}")
        return struct.pack("<HBBIq", offset, kind, value, symbol, addend)

    def _symbol(self, name: str) -> int:
        if name not in self.symbols:
            self.symbols.append(name)
        return self.symbols.index(name)


def _stencils(data: bytes, constants: bytearray, base: int) -> Iterable[tuple[str, Stencil]]:
    """The functions of an object file with their relocations; its constants go to ``constants``."""
    sections = read_sections(data)
    constants += bytes(base - len(constants))
    for s in sections:
        if (
            s.flags & SHF_ALLOC
            and not s.flags & SHF_EXECINSTR
            and s.kind not in (SHT_RELA, SHT_NOBITS)
            and s.size
        ):
            constants += bytes(-len(constants) % max(s.align, 16))
            s.place = len(constants)
            constants += data[s.offset : s.offset + s.size]
    table = next(s for s in sections if s.kind == SHT_SYMTAB)
    names = read_symbols(data, sections, table)
    text = next(i for i, s in enumerate(sections) if s.flags & SHF_EXECINSTR and s.size)
    rela = next(s for s in sections if s.kind == SHT_RELA and s.info == text)
    found = sorted(_relocations(data, sections, rela, names))
    functions = sorted(
        (value, size, name)
        for name, kind, section, value, size in names
        if section == text and kind & 15 == 2
    )
    at, start = 0, sections[text].offset
    for value, size, name in functions:
        stencil = Stencil(data[start + value : start + value + size], [])
        while at < len(found) and found[at][0] < value + size:
            offset, kind, symbol, addend = found[at]
            stencil.relocations.append((offset - value, kind, symbol, addend))
            at += 1
        yield name, stencil


def _relocations(
    data: bytes, sections: Sequence[Section], rela: Section, names: Sequence[Symbol]
) -> Iterable[tuple[int, int, str, int]]:
    """(offset, type, symbol, addend); what lies in this object is a place among the constants."""
    for offset, info, addend in struct.iter_unpack("<QQq", data[rela.offset : rela.offset + rela.size]):
        name, _, section, value, _ = names[info >> 32]
        place = sections[section].place if 0 < section < len(sections) else -1
        if place >= 0:
            name, addend = RODATA, addend + place + value
        yield offset, info & 0xFFFFFFFF, name, addend

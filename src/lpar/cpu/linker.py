# SPDX-License-Identifier: GPL-2.0-only
"""Links object files into one image that needs no relocation: its parts reach each other by distance.

The image is kept in the cache and copied into executable memory; only the C library's functions have to be
found then, through slots behind jumps.  So a start with a full cache needs neither LLVM nor a linker.

An image can grow: objects that are linked later may refer to what is there and change none of it.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lpar.cpu.arena import SHF_ALLOC, SHT_NOBITS, SHT_RELA, SHT_SYMTAB, Section, put_code, read_sections
from lpar.cpu.relocate import LoadError, jump, machine_of, patches

GLOBAL = 1

#: (name, binding and kind, section, value, size)
Symbol = tuple[str, int, int, int, int]


@dataclass
class Image:
    """Linked code: ``symbols`` are offsets, ``slots`` those of the addresses that the C library provides."""

    code: bytearray = field(default_factory=bytearray)
    symbols: dict[str, int] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)

    def add(self, objects: Sequence[bytes]) -> None:
        """Link more objects.  Raises LoadError for a relocation that is no distance."""
        placed = [self._place(data) for data in objects]
        for data, sections, symbols in placed:
            for section in sections:
                if section.kind == SHT_RELA and sections[section.info].place >= 0:
                    self._relocate(data, sections, section, symbols)

    def _place(self, data: bytes) -> tuple[bytes, list[Section], list[Symbol]]:
        sections = read_sections(data)
        for s in sections:
            if s.flags & SHF_ALLOC and s.size and s.kind not in (SHT_RELA, SHT_NOBITS):
                self.code += bytes(-len(self.code) % max(s.align, 16))
                s.place = len(self.code)
                self.code += data[s.offset : s.offset + s.size]
        table = next(s for s in sections if s.kind == SHT_SYMTAB)
        symbols = read_symbols(data, sections, table)
        for name, info, section, value, _ in symbols:
            if info >> 4 == GLOBAL and 0 < section < len(sections) and sections[section].place >= 0:
                self.symbols[name] = sections[section].place + value
        return data, sections, symbols

    def _relocate(self, data: bytes, sections: list[Section], rela: Section, symbols: list[Symbol]) -> None:
        place = sections[rela.info].place
        machine = machine_of(data)
        kinds = patches(machine)
        body = data[rela.offset : rela.offset + rela.size]
        for offset, info, addend in struct.iter_unpack("<QQq", body):
            kind = info & 0xFFFFFFFF
            if kind not in kinds:
                raise LoadError(f"relocation type {kind}")
            name, _, section, value, _ = symbols[info >> 32]
            inside = 0 < section < len(sections) and sections[section].place >= 0
            target = sections[section].place + value if inside else self._find(name, machine)
            kinds[kind](self.code, place + offset, target + addend)

    def _find(self, name: str, machine: int) -> int:
        """A symbol of this image, or a jump to the C library, through the slot behind it."""
        if name not in self.symbols:
            self.code += bytes(-len(self.code) % 16)
            self.symbols[name] = len(self.code)
            self.code += jump(machine) + bytes(8)
            self.slots[name] = len(self.code) - 8
        return self.symbols[name]


def read_symbols(data: bytes, sections: Sequence[Section], table: Section) -> list[Symbol]:
    """The symbols of an object file."""
    strings = sections[table.link].offset
    out = []
    body = data[table.offset : table.offset + table.size]
    for name, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", body):
        end = data.index(b"\0", strings + name)
        out.append((data[strings + name : end].decode(), info, section, value, size))
    return out


def put(address: int, image: bytes, slots: dict[str, int]) -> None:
    """Copy an image to ``address``, where its beginning may be running, and find the C library for it."""
    library = ctypes.CDLL(None)
    filled = bytearray(image)
    for name, offset in slots.items():
        found = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        struct.pack_into("<Q", filled, offset, found or 0)
    put_code(address, filled)


def addresses(symbols: Sequence[str], constants: int, find: Callable[[str], int]) -> bytes:
    """The native table of what stencils refer to; ``constants``: where those are."""
    return struct.pack(f"<{len(symbols)}Q", constants, *(find(name) for name in symbols[1:]))
